//! What all pages share: frame, navigation, forms.

use crate::{Role, text};
use hearthgate_core::{Node, UserId};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

/// Who looks at a page, and how.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// Account name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its user of the tailnet.
    pub user: Option<UserId>,
    /// Token for forms.
    pub csrf: String,
    /// A sentence to show above the page, for instance why the last form was refused, and whether that is bad.
    pub notice: Option<(String, bool)>,
}

impl Viewer {
    /// Whether this node's page is for this viewer.
    #[must_use]
    pub fn sees(&self, node: &Node) -> bool {
        self.role.sees_all() || self.owns(node)
    }

    /// Whether this viewer may change this node.
    #[must_use]
    pub fn may_change(&self, node: &Node) -> bool {
        self.role.changes_all() || (self.role == Role::Member && self.owns(node))
    }

    fn owns(&self, node: &Node) -> bool {
        !node.is_tagged() && self.user == Some(node.user)
    }
}

/// A whole page. `here` is the entry of the navigation it belongs to; `viewer` is `None` before login. `refresh`
/// makes browsers without script load it again every few seconds.
#[must_use]
pub fn page(viewer: Option<&Viewer>, here: &str, title: &str, refresh: bool, body: Markup) -> String {
    let items =
        text::NAV.into_iter().filter(|(path, _)| viewer.is_some_and(|v| v.role.sees_all()) || *path == "devices");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (text::PRODUCT) }
                link rel="stylesheet" href="/admin/style.css";
                link rel="icon" href="/admin/icon.svg" type="image/svg+xml";
                script src="/admin/live.js" defer {}
                @if refresh { noscript { meta http-equiv="refresh" content="5"; } }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/admin/" { img src="/admin/icon.svg" alt=""; (text::PRODUCT) }
                    @if let Some(viewer) = viewer {
                        nav aria-label="Pages" {
                            ul {
                                @for (path, label) in items {
                                    li { a href={ "/admin/" (path) } aria-current=[(path == here).then_some("page")] { (label) } }
                                }
                            }
                        }
                        a.who href="/admin/account" title=(text::ACCOUNT_TITLE) aria-current=[("account" == here).then_some("page")] { (viewer.name) }
                        (form(viewer, "/admin/logout", html! { button.quiet { (text::LOGOUT) } }))
                    }
                }
                main #main {
                    h1 { (title) }
                    @if let Some((notice, bad)) = viewer.and_then(|v| v.notice.as_ref()) {
                        p.note.bad[*bad] role=(if *bad { "alert" } else { "status" }) { (notice) }
                    }
                    (body)
                }
            }
        }
    }
    .into_string()
}

/// A page that only says something.
#[must_use]
pub fn message(viewer: Option<&Viewer>, title: &str, sentence: &str) -> String {
    page(viewer, "", title, false, html! { p { (sentence) } p { a href="/admin/" { "Go on" } } })
}

/// A form with the session's token.
#[must_use]
pub fn form(viewer: &Viewer, action: &str, fields: Markup) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="csrf" value=(viewer.csrf);
            (fields)
        }
    }
}

/// A form that is one button.
#[must_use]
pub fn post_button(viewer: &Viewer, action: &str, class: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    form(
        viewer,
        action,
        html! {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button class=(class) { (label) }
        },
    )
}

/// A dangerous button behind a fold: two steps, without script.
#[must_use]
pub fn confirm(viewer: &Viewer, action: &str, label: &str, sentence: &str, sure: &str) -> Markup {
    html! {
        details {
            summary { (label) }
            p.hint { (sentence) }
            (post_button(viewer, action, "danger", sure, &[]))
        }
    }
}

/// A sentence with names of commands and settings between backticks.
#[must_use]
pub fn prose(sentence: &str) -> Markup {
    html! {
        @for (i, part) in sentence.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A time as people read it (UTC, to the minute), or a word for none.
#[must_use]
pub fn when(time: Option<Timestamp>, none: &str) -> Markup {
    html! {
        @if let Some(t) = time {
            time datetime=(t) { (text::minute(t)) }
        } @else { (none) }
    }
}

//! What other programs get: OAuth clients on the page of keys, webhooks on the page of events.

use super::layout::{Viewer, confirm, form, post_button, when};
use crate::{
    reach::{Finding, Level},
    text as t,
};
use hearthgate_core::host_of;
use jiff::Timestamp;
use maud::{Markup, html};

/// An OAuth client, as shown.
#[derive(Debug, Clone)]
pub struct OauthClient {
    /// Its id.
    pub id: String,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// Tags that its tokens may hand out.
    pub tags: Vec<String>,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
}

/// OAuth clients, and every scope there is (without `:read`).
#[derive(Debug, Clone, Default)]
pub struct Oauth {
    /// The clients.
    pub clients: Vec<OauthClient>,
    /// Scopes to choose from.
    pub scopes: &'static [&'static str],
}

/// A webhook, as shown.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its id.
    pub id: String,
    /// Where to.
    pub url: String,
    /// Names of the events it wants.
    pub events: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// How the last request ended, if one was sent since the start.
    pub last: Option<String>,
    /// Requests that it never got since the start.
    pub lost: u64,
    /// The last one is among them.
    pub failing: bool,
}

/// What is wrong with webhooks. `missed` is how many events none of them was told of.
#[must_use]
pub fn findings(hooks: &[Hook], missed: u64) -> Vec<Finding> {
    let failing = hooks.iter().filter(|h| h.failing).map(|h| {
        let last = h.last.as_deref().unwrap_or(t::WEBHOOK_QUIET);
        let what = format!("The webhook to {} does not get its events. {last}", host_of(&h.url));
        Finding::new(Level::Warn, what, t::WEBHOOK_FAILING)
    });
    let missed = (missed > 0 && !hooks.is_empty())
        .then(|| Finding::new(Level::Warn, format!("{} {missed}.", t::WEBHOOKS_MISSED), t::WEBHOOKS_MISSED_HINT));
    failing.chain(missed).collect()
}

/// The part about OAuth clients.
pub(super) fn oauth(viewer: &Viewer, oauth: &Oauth) -> Markup {
    html! {
        section.card aria-labelledby="oauth-title" {
            h2 #oauth-title { (t::OAUTH) }
            p.hint { (t::OAUTH_HINT) }
            ul.list #oauth {
                @for c in &oauth.clients {
                    li.row {
                        span.grow { code.small { (c.id) } " " (c.description) br; span.soft.small {
                            (c.scopes.join(", ")) @if !c.tags.is_empty() { " · " (c.tags.join(", ")) } " · since " (when(Some(c.created), "")) } }
                        @if viewer.role.is_owner() {
                            (confirm(viewer, &format!("/admin/oauth/{}/delete", c.id), "Remove", t::OAUTH_REMOVE_HINT, "Yes, remove"))
                        }
                    }
                }
            }
            @if viewer.role.is_owner() { (oauth_form(viewer, oauth.scopes)) }
        }
    }
}

fn oauth_form(viewer: &Viewer, scopes: &[&str]) -> Markup {
    html! {
        details {
            summary { "Make an OAuth client" }
            (form(viewer, "/admin/oauth", html! {
                label for="oauth-description" { "What it is for" }
                input #oauth-description name="description" maxlength="200";
                fieldset {
                    legend { "Scopes" }
                    p.hint { (t::OAUTH_SCOPES_HINT) }
                    @for scope in scopes {
                        @for scope in [(*scope).to_owned(), format!("{scope}:read")] {
                            label.tick { input type="checkbox" name="scope" value=(scope); code { (scope) } }
                        }
                    }
                }
                label for="oauth-tags" { "Tags" }
                input #oauth-tags name="tags" placeholder="tag:server" autocapitalize="none" spellcheck="false" aria-describedby="oauth-tags-hint";
                p.hint #oauth-tags-hint { (t::OAUTH_TAGS_HINT) }
                button { "Make" }
            }))
        }
    }
}

/// The part about webhooks. `fresh` is a secret that was made just now and is shown once.
pub(super) fn webhooks(viewer: &Viewer, hooks: &[Hook], fresh: Option<&str>) -> Markup {
    html! {
        @if let Some(secret) = fresh {
            div.note role="status" { p { strong { (t::WEBHOOK_SECRET) } } pre #fresh { (secret) } }
        }
        section.card aria-labelledby="hooks-title" {
            h2 #hooks-title { (t::WEBHOOKS) }
            p.hint { (t::WEBHOOKS_HINT) }
            ul.list #hooks {
                @for hook in hooks {
                    li {
                        // What stands behind the host is often all that is needed to write there.
                        p { code { @if viewer.role.is_owner() { (hook.url) } @else { (host_of(&hook.url)) } } br; span.soft.small {
                            (hook.events.join(", ")) " · since " (when(Some(hook.created), "")) }
                            br; span.small { (hook.last.as_deref().unwrap_or(t::WEBHOOK_QUIET)) }
                            @if hook.lost > 0 { br; span.small.bad { (t::WEBHOOK_LOST) " " (hook.lost) "." } } }
                        @if viewer.role.is_owner() {
                            (webhook_change(viewer, hook))
                            div.row {
                                (post_button(viewer, &format!("/admin/webhook/{}/test", hook.id), "quiet", t::WEBHOOK_TEST, &[]))
                                (post_button(viewer, &format!("/admin/webhook/{}/delete", hook.id), "danger", "Remove", &[]))
                            }
                        }
                    }
                }
            }
            @if viewer.role.is_owner() { (webhook_form(viewer)) }
        }
    }
}

/// Other events, another secret.
fn webhook_change(viewer: &Viewer, hook: &Hook) -> Markup {
    html! {
        details {
            summary { (t::WEBHOOK_CHANGE) }
            (form(viewer, &format!("/admin/webhook/{}/events", hook.id), html! {
                (events(|name| hook.events.iter().any(|e| e == name)))
                button.quiet { "Save" }
            }))
            (post_button(viewer, &format!("/admin/webhook/{}/rotate", hook.id), "quiet", t::WEBHOOK_ROTATE, &[]))
        }
    }
}

fn events(ticked: impl Fn(&str) -> bool) -> Markup {
    html! {
        fieldset {
            legend { "Events" }
            @for (name, label) in t::WEBHOOK_EVENTS {
                label.tick { input type="checkbox" name="event" value=(name) checked[ticked(name)]; (label) }
            }
        }
    }
}

fn webhook_form(viewer: &Viewer) -> Markup {
    html! {
        details {
            summary { "Add a webhook" }
            (form(viewer, "/admin/webhook", html! {
                label for="hook-url" { "Address" }
                input #hook-url name="url" type="url" required maxlength="500" placeholder="https://example.com/hook" autocapitalize="none" spellcheck="false";
                label for="hook-provider" { (t::WEBHOOK_FORM) }
                select #hook-provider name="provider" {
                    @for (name, label) in t::WEBHOOK_FORMS { option value=(name) { (label) } }
                }
                (events(|_| true))
                label.tick { input type="checkbox" name="local" value="1"; (t::WEBHOOK_LOCAL) }
                button { "Add" }
            }))
        }
    }
}

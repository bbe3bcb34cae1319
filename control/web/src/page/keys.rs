//! Pre-auth keys, API keys, OAuth clients.

use super::{
    layout::{Viewer, form, page, post_button, when},
    tools::Oauth,
};
use crate::text as t;
use hearthgate_core::{Now, PreAuthKey, World};
use maud::{Markup, html};

/// The page. `fresh` is a key that was made just now and is shown once.
#[must_use]
pub fn keys(viewer: &Viewer, world: &World, fresh: Option<&str>, oauth: &Oauth, now: Now) -> String {
    page(
        Some(viewer),
        "keys",
        "Keys",
        false,
        html! {
            @if let Some(key) = fresh {
                div.note role="status" { p { strong { (t::KEY_SHOWN_ONCE) } } pre #fresh { (key) } }
            }
            (preauth(viewer, world, now))
            (api(viewer, world, now))
            (super::tools::oauth(viewer, oauth))
        },
    )
}

fn life(key: &PreAuthKey, now: Now) -> &'static str {
    if key.expiration.is_some_and(|e| e <= now.wall) {
        "expired"
    } else if key.used && !key.reusable {
        "used"
    } else {
        "works"
    }
}

fn preauth(viewer: &Viewer, world: &World, now: Now) -> Markup {
    html! {
        section.card aria-labelledby="preauth-title" {
            h2 #preauth-title { "Keys for devices" }
            p.hint { (t::KEYS_HINT) }
            ul.list {
                @for key in world.preauth_keys() {
                    @let owner = key.user.and_then(|id| world.users().find(|u| u.id == id)).map_or_else(|| key.tags.join(", "), |u| u.name.clone());
                    li.row {
                        span.grow { code.small { (key.masked()) } br; span.soft.small {
                            (owner) @if key.reusable { " · many devices" } @if key.ephemeral { " · ephemeral" } @if key.preauthorized { " · approved" } " · until " (when(key.expiration, t::NEVER)) " · " (life(key, now)) } }
                        @if viewer.role.changes_all() {
                            @if life(key, now) == "works" { (post_button(viewer, &format!("/admin/key/{}/expire", key.id), "quiet", "Expire", &[])) }
                            (post_button(viewer, &format!("/admin/key/{}/delete", key.id), "danger", "Delete", &[]))
                        }
                    }
                }
            }
            @if viewer.role.changes_all() {
                details {
                    summary { "Make a key" }
                    (form(viewer, "/admin/key", html! {
                        label for="key-user" { "Owner of the devices" }
                        select #key-user name="user" { option value="" { "nobody (tags only)" } @for u in world.users() { option value=(u.id) selected[viewer.user == Some(u.id)] { (u.name) } } }
                        label for="key-tags" { "Tags" }
                        input #key-tags name="tags" placeholder="tag:server" autocapitalize="none" spellcheck="false";
                        label for="key-hours" { "Works for (hours)" }
                        input #key-hours name="hours" type="number" min="1" max="8760" value="1" required;
                        label.tick { input type="checkbox" name="reusable" value="1"; "for many devices" }
                        label.tick { input type="checkbox" name="ephemeral" value="1"; "its devices are removed soon after they go offline" }
                        label.tick { input type="checkbox" name="preauthorized" value="1"; (t::KEY_PREAUTHORIZED) }
                        button { "Make" }
                    }))
                }
            }
        }
    }
}

fn api(viewer: &Viewer, world: &World, now: Now) -> Markup {
    html! {
        section.card aria-labelledby="api-title" {
            h2 #api-title { "API keys" }
            p.hint { (t::API_KEYS_HINT) }
            ul.list {
                @for key in world.api_keys() {
                    @let over = key.expiration.is_some_and(|e| e <= now.wall);
                    li.row {
                        span.grow { code.small { (key.masked()) } br; span.soft.small {
                            "until " (when(key.expiration, t::NEVER)) @if over { " · expired" } " · last used " (when(key.last_seen, t::NEVER)) } }
                        @if viewer.role.is_owner() {
                            @if !over { (post_button(viewer, &format!("/admin/apikey/{}/expire", key.id), "quiet", "Expire", &[])) }
                            (post_button(viewer, &format!("/admin/apikey/{}/delete", key.id), "danger", "Delete", &[]))
                        }
                    }
                }
            }
            @if viewer.role.is_owner() {
                details {
                    summary { "Make an API key" }
                    (form(viewer, "/admin/apikey", html! {
                        label for="api-days" { "Works for (days)" }
                        input #api-days name="days" type="number" min="1" max="3650" value="90" required;
                        button { "Make" }
                    }))
                }
            }
        }
    }
}

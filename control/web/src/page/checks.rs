//! SSH logins under a `check` rule of the policy that wait for a person.

use super::layout::{Viewer, post_button};
use crate::text as t;
use hearthgate_core::{NodeId, Now, World};
use maud::{Markup, html};

/// A card when something waits, else nothing.
pub(super) fn waiting(viewer: &Viewer, world: &World, now: Now) -> Markup {
    let checks: Vec<_> = world.pending_checks(now).collect();
    let name = |id: NodeId| world.node(id).map_or_else(|_| format!("device {id}"), |n| n.given_name.clone());
    html! {
        @if !checks.is_empty() {
            section.card #checks aria-labelledby="checks-title" {
                h2 #checks-title { (t::CHECKS_WAITING) }
                p.hint { (t::CHECKS_HINT) }
                ul.list {
                    @for (id, check) in checks {
                        @let id = id.to_string();
                        li.row {
                            span.grow { span.name { (name(check.from)) } " → " span.name { (name(check.to)) } " as " code { (check.login) } }
                            @if viewer.role.changes_all() {
                                (post_button(viewer, "/admin/check/approve", "", t::CHECK_APPROVE, &[("id", &id)]))
                                (post_button(viewer, "/admin/check/reject", "quiet", t::CHECK_REJECT, &[("id", &id)]))
                            }
                        }
                    }
                }
            }
        }
    }
}

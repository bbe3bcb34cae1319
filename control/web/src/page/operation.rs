//! Health, events, system: how the box is doing.

use super::{
    layout::{Viewer, page, when},
    setup::findings,
    tools::Hook,
};
use crate::{reach::Finding, text as t, traffic::History};
use hearthgate_core::World;
use maud::{Markup, html};

/// What is wrong (`found`), how much goes through, and how the world reaches this box (`reach`).
#[must_use]
pub fn health(viewer: &Viewer, found: &[Finding], reach: &[Finding], history: &History) -> String {
    page(
        Some(viewer),
        "health",
        "Health",
        true,
        html! {
            section.card #health data-live aria-labelledby="health-title" {
                h2 #health-title { "The network" }
                @if found.is_empty() { p.good { "All is well." } } @else { (findings(found)) }
            }
            (super::chart::traffic(history))
            section.card aria-labelledby="reach-title" { h2 #reach-title { "How the world reaches this box" } (findings(reach)) }
        },
    )
}

/// Who did what, and who else hears of it. `fresh` is the secret of a webhook that was made just now.
#[must_use]
pub fn events(viewer: &Viewer, world: &World, hooks: &[Hook], fresh: Option<&str>) -> String {
    page(
        Some(viewer),
        "events",
        "Events",
        false,
        html! {
            (super::tools::webhooks(viewer, hooks, fresh))
            h2 { (t::EVENTS_TITLE) }
            p.hint { (t::EVENTS_HINT) }
            section.card #events data-live aria-label="Events" {
                @if world.audit_log().is_empty() { p { (t::EVENTS_NONE) } }
                ul.list {
                    @for e in world.audit_log().iter().rev() {
                        li { span.name { (e.action) } " " (e.subject) br; span.soft.small { (e.actor) " · " (when(Some(e.at), "")) } }
                    }
                }
            }
        },
    )
}

/// Version and setup. `sections` are the parts that this box and this viewer have.
#[must_use]
pub fn system(viewer: &Viewer, world: &World, version: &str, sections: &[Markup]) -> String {
    page(
        Some(viewer),
        "system",
        "System",
        false,
        html! {
            section.card aria-label="This box" {
                dl {
                    dt { "Version" } dd { (version) }
                    dt { "Address for clients" } dd { code { (world.settings().server_url) } }
                    dt { "Devices" } dd { (world.nodes().count()) ", " (world.nodes().filter(|n| n.path.online).count()) " of them online" }
                }
                p { a href="/admin/setup" { (t::SETUP_TITLE) } }
                p { a href="/api/v1/docs" { "The API for tools" } }
            }
            @for section in sections { (section) }
            p.hint { (t::NO_SCRIPT_NEEDED) }
        },
    )
}

//! One device: what is known about it, and what can be done to it.

use super::{
    devices::{approve, owner, state},
    layout::{Viewer, confirm, form, page, post_button, when},
};
use crate::{paths::BoxPaths, text as t};
use hearthgate_core::{Node, Now, World};
use maud::{Markup, html};

/// The page. `paths` is what the box's own router says, if it has one.
#[must_use]
pub fn device(viewer: &Viewer, world: &World, node: &Node, paths: Option<&BoxPaths>, now: Now) -> String {
    page(
        Some(viewer),
        "devices",
        &node.given_name,
        false,
        html! {
            (facts(world, node, now))
            (super::paths::section(paths, world, node))
            @if node.waiting && viewer.role.changes_all() { (waiting(viewer, node)) }
            @if viewer.may_change(node) {
                (names(viewer, node))
                @if viewer.role.changes_all() { (routes(viewer, node)) (tags(viewer, node)) (super::attributes::section(viewer, node)) }
                (end(viewer, node))
            } @else {
                (routes_seen(node))
            }
            p { a href="/admin/devices" { "All devices" } }
        },
    )
}

fn facts(world: &World, node: &Node, now: Now) -> Markup {
    let info = &node.hostinfo;
    let region = i32::try_from(node.path.home_derp).ok().and_then(|id| world.derp_map().regions.get(&id));
    html! {
        section.card #facts data-live aria-label="Facts" {
            dl {
                dt { "State" } dd { (state(node, now)) }
                dt { "Owner" } dd { (owner(world, node)) }
                dt { "Name" } dd { code { (node.given_name) "." (world.settings().base_domain) } }
                dt { "Addresses" } dd { @for ip in node.ips() { code { (ip) } " " } }
                dt { "Calls itself" } dd { (info.hostname) }
                dt { "System" } dd { (info.os) " " (info.os_version) " " (info.device_model) }
                dt { "Client" } dd { (info.ipn_version.split('-').next().unwrap_or_default()) }
                dt { "Home relay" } dd { (region.map_or("none", |r| r.region_name.as_str())) }
                @if !node.path.relays.is_empty() { dt { (t::RELAY_AWAY) } dd { (super::relays::from_device(world, node)) } }
                dt { "Reached at" } dd {
                    @if node.path.endpoints.is_empty() { "unknown; through the relay" }
                    @for e in node.path.endpoints.iter().take(8) { code.small { (e) } " " }
                }
                dt { "Key expires" } dd { (when(node.expiry, t::NEVER)) }
                dt { "Added" } dd { (when(Some(node.created), "")) }
                dt { "Last seen" } dd { @if node.path.online { "now" } @else { (when(node.last_seen, t::NEVER)) } }
                dt { "Machine key" } dd { code.small { (node.machine_key) } }
                @if node.ephemeral { dt { "Ephemeral" } dd { "removed soon after it goes offline" } }
            }
        }
    }
}

fn waiting(viewer: &Viewer, node: &Node) -> Markup {
    html! {
        section.card aria-labelledby="approve-title" {
            h2 #approve-title { (t::APPROVE) }
            p.hint { (t::APPROVE_HINT) }
            (approve(viewer, node))
        }
    }
}

fn names(viewer: &Viewer, node: &Node) -> Markup {
    html! {
        section.card aria-labelledby="rename-title" {
            h2 #rename-title { "Rename" }
            (form(viewer, &format!("/admin/device/{}/rename", node.id), html! {
                label for="name" { "Name" }
                input #name name="name" value=(node.given_name) required maxlength="63" autocapitalize="none" spellcheck="false" aria-describedby="name-hint";
                p.hint #name-hint { (t::RENAME_HINT) }
                button { "Rename" }
            }))
        }
    }
}

fn routes(viewer: &Viewer, node: &Node) -> Markup {
    html! {
        section.card aria-labelledby="routes-title" {
            h2 #routes-title { "Networks it offers" }
            @if node.advertised_routes().is_empty() && node.approved_routes.is_empty() { p.soft { (super::prose(t::ROUTES_NONE)) } }
            @else { p.hint { (t::ROUTES_HINT) } (super::routes::ticks(viewer, node, "")) }
        }
    }
}

fn routes_seen(node: &Node) -> Markup {
    html! {
        @if !node.advertised_routes().is_empty() {
            section.card aria-label="Networks it offers" {
                ul { @for r in node.advertised_routes() { li { code { (r) } @if node.approved_routes.contains(r) { " approved" } } } }
            }
        }
    }
}

fn tags(viewer: &Viewer, node: &Node) -> Markup {
    html! {
        section.card aria-labelledby="tags-title" {
            h2 #tags-title { "Tags" }
            (form(viewer, &format!("/admin/device/{}/tags", node.id), html! {
                label for="tags" { "Tags" }
                input #tags name="tags" value=(node.tags.join(", ")) autocapitalize="none" spellcheck="false" required aria-describedby="tags-hint";
                p.hint #tags-hint { (t::TAGS_HINT) }
                button { "Save" }
            }))
        }
    }
}

fn end(viewer: &Viewer, node: &Node) -> Markup {
    let base = format!("/admin/device/{}", node.id);
    html! {
        section.card aria-labelledby="end-title" {
            h2 #end-title { "Key and removal" }
            @if viewer.role.changes_all() {
                (form(viewer, &format!("{base}/expire"), html! {
                    input type="hidden" name="how" value="days";
                    label for="key-days" { (t::KEY_DAYS) }
                    div.row { input #key-days name="days" type="number" min="1" max="3650" required; button.quiet { "Set" } }
                }))
                @if node.expiry.is_some() {
                    (post_button(viewer, &format!("{base}/expire"), "quiet", "Let its key never expire", &[("how", "never")]))
                }
            }
            (confirm(viewer, &format!("{base}/expire"), "Expire its key now", t::EXPIRE_NOW_HINT, "Yes, cut it off"))
            (confirm(viewer, &format!("{base}/remove"), "Remove it", t::REMOVE_HINT, t::REMOVE_SURE))
        }
    }
}

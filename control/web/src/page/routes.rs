//! Networks that devices offer, and exit nodes.

use super::{
    devices::{owner, state},
    layout::{Viewer, form, page, prose},
};
use crate::text as t;
use hearthgate_core::{Node, Now, World, is_exit_route};
use maud::{Markup, html};

/// The page.
#[must_use]
pub fn routes(viewer: &Viewer, world: &World, now: Now) -> String {
    let mut nodes: Vec<_> =
        world.nodes().filter(|n| !n.advertised_routes().is_empty() || !n.approved_routes.is_empty()).collect();
    hearthgate_sorted::sort_by(&mut nodes, |a, b| a.given_name.cmp(&b.given_name));
    page(
        Some(viewer),
        "routes",
        "Routes",
        true,
        html! {
            p.hint { (t::ROUTES_LEAD) }
            div #routes data-live {
                @if nodes.is_empty() { section.card { p { (prose(t::ROUTES_NOBODY)) } } }
                @for node in nodes {
                    section.card aria-label={ "Networks of " (node.given_name) } {
                        p.row {
                            span.grow { a.name href={ "/admin/device/" (node.id) } { (node.given_name) } " " span.soft.small { (owner(world, node)) } }
                            (state(node, now))
                        }
                        (ticks(viewer, node, "routes"))
                    }
                }
            }
            p.hint { (prose(t::ROUTES_EXIT_HINT)) }
        },
    )
}

/// The networks of a node, to tick for those who may. `back` says which page the form came from.
pub(super) fn ticks(viewer: &Viewer, node: &Node, back: &str) -> Markup {
    let mut offered: Vec<_> = node.advertised_routes().to_vec();
    offered.extend(node.approved_routes.iter().filter(|r| !node.advertised_routes().contains(r)));
    let about = |route: &ipnet::IpNet| {
        html! {
            code { (route) } @if is_exit_route(route) { " " (t::EXIT_NODE) }
            @if node.primary_routes.contains(route) { span.good.small { " in use" } }
            @if !node.advertised_routes().contains(route) { span.soft.small { " not offered now" } }
        }
    };
    if !viewer.role.changes_all() {
        return html! { ul { @for route in &offered { li { (about(route)) @if node.approved_routes.contains(route) { " approved" } } } } };
    }
    form(
        viewer,
        &format!("/admin/device/{}/routes", node.id),
        html! {
            input type="hidden" name="back" value=(back);
            @for route in &offered {
                label.tick {
                    input type="checkbox" name="route" value=(route) checked[node.approved_routes.contains(route)];
                    span { (about(route)) }
                }
            }
            button { "Save" }
        },
    )
}

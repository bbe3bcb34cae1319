//! How the box's own router reaches each device.

use crate::{
    paths::{BoxPaths, PeerPath, Way},
    text as t,
    traffic::bytes,
};
use hearthgate_core::{Node, World};
use maud::{Markup, html};

/// How it is reached, in a few words, for a list.
pub(super) fn brief(paths: Option<&BoxPaths>, node: &Node) -> Markup {
    let Some(paths) = paths else { return html! {} };
    let id = node.stable_id();
    html! {
        @if paths.own == id { span.soft.small { (t::PATH_OWN) } }
        @else if let Some(path) = paths.to(&id) { span.small.soft { (way(path)) (round_trip(path)) } }
    }
}

/// The path from the box to one device, or all of its paths on its own page.
pub(super) fn section(paths: Option<&BoxPaths>, world: &World, node: &Node) -> Markup {
    let Some(paths) = paths else { return html! {} };
    let id = node.stable_id();
    let shown: Vec<&PeerPath> =
        if paths.own == id { paths.peers.iter().collect() } else { paths.to(&id).into_iter().collect() };
    html! {
        @if !shown.is_empty() {
            section.card #paths data-live aria-labelledby="paths-title" {
                h2 #paths-title { (t::PATHS) }
                p.hint { (t::PATHS_HINT) }
                div.scroll tabindex="0" role="region" aria-label=(t::PATHS) {
                    table {
                        thead { tr { @for head in t::PATHS_HEAD { th scope="col" { (head) } } } }
                        tbody { @for path in shown { (row(world, path)) } }
                    }
                }
            }
        }
    }
}

fn row(world: &World, path: &PeerPath) -> Markup {
    let node = world.nodes().find(|n| n.stable_id() == path.stable_id);
    html! {
        tr {
            th scope="row" { @if let Some(n) = node { a href={ "/admin/device/" (n.id) } { (n.given_name) } } @else { (path.stable_id) } }
            td { (way(path)) }
            td { @if let Way::Direct(addr) | Way::PeerRelay(addr) = &path.way { code.small { (addr) } } }
            td { @if let Some(ms) = path.latency_ms { (format!("{ms:.1} ms")) } }
            td { (bytes(path.received)) }
            td { (bytes(path.sent)) }
        }
    }
}

fn way(path: &PeerPath) -> Markup {
    html! {
        @match &path.way {
            Way::Idle => (t::PATH_IDLE),
            Way::Direct(_) => span.good { (t::PATH_DIRECT) },
            Way::PeerRelay(_) => (t::PATH_PEER_RELAY),
            Way::Relay(code, why) => { (t::PATH_RELAY) " " (code) @if !why.is_empty() { " (" (why) ")" } },
        }
    }
}

fn round_trip(path: &PeerPath) -> Markup {
    html! { @if let Some(ms) = path.latency_ms { " · " (format!("{ms:.0} ms")) } }
}

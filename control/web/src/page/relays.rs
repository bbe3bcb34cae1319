//! Relays: whose home each is, how far it is from the devices and from this box, and what the one in this box carries.

use super::{
    chart::chart,
    layout::{Viewer, page},
};
use crate::{
    text as t,
    traffic::{History, Sample, bytes},
};
use hearthgate_core::{Node, World};
use hearthgate_tailcfg::DerpRegion;
use maud::{Markup, html};
use std::sync::Arc;

/// Devices whose distance from a relay is listed: the farthest.
const LISTED_MAX: usize = 50;
/// Devices up to which that list is open from the start.
const OPEN_MAX: usize = 8;
/// Relays that are named on a device's page.
const NAMED_MAX: usize = 4;

/// The relay in this box.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn<'a> {
    /// Number of its region.
    pub region: u16,
    /// What it carried.
    pub history: &'a History,
}

/// The page. `own` is the stable id of this box's own node, if it has one.
#[must_use]
pub fn relays(viewer: &Viewer, world: &World, built_in: Option<BuiltIn<'_>>, own: Option<&str>) -> String {
    let regions = &world.derp_map().regions;
    page(
        Some(viewer),
        "relays",
        "Relays",
        true,
        html! {
            p.hint { (t::RELAYS_HINT) }
            div #relays data-live {
                @if regions.is_empty() { p { (t::RELAYS_NONE) } }
                @for (id, region) in regions {
                    @let here = built_in.filter(|b| i32::from(b.region) == *id);
                    (card(world, *id, region, here, own))
                }
            }
        },
    )
}

fn card(world: &World, id: i32, region: &DerpRegion, here: Option<BuiltIn<'_>>, own: Option<&str>) -> Markup {
    let home = world.nodes().filter(|n| n.path.online && i32::try_from(n.path.home_derp).ok() == Some(id)).count();
    let title = format!("relay-{id}");
    let mut seen: Vec<(&Arc<Node>, u32)> = world.nodes().filter_map(|n| Some((n, away(n, id)?))).collect();
    hearthgate_sorted::sort_by(&mut seen, |a, b| b.1.cmp(&a.1).then_with(|| a.0.given_name.cmp(&b.0.given_name)));
    let from_here = seen.iter().find(|(n, _)| own == Some(n.stable_id().as_str())).map(|(_, micros)| *micros);
    html! {
        section.card aria-labelledby=(title) {
            h2 id=(title) { (region.region_name) " " span.soft.small { (region.region_code) @if here.is_some() { ", " (t::RELAY_BUILT_IN) } } }
            p { @for n in &region.nodes { code.small { (n.host_name) ":" (if n.derp_port == 0 { 443 } else { n.derp_port }) } " " } }
            p {
                (t::RELAY_HOME_OF) " " (t::count(home, "device")) ". "
                @if seen.is_empty() { (t::RELAY_UNSEEN) } @else { (t::RELAY_SEEN) " " (range(&seen)) }
                @if let Some(micros) = from_here { " " (t::RELAY_FAR) " " (ms(micros)) "." }
            }
            @match here { Some(b) => (load(b.history)), None => p.soft.small { (t::RELAY_ELSEWHERE) } }
            @if !seen.is_empty() { (each(&seen)) }
        }
    }
}

/// What the relay in this box carries, now and before.
fn load(history: &History) -> Markup {
    type Counter = fn(&Sample) -> u64;
    let per_second = |n: u64| format!("{}/s", bytes(n));
    let (packets, traffic): (Counter, Counter) = (|s| s.relay_packets, |s| s.relayed);
    html! {
        @if history.len() < 2 { p.soft { (t::TRAFFIC_SOON) } }
        @else {
            h3 { (t::RELAY_LOAD) }
            div.charts {
                (chart(t::RELAY_CLIENTS, &history.values(|s| s.relay_clients), |n| n.to_string()))
                (chart(t::RELAY_PACKETS, &history.rates(packets), |n| format!("{n}/s")))
                (chart(t::RELAY_BYTES, &history.rates(traffic), per_second))
            }
        }
    }
}

/// The nearest, the one in the middle and the farthest; `seen` has the farthest first.
fn range(seen: &[(&Arc<Node>, u32)]) -> Markup {
    let at = |i: usize| seen.get(i).map_or(0, |(_, micros)| *micros);
    html! {
        @if seen.len() == 1 { (ms(at(0))) " (one device)." }
        @else {
            (ms(at(seen.len() / 2))) " in the middle, " (ms(at(seen.len() - 1))) " to " (ms(at(0))) " (" (t::count(seen.len(), "device")) ")."
        }
    }
}

fn each(seen: &[(&Arc<Node>, u32)]) -> Markup {
    html! {
        // Without script the page loads itself again, and would close it.
        details open[seen.len() <= OPEN_MAX] {
            summary { (t::RELAY_EACH) }
            ul.list {
                @for (node, micros) in seen.iter().take(LISTED_MAX) {
                    li.row { a.grow href={ "/admin/device/" (node.id) } { (node.given_name) } span { (ms(*micros)) } }
                }
            }
            @if seen.len() > LISTED_MAX { p.hint { (t::RELAY_MORE) } }
        }
    }
}

/// How far the relays are from one device, nearest first.
pub(super) fn from_device(world: &World, node: &Node) -> Markup {
    html! {
        @for (i, l) in node.path.relays.iter().take(NAMED_MAX).enumerate() {
            @let region = world.derp_map().regions.get(&i32::from(l.region));
            @if i > 0 { ", " }
            @match region { Some(r) => (r.region_name), None => (l.region) } " " (ms(l.micros))
        }
    }
}

/// A device's distance from a region, in microseconds.
fn away(node: &Node, region: i32) -> Option<u32> {
    node.path.relays.iter().find(|l| i32::from(l.region) == region).map(|l| l.micros)
}

/// A round trip as people read it.
fn ms(micros: u32) -> String {
    if micros < 10_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else {
        format!("{} ms", micros / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_read_well() {
        assert_eq!([0, 1_250, 9_999, 10_000, 123_456].map(ms), ["0.0 ms", "1.2 ms", "9.9 ms", "10 ms", "123 ms"]);
    }
}

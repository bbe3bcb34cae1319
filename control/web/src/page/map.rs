//! The network as a picture: relays in the middle, devices around them, drawn on the server as SVG. What it shows
//! stands in a list below it too, with links; the picture itself has none.

use super::{
    devices::{owner, state},
    layout::{Viewer, page},
};
use crate::{
    paths::{BoxPaths, Way},
    text as t,
};
use hearthgate_core::{Node, Now, World, is_exit_route};
use hearthgate_sorted::SortedMap;
use maud::{Markup, html};
use std::{f64::consts::TAU, sync::Arc};

/// Devices on one ring.
const PER_RING: usize = 12;
/// Most rings.
const RINGS_MAX: usize = 4;
/// From ring to ring, in units of the picture.
const RING: f64 = 62.0;
/// From the middle to the first ring.
const FIRST: f64 = 105.0;
/// Room for names around the last ring.
const MARGIN: f64 = 45.0;
/// Room above the highest disc and below the lowest, which has a name under it.
const ABOVE: f64 = 15.0;
const BELOW: f64 = 32.0;
/// Letters of a name that are drawn.
const LETTERS: usize = 12;

/// The page. `paths` is what the box's own router says, if it has one.
#[must_use]
pub fn map(viewer: &Viewer, world: &World, paths: Option<&BoxPaths>, now: Now) -> String {
    let mut nodes: Vec<&Arc<Node>> = world.nodes().collect();
    hearthgate_sorted::sort_by(&mut nodes, |a, b| a.given_name.cmp(&b.given_name));
    page(
        Some(viewer),
        "map",
        t::MAP,
        true,
        html! {
            p.hint { (t::MAP_HINT) @if paths.is_some() { " " (t::MAP_HINT_PATHS) } }
            section.card #map data-live aria-label=(t::MAP) {
                @if nodes.len() > PER_RING * RINGS_MAX { p { (t::MAP_LARGE) } }
                @else if !nodes.is_empty() { (picture(world, &nodes, paths, now)) }
                ul.list {
                    @for node in &nodes {
                        li.row {
                            span.grow {
                                a.name href={ "/admin/device/" (node.id) } { (node.given_name) } " "
                                span.soft.small { (owner(world, node)) }
                            }
                            (state(node, now))
                            @let carried = carries(node);
                            span.small.soft { (home(world, node)) @if !carried.is_empty() { " · " (carried) } }
                        }
                    }
                }
            }
        },
    )
}

/// What its disc looks like.
fn class(node: &Node, now: Now) -> &'static str {
    if node.waiting || node.is_expired(now.wall) {
        "warn"
    } else if node.path.online {
        "good"
    } else {
        "soft"
    }
}

/// The relay that a device is reached through when nothing else works.
fn home(world: &World, node: &Node) -> String {
    let region = i32::try_from(node.path.home_derp).ok().and_then(|id| world.derp_map().regions.get(&id));
    region.map_or_else(|| t::MAP_NO_RELAY.to_owned(), |r| r.region_name.clone())
}

/// Networks that it carries for others.
fn carries(node: &Node) -> String {
    let mut all: Vec<String> = node.enabled_routes().filter(|r| !is_exit_route(r)).map(|r| r.to_string()).collect();
    if node.enabled_routes().any(|r| is_exit_route(&r)) {
        all.push(t::EXIT_NODE.to_owned());
    }
    all.join(", ")
}

type Point = (f64, f64);

fn picture(world: &World, nodes: &[&Arc<Node>], paths: Option<&BoxPaths>, now: Now) -> Markup {
    let rings = nodes.len().div_ceil(PER_RING).max(1);
    let half = FIRST + RING * (rings - 1) as f64 + MARGIN;
    let places: Vec<Point> = (0..nodes.len()).map(|i| place(i, nodes.len(), half)).collect();
    let online = nodes.iter().filter(|n| n.path.online).count();
    let regions: Vec<i32> = world.derp_map().regions.keys().copied().collect();
    let relays: SortedMap<i32, Point> =
        regions.iter().enumerate().map(|(i, id)| (*id, (relay(i, regions.len(), half), half))).collect();
    let own = paths.and_then(|p| nodes.iter().position(|n| n.stable_id() == p.own)).and_then(|i| places.get(i));
    // What is drawn of the height: few devices leave much of it empty.
    let (top, bottom) = places.iter().fold((half, half), |(top, bottom), (_, y)| (top.min(*y), bottom.max(*y)));
    let (top, height) = (top - ABOVE, bottom - top + ABOVE + BELOW);
    let words = format!("{}: {} of {} {}", t::MAP, online, nodes.len(), t::MAP_WORDS);
    html! {
        svg.map role="img" aria-label=(words) viewBox={ "0 " (n(top)) " " (half * 2.0) " " (n(height)) } {
            @for (node, at) in nodes.iter().zip(&places) {
                @let to = i32::try_from(node.path.home_derp).ok().and_then(|id| relays.get(&id));
                @if let Some(to) = to.filter(|_| node.path.online) { (line("", *at, *to)) }
                @let path = paths.and_then(|p| p.to(&node.stable_id()));
                @let direct = path.is_some_and(|p| matches!(p.way, Way::Direct(_)));
                @if let Some(from) = own.filter(|_| direct) { (line("direct", *from, *at)) }
            }
            @for (id, (x, y)) in &relays {
                rect.relay x=(n(x - 7.0)) y=(n(y - 7.0)) width="14" height="14" rx="3" {}
                @let code = world.derp_map().regions.get(id).map_or("", |r| r.region_code.as_str());
                text x=(n(*x)) y=(n(y + 22.0)) { (code) }
            }
            @for (node, (x, y)) in nodes.iter().zip(&places) {
                circle class=(class(node, now)) cx=(n(*x)) cy=(n(*y)) r="7" {}
                text x=(n(*x)) y=(n(y + 20.0)) { (short(&node.given_name)) }
            }
        }
    }
}

/// Where the `i`th of `count` devices is drawn: rings are filled from within, each evenly.
fn place(i: usize, count: usize, half: f64) -> Point {
    let ring = i / PER_RING;
    let on_it = (count - ring * PER_RING).clamp(1, PER_RING);
    // Every other ring is turned by half a step, so that names do not stand above each other.
    let turn = (i % PER_RING) as f64 + 0.5 * (ring % 2) as f64;
    let angle = TAU * (turn / on_it as f64 - 0.25);
    let radius = FIRST + RING * ring as f64;
    (half + radius * angle.cos(), half + radius * angle.sin())
}

/// Where a relay is drawn, on a line through the middle.
fn relay(i: usize, count: usize, half: f64) -> f64 {
    let step = (FIRST * 1.2 / count.max(1) as f64).min(50.0);
    half + step * (i as f64 - (count.max(1) - 1) as f64 / 2.0)
}

fn line(class: &str, from: Point, to: Point) -> Markup {
    html! { line class=(class) x1=(n(from.0)) y1=(n(from.1)) x2=(n(to.0)) y2=(n(to.1)) {} }
}

/// A number as SVG has it, to a tenth.
fn n(value: f64) -> String {
    format!("{value:.1}")
}

fn short(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    name.chars().take(LETTERS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_lie_within_the_picture_and_not_on_each_other() {
        for count in [1, 2, 12, 13, PER_RING * RINGS_MAX] {
            let rings = count.div_ceil(PER_RING);
            let half = FIRST + RING * (rings - 1) as f64 + MARGIN;
            let all: Vec<Point> = (0..count).map(|i| place(i, count, half)).collect();
            for (i, (x, y)) in all.iter().enumerate() {
                assert!((7.0..half * 2.0 - 7.0).contains(x) && (7.0..half * 2.0 - 20.0).contains(y), "{count}: {i}");
                for (a, b) in all.iter().take(i) {
                    assert!((a - x).hypot(b - y) > 30.0, "{count}: {i} lies on another");
                }
            }
        }
    }
}

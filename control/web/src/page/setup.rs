//! The steps after claiming: name of the network, what the box shares, how the world reaches it, the first device. They are
//! one page: each can be done, left, repeated.

use super::layout::{Viewer, confirm, form, page, post_button, prose};
use super::share::Share;
use crate::{
    dyndns::Dyndns,
    front::{Front, Tunnel},
    portmap::Ports,
    reach::{Finding, Level},
    text as t,
};
use hearthgate_core::World;
use maud::{Markup, html};

/// How this box gets a way in from outside, and what is set of that.
#[derive(Debug, Clone, Copy)]
pub struct WaysIn<'a> {
    /// Ports that the router in front opens.
    pub ports: &'a Ports,
    /// The front, in builds that can have one.
    pub front: Option<&'a Front>,
    /// The dynamic name, if one is set.
    pub dyndns: Option<&'a Dyndns>,
}

/// The page. `name` is the network's name, without its suffix.
#[must_use]
pub fn setup(viewer: &Viewer, world: &World, name: &str, share: &Share, reach: &[Finding], ways: WaysIn<'_>) -> String {
    page(
        Some(viewer),
        "system",
        t::SETUP_TITLE,
        false,
        html! {
            section.card aria-labelledby="network-title" {
                h2 #network-title { (t::SETUP_NETWORK) }
                (form(viewer, "/admin/setup/network", html! {
                    label for="network" { (t::SETUP_NETWORK_LABEL) }
                    input #network name="network" value=(name) required maxlength="40" autocapitalize="none" spellcheck="false" aria-describedby="network-hint";
                    p.hint #network-hint { (t::SETUP_NETWORK_HINT) " Now: " code { (world.settings().base_domain) } }
                    button.quiet { (t::SETUP_SAVE) }
                }))
            }
            (super::share::step(viewer, share))
            section.card aria-labelledby="reach-title" {
                h2 #reach-title { (t::SETUP_REACH) }
                p.hint { (t::SETUP_REACH_HINT) }
                (findings(reach))
                @if viewer.role.is_owner() { (ports_step(viewer, ways.ports)) }
                @if viewer.role.changes_all() { (super::dyndns::step(viewer, ways.dyndns)) }
                @if let Some(front) = ways.front { (front_step(viewer, front)) }
            }
            section.card aria-labelledby="device-title" {
                h2 #device-title { (t::SETUP_DEVICE) }
                p { (t::SETUP_DEVICE_HINT) }
                p { a.button href="/admin/join" { (t::SETUP_DEVICE_BUTTON) } }
            }
            p.hint { (t::SETUP_LATER) }
        },
    )
}

/// The switch of the port mapping.
fn ports_step(viewer: &Viewer, ports: &Ports) -> Markup {
    html! {
        @if ports.on {
            (confirm(viewer, "/admin/setup/portmap", t::PORTS_OFF, t::PORTS_OFF_HINT, t::PORTS_OFF))
        } @else {
            details #ports {
                summary { (t::PORTS_TITLE) }
                p.hint { (t::PORTS_HINT) }
                (post_button(viewer, "/admin/setup/portmap", "quiet", t::PORTS_ON, &[("on", "1")]))
            }
        }
        @if ports.chosen {
            (post_button(viewer, "/admin/setup/portmap/configured", "quiet", t::PORTS_CONFIGURED, &[]))
        }
    }
}

/// Pairing with a front, or leaving it.
fn front_step(viewer: &Viewer, front: &Front) -> Markup {
    html! {
        @if matches!(front.tunnel, Some((_, Tunnel::Connected(..)))) {
            p.hint { (t::FRONT_TEST_HINT) }
            (post_button(viewer, "/admin/setup/front/test", "quiet", t::FRONT_TEST, &[]))
        }
        @if front.configured {
            p.hint { (prose(t::FRONT_CONFIGURED)) }
        } @else if front.tunnel.is_some() {
            (confirm(viewer, "/admin/setup/front/leave", t::FRONT_LEAVE, t::FRONT_LEAVE_HINT, t::FRONT_LEAVE))
        }
        @if !front.configured {
            details #front {
                summary { (if front.tunnel.is_some() { t::FRONT_OTHER } else { t::FRONT_TITLE }) }
                p.hint #front-hint { (prose(t::FRONT_HINT)) }
                @if front.https {
                    (form(viewer, "/admin/setup/front", html! {
                        label for="pairing" { (t::FRONT_LABEL) }
                        input #pairing name="pairing" required maxlength="512" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="hgfront-" aria-describedby="front-hint";
                        button.quiet { (t::FRONT_PAIR) }
                    }))
                } @else {
                    p { (prose(t::FRONT_NEEDS_HTTPS)) }
                }
            }
        }
    }
}

/// Findings as a list; how good each is stands in words too.
#[must_use]
pub fn findings(all: &[Finding]) -> Markup {
    html! {
        ul.list {
            @for f in all {
                @let (class, word) = match f.level { Level::Good => ("good", "Good"), Level::Warn => ("warn", "Note"), Level::Bad => ("bad", "Problem") };
                li { strong class=(class) { (word) ": " } (prose(&f.what)) @if !f.remedy.is_empty() { br; span.soft { (prose(&f.remedy)) } } }
            }
        }
    }
}

//! What both data planes keep in the host: addresses of the interface, routes in a table of their own, policy rules.
//!
//! Table, priorities and marks are the official client's (`util/linuxfw/linuxfw.go` and
//! `wgengine/router/osrouter/router_linux.go` of tailscale.com v1.102.5), so that other software which knows how to
//! live with it lives with this too. The marks take eight bits (`0xff0000`) of those that other policy routing leaves.

use crate::{
    Desired, PlaneError,
    netlink::{Route, Rule, Then},
    via::{MTU_V4, POOL},
};
use hearthgate_sorted::SortedSet;
use ipnet::IpNet;
use std::io;

/// The routing table of the tunnel.
pub const ROUTE_TABLE: u32 = 52;

/// Mark of sockets whose packets must not go into the tunnel.
pub const BYPASS_MARK: u32 = 0x8_0000;

/// The bits of the mark that are ours.
pub(crate) const MARK_MASK: u32 = 0xff_0000;

const MAIN: u32 = 254;
const DEFAULT: u32 = 253;

/// Where our policy rules begin.
const BASE: u32 = 5200;
/// Where they begin beside mwan3, which sends marked packets to its own tables from 2001 on: before that, and after its
/// rules for what comes in (`wgengine/router/osrouter/router_linux.go` of v1.102.5).
const BASE_MWAN3: u32 = 1300;
/// Priorities of mwan3's first rules for marked packets.
const MWAN3: std::ops::RangeInclusive<u32> = 2001..=2004;

/// The policy rules that begin at `base`, for each family.
const fn rules(base: u32) -> [Rule; 4] {
    let bypass = Some((BYPASS_MARK, MARK_MASK));
    [
        Rule { priority: base + 10, mark: bypass, then: Then::Table(MAIN) },
        Rule { priority: base + 30, mark: bypass, then: Then::Table(DEFAULT) },
        Rule { priority: base + 50, mark: bypass, then: Then::Unreachable },
        Rule { priority: base + 70, mark: None, then: Then::Table(ROUTE_TABLE) },
    ]
}

/// Where ours belong beside these, and where they do not.
fn bases(there: &[Rule]) -> (u32, u32) {
    let mwan3 = |rule: &Rule| MWAN3.contains(&rule.priority) && rule.mark.is_some_and(|(mark, _)| mark != 0);
    if there.iter().any(mwan3) { (BASE_MWAN3, BASE) } else { (BASE, BASE_MWAN3) }
}

/// The interface, as far as the network stack is concerned.
pub(crate) struct Host {
    route: Route,
    index: u32,
    /// It has no routes and rules of ours: see [`crate::Config::plain`].
    plain: bool,
}

impl Host {
    /// Finds an interface.
    pub(crate) fn find(interface: &str, plain: bool) -> Result<Self, PlaneError> {
        let mut route = Route::open().map_err(netlink("netlink socket"))?;
        let index = route.index(interface).map_err(netlink("interfaces"))?.ok_or_else(|| PlaneError::Netlink {
            what: format!("interface {interface}"),
            error: io::ErrorKind::NotFound.into(),
        })?;
        Ok(Self { route, index, plain })
    }

    /// The interface's number.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }

    /// Takes the interface up.
    pub(crate) fn up(&mut self, mtu: u16) -> Result<(), PlaneError> {
        self.route.up(self.index, mtu).map_err(netlink("interface up"))
    }

    /// Makes addresses, routes and rules what they shall be. The first error is told after all was tried.
    /// `via` is the number of the translator's device, if there is one.
    pub(crate) fn apply(&mut self, desired: &Desired, via: Option<u32>) -> Result<(), PlaneError> {
        let mut first = Ok(());
        let mut note = |what: String, result: io::Result<()>| {
            if let Err(error) = result
                && first.is_ok()
            {
                first = Err(PlaneError::Netlink { what, error });
            }
        };
        let (route, index) = (&mut self.route, self.index);

        let have = route.addresses(index).unwrap_or_default();
        for net in have.iter().filter(|net| !desired.addresses.contains(net)) {
            note(format!("remove address {net}"), route.remove_address(index, *net));
        }
        for net in desired.addresses.iter().filter(|net| !have.contains(net)) {
            note(format!("add address {net}"), route.add_address(index, *net));
        }
        // No addresses: dnsmasq passes nothing on to an address of its own machine, and binds to each (its man page,
        // `--bind-dynamic`; "ignoring nameserver ... - local interface" in its log).
        let services: Vec<IpNet> = desired.service_addresses.iter().map(|ip| IpNet::from(*ip)).collect();
        match route.services(index) {
            Ok(have) => {
                for net in have.iter().filter(|net| !services.contains(net)) {
                    note(format!("remove {net}"), route.remove_service(index, *net));
                }
                for net in services.iter().filter(|net| !have.contains(net)) {
                    note(format!("add {net}"), route.add_service(index, *net));
                }
            }
            Err(error) => note("services".into(), Err(error)),
        }

        if self.plain {
            return first;
        }
        // Our own route for such addresses goes before a peer's for the same.
        let to_translator = via.map(|_| desired.via.iter().map(IpNet::trunc).chain([IpNet::V4(POOL)]));
        let translated = to_translator.into_iter().flatten();
        let peers = |net: &IpNet| via.is_none() || !desired.via.contains(net);
        let want: SortedSet<(IpNet, Option<u32>)> = desired
            .routes
            .iter()
            .map(IpNet::trunc)
            .filter(peers)
            .map(|net| (net, Some(index)))
            .chain(desired.bypass.iter().map(|net| (net.trunc(), None)))
            .chain(translated.clone().map(|net| (net, via)))
            .collect();
        match route.routes(ROUTE_TABLE) {
            Ok(have) => {
                let have: SortedSet<_> = have.into_iter().collect();
                for (net, via) in have.difference(&want) {
                    note(format!("remove route {net}"), route.remove_route(ROUTE_TABLE, *net, *via));
                }
                for (net, to) in want.difference(&have) {
                    let mtu = (*net == IpNet::V4(POOL)).then_some(MTU_V4);
                    note(format!("add route {net}"), route.add_route(ROUTE_TABLE, *net, *to, mtu));
                }
            }
            Err(error) => note("routes".into(), Err(error)),
        }

        // IPv4's decide for both, as with the official client.
        match route.rules(false) {
            Ok(there) => {
                let (base, other) = bases(&there);
                for v6 in [false, true] {
                    for rule in &rules(base) {
                        note(format!("add rule {}", rule.priority), route.add_rule(v6, rule));
                    }
                }
                // Only now: the old ones serve until the new ones are there.
                if rules(other).iter().any(|rule| there.contains(rule)) {
                    for (v6, rule) in [false, true].into_iter().flat_map(|v6| rules(other).map(|rule| (v6, rule))) {
                        note(format!("remove rule {}", rule.priority), route.remove_rule(v6, &rule));
                    }
                }
            }
            Err(error) => note("policy rules".into(), Err(error)),
        }
        first
    }

    /// Takes everything away, the interface included.
    pub(crate) fn detach(&mut self) {
        if self.plain {
            remove_link(&mut self.route, Some(self.index));
        } else {
            remove(&mut self.route, Some(self.index));
        }
    }

    /// Takes everything away that a process of earlier may have left.
    pub(crate) fn remove_all(interface: &str) -> Result<(), PlaneError> {
        let mut route = Route::open().map_err(netlink("netlink socket"))?;
        let index = route.tunnel(interface).map_err(netlink("interfaces"))?;
        remove(&mut route, index);
        Ok(())
    }
}

/// Goes on after errors: the rest shall be gone at least.
fn remove(route: &mut Route, index: Option<u32>) {
    for v6 in [false, true] {
        for rule in &[rules(BASE), rules(BASE_MWAN3)].concat() {
            if let Err(error) = route.remove_rule(v6, rule) {
                tracing::warn!(priority = rule.priority, %error, "rule not removed");
            }
        }
    }
    for (net, via) in route.routes(ROUTE_TABLE).unwrap_or_default() {
        if let Err(error) = route.remove_route(ROUTE_TABLE, net, via) {
            tracing::warn!(%net, %error, "route not removed");
        }
    }
    remove_link(route, index);
}

fn remove_link(route: &mut Route, index: Option<u32>) {
    if let Some(Err(error)) = index.map(|index| route.remove_link(index)) {
        tracing::warn!(%error, "interface not removed");
    }
}

/// Wraps an error of the kernel.
pub(crate) fn netlink(what: &str) -> impl FnOnce(io::Error) -> PlaneError + '_ {
    move |error| PlaneError::Netlink { what: what.into(), error }
}

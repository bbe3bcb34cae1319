//! The packet filter of one machine (`tailcfg.FilterRule`): of all rules, what concerns it.

use crate::{
    compile::{Destination, Entry, Rule, Source},
    engine::{Engine, routes_via},
    ipset::{Builder, IpSet, short},
    tailnet::Machine,
};
use hearthgate_tailcfg::{CapGrant, CapMap, FilterRule, NetPortRange, PortRange};
use ipnet::IpNet;
use std::{collections::HashMap, sync::Arc};

/// A rule in the making, and where it stands.
struct Draft {
    order: u32,
    rule: FilterRule,
}

/// Rules that become one: same sources (by number, or by set for `autogroup:self`), same protocol.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Known(u32, Option<u8>),
    Own(IpSet, Option<u8>),
}

impl Engine {
    /// The packet filter of a machine; empty when nothing concerns it.
    #[must_use]
    pub fn filter(&self, machine: usize) -> Vec<FilterRule> {
        let (Some(m), Some(class)) =
            (self.net.machines.get(machine), self.class_of(machine).and_then(|c| self.class(c)))
        else {
            return Vec::new();
        };
        let mut out = Drafts { engine: self, machine: m, drafts: Vec::new(), at: HashMap::new() };
        for i in class.to.either(&class.from) {
            let rule = &self.rules.rules[i];
            let reached = class.to.has(i);
            if reached || (rule.own && m.person().is_some()) || !rule.companions.is_empty() {
                out.rule(rule, reached);
            }
        }
        hearthgate_sorted::sort_by_key(&mut out.drafts, |d| d.order);
        out.drafts.into_iter().map(|d| d.rule).collect()
    }

    /// A rule's sources that are devices of one person, with their addresses.
    fn own_source(&self, source: &Source, person: usize) -> IpSet {
        let mut b = Builder::default();
        for i in self.own.get(person).into_iter().flatten() {
            let ips = self.net.machines.get(*i as usize).map_or(&[][..], |m| &m.ips);
            if ips.iter().any(|ip| source.set.contains(*ip)) {
                ips.iter().for_each(|ip| b.ip(*ip));
            }
        }
        b.build()
    }
}

struct Drafts<'a> {
    engine: &'a Engine,
    machine: &'a Machine,
    drafts: Vec<Draft>,
    at: HashMap<Key, usize>,
}

impl Drafts<'_> {
    fn rule(&mut self, rule: &Rule, reached: bool) {
        let via = !rule.via.is_empty();
        if via && !routes_via(rule, self.machine) {
            return;
        }
        for entry in &rule.entries {
            match entry {
                Entry::Ports { order, protocol, to, ports } if reached && !rule.source.is_empty() => {
                    let dst = if via { self.routed(to, ports) } else { self.ports_at(to, ports) };
                    self.add(
                        Key::Known(rule.source_id, *protocol),
                        *order,
                        || rule.source.strings().to_vec(),
                        *protocol,
                        dst,
                    );
                }
                Entry::App { order, to, caps } => self.app(rule, *order, to, caps),
                Entry::OwnPorts { order, protocol, ports } => self.own_ports(rule, *order, *protocol, ports),
                Entry::OwnApp { order, caps } => self.own_app(rule, *order, caps),
                Entry::Ports { .. } => {}
            }
        }
    }

    fn add(
        &mut self,
        key: Key,
        order: u32,
        src: impl FnOnce() -> Vec<String>,
        protocol: Option<u8>,
        dst: Vec<NetPortRange>,
    ) {
        if dst.is_empty() {
            return;
        }
        if let Some(at) = self.at.get(&key) {
            self.drafts[*at].rule.dst_ports.extend(dst);
            return;
        }
        let head = match key {
            Key::Known(source, protocol) => self.engine.rules.head(source, protocol),
            Key::Own(..) => None,
        };
        let ip_proto = protocol.map(i32::from).into_iter().collect();
        self.at.insert(key, self.drafts.len());
        let rule = FilterRule { src_ips: src(), dst_ports: dst, ip_proto, cap_grant: Vec::new() };
        self.drafts.push(Draft { order: head.unwrap_or(order).min(order), rule });
    }

    /// Prefixes of a destination that are this machine or behind it.
    fn near(&self, d: &Destination) -> Vec<String> {
        if d.is_any() {
            return vec!["*".into()];
        }
        if d.is_internet() {
            return if self.machine.exit { self.engine.internet.strings() } else { Vec::new() };
        }
        let ips = self.machine.ips.iter().map(|ip| IpNet::from(*ip));
        let mut found: Vec<usize> =
            ips.chain(self.machine.subnets.iter().copied()).flat_map(|n| overlapping(&d.prefixes, n)).collect();
        if self.machine.exit {
            found.extend(
                d.prefixes.iter().enumerate().filter(|(_, p)| self.engine.internet.covers(**p)).map(|(i, _)| i),
            );
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|i| short(d.prefixes[i])).collect()
    }

    fn ports_at(&self, d: &Destination, ports: &[PortRange]) -> Vec<NetPortRange> {
        with_ports(self.near(d), ports)
    }

    /// What a router that a rule steers to carries of a destination.
    fn routed(&self, d: &Destination, ports: &[PortRange]) -> Vec<NetPortRange> {
        if d.is_internet() {
            return self.ports_at(d, ports);
        }
        let subnets = self.machine.subnets.iter();
        let mut found: Vec<usize> = subnets.flat_map(|n| overlapping(&d.prefixes, *n)).collect();
        found.sort_unstable();
        found.dedup();
        with_ports(found.into_iter().map(|i| d.prefixes[i].to_string()).collect(), ports)
    }

    /// Capabilities at this machine, and their companions where it is a source.
    fn app(&mut self, rule: &Rule, order: u32, to: &[Arc<Destination>], caps: &Arc<CapMap>) {
        let grants: Vec<CapGrant> =
            to.iter().filter_map(|d| grant(self.here(&d.set, &d.prefixes), CapMap::clone(caps))).collect();
        if !grants.is_empty() {
            self.push(order, rule.source.strings().to_vec(), grants);
        }
        if rule.companions.is_empty() {
            return;
        }
        let here = self.here(&rule.source.set, &rule.source.set.prefixes());
        if here.is_empty() {
            return;
        }
        let mut src: Vec<String> = to.iter().flat_map(|d| d.set.strings()).collect();
        if to.iter().any(|d| d.is_any()) {
            src.extend(self.engine.net.machines.iter().flat_map(|m| &m.subnets).map(ToString::to_string));
        }
        self.companions(rule, order, src, &here);
    }

    fn companions(&mut self, rule: &Rule, order: u32, mut src: Vec<String>, here: &[IpNet]) {
        src.sort_unstable();
        src.dedup();
        for (place, (_, companion)) in (1u32..).zip(&rule.companions) {
            let caps = CapMap::from([((*companion).to_owned(), None)]);
            self.push(order + place, src.clone(), grant(here.to_vec(), caps).into_iter().collect());
        }
    }

    fn push(&mut self, order: u32, src_ips: Vec<String>, cap_grant: Vec<CapGrant>) {
        self.drafts.push(Draft { order, rule: FilterRule { src_ips, cap_grant, ..FilterRule::default() } });
    }

    /// This machine's addresses in a set, and the set's prefixes that it routes.
    fn here(&self, set: &IpSet, prefixes: &[IpNet]) -> Vec<IpNet> {
        let mut out: Vec<IpNet> =
            self.machine.ips.iter().filter(|ip| set.contains(**ip)).map(|ip| IpNet::from(*ip)).collect();
        for subnet in &self.machine.subnets {
            out.extend(overlapping(prefixes, *subnet).map(|i| prefixes[i]));
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    fn own_ports(&mut self, rule: &Rule, order: u32, protocol: Option<u8>, ports: &[PortRange]) {
        let Some(person) = self.machine.person() else { return };
        let source = self.engine.own_source(&rule.source, person);
        if source.is_empty() {
            return;
        }
        let mut dst = Vec::new();
        for i in self.engine.own.get(person).into_iter().flatten() {
            let Some(m) = self.engine.net.machines.get(*i as usize) else { continue };
            // The others' addresses are not this machine's business.
            let mine = m.ips == self.machine.ips;
            for range in ports.iter().filter(|_| mine) {
                dst.extend(m.ips.iter().map(|ip| NetPortRange { ip: ip.to_string(), ports: *range }));
            }
        }
        let key = match self.engine.rules.id_of_set(&source) {
            Some(id) => Key::Known(id, protocol),
            None => Key::Own(source.clone(), protocol),
        };
        self.add(key, order, || sorted(source.strings()), protocol, dst);
    }

    fn own_app(&mut self, rule: &Rule, order: u32, caps: &Arc<CapMap>) {
        let Some(person) = self.machine.person() else { return };
        let source = self.engine.own_source(&rule.source, person);
        if source.is_empty() {
            return;
        }
        let here: Vec<IpNet> = self.machine.ips.iter().map(|ip| IpNet::from(*ip)).collect();
        self.push(order, sorted(source.strings()), grant(here, CapMap::clone(caps)).into_iter().collect());
        let all =
            self.engine.own.get(person).into_iter().flatten().filter_map(|i| self.engine.net.machines.get(*i as usize));
        let src: Vec<String> = all.flat_map(|m| &m.ips).map(ToString::to_string).collect();
        let mine: Vec<IpNet> =
            self.machine.ips.iter().filter(|ip| source.contains(**ip)).map(|ip| IpNet::from(*ip)).collect();
        if !mine.is_empty() {
            self.companions(rule, order, src, &mine);
        }
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort_unstable();
    list
}

fn grant(dsts: Vec<IpNet>, cap_map: CapMap) -> Option<CapGrant> {
    (!dsts.is_empty()).then(|| CapGrant { dsts, caps: Vec::new(), cap_map })
}

fn with_ports(places: Vec<String>, ports: &[PortRange]) -> Vec<NetPortRange> {
    places.iter().flat_map(|ip| ports.iter().map(|p| NetPortRange { ip: ip.clone(), ports: *p })).collect()
}

/// Positions of the prefixes (sorted, apart from each other, IPv4 first) that share an address with `net`.
pub(crate) fn overlapping(prefixes: &[IpNet], net: IpNet) -> std::ops::Range<usize> {
    let family = |n: &IpNet| matches!(n, IpNet::V6(_));
    let key = |n: &IpNet, ip: std::net::IpAddr| (family(n), ip);
    let start = prefixes.partition_point(|p| key(p, p.broadcast()) < key(&net, net.network()));
    let end = prefixes.partition_point(|p| key(p, p.network()) <= key(&net, net.broadcast()));
    start..end.max(start)
}

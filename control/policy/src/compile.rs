//! Rules with their sources and destinations resolved: what is the same for every machine, worked out once.
//!
//! Entries keep the order in which Tailscale emits them: grants before acls; within a rule ports, then capabilities;
//! what concerns `autogroup:self` after the rest. Rules with the same sources and protocols become one, standing
//! where the first of them stood.

use crate::{
    ipset::{Builder, IpSet},
    policy::{Acl, Grant, Policy},
    posture::Assertion,
    resolve::Resolver,
    selector::{AutoGroup, Selector},
};
use hearthgate_tailcfg::{CapMap, PortRange};
use ipnet::IpNet;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// Who a rule is for.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) set: IpSet,
    /// `*` is among the selectors: the tailnet's subnets are sources too.
    pub(crate) wildcard: bool,
    /// Everything there is.
    pub(crate) everything: bool,
    /// What stands beside `*`, kept apart as Tailscale does.
    named: Vec<Arc<IpSet>>,
    subnets: Arc<Vec<IpNet>>,
    strings: OnceLock<Vec<String>>,
}

impl Source {
    /// As `SrcIPs`.
    pub(crate) fn strings(&self) -> &[String] {
        self.strings.get_or_init(|| {
            if self.everything {
                return vec!["*".into()];
            }
            let mut all = self.set.strings();
            if self.wildcard {
                all.extend(self.subnets.iter().map(ToString::to_string));
                all.extend(self.named.iter().flat_map(|s| s.strings()));
            }
            all.sort_unstable();
            all.dedup();
            all
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Whether it holds a part of `net`.
    pub(crate) fn overlaps(&self, net: IpNet) -> bool {
        self.set.overlaps(net) || (self.wildcard && self.subnets.iter().any(|s| s.contains(&net) || net.contains(s)))
    }
}

/// A destination with its prefixes in order.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) selector: Selector,
    pub(crate) set: Arc<IpSet>,
    pub(crate) prefixes: Vec<IpNet>,
}

impl Destination {
    pub(crate) fn is_any(&self) -> bool {
        self.selector == Selector::Any
    }

    pub(crate) fn is_internet(&self) -> bool {
        self.selector == Selector::Auto(AutoGroup::Internet)
    }

    /// Whether it lets traffic out through exit nodes.
    pub(crate) fn goes_out(&self) -> bool {
        self.is_any() || self.is_internet() || self.prefixes.iter().any(|p| p.prefix_len() == 0)
    }
}

/// What one entry of a rule lets through.
#[derive(Debug)]
pub(crate) enum Entry {
    Ports { order: u32, protocol: Option<u8>, to: Arc<Destination>, ports: Vec<PortRange> },
    OwnPorts { order: u32, protocol: Option<u8>, ports: Vec<PortRange> },
    App { order: u32, to: Vec<Arc<Destination>>, caps: Arc<CapMap> },
    OwnApp { order: u32, caps: Arc<CapMap> },
}

/// Where a rule stands in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// `acls` or `grants`.
    pub section: &'static str,
    /// Position in the section, from 0.
    pub index: usize,
    /// Byte offset in the text.
    #[serde(skip)]
    pub(crate) at: usize,
}

/// One rule of `acls` or `grants`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) origin: Origin,
    pub(crate) source: Arc<Source>,
    /// Index of the source among distinct ones; equal numbers are equal `SrcIPs`.
    pub(crate) source_id: u32,
    pub(crate) entries: Vec<Entry>,
    pub(crate) via: Vec<String>,
    /// Destinations besides `autogroup:self`.
    pub(crate) to: Vec<Arc<Destination>>,
    /// `autogroup:self` is a destination.
    pub(crate) own: bool,
    /// A capability has a companion that sources get.
    pub(crate) companions: Vec<(&'static str, &'static str)>,
}

impl Rule {
    /// Whether both print the same `SrcIPs`.
    pub(crate) fn same_sources(&self, other: &Self) -> bool {
        let (a, b) = (&self.source, &other.source);
        Arc::ptr_eq(a, b)
            || (a.set == b.set && a.wildcard == b.wildcard && (!a.wildcard || (a.subnets == b.subnets && a.named == b.named)))
    }
}

/// Capabilities whose grant gives another one in the other direction.
const COMPANIONS: [(&str, &str); 2] = [
    ("tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"),
    ("tailscale.com/cap/relay", "tailscale.com/cap/relay-target"),
];

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Rule>,
    /// Sources that are told apart by what they print.
    ids: HashMap<SourceKey, u32>,
    /// Where the first rule with these sources and this protocol stands.
    heads: HashMap<(u32, Option<u8>), u32>,
}

type SourceKey = (IpSet, bool, bool, Vec<Arc<IpSet>>);

impl Rules {
    /// The number of the source that prints as exactly this set, if a rule has it.
    pub(crate) fn id_of_set(&self, set: &IpSet) -> Option<u32> {
        self.ids.get(&(set.clone(), false, false, Vec::new())).copied()
    }

    pub(crate) fn head(&self, source: u32, protocol: Option<u8>) -> Option<u32> {
        self.heads.get(&(source, protocol)).copied()
    }
}

/// Compiles all rules of a policy; without any section of rules, everything is allowed.
pub(crate) fn compile(r: &Resolver<'_>) -> Rules {
    let mut c = Compiler {
        r,
        out: Rules::default(),
        order: 0,
        subnets: Arc::new(r.subnets()),
        destinations: HashMap::new(),
        sources: HashMap::new(),
    };
    let policy = r.policy;
    if !policy.has_rules() {
        c.allow_all();
    }
    for (i, grant) in policy.grants.iter().flatten().enumerate() {
        c.grant(i, grant);
    }
    for (i, acl) in policy.acls.iter().flatten().enumerate() {
        c.acl(i, acl);
    }
    c.out
}

struct Compiler<'a, 'b> {
    r: &'a Resolver<'b>,
    out: Rules,
    order: u32,
    subnets: Arc<Vec<IpNet>>,
    destinations: HashMap<Selector, Arc<Destination>>,
    sources: HashMap<u32, Arc<Source>>,
}

impl Compiler<'_, '_> {
    fn allow_all(&mut self) {
        let (source, source_id) = self.source(&[&Selector::Any], &[], false);
        let to = self.destination(&Selector::Any);
        let origin = Origin { section: "acls", index: 0, at: 0 };
        let entries = vec![self.ports(source_id, None, &to, vec![crate::ports::ALL_PORTS])];
        self.push(Rule {
            origin,
            source,
            source_id,
            entries,
            via: Vec::new(),
            to: vec![to],
            own: false,
            companions: Vec::new(),
        });
    }

    fn grant(&mut self, index: usize, grant: &Grant) {
        if grant.src.is_empty() || grant.dst.is_empty() {
            return;
        }
        let src: Vec<&Selector> = grant.src.iter().map(|s| &s.value).collect();
        let (source, source_id) = self.source(&src, &grant.posture, !grant.via.is_empty());
        let is_own = |s: &&Selector| **s == Selector::Auto(AutoGroup::Own);
        let own = grant.dst.iter().any(|d| is_own(&&d.value));
        let others: Vec<Selector> = grant.dst.iter().map(|d| d.value.clone()).filter(|d| !is_own(&d)).collect();
        let to: Vec<_> = others.iter().map(|d| self.destination(d)).collect();
        let mut entries = Vec::new();
        for part in &grant.ip {
            for d in &to {
                entries.push(self.ports(source_id, part.protocol, d, part.ports.clone()));
            }
        }
        let caps = grant.app.as_ref().filter(|a| !a.is_empty()).map(|a| Arc::new(a.clone()));
        // App grants through a router reach nobody: the router does not know who asks.
        let caps = caps.filter(|_| grant.via.is_empty());
        if let Some(caps) = caps.as_ref().filter(|_| !to.is_empty()) {
            entries.push(Entry::App { order: self.next(2), to: to.clone(), caps: caps.clone() });
        }
        if own {
            for part in &grant.ip {
                entries.push(Entry::OwnPorts {
                    order: self.next(0),
                    protocol: part.protocol,
                    ports: part.ports.clone(),
                });
            }
            if let Some(caps) = &caps {
                entries.push(Entry::OwnApp { order: self.next(2), caps: caps.clone() });
            }
        }
        let companions =
            COMPANIONS.into_iter().filter(|(c, _)| caps.as_ref().is_some_and(|m| m.contains_key(*c))).collect();
        let via = grant.via.iter().map(|v| v.value.clone()).collect();
        let origin = Origin { section: "grants", index, at: grant.at };
        self.push(Rule { origin, source, source_id, entries, via, to, own, companions });
    }

    fn acl(&mut self, index: usize, acl: &Acl) {
        if acl.src.is_empty() || acl.dst.is_empty() {
            return;
        }
        let src: Vec<&Selector> = acl.src.iter().map(|s| &s.value).collect();
        let (source, source_id) = self.source(&src, &acl.posture, false);
        let is_own = |s: &Selector| *s == Selector::Auto(AutoGroup::Own);
        // With autogroups only, the written order stays; else `autogroup:self` comes last.
        let reorder = acl.dst.iter().any(|t| !matches!(t.to, Selector::Auto(_)));
        let mut targets: Vec<_> = acl.dst.iter().collect();
        if reorder {
            targets.sort_by_key(|t| is_own(&t.to));
        }
        let mut entries = Vec::new();
        let mut to = Vec::new();
        for target in targets {
            if is_own(&target.to) {
                entries.push(Entry::OwnPorts {
                    order: self.next(0),
                    protocol: acl.protocol,
                    ports: target.ports.clone(),
                });
            } else {
                let d = self.destination(&target.to);
                entries.push(self.ports(source_id, acl.protocol, &d, target.ports.clone()));
                to.push(d);
            }
        }
        let own = acl.dst.iter().any(|t| is_own(&t.to));
        let origin = Origin { section: "acls", index, at: acl.at };
        self.push(Rule { origin, source, source_id, entries, via: Vec::new(), to, own, companions: Vec::new() });
    }

    /// The next place in the order; `extra` places follow it for companion rules.
    fn next(&mut self, extra: u32) -> u32 {
        let order = self.order;
        self.order += 1 + extra;
        order
    }

    fn push(&mut self, rule: Rule) {
        if !rule.entries.is_empty() {
            self.out.rules.push(rule);
        }
    }

    fn ports(&mut self, source: u32, protocol: Option<u8>, to: &Arc<Destination>, ports: Vec<PortRange>) -> Entry {
        let order = self.next(0);
        if to.is_any() || !to.prefixes.is_empty() {
            self.out.heads.entry((source, protocol)).or_insert(order);
        }
        Entry::Ports { order, protocol, to: to.clone(), ports }
    }

    fn destination(&mut self, selector: &Selector) -> Arc<Destination> {
        if let Some(known) = self.destinations.get(selector) {
            return known.clone();
        }
        let set = self.r.set(selector);
        let made = Arc::new(Destination { selector: selector.clone(), prefixes: set.prefixes(), set });
        self.destinations.insert(selector.clone(), made.clone());
        made
    }

    fn source(&mut self, selectors: &[&Selector], posture: &[String], via: bool) -> (Arc<Source>, u32) {
        let everything = selectors.iter().any(|s| **s == Selector::Auto(AutoGroup::DangerAll));
        let names: &[String] = if posture.is_empty() { &self.r.policy.default_posture } else { posture };
        let mut wildcard = selectors.contains(&&Selector::Any);
        let sets: Vec<_> = selectors.iter().map(|s| self.r.set(s)).collect();
        let mut b = Builder::default();
        sets.iter().for_each(|s| b.set(s));
        let mut set = b.build();
        let mut named = Vec::new();
        if wildcard && !via {
            named.extend(
                selectors
                    .iter()
                    .zip(&sets)
                    .filter(|(s, set)| ***s != Selector::Any && !set.is_empty())
                    .map(|(_, s)| s.clone()),
            );
        }
        if !names.is_empty() {
            set = self.fitting(&set, names);
            (wildcard, named) = (false, Vec::new());
        }
        let key = (set.clone(), wildcard, everything && names.is_empty(), named.clone());
        let fresh = u32::try_from(self.out.ids.len()).unwrap_or(u32::MAX);
        let id = *self.out.ids.entry(key).or_insert(fresh);
        let make = || {
            let everything = everything && names.is_empty();
            Arc::new(Source {
                set,
                wildcard,
                everything,
                named,
                subnets: self.subnets.clone(),
                strings: OnceLock::new(),
            })
        };
        (self.sources.entry(id).or_insert_with(make).clone(), id)
    }

    /// The machines in `set` that fit one of the postures.
    fn fitting(&self, set: &IpSet, names: &[String]) -> IpSet {
        let postures: Vec<&Vec<Assertion>> = names.iter().filter_map(|n| self.r.policy.postures.get(n)).collect();
        let mut b = Builder::default();
        for m in &self.r.net.machines {
            if postures.iter().any(|p| p.iter().all(|a| a.holds(&m.attributes)))
                && m.ips.iter().any(|ip| set.contains(*ip))
            {
                m.ips.iter().filter(|ip| set.contains(**ip)).for_each(|ip| b.ip(*ip));
            }
        }
        b.build()
    }
}

/// Whether the policy has entries that depend on the owner of the asking machine.
pub(crate) fn depends_on_owner(policy: &Policy) -> bool {
    let own = Selector::Auto(AutoGroup::Own);
    policy.acls.iter().flatten().any(|a| a.dst.iter().any(|t| t.to == own))
        || policy.grants.iter().flatten().any(|g| g.dst.iter().any(|d| d.value == own))
}

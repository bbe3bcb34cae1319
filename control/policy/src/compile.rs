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
    collections::{HashMap, HashSet},
    ops::Deref,
    sync::{Arc, OnceLock},
};

/// Who a rule is for.
#[derive(Debug)]
pub(crate) struct Source {
    key: Arc<SourceKey>,
    subnets: Arc<Vec<IpNet>>,
    strings: OnceLock<Vec<String>>,
}

/// What sources are told apart by.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey {
    pub(crate) set: IpSet,
    /// `*` is among the selectors: the tailnet's subnets are sources too.
    pub(crate) wildcard: bool,
    /// Everything there is.
    pub(crate) everything: bool,
    /// What stands beside `*`, kept apart as Tailscale does.
    named: Vec<Arc<IpSet>>,
}

impl Deref for Source {
    type Target = SourceKey;
    fn deref(&self) -> &SourceKey {
        &self.key
    }
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
    /// The place in the order of what follows the rule.
    next: u32,
}

impl Rule {
    /// Whether both print the same `SrcIPs`.
    pub(crate) fn same_sources(&self, other: &Self) -> bool {
        let (a, b) = (&self.source, &other.source);
        Arc::ptr_eq(a, b)
            || Arc::ptr_eq(&a.key, &b.key) && a.subnets == b.subnets
            || (a.set == b.set
                && a.wildcard == b.wildcard
                && (!a.wildcard || (a.subnets == b.subnets && a.named == b.named)))
    }
}

/// Files may be sent to the destination, a router of ours. The domain is nobody's (ICANN reserves `internal`), so
/// Tailscale takes the name like any application's.
const FILE_SEND: &str = "hearthgate.internal/cap/file-send";
/// Capabilities whose grant gives another one in the other direction.
const COMPANIONS: [(&str, &str); 3] = [
    // The sender lists as targets those who have the other one.
    (FILE_SEND, "https://tailscale.com/cap/file-sharing-target"),
    ("tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"),
    ("tailscale.com/cap/relay", "tailscale.com/cap/relay-target"),
];

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) rules: Vec<Arc<Rule>>,
    /// Sources that are told apart by what they print.
    ids: HashMap<Arc<SourceKey>, u32>,
    /// Where the first rule with these sources and this protocol stands.
    heads: HashMap<(u32, Option<u8>), u32>,
}

/// Numbers of sources that no rule has any more, besides one for each rule.
const IDS_KEPT: usize = 1024;

impl Rules {
    /// The number of the source that prints as exactly this set, if a rule has it.
    pub(crate) fn id_of_set(&self, set: &IpSet) -> Option<u32> {
        let key = SourceKey { set: set.clone(), wildcard: false, everything: false, named: Vec::new() };
        self.ids.get(&key).copied()
    }

    /// So many numbers of sources are out of use that starting anew is due.
    pub(crate) fn is_worn(&self) -> bool {
        self.ids.len() > 2 * self.rules.len() + IDS_KEPT
    }

    fn find_heads(&mut self) {
        for rule in &self.rules {
            for entry in &rule.entries {
                if let Entry::Ports { order, protocol, to, .. } = entry
                    && (to.is_any() || !to.prefixes.is_empty())
                {
                    let head = self.heads.entry((rule.source_id, *protocol)).or_insert(*order);
                    *head = (*head).min(*order);
                }
            }
        }
    }

    pub(crate) fn head(&self, source: u32, protocol: Option<u8>) -> Option<u32> {
        self.heads.get(&(source, protocol)).copied()
    }
}

/// Rules of the same policy on another tailnet, and the selectors whose meaning has changed since.
pub(crate) type Before<'a> = (&'a Rules, &'a HashSet<Selector>);

/// Compiles all rules of a policy; without any section of rules, everything is allowed. Of `before`, what has not
/// changed is taken over; the tailnet's subnets must be the same.
pub(crate) fn compile(r: &Resolver<'_>, before: Option<Before<'_>>) -> Rules {
    let mut c = Compiler {
        r,
        out: Rules { ids: before.map(|(b, _)| b.ids.clone()).unwrap_or_default(), ..Rules::default() },
        before,
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
    c.out.find_heads();
    c.out
}

struct Compiler<'a, 'b> {
    r: &'a Resolver<'b>,
    before: Option<Before<'a>>,
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
        let entries = vec![self.ports(None, &to, vec![crate::ports::ALL_PORTS])];
        self.push(Rule {
            origin,
            source,
            source_id,
            entries,
            via: Vec::new(),
            to: vec![to],
            own: false,
            companions: Vec::new(),
            next: self.order,
        });
    }

    fn grant(&mut self, index: usize, grant: &Grant) {
        if grant.src.is_empty() || grant.dst.is_empty() {
            return;
        }
        let names = grant.src.iter().chain(&grant.dst).map(|s| &s.value);
        if self.keep("grants", index, names, self.has_posture(&grant.posture)) {
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
                entries.push(self.ports(part.protocol, d, part.ports.clone()));
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
        self.push(Rule { origin, source, source_id, entries, via, to, own, companions, next: self.order });
    }

    fn acl(&mut self, index: usize, acl: &Acl) {
        if acl.src.is_empty() || acl.dst.is_empty() {
            return;
        }
        let names = acl.src.iter().map(|s| &s.value).chain(acl.dst.iter().map(|t| &t.to));
        if self.keep("acls", index, names, self.has_posture(&acl.posture)) {
            return;
        }
        let src: Vec<&Selector> = acl.src.iter().map(|s| &s.value).collect();
        let (source, source_id) = self.source(&src, &acl.posture, false);
        let is_own = |s: &Selector| *s == Selector::Auto(AutoGroup::Own);
        // With autogroups only, the written order stays; else `autogroup:self` comes last.
        let reorder = acl.dst.iter().any(|t| !matches!(t.to, Selector::Auto(_)));
        let mut targets: Vec<_> = acl.dst.iter().collect();
        if reorder {
            hearthgate_sorted::sort_by_key(&mut targets, |t| is_own(&t.to));
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
                entries.push(self.ports(acl.protocol, &d, target.ports.clone()));
                to.push(d);
            }
        }
        let own = acl.dst.iter().any(|t| is_own(&t.to));
        let origin = Origin { section: "acls", index, at: acl.at };
        let (via, companions) = (Vec::new(), Vec::new());
        self.push(Rule { origin, source, source_id, entries, via, to, own, companions, next: self.order });
    }

    fn has_posture(&self, named: &[String]) -> bool {
        !named.is_empty() || !self.r.policy.default_posture.is_empty()
    }

    /// The next place in the order; `extra` places follow it for companion rules.
    fn next(&mut self, extra: u32) -> u32 {
        let order = self.order;
        self.order += 1 + extra;
        order
    }

    fn push(&mut self, rule: Rule) {
        if !rule.entries.is_empty() {
            self.out.rules.push(Arc::new(rule));
        }
    }

    /// Takes a rule over if nothing it names has changed.
    fn keep<'s>(
        &mut self,
        section: &str,
        index: usize,
        names: impl Iterator<Item = &'s Selector>,
        posture: bool,
    ) -> bool {
        let Some((before, touched)) = self.before else { return false };
        // Whom a posture fits may change with any machine.
        let old =
            before.rules.get(self.out.rules.len()).filter(|r| r.origin.section == section && r.origin.index == index);
        let Some(old) = old.filter(|_| !posture) else { return false };
        if names.into_iter().any(|s| touched.contains(s)) {
            return false;
        }
        self.order = old.next;
        self.out.rules.push(old.clone());
        true
    }

    fn ports(&mut self, protocol: Option<u8>, to: &Arc<Destination>, ports: Vec<PortRange>) -> Entry {
        let order = self.next(0);
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
        let key = Arc::new(SourceKey { set, wildcard, everything: everything && names.is_empty(), named });
        let fresh = u32::try_from(self.out.ids.len()).unwrap_or(u32::MAX);
        let id = *self.out.ids.entry(key.clone()).or_insert(fresh);
        let make = || Arc::new(Source { key, subnets: self.subnets.clone(), strings: OnceLock::new() });
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

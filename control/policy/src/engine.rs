//! A policy applied to a tailnet: who concerns whom.
//!
//! Every machine has two sets of rule numbers: rules it is a source of, rules it is a destination of. Machines with
//! equal sets (and, where `autogroup:self` matters, the same owner) are one *class*; whatever depends on a viewer is
//! worked out per class. Whether two machines see each other is an AND of two small bit sets.

use crate::{
    Refusal,
    attrs::{self, Attributes},
    bits::Bits,
    check::{check, check_people},
    compile::{Destination, Entry, Rule, Rules, compile, depends_on_owner},
    ipset::{IpSet, internet},
    parse::parse,
    people::PeopleIndex,
    policy::Policy,
    resolve::{Resolver, SetMemo},
    ssh::{SshRules, compile_ssh},
    tailnet::{Machine, Tailnet},
};
use ipnet::IpNet;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// A policy applied to a tailnet.
#[derive(Debug)]
pub struct Engine {
    pub(crate) policy: Arc<Policy>,
    pub(crate) net: Arc<Tailnet>,
    pub(crate) rules: Rules,
    pub(crate) ssh: Arc<SshRules>,
    pub(crate) attributes: Attributes,
    pub(crate) people: Arc<PeopleIndex>,
    /// What selectors mean.
    pub(crate) memo: SetMemo,
    /// Number of the first class: numbers are not used again for other meanings.
    pub(crate) base: u32,
    pub(crate) classes: Vec<Class>,
    pub(crate) ids: HashMap<Class, u32>,
    pub(crate) class_of: Vec<u32>,
    /// Untagged machines of each person.
    pub(crate) own: Vec<Vec<u32>>,
    /// Rules with `autogroup:self`.
    pub(crate) own_rules: Bits,
    /// Some rule has `autogroup:self`.
    pub(crate) with_owner: bool,
    pub(crate) via_rules: Vec<usize>,
    pub(crate) internet: IpSet,
}

/// Classes without a machine that are kept besides two for each machine.
const CLASSES_KEPT: usize = 1024;

/// What machines of one class have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) from: Bits,
    pub(crate) to: Bits,
    /// Owner, where a rule with `autogroup:self` concerns the class.
    pub(crate) owner: Option<usize>,
}

impl Policy {
    /// Reads and checks a policy.
    ///
    /// # Errors
    /// Tailscale would refuse it; line and column say where.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let checked = |policy: Self| check(&policy).map(|()| policy);
        parse(text).and_then(checked).map_err(|e| e.located(text))
    }

    /// Checks what depends on the people of the tailnet: names that mean two people, mail domains of others.
    ///
    /// # Errors
    /// Tailscale would refuse it.
    pub fn check_for(&self, net: &Tailnet) -> Result<(), Refusal> {
        check_people(self, net)
    }
}

impl Engine {
    /// Applies a policy.
    #[must_use]
    pub fn new(policy: Arc<Policy>, net: Arc<Tailnet>) -> Self {
        Self::build(policy, net, 0, Vec::new(), HashMap::new())
    }

    /// Applies the same policy to a tailnet that has changed. Classes that mean the same keep their numbers.
    #[must_use]
    pub fn on(&self, net: Arc<Tailnet>) -> Self {
        let stale = self.classes.len() > CLASSES_KEPT + 2 * net.machines.len();
        if net.people != self.net.people || stale {
            return Self::build(self.policy.clone(), net, self.next_class(), Vec::new(), HashMap::new());
        }
        if let Some(next) = self.step(&net) {
            return next;
        }
        Self::build(self.policy.clone(), net, self.base, self.classes.clone(), self.ids.clone())
    }

    /// Applies another policy; no number of a class means what it meant before.
    #[must_use]
    pub fn under(&self, policy: Arc<Policy>, net: Arc<Tailnet>) -> Self {
        Self::build(policy, net, self.next_class(), Vec::new(), HashMap::new())
    }

    fn next_class(&self) -> u32 {
        let used = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        self.base.saturating_add(used)
    }

    fn build(
        policy: Arc<Policy>,
        net: Arc<Tailnet>,
        base: u32,
        mut classes: Vec<Class>,
        mut ids: HashMap<Class, u32>,
    ) -> Self {
        let resolver = Resolver::new(&policy, &net);
        let rules = compile(&resolver, None);
        let ssh = Arc::new(compile_ssh(&resolver));
        let attributes = attrs::compile(&resolver);
        let own = (0..net.people.len()).map(|p| resolver.machines_of(p).to_vec()).collect();
        let index = Index::new(&net);
        let internet = internet();
        let mut from = vec![Bits::default(); net.machines.len()];
        let mut to = vec![Bits::default(); net.machines.len()];
        let mut own_rules = Bits::default();
        let mut reached: HashMap<*const Destination, Vec<u32>> = HashMap::new();
        let mut sources: HashMap<u32, Vec<u32>> = HashMap::new();
        for (i, rule) in rules.rules.iter().enumerate() {
            let senders = sources.entry(rule.source_id).or_insert_with(|| index.senders(&net, rule));
            mark(&mut from, senders, i);
            if rule.own {
                own_rules.insert(i);
            }
            if rule.via.is_empty() {
                for d in &rule.to {
                    let list = reached.entry(Arc::as_ptr(d)).or_insert_with(|| index.reached(&net, d));
                    mark(&mut to, list, i);
                }
            } else {
                let routers = net.machines.iter().enumerate().filter(|(_, m)| routes_via(rule, m));
                routers.for_each(|(m, _)| to[m].insert(i));
            }
        }
        let with_owner = depends_on_owner(&policy);
        let mut class_of = Vec::with_capacity(net.machines.len());
        for ((from, to), machine) in from.into_iter().zip(to).zip(&net.machines) {
            let owner = machine.person().filter(|_| with_owner && from.meets(&own_rules));
            let class = Class { from, to, owner };
            let id = *ids.entry(class).or_insert_with_key(|c| {
                classes.push(c.clone());
                base.saturating_add(u32::try_from(classes.len() - 1).unwrap_or(u32::MAX))
            });
            class_of.push(id);
        }
        let people = resolver.index().clone();
        let memo = resolver.into_memo();
        let via_rules = (0..rules.rules.len()).filter(|i| !rules.rules[*i].via.is_empty()).collect();
        Self {
            policy,
            net,
            rules,
            ssh,
            attributes,
            people,
            memo,
            base,
            classes,
            ids,
            class_of,
            own,
            own_rules,
            with_owner,
            via_rules,
            internet,
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The tailnet it is applied to.
    #[must_use]
    pub fn tailnet(&self) -> &Arc<Tailnet> {
        &self.net
    }

    /// The class of a machine; `None` when there is no such machine.
    #[must_use]
    pub fn class_of(&self, machine: usize) -> Option<u32> {
        self.class_of.get(machine).copied()
    }

    /// How many classes there are.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    pub(crate) fn class(&self, id: u32) -> Option<&Class> {
        self.classes.get(id.checked_sub(self.base)? as usize)
    }

    /// Whether viewers of a class see a machine: either may reach the other.
    #[must_use]
    pub fn sees(&self, viewer: u32, machine: usize) -> bool {
        let other = self.class_of(machine).and_then(|c| self.class(c));
        let (Some(viewer), Some(other)) = (self.class(viewer), other) else { return false };
        viewer.from.meets(&other.to) || other.from.meets(&viewer.to) || self.same_owner(viewer, other)
    }

    /// Both belong to one person who may reach their own devices.
    fn same_owner(&self, a: &Class, b: &Class) -> bool {
        a.owner.is_some() && a.owner == b.owner
    }

    /// Rules by which `from` reaches `to`, in order.
    pub(crate) fn rules_between(&self, from: usize, to: usize) -> Vec<usize> {
        let class = |m: usize| self.class_of(m).and_then(|c| self.class(c));
        let (Some(a), Some(b)) = (class(from), class(to)) else { return Vec::new() };
        let mut found: Vec<usize> = a.from.both(&b.to).collect();
        let owner = |m: usize| self.net.machines.get(m).and_then(|m| m.person());
        if owner(from).is_some() && owner(from) == owner(to) {
            found.extend(a.from.both(&self.own_rules));
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// The routes of `peer` that viewers of a class may use, exit routes last, and those of them it serves as primary.
    /// `serving` are the subnet routes the peer is primary for.
    #[must_use]
    pub fn routes_for(&self, viewer: u32, peer: usize, serving: &[IpNet]) -> Vec<IpNet> {
        let (Some(class), Some(machine)) = (self.class(viewer), self.net.machines.get(peer)) else {
            return Vec::new();
        };
        let mut out: Vec<IpNet> = Vec::new();
        for route in machine.subnets.iter().copied() {
            let allowed = match self.steered(class, Some(route)) {
                Some(tags) => self.is_chosen(&tags, peer, route),
                None => serving.contains(&route) && self.may_use(class, route),
            };
            if allowed {
                out.push(route);
            }
        }
        if machine.exit {
            let allowed = match self.steered(class, None) {
                Some(tags) => machine.tags.iter().any(|t| tags.contains(t)),
                None => class
                    .from
                    .iter()
                    .any(|r| self.rules.rules[r].via.is_empty() && self.rules.rules[r].to.iter().any(|d| d.goes_out())),
            };
            if allowed {
                out.extend(exit_routes());
            }
        }
        out
    }

    /// The tags of the routers that a class has to use for a route (or for the Internet).
    fn steered(&self, class: &Class, route: Option<IpNet>) -> Option<Vec<String>> {
        let concerns = |d: &Arc<Destination>| match route {
            Some(net) => !d.is_any() && !d.is_internet() && d.set.overlaps(net),
            None => d.is_internet(),
        };
        let rules = self.via_rules.iter().map(|i| (*i, &self.rules.rules[*i]));
        let tags: Vec<String> = rules
            .filter(|(i, r)| class.from.has(*i) && r.to.iter().any(concerns))
            .flat_map(|(_, r)| r.via.iter().cloned())
            .collect();
        (!tags.is_empty()).then_some(tags)
    }

    /// Of several steered routers with one prefix, the first serves it.
    fn is_chosen(&self, tags: &[String], peer: usize, route: IpNet) -> bool {
        let fits = |m: &Arc<Machine>| m.subnets.contains(&route) && m.tags.iter().any(|t| tags.contains(t));
        self.net.machines.iter().position(fits) == Some(peer)
    }

    fn may_use(&self, class: &Class, route: IpNet) -> bool {
        let forward = |r: &Rule| r.via.is_empty() && r.to.iter().any(|d| d.is_any() || d.set.overlaps(route));
        class.from.iter().any(|r| forward(&self.rules.rules[r]))
            || class.to.iter().any(|r| self.rules.rules[r].source.overlaps(route))
    }

    /// Subnet routes each machine serves when the first of several routers is primary.
    #[must_use]
    pub fn first_primaries(&self) -> Vec<Vec<IpNet>> {
        let mut taken = std::collections::HashSet::new();
        self.net.machines.iter().map(|m| m.subnets.iter().copied().filter(|r| taken.insert(*r)).collect()).collect()
    }

    /// Capabilities that peers see of a machine; `exit` says whether it is offered to them as an exit node.
    #[must_use]
    pub fn peer_capabilities(&self, peer: usize, exit: bool) -> hearthgate_tailcfg::CapMap {
        let mut caps = hearthgate_tailcfg::CapMap::new();
        if exit {
            caps.insert("suggest-exit-node".into(), None);
        }
        if let Some(value) = self.attributes.of(peer).and_then(|a| a.get("dns-subdomain-resolve")) {
            caps.insert("dns-subdomain-resolve".into(), value.clone());
        }
        caps
    }
}

fn mark(bits: &mut [Bits], machines: &[u32], rule: usize) {
    for m in machines {
        if let Some(b) = bits.get_mut(*m as usize) {
            b.insert(rule);
        }
    }
}

/// Whether a machine routes for a rule with `via`.
pub(crate) fn routes_via(rule: &Rule, machine: &Machine) -> bool {
    machine.tags.iter().any(|t| rule.via.contains(t))
        && rule.entries.iter().any(|e| matches!(e, Entry::Ports { .. }))
        && rule.to.iter().any(|d| {
            (d.is_internet() && machine.exit) || machine.subnets.iter().any(|s| !d.is_internet() && d.set.overlaps(*s))
        })
}

/// Whether a machine sends under a rule: from its own addresses, or for a subnet behind it.
pub(crate) fn is_sender(rule: &Rule, machine: &Machine) -> bool {
    machine.ips.iter().any(|ip| rule.source.set.contains(*ip))
        || machine.subnets.iter().any(|s| rule.source.overlaps(*s))
}

/// Whether a machine is at a destination of a rule, or in front of it.
pub(crate) fn is_reached(rule: &Rule, machine: &Machine) -> bool {
    if !rule.via.is_empty() {
        return routes_via(rule, machine);
    }
    rule.to.iter().any(|d| {
        d.is_any()
            || (machine.exit && d.goes_out())
            || (!d.is_internet() && machine.ips.iter().any(|ip| d.set.contains(*ip)))
            || (!d.is_internet() && machine.subnets.iter().any(|s| d.set.overlaps(*s)))
    })
}

/// Both default routes.
pub(crate) fn exit_routes() -> [IpNet; 2] {
    use std::net::{Ipv4Addr, Ipv6Addr};
    [
        ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(),
        ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into(),
    ]
}

/// Machines by address.
struct Index {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u32)>,
    routers: Vec<u32>,
}

impl Index {
    fn new(net: &Tailnet) -> Self {
        let mut index = Self { v4: Vec::new(), v6: Vec::new(), routers: Vec::new() };
        for (i, machine) in (0u32..).zip(&net.machines) {
            for ip in &machine.ips {
                match ip {
                    IpAddr::V4(a) => index.v4.push(((*a).into(), i)),
                    IpAddr::V6(a) => index.v6.push(((*a).into(), i)),
                }
            }
            if machine.exit || !machine.subnets.is_empty() {
                index.routers.push(i);
            }
        }
        index.v4.sort_unstable();
        index.v6.sort_unstable();
        index
    }

    /// Machines with an address in the set, each once.
    fn within(&self, set: &IpSet) -> Vec<u32> {
        let mut out = Vec::new();
        for &(from, to) in set.v4_ranges() {
            let start = self.v4.partition_point(|x| x.0 < from);
            out.extend(self.v4[start..].iter().take_while(|x| x.0 <= to).map(|x| x.1));
        }
        for &(from, to) in set.v6_ranges() {
            let start = self.v6.partition_point(|x| x.0 < from);
            out.extend(self.v6[start..].iter().take_while(|x| x.0 <= to).map(|x| x.1));
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Machines that send from the addresses of a rule's source, be it for a subnet behind them.
    fn senders(&self, net: &Tailnet, rule: &Rule) -> Vec<u32> {
        let mut out = self.within(&rule.source.set);
        out.extend(
            self.routers.iter().filter(|r| net.machines[**r as usize].subnets.iter().any(|s| rule.source.overlaps(*s))),
        );
        out
    }

    /// Machines at a destination, or in front of it.
    fn reached(&self, net: &Tailnet, d: &Destination) -> Vec<u32> {
        if d.is_any() {
            return (0u32..).take(net.machines.len()).collect();
        }
        let mut out = if d.is_internet() { Vec::new() } else { self.within(&d.set) };
        out.extend(self.routers.iter().filter(|r| {
            let m = &net.machines[**r as usize];
            (m.exit && d.goes_out()) || (!d.is_internet() && m.subnets.iter().any(|s| d.set.overlaps(*s)))
        }));
        out
    }
}

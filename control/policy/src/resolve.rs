//! Which machines and addresses a selector means.

use crate::{
    check::has_role,
    ipset::{Builder, IpSet, everything, internet, tailnet},
    people::PeopleIndex,
    policy::Policy,
    selector::{AutoGroup, Selector},
    tailnet::{Machine, Tailnet},
};
use hearthgate_sorted::SortedSet;
use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    sync::Arc,
};

/// Deepest nesting of IP sets.
const NESTING_MAX: u32 = 8;

/// Resolves selectors, each one once.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) net: &'a Tailnet,
    by_person: Vec<Vec<u32>>,
    by_tag: HashMap<&'a str, Vec<u32>>,
    seen: RefCell<SetMemo>,
    index: OnceCell<Arc<PeopleIndex>>,
}

/// Resolved selectors.
pub(crate) type SetMemo = HashMap<Selector, Arc<IpSet>>;

impl<'a> Resolver<'a> {
    pub(crate) fn new(policy: &'a Policy, net: &'a Tailnet) -> Self {
        let mut by_person = vec![Vec::new(); net.people.len()];
        let mut by_tag: HashMap<&str, Vec<u32>> = HashMap::new();
        for (i, machine) in (0u32..).zip(&net.machines) {
            if let Some(list) = machine.person().and_then(|p| by_person.get_mut(p)) {
                list.push(i);
            }
            for tag in &machine.tags {
                by_tag.entry(tag).or_default().push(i);
            }
        }
        Self { policy, net, by_person, by_tag, seen: RefCell::default(), index: OnceCell::new() }
    }

    /// With an index of the people that is there already.
    pub(crate) fn with_index(policy: &'a Policy, net: &'a Tailnet, index: Arc<PeopleIndex>) -> Self {
        Self { index: OnceCell::from(index), ..Self::new(policy, net) }
    }

    /// Takes over what selectors are known to mean.
    pub(crate) fn remember(&mut self, memo: SetMemo) {
        self.seen = RefCell::new(memo);
    }

    /// What the selectors that were asked about mean.
    pub(crate) fn into_memo(self) -> SetMemo {
        self.seen.into_inner()
    }

    /// The index of the people.
    pub(crate) fn index(&self) -> &Arc<PeopleIndex> {
        self.index.get_or_init(|| Arc::new(PeopleIndex::new(&self.net.people)))
    }

    /// Machines without tags that belong to a person.
    pub(crate) fn machines_of(&self, person: usize) -> &[u32] {
        self.by_person.get(person).map_or(&[], Vec::as_slice)
    }

    /// The addresses a selector means; empty for `autogroup:self`, which depends on who asks.
    pub(crate) fn set(&self, selector: &Selector) -> Arc<IpSet> {
        if let Some(known) = self.seen.borrow().get(selector) {
            return known.clone();
        }
        let set = Arc::new(self.resolve(selector, 0));
        self.seen.borrow_mut().insert(selector.clone(), set.clone());
        set
    }

    fn resolve(&self, selector: &Selector, depth: u32) -> IpSet {
        let mut b = Builder::default();
        let mut hosts = |indices: &mut dyn Iterator<Item = u32>| {
            for i in indices {
                if let Some(m) = self.net.machines.get(i as usize) {
                    m.ips.iter().for_each(|ip| b.ip(*ip));
                }
            }
        };
        match selector {
            Selector::Any => {
                b.set(&tailnet());
                self.net.extra_ranges.iter().for_each(|n| b.net(*n));
            }
            Selector::Net(net) => b.net(*net),
            Selector::Host(name) => {
                if let Some(net) = self.policy.hosts.get(name) {
                    b.net(*net);
                }
            }
            Selector::Tag(tag) => hosts(&mut self.by_tag.get(tag.as_str()).into_iter().flatten().copied()),
            Selector::Auto(AutoGroup::Tagged) => {
                hosts(&mut (0u32..).zip(&self.net.machines).filter(|(_, m)| !m.tags.is_empty()).map(|(i, _)| i));
            }
            Selector::Auto(AutoGroup::Member) => {
                hosts(&mut (0u32..).zip(&self.net.machines).filter(|(_, m)| m.tags.is_empty()).map(|(i, _)| i));
            }
            Selector::Auto(AutoGroup::Internet) => b.set(&internet()),
            Selector::Auto(AutoGroup::DangerAll) => b.set(&everything()),
            Selector::Auto(AutoGroup::Own | AutoGroup::NonRoot | AutoGroup::Shared) => {}
            Selector::User(_) | Selector::Domain(_) | Selector::Group(_) | Selector::Auto(AutoGroup::Role(_)) => {
                let people = self.people(selector);
                hosts(&mut people.iter().flat_map(|p| self.machines_of(*p)).copied());
            }
            Selector::IpSet(name) => {
                let mut set = IpSet::default();
                for part in self.policy.ip_sets.get(name).into_iter().flatten() {
                    if depth >= NESTING_MAX {
                        break;
                    }
                    let other = self.resolve(&part.what.value, depth + 1);
                    if part.add {
                        let mut sum = Builder::default();
                        sum.set(&set);
                        sum.set(&other);
                        set = sum.build();
                    } else {
                        set = set.without(&other);
                    }
                }
                return set;
            }
        }
        b.build()
    }

    /// The people a selector means.
    pub(crate) fn people(&self, selector: &Selector) -> SortedSet<usize> {
        let matching = |f: &dyn Fn(usize) -> bool| (0..self.net.people.len()).filter(|i| f(*i)).collect();
        match selector {
            Selector::User(token) => self.person(token).into_iter().collect(),
            Selector::Domain(d) => {
                matching(&|i| self.net.people[i].domain().is_some_and(|x| x.eq_ignore_ascii_case(d)))
            }
            Selector::Auto(AutoGroup::Role(role)) => matching(&|i| has_role(self.net.role(i), *role)),
            Selector::Auto(AutoGroup::Member) | Selector::Any => matching(&|_| true),
            Selector::Group(name) => match self.policy.groups.get(name) {
                Some(members) => members
                    .iter()
                    .filter(|m| !matches!(m, Selector::Group(g) if g == name))
                    .flat_map(|m| self.people(m))
                    .collect(),
                None => matching(&|i| self.net.people[i].in_provider_group(name)),
            },
            _ => SortedSet::new(),
        }
    }

    /// Whether a selector may mean a person. Never says no wrongly; quicker than [`Resolver::people`].
    pub(crate) fn may_mean(&self, selector: &Selector, person: usize) -> bool {
        let Some(p) = self.net.people.get(person) else { return true };
        match selector {
            Selector::User(token) => p.is(token),
            Selector::Domain(d) => p.domain().is_some_and(|x| x.eq_ignore_ascii_case(d)),
            Selector::Auto(AutoGroup::Role(role)) => has_role(self.net.role(person), *role),
            Selector::Group(name) => match self.policy.groups.get(name) {
                Some(members) => members.iter().any(|m| {
                    if let Selector::User(token) = m { p.is(token) } else { self.people(m).contains(&person) }
                }),
                None => p.in_provider_group(name),
            },
            _ => true,
        }
    }

    /// The one person a token means; an identity provider's id goes before names.
    pub(crate) fn person(&self, token: &str) -> Option<usize> {
        self.index().person(token)
    }

    /// Whether a machine is meant by its identity (not by its addresses).
    pub(crate) fn means(&self, selector: &Selector, machine: &Machine) -> bool {
        let set = self.set(selector);
        machine.ips.iter().any(|ip| set.contains(*ip))
    }

    /// All approved subnet routes, each once, in the order of the machines.
    pub(crate) fn subnets(&self) -> Vec<ipnet::IpNet> {
        let mut seen = SortedSet::new();
        self.net.machines.iter().flat_map(|m| m.subnets.iter().copied()).filter(|r| seen.insert(*r)).collect()
    }
}

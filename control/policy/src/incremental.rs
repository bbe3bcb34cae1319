//! Applying a policy again after a few machines changed, without working out anew what they do not touch.
//!
//! A set of addresses named by identity (user, group, tag, autogroup) changes only when a machine with that identity
//! does; a rule only when one of its sets does; another machine's part in a rule only when it routes for others. What
//! does not fit that pattern (people changed, a router changed, addresses are shared) is worked out from the start.

use crate::{
    attrs,
    compile::compile,
    engine::{Class, Engine, is_reached, is_sender},
    policy::Policy,
    resolve::{Resolver, SetMemo},
    selector::{AutoGroup, Selector},
    ssh::compile_ssh,
    tailnet::{Machine, Tailnet},
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// Machines that may have changed at once; beyond that, starting anew is as quick.
const CHANGED_MAX: usize = 64;

/// What differs between two lists of machines.
pub(crate) struct Changed {
    /// Machines that are no longer there as they were.
    gone: Vec<Arc<Machine>>,
    /// Positions of new or changed machines.
    new: Vec<usize>,
    /// For each machine where it was before, if it is unchanged.
    from: Vec<Option<usize>>,
}

impl Changed {
    /// `None` when the difference is not a small and simple one.
    fn between(old: &Tailnet, new: &Tailnet) -> Option<Self> {
        if old.people != new.people || old.domains != new.domains || old.extra_ranges != new.extra_ranges {
            return None;
        }
        let (a, b) = (&old.machines, &new.machines);
        let same = |(x, y): &(&Arc<Machine>, &Arc<Machine>)| Arc::ptr_eq(x, y);
        let head = a.iter().zip(b).take_while(same).count();
        let rest = a.len().min(b.len()) - head;
        let tail = a.iter().rev().zip(b.iter().rev()).take(rest).take_while(same).count();
        // What is left in the middle is little, unless many changed.
        let (mid_a, mid_b) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
        let places: HashMap<*const Machine, usize> =
            mid_a.iter().enumerate().map(|(i, m)| (Arc::as_ptr(m), head + i)).collect();
        let middle = mid_b.iter().map(|m| places.get(&Arc::as_ptr(m)).copied());
        let ends = a.len() - tail..a.len();
        let from: Vec<Option<usize>> = (0..head).map(Some).chain(middle).chain(ends.map(Some)).collect();
        // The order of routers decides which is primary, and the order of devices what is printed.
        if !from.iter().flatten().is_sorted() {
            return None;
        }
        let kept: HashSet<usize> = from[head..b.len() - tail].iter().flatten().copied().collect();
        let is_gone = |i: &usize| !kept.contains(i);
        let gone: Vec<_> = (head..a.len() - tail).filter(is_gone).map(|i| a[i].clone()).collect();
        let added: Vec<usize> = (head..b.len() - tail).filter(|i| from[*i].is_none()).collect();
        if gone.len() + added.len() > CHANGED_MAX {
            return None;
        }
        let changed = Self { gone, new: added, from };
        changed.is_simple(new).then_some(changed)
    }

    /// No routers among the changed, and nobody else has their addresses.
    fn is_simple(&self, net: &Tailnet) -> bool {
        let changed = || self.gone.iter().chain(self.new.iter().filter_map(|i| net.machines.get(*i)));
        let ips: HashSet<IpAddr> = changed().flat_map(|m| m.ips.iter().copied()).collect();
        let fresh: HashSet<usize> = self.new.iter().copied().collect();
        changed().all(|m| !m.exit && m.subnets.is_empty())
            && net
                .machines
                .iter()
                .enumerate()
                .all(|(i, m)| fresh.contains(&i) || !m.ips.iter().any(|ip| ips.contains(ip)))
    }

    /// Whether the addresses that a selector means may have changed.
    fn touches(&self, r: &Resolver<'_>, policy: &Policy, selector: &Selector, depth: u32) -> bool {
        let any = |f: &dyn Fn(&Machine) -> bool| {
            self.gone.iter().any(|m| f(m)) || self.new.iter().filter_map(|i| r.net.machines.get(*i)).any(|m| f(m))
        };
        match selector {
            Selector::Tag(tag) => any(&|m| m.tags.contains(tag)),
            Selector::Auto(AutoGroup::Tagged) => any(&|m| !m.tags.is_empty()),
            Selector::Auto(AutoGroup::Member) => any(&|m| m.tags.is_empty()),
            Selector::User(_) | Selector::Domain(_) | Selector::Group(_) | Selector::Auto(AutoGroup::Role(_)) => {
                self.owners(r.net).into_iter().any(|p| r.may_mean(selector, p))
            }
            Selector::IpSet(name) => {
                let parts = policy.ip_sets.get(name).into_iter().flatten();
                // Too deep to follow: taken for changed.
                depth > 8 || parts.into_iter().any(|p| self.touches(r, policy, &p.what.value, depth + 1))
            }
            Selector::Any | Selector::Host(_) | Selector::Net(_) | Selector::Auto(_) => false,
        }
    }

    /// People whose devices are among the changed.
    fn owners(&self, net: &Tailnet) -> Vec<usize> {
        let new = self.new.iter().filter_map(|i| net.machines.get(*i));
        let mut all: Vec<usize> = self.gone.iter().chain(new).filter_map(|m| m.person()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Engine {
    /// The policy on a tailnet of which little changed; `None` when it has to be worked out from the start.
    pub(crate) fn step(&self, net: &Arc<Tailnet>) -> Option<Self> {
        if self.rules.is_worn() {
            return None;
        }
        let changed = Changed::between(&self.net, net)?;
        let policy = self.policy.clone();
        let mut r = Resolver::with_index(&policy, net, self.people.clone());
        let stays = |s: &Selector| !changed.touches(&r, &policy, s, 0);
        let memo: SetMemo =
            self.memo.iter().filter(|(s, _)| stays(s)).map(|(s, set)| (s.clone(), set.clone())).collect();
        let touched: HashSet<Selector> = self.memo.keys().filter(|s| !memo.contains_key(*s)).cloned().collect();
        r.remember(memo);
        let rules = compile(&r, Some((&self.rules, &touched)));
        if rules.rules.len() != self.rules.rules.len() {
            return None;
        }
        let moved: Vec<usize> =
            (0..rules.rules.len()).filter(|i| !Arc::ptr_eq(&rules.rules[*i], &self.rules.rules[*i])).collect();
        let ssh_stays =
            !self.ssh_selectors().any(|s| touched.contains(s)) && !policy.ssh.iter().any(|s| !s.posture.is_empty());
        let ssh = if ssh_stays { self.ssh.clone() } else { Arc::new(compile_ssh(&r)) };
        let attributes = attrs::compile(&r);
        let own = (0..net.people.len()).map(|p| r.machines_of(p).to_vec()).collect();

        let (mut classes, mut ids) = (self.classes.clone(), self.ids.clone());
        let mut class_of = Vec::with_capacity(net.machines.len());
        for (i, machine) in net.machines.iter().enumerate() {
            let known = changed.from[i].and_then(|old| self.class_of.get(old).copied());
            let is_router = machine.exit || !machine.subnets.is_empty();
            let class = match known {
                Some(id) if !is_router || moved.is_empty() => {
                    class_of.push(id);
                    continue;
                }
                Some(id) => {
                    let mut class = self.class(id)?.clone();
                    for rule in &moved {
                        class.from.set(*rule, is_sender(&rules.rules[*rule], machine));
                        class.to.set(*rule, is_reached(&rules.rules[*rule], machine));
                    }
                    class
                }
                None => {
                    let mut class = Class { from: Default::default(), to: Default::default(), owner: None };
                    for (rule, what) in rules.rules.iter().enumerate() {
                        class.from.set(rule, is_sender(what, machine));
                        class.to.set(rule, is_reached(what, machine));
                    }
                    class
                }
            };
            let owner = machine.person().filter(|_| self.with_owner && class.from.meets(&self.own_rules));
            let class = Class { owner, ..class };
            class_of.push(*ids.entry(class).or_insert_with_key(|c| {
                classes.push(c.clone());
                self.base.saturating_add(u32::try_from(classes.len() - 1).unwrap_or(u32::MAX))
            }));
        }
        let memo = r.into_memo();
        Some(Self {
            policy,
            net: net.clone(),
            rules,
            ssh,
            attributes,
            people: self.people.clone(),
            memo,
            base: self.base,
            classes,
            ids,
            class_of,
            own,
            own_rules: self.own_rules.clone(),
            with_owner: self.with_owner,
            via_rules: self.via_rules.clone(),
            internet: self.internet.clone(),
        })
    }

    fn ssh_selectors(&self) -> impl Iterator<Item = &Selector> {
        self.policy.ssh.iter().flat_map(|s| s.src.iter().chain(&s.dst).chain(&s.recorder)).map(|s| &s.value)
    }
}

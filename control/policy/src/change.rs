//! What a changed tailnet means for machines that did not change themselves.

use crate::{
    bits::Bits,
    compile::{Entry, Rule},
    engine::Engine,
    filter::overlapping,
};
use ipnet::IpNet;
use std::{collections::HashSet, sync::Arc};

/// Two applications of one policy, and which rules differ between them.
#[derive(Debug)]
pub struct Comparison<'a> {
    new: &'a Engine,
    old: &'a Engine,
    /// Rules with other sources.
    moved: Bits,
    /// Rules with other destinations.
    redirected: Bits,
    /// Either, where a source gets companions or `autogroup:self` is a destination.
    both_ways: Bits,
    ssh: bool,
    /// People whose devices are others now.
    people: HashSet<usize>,
    /// The lists of rules cannot be compared.
    unlike: bool,
}

impl<'a> Comparison<'a> {
    /// Compares two applications of one policy.
    #[must_use]
    pub fn new(new: &'a Engine, old: &'a Engine) -> Self {
        let (mut moved, mut redirected, mut both_ways) = (Bits::default(), Bits::default(), Bits::default());
        for (i, (a, b)) in new.rules.rules.iter().zip(&old.rules.rules).enumerate() {
            // Rules with equal sources are joined where the first of them stands, be it another machine's rule.
            let place = |e: &'a Engine, r: &Rule| -> Vec<Option<u32>> {
                let ports = r
                    .entries
                    .iter()
                    .filter_map(|x| if let Entry::Ports { protocol, .. } = x { Some(*protocol) } else { None });
                ports.map(|p| e.rules.head(r.source_id, p)).collect()
            };
            let joined_elsewhere = place(new, a) != place(old, b);
            moved.set(i, joined_elsewhere);
            if Arc::ptr_eq(a, b) {
                continue;
            }
            let (sources, targets) = (!a.same_sources(b), !same_targets(a, b));
            moved.set(i, sources || joined_elsewhere);
            redirected.set(i, targets);
            both_ways.set(i, (sources || targets) && (a.own || !a.companions.is_empty()));
        }
        let devices = |e: &'a Engine, p: usize| {
            e.own.get(p).into_iter().flatten().filter_map(|i| e.net.machines.get(*i as usize)).map(|m| &m.ips)
        };
        let people = (0..new.own.len()).filter(|p| devices(new, *p).ne(devices(old, *p))).collect();
        let ssh = new.has_ssh() && (!Arc::ptr_eq(&new.ssh, &old.ssh) && new.ssh != old.ssh);
        let unlike = new.rules.rules.len() != old.rules.rules.len() || new.own.len() != old.own.len();
        Self { new, old, moved, redirected, both_ways, ssh, people, unlike }
    }

    /// Whether a machine's own part of the map (filter, SSH rules, attributes) may be another than before, where it was
    /// machine number `before`. Never says no wrongly; may say yes for nothing.
    #[must_use]
    pub fn own_part_changed(&self, machine: usize, before: usize) -> bool {
        let (Some(now), Some(was)) = (self.new.net.machines.get(machine), self.old.net.machines.get(before)) else {
            return true;
        };
        if self.unlike || (!Arc::ptr_eq(now, was) && now != was) {
            return true;
        }
        if self.new.attributes.of(machine) != self.old.attributes.of(before) {
            return true;
        }
        let class = |e: &'a Engine, m: usize| e.class_of(m).and_then(|c| e.class(c));
        let (Some(class), Some(old_class)) = (class(self.new, machine), class(self.old, before)) else { return true };
        let nets = || now.ips.iter().map(|ip| IpNet::from(*ip)).chain(now.subnets.iter().copied());
        class != old_class
            || class.to.meets(&self.moved)
            || class.from.meets(&self.both_ways)
            || class.to.both(&self.redirected).any(|r| self.shown_otherwise(r, nets()))
            || now.person().is_some_and(|p| self.people.contains(&p))
            || (self.ssh && self.new.ssh_rules(machine, "") != self.old.ssh_rules(before, ""))
    }

    /// Whether one of these networks lies in other prefixes of a rule's destinations than before: prefixes that lie
    /// side by side are joined, so another machine's address may change how this one's is written.
    fn shown_otherwise(&self, rule: usize, mut nets: impl Iterator<Item = IpNet>) -> bool {
        let (Some(a), Some(b)) = (self.new.rules.rules.get(rule), self.old.rules.rules.get(rule)) else { return true };
        nets.any(|net| {
            a.to.iter().zip(&b.to).any(|(x, y)| {
                x.prefixes.get(overlapping(&x.prefixes, net)) != y.prefixes.get(overlapping(&y.prefixes, net))
            })
        })
    }
}

fn same_targets(a: &Rule, b: &Rule) -> bool {
    a.to.len() == b.to.len() && a.to.iter().zip(&b.to).all(|(x, y)| Arc::ptr_eq(&x.set, &y.set) || x.set == y.set)
}

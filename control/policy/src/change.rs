//! What a changed tailnet means for machines that did not change themselves.

use crate::{engine::Engine, tailnet::Machine};

impl Engine {
    /// Whether a machine's own part of the map (filter, SSH rules, attributes) may be another than under `old`, where
    /// it was machine number `before`. Never says no wrongly; may say yes for nothing.
    #[must_use]
    pub fn own_part_changed(&self, machine: usize, old: &Self, before: usize) -> bool {
        let (Some(now), Some(was)) = (self.net.machines.get(machine), old.net.machines.get(before)) else {
            return true;
        };
        if now != was || self.attributes.of(machine) != old.attributes.of(before) {
            return true;
        }
        let class = |e: &Self, m: usize| e.class_of(m).and_then(|c| e.class(c).cloned());
        let (Some(class), Some(old_class)) = (class(self, machine), class(old, before)) else { return true };
        if class != old_class || self.rules.rules.len() != old.rules.rules.len() {
            return true;
        }
        let moved = |r: usize| match (self.rules.rules.get(r), old.rules.rules.get(r)) {
            (Some(a), Some(b)) => !a.same_sources(b),
            _ => true,
        };
        class.to.iter().any(moved)
            || class.from.iter().any(|r| {
                self.rules.rules.get(r).is_some_and(|x| !x.companions.is_empty() || x.own) && moved_any(self, old, r)
            })
            || (self.has_ssh() && self.ssh_rules(machine, "") != old.ssh_rules(before, ""))
            || self.siblings(now) != old.siblings(was)
    }

    /// Addresses of the devices of a machine's owner.
    fn siblings(&self, machine: &Machine) -> Vec<std::net::IpAddr> {
        let own = machine.person().and_then(|p| self.own.get(p)).into_iter().flatten();
        own.filter_map(|i| self.net.machines.get(*i as usize)).flat_map(|m| m.ips.iter().copied()).collect()
    }
}

/// Whether sources or destinations of a rule changed.
fn moved_any(new: &Engine, old: &Engine, rule: usize) -> bool {
    match (new.rules.rules.get(rule), old.rules.rules.get(rule)) {
        (Some(a), Some(b)) => !a.same_sources(b) || a.to.iter().zip(&b.to).any(|(x, y)| x.set != y.set),
        _ => true,
    }
}

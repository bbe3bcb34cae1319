//! Why one machine reaches another, or why not; who reaches a port; what a change of policy changes.

use crate::{
    Tailnet,
    compile::{Entry, Origin},
    engine::Engine,
    ports::protocol_name,
    selector::Selector,
};
use hearthgate_sorted::SortedSet;
use ipnet::IpNet;
use serde::Serialize;
use std::net::IpAddr;

/// One side of a question: a machine, or an address behind one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Machines meant.
    pub machines: Vec<usize>,
    /// An address behind a subnet router or an exit node.
    pub address: Option<IpAddr>,
}

/// A rule that lets something through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Where the rule stands.
    #[serde(flatten)]
    pub origin: Origin,
    /// What it lets through: `tcp:443`, `*`, or a capability's name.
    pub allows: String,
}

/// Whether one machine reaches another, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Name of the source.
    pub from: String,
    /// Name of the destination.
    pub to: String,
    /// It is let through.
    pub allowed: bool,
    /// They see each other.
    pub visible: bool,
    /// Rules that let it through, in the order of the policy.
    pub rules: Vec<Reason>,
    /// When nothing does: what is nearest.
    pub why_not: Vec<String>,
}

/// A pair of machines and what passes between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Access {
    /// Source.
    pub from: String,
    /// Destination.
    pub to: String,
    /// `tcp:22`, `*`, a capability.
    pub what: String,
}

/// What a change of policy gives and takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    /// Only the new policy allows it.
    pub gained: Vec<Access>,
    /// Only the old policy allowed it.
    pub lost: Vec<Access>,
}

impl Engine {
    /// What a name means here: a machine, a user's or tag's machines, an address.
    #[must_use]
    pub fn endpoint(&self, text: &str) -> Option<Endpoint> {
        let text = text.trim();
        if let Some(i) = self.net.machines.iter().position(|m| m.name == text) {
            return Some(Endpoint { machines: vec![i], address: None });
        }
        let selector = Selector::parse(text, 0).ok()?;
        let resolver = crate::resolve::Resolver::new(&self.policy, &self.net);
        let hits = self.net.machines.iter().enumerate().filter(|(_, m)| resolver.means(&selector, m));
        let machines: Vec<usize> = hits.map(|(i, _)| i).collect();
        if !machines.is_empty() {
            return Some(Endpoint { machines, address: None });
        }
        let net = resolver.set(&selector).prefixes().first().copied()?;
        let routes = self.net.machines.iter().enumerate().filter(|(_, m)| m.subnets.iter().any(|s| s.contains(&net)));
        Some(Endpoint { machines: routes.map(|(i, _)| i).collect(), address: Some(net.network()) })
    }

    /// Why `from` reaches `to`, at one port or (without one) at any.
    #[must_use]
    pub fn explain(&self, from: usize, to: usize, address: Option<IpAddr>, port: Option<u16>) -> Explanation {
        let name = |m: usize| self.net.machines.get(m).map_or_else(String::new, |m| m.name.clone());
        let mut rules = Vec::new();
        let mut why_not = Vec::new();
        for i in self.rules_between(from, to) {
            let rule = &self.rules.rules[i];
            let reasons: Vec<String> =
                rule.entries.iter().filter_map(|e| self.allows(e, from, to, address, port)).collect();
            if reasons.is_empty() {
                why_not.push(format!(
                    "{}[{}] has both as source and destination, but not at this port",
                    rule.origin.section, rule.origin.index
                ));
            }
            rules.extend(reasons.into_iter().map(|allows| Reason { origin: rule.origin, allows }));
        }
        let visible = self.class_of(from).is_some_and(|c| self.sees(c, to));
        if rules.is_empty() && why_not.is_empty() {
            let class = |m: usize| self.class_of(m).and_then(|c| self.class(c));
            let from_rules = class(from).map_or(0, |c| c.from.iter().count());
            let to_rules = class(to).map_or(0, |c| c.to.iter().count());
            why_not.push(format!(
                "{from_rules} rules have {:?} as a source, {to_rules} have {:?} as a destination, none has both",
                name(from),
                name(to)
            ));
        }
        Explanation { from: name(from), to: name(to), allowed: !rules.is_empty(), visible, rules, why_not }
    }

    /// What an entry lets through between two machines.
    fn allows(
        &self,
        entry: &Entry,
        from: usize,
        to: usize,
        address: Option<IpAddr>,
        port: Option<u16>,
    ) -> Option<String> {
        let machine = self.net.machines.get(to)?;
        let text = |protocol: &Option<u8>, ports: &[hearthgate_tailcfg::PortRange]| {
            let fits = port.is_none_or(|p| ports.iter().any(|r| r.first <= p && p <= r.last));
            let list: Vec<String> = ports
                .iter()
                .map(|r| match (r.first, r.last) {
                    (0, u16::MAX) => "*".to_owned(),
                    (a, b) if a == b => a.to_string(),
                    (a, b) => format!("{a}-{b}"),
                })
                .collect();
            let protocol = protocol.map(|p| format!("{}:", protocol_name(p))).unwrap_or_default();
            fits.then(|| format!("{protocol}{}", list.join(",")))
        };
        let own = || {
            let owner = |m: usize| self.net.machines.get(m).and_then(|m| m.person());
            owner(from).is_some() && owner(from) == owner(to)
        };
        let at = |d: &crate::compile::Destination| match address {
            Some(a) => d.is_any() || d.set.contains(a),
            None => {
                d.is_any()
                    || machine.ips.iter().any(|ip| !d.is_internet() && d.set.contains(*ip))
                    || machine.subnets.iter().any(|s| !d.is_internet() && d.set.overlaps(*s))
                    || (machine.exit && d.is_internet())
            }
        };
        match entry {
            Entry::Ports { protocol, to, ports, .. } if at(to) => text(protocol, ports),
            Entry::OwnPorts { protocol, ports, .. } if own() => text(protocol, ports),
            Entry::App { to, caps, .. } if port.is_none() && to.iter().any(|d| at(d)) => {
                Some(caps.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            Entry::OwnApp { caps, .. } if port.is_none() && own() => {
                Some(caps.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            _ => None,
        }
    }

    /// Machines that reach `to` at a port (or at any), with the rules.
    #[must_use]
    pub fn who_can(&self, to: usize, address: Option<IpAddr>, port: Option<u16>) -> Vec<Explanation> {
        (0..self.net.machines.len())
            .filter(|m| *m != to)
            .map(|m| self.explain(m, to, address, port))
            .filter(|e| e.allowed)
            .collect()
    }

    fn accesses(&self) -> SortedSet<Access> {
        let mut out = SortedSet::new();
        // Machines of a class are alike as sources, but for who owns them; a tailnet at home is small enough for pairs.
        for to in 0..self.net.machines.len() {
            for from in (0..self.net.machines.len()).filter(|f| *f != to) {
                let e = self.explain(from, to, None, None);
                out.extend(e.rules.into_iter().map(|r| Access {
                    from: e.from.clone(),
                    to: e.to.clone(),
                    what: r.allows,
                }));
            }
        }
        out
    }
}

/// What passes under `new` and not under `old`, and the other way round. Both are applied to one tailnet.
#[must_use]
pub fn difference(old: &Engine, new: &Engine) -> Difference {
    let (a, b) = (old.accesses(), new.accesses());
    Difference { gained: b.difference(&a).cloned().collect(), lost: a.difference(&b).cloned().collect() }
}

impl Endpoint {
    /// `name`, `name:port`, `[v6]:port`; the port is optional.
    #[must_use]
    pub fn split(text: &str) -> (String, Option<u16>) {
        if text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok() {
            return (text.to_owned(), None);
        }
        match text.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?))) {
            Some((name, port)) => (name.trim_start_matches('[').trim_end_matches(']').to_owned(), Some(port)),
            None => (text.trim_start_matches('[').trim_end_matches(']').to_owned(), None),
        }
    }
}

impl Tailnet {
    /// Position of a machine by name.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<usize> {
        self.machines.iter().position(|m| m.name == name)
    }
}

//! The `tests` and `sshTests` of a policy.
//!
//! A test names one source. People and tags without a machine are tested as if they had one, so that a policy can be
//! tested before anybody joins. Every device of the source has to agree.

use crate::{
    compile::{Entry, Rule},
    engine::Engine,
    ipset::IpSet,
    parse::target,
    policy::{Located, SshTest, Target, Test},
    ports::{DEFAULT_PROTOCOLS, protocol_name},
    resolve::Resolver,
    selector::{AutoGroup, Selector},
    ssh::may_log_in,
};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::PortRange;
use serde::Serialize;
use std::{net::IpAddr, sync::Arc};

/// What became of one entry of `tests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// Source, as written.
    pub src: String,
    /// It failed.
    pub failed: bool,
    /// Why, one line each.
    pub errors: Vec<String>,
}

/// What became of one entry of `sshTests`.
pub type SshTestResult = TestResult;

/// What became of all tests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestReport {
    /// Of `tests`, in order.
    pub tests: Vec<TestResult>,
    /// Of `sshTests`, in order.
    pub ssh_tests: Vec<SshTestResult>,
}

impl TestReport {
    /// None failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.tests.iter().chain(&self.ssh_tests).any(|t| t.failed)
    }
}

/// Who a test is about: addresses, and the person when it is one.
struct Subject {
    ips: Vec<IpAddr>,
    person: Option<usize>,
    /// Stands for a machine that does not exist; only its names count.
    selector: Option<Selector>,
}

impl Engine {
    /// Runs the policy's own tests.
    #[must_use]
    pub fn run_tests(&self) -> TestReport {
        let r = Resolver::new(&self.policy, &self.net);
        TestReport {
            tests: self.policy.tests.iter().map(|t| self.test(&r, t)).collect(),
            ssh_tests: self.policy.ssh_tests.iter().map(|t| self.ssh_test(&r, t)).collect(),
        }
    }

    fn test(&self, r: &Resolver<'_>, test: &Test) -> TestResult {
        let mut errors = Vec::new();
        match &test.protocol {
            Err(why) => errors.push(why.clone()),
            Ok(Some(p)) if ![6, 17, 132].contains(p) => {
                errors.push(format!("protocol {:?} cannot be tested; use tcp, udp or sctp", protocol_name(*p)));
            }
            Ok(_) => {}
        }
        if test.accept.is_empty() && test.deny.is_empty() {
            errors.push("neither accept nor deny is given".into());
        }
        let subject = subject(r, &test.src);
        match &subject {
            Err(why) => errors.push(why.clone()),
            Ok(subject) if errors.is_empty() => {
                let protocol = test.protocol.clone().unwrap_or_default();
                for (list, wanted) in [(&test.accept, true), (&test.deny, false)] {
                    for dst in list {
                        match self.reaches(r, subject, dst, protocol) {
                            Err(why) => errors.push(format!("{dst}: {why}")),
                            Ok(allowed) if allowed != wanted => {
                                let word = |a: bool| if a { "allowed" } else { "denied" };
                                errors.push(format!(
                                    "{} -> {dst}: want {}, got {}",
                                    test.src,
                                    word(wanted),
                                    word(allowed)
                                ));
                            }
                            Ok(_) => {}
                        }
                    }
                }
            }
            Ok(_) => {}
        }
        TestResult { src: test.src.clone(), failed: !errors.is_empty(), errors }
    }

    /// Whether all of the subject reaches the destination at its port.
    fn reaches(&self, r: &Resolver<'_>, subject: &Subject, dst: &str, protocol: Option<u8>) -> Result<bool, String> {
        let to = test_target(r, dst)?;
        let protocols: &[u8] = match &protocol {
            Some(p) => std::slice::from_ref(p),
            None => &DEFAULT_PROTOCOLS,
        };
        let port = to.ports[0];
        let set = r.set(&to.to);
        if to.to == Selector::Auto(AutoGroup::Own) {
            let Some(person) = subject.person else { return Err("autogroup:self needs a user as src".into()) };
            return Ok(self.own_reach(r, subject, person, port, protocols));
        }
        let virtual_dst = set.is_empty();
        if virtual_dst && !is_identity(&to.to) {
            return Err("it means no address".into());
        }
        let one = |ip: Option<IpAddr>| {
            self.rules.rules.iter().filter(|rule| rule.via.is_empty() && from_subject(r, self, rule, subject, ip)).any(
                |rule| {
                    rule.entries.iter().any(|e| match e {
                        Entry::Ports { protocol, to: d, ports, .. } => {
                            let reached = d.is_any()
                                || d.selector == to.to
                                || set.prefixes().iter().any(|p| !d.is_internet() && d.set.overlaps(*p));
                            reached && lets(*protocol, ports, protocols, port)
                        }
                        _ => false,
                    })
                },
            )
        };
        Ok(if subject.ips.is_empty() { one(None) } else { subject.ips.iter().all(|ip| one(Some(*ip))) })
    }

    fn own_reach(&self, r: &Resolver<'_>, subject: &Subject, person: usize, port: PortRange, protocols: &[u8]) -> bool {
        let theirs = r.set(&Selector::Auto(AutoGroup::Member));
        let one = |ip: Option<IpAddr>| {
            self.rules.rules.iter().filter(|rule| rule.via.is_empty() && from_subject(r, self, rule, subject, ip)).any(
                |rule| {
                    rule.entries.iter().any(|e| match e {
                        Entry::OwnPorts { protocol, ports, .. } => lets(*protocol, ports, protocols, port),
                        Entry::Ports { protocol, to, ports, .. } => {
                            let own = self
                                .own
                                .get(person)
                                .into_iter()
                                .flatten()
                                .filter_map(|i| self.net.machines.get(*i as usize));
                            let hit = own.flat_map(|m| &m.ips).any(|ip| theirs.contains(*ip) && to.set.contains(*ip));
                            (to.is_any() || hit) && lets(*protocol, ports, protocols, port)
                        }
                        _ => false,
                    })
                },
            )
        };
        if subject.ips.is_empty() { one(None) } else { subject.ips.iter().all(|ip| one(Some(*ip))) }
    }

    fn ssh_test(&self, r: &Resolver<'_>, test: &SshTest) -> SshTestResult {
        let mut errors = Vec::new();
        if test.accept.is_empty() && test.deny.is_empty() && test.check.is_empty() {
            errors.push("neither accept, deny nor check is given".into());
        }
        let subject = subject(r, &test.src);
        let ips = match &subject {
            Err(why) => {
                errors.push(why.clone());
                Vec::new()
            }
            Ok(s) => s.ips.clone(),
        };
        let mut machines = SortedSet::new();
        for dst in &test.dst {
            match self.ssh_machines(r, dst, subject.as_ref().ok().and_then(|s| s.person)) {
                Err(why) => errors.push(format!("{}: {why}", dst.value)),
                Ok(found) => machines.extend(found),
            }
        }
        if errors.is_empty() && ips.is_empty() {
            errors.push(format!("{:?} has no devices", test.src));
        }
        if errors.is_empty() {
            for machine in machines {
                self.ssh_logins(test, &ips, machine, &mut errors);
            }
        }
        TestResult { src: test.src.clone(), failed: !errors.is_empty(), errors }
    }

    fn ssh_logins(&self, test: &SshTest, ips: &[IpAddr], machine: usize, errors: &mut Vec<String>) {
        let name = self.net.machines.get(machine).map_or("", |m| m.name.as_str());
        let rules = self.ssh_rules(machine, "x");
        let login = |ip: &IpAddr, user: &str| {
            let text = ip.to_string();
            let hits: Vec<bool> = rules
                .iter()
                .filter(|rule| rule.principals.iter().any(|p| p.node_ip == text) && may_log_in(&rule.ssh_users, user))
                .map(|rule| rule.action.as_ref().is_some_and(|a| !a.hold_and_delegate.is_empty()))
                .collect();
            (!hits.is_empty(), hits.contains(&true))
        };
        for (users, kind) in [(&test.accept, "accept"), (&test.deny, "deny"), (&test.check, "check")] {
            for user in users {
                let fine = ips.iter().all(|ip| {
                    let (allowed, checked) = login(ip, user);
                    match kind {
                        "accept" => allowed,
                        "deny" => !allowed,
                        _ => checked,
                    }
                }) && !(user.is_empty());
                if !fine {
                    errors.push(format!("{} -> {user:?}@{name}: {kind} does not hold", test.src));
                }
            }
        }
    }

    /// Machines that a destination of an SSH test means.
    fn ssh_machines(
        &self,
        r: &Resolver<'_>,
        dst: &Located<String>,
        person: Option<usize>,
    ) -> Result<Vec<usize>, String> {
        let selector = Selector::parse(&dst.value, dst.at).map_err(|e| e.message)?;
        if selector == Selector::Auto(AutoGroup::Own) {
            let own: Vec<usize> =
                person.and_then(|p| self.own.get(p)).into_iter().flatten().map(|i| *i as usize).collect();
            return if own.is_empty() {
                Err("autogroup:self needs a user with devices as src".into())
            } else {
                Ok(own)
            };
        }
        // Tailscale takes IPv6 addresses here and then finds no host behind them.
        let set = match selector {
            Selector::Net(ipnet::IpNet::V6(_)) => Arc::new(IpSet::default()),
            _ => r.set(&selector),
        };
        let hit = |m: &crate::tailnet::Machine| m.ips.iter().any(|ip| set.contains(*ip));
        let found: Vec<usize> = self.net.machines.iter().enumerate().filter(|(_, m)| hit(m)).map(|(i, _)| i).collect();
        if found.is_empty() { Err("it means no device".into()) } else { Ok(found) }
    }
}

fn lets(rule: Option<u8>, ports: &[PortRange], protocols: &[u8], port: PortRange) -> bool {
    let protocol = match rule {
        None => protocols.iter().any(|p| DEFAULT_PROTOCOLS.contains(p)),
        Some(p) => protocols.contains(&p),
    };
    protocol && ports.iter().any(|r| r.first <= port.first && port.last <= r.last)
}

/// People and things that exist without an address.
fn is_identity(s: &Selector) -> bool {
    matches!(
        s,
        Selector::User(_)
            | Selector::Group(_)
            | Selector::Tag(_)
            | Selector::Domain(_)
            | Selector::Auto(AutoGroup::Member | AutoGroup::Tagged | AutoGroup::Role(_))
    )
}

/// Whether a rule has the subject (at one of its addresses) as a source.
fn from_subject(r: &Resolver<'_>, engine: &Engine, rule: &Rule, subject: &Subject, ip: Option<IpAddr>) -> bool {
    if rule.source.everything {
        return true;
    }
    if let Some(ip) = ip {
        return rule.source.set.contains(ip) || (rule.source.wildcard && r.subnets().iter().any(|s| s.contains(&ip)));
    }
    let Some(selector) = &subject.selector else { return false };
    let written: Vec<&Selector> = match rule.origin.section {
        "grants" => engine
            .policy
            .grants
            .iter()
            .flatten()
            .nth(rule.origin.index)
            .map(|g| g.src.iter().map(|s| &s.value).collect())
            .unwrap_or_default(),
        _ => engine
            .policy
            .acls
            .iter()
            .flatten()
            .nth(rule.origin.index)
            .map(|a| a.src.iter().map(|s| &s.value).collect())
            .unwrap_or_default(),
    };
    !engine.policy.has_rules()
        || written.into_iter().any(|w| {
            let people = r.people(selector);
            let tagged = matches!(selector, Selector::Tag(_) | Selector::Auto(AutoGroup::Tagged));
            *w == Selector::Any
                || w == selector
                || (tagged && *w == Selector::Auto(AutoGroup::Tagged))
                || (!people.is_empty() && people.is_subset(&r.people(w)))
        })
}

fn subject(r: &Resolver<'_>, text: &str) -> Result<Subject, String> {
    let selector = Selector::parse(text, 0).map_err(|e| e.message)?;
    defined(r, &selector)?;
    let set = r.set(&selector);
    let people = r.people(&selector);
    let person = match (&selector, people.len()) {
        (Selector::User(_), 1) => people.first().copied(),
        _ => None,
    };
    let ips = match &selector {
        // A prefix is tested at its first address, `*` at every device.
        Selector::Any => r.net.machines.iter().flat_map(|m| m.ips.iter().copied()).collect(),
        Selector::Net(net) => vec![net.network()],
        Selector::Host(_) => set.prefixes().iter().map(|p| p.network()).collect(),
        _ => set.addresses(SUBJECT_MAX),
    };
    if ips.is_empty() && !(is_identity(&selector) && (matches!(selector, Selector::Tag(_)) || !people.is_empty())) {
        return Err(format!("src {text:?} means nobody"));
    }
    Ok(Subject { ips, person, selector: Some(selector) })
}

/// Addresses of one source that are tested at most.
const SUBJECT_MAX: usize = 4096;

fn defined(r: &Resolver<'_>, s: &Selector) -> Result<(), String> {
    let found = match s {
        Selector::User(u) => r.person(u).is_some(),
        Selector::Group(g) => r.policy.groups.contains_key(g) || g.contains('@'),
        Selector::Tag(t) => r.policy.tag_owners.contains_key(t),
        Selector::Host(h) => r.policy.hosts.contains_key(h),
        Selector::IpSet(i) => r.policy.ip_sets.contains_key(i),
        _ => true,
    };
    if found { Ok(()) } else { Err(format!("{:?} is not known", s.to_string())) }
}

/// One host at one port.
fn test_target(r: &Resolver<'_>, text: &str) -> Result<Target, String> {
    let t = target(Located { at: 0, value: text.to_owned() }).map_err(|e| e.message)?;
    defined(r, &t.to)?;
    if t.ports.len() != 1 || t.ports[0].first != t.ports[0].last {
        return Err("a test names one port".into());
    }
    let net = match &t.to {
        Selector::Net(n) if text.contains('/') => Some(*n),
        Selector::Host(h) => r.policy.hosts.get(h).copied().filter(|n| n.prefix_len() < n.max_prefix_len()),
        _ => None,
    };
    if net.is_some() {
        return Err("a test names one host, not a range".into());
    }
    if t.to == Selector::Auto(AutoGroup::Internet) {
        return Err("autogroup:internet cannot be tested".into());
    }
    Ok(t)
}

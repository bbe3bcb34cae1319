//! A policy file in force: the engine of `hearthgate-policy` applied to the world's users and nodes.

use crate::{ClassId, Node, NodeId, Policy, Settings, User, UserId, is_exit_route, policy::Facts};
use hearthgate_policy::{
    Comparison, Engine, Machine, Person, Policy as PolicyFile, Refusal, Role, TESTS_FAILED, Tailnet, TestReport,
};
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_tailcfg::{CapMap, FilterRule, SshAction, SshPolicy, TAILNET};
use ipnet::IpNet;
use std::{collections::HashMap, sync::Arc};

/// A policy file applied to the tailnet.
#[derive(Debug)]
pub struct Enforced {
    engine: Engine,
    at: HashMap<NodeId, usize>,
    server_url: String,
}

/// A policy applied anew, nodes that need a whole map, nodes whose own part changed.
pub(crate) type Refreshed = (Arc<Enforced>, Vec<NodeId>, Vec<NodeId>);

/// Why a policy was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// Tailscale would refuse the text.
    #[error("{0}")]
    Refused(Refusal),
    /// Its own tests fail.
    #[error("{}", explain_tests(.0))]
    Tests(TestReport),
}

fn explain_tests(report: &TestReport) -> String {
    let failed = report.tests.iter().chain(&report.ssh_tests).filter(|t| t.failed);
    let lines: Vec<&str> = failed.flat_map(|t| t.errors.iter().map(String::as_str)).collect();
    format!("{TESTS_FAILED}\n{}", lines.join("\n"))
}

impl Enforced {
    /// Applies a policy text. With `tests`, its own tests have to pass.
    ///
    /// # Errors
    /// It would be refused at Tailscale, or a test fails.
    pub fn new(text: &str, facts: &Facts<'_>, tests: bool) -> Result<Self, PolicyProblem> {
        let policy = PolicyFile::parse(text).map_err(PolicyProblem::Refused)?;
        let (net, at) = tailnet(facts);
        policy.check_for(&net).map_err(PolicyProblem::Refused)?;
        let engine = Engine::new(Arc::new(policy), Arc::new(net));
        if tests {
            let report = engine.run_tests();
            if !report.passed() {
                return Err(PolicyProblem::Tests(report));
            }
        }
        Ok(Self { engine, at, server_url: facts.settings.server_url.clone() })
    }

    /// The engine, for questions.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// This policy, with class numbers that none of `old` has.
    #[must_use]
    pub fn after(self, old: &Self) -> Self {
        let engine = old.engine.under(self.engine.policy().clone(), self.engine.tailnet().clone());
        Self { engine, ..self }
    }

    /// Applies the policy again after nodes or people changed; `None` when nothing follows. Also: nodes that need a
    /// whole map, and nodes whose own part (filter, SSH rules, attributes) changed.
    pub(crate) fn refresh(&self, facts: &Facts<'_>, changed: &SortedSet<NodeId>, people: bool) -> Option<Refreshed> {
        let owners: SortedMap<UserId, usize> = facts.users.keys().enumerate().map(|(i, id)| (*id, i)).collect();
        let known = |id: &NodeId| self.at.get(id).and_then(|i| self.engine.tailnet().machines.get(*i));
        let same = |id: &NodeId| match ((facts.node)(*id), known(id)) {
            (Some(node), Some(old)) => machine(&node, &owners) == **old,
            (None, None) => true,
            _ => false,
        };
        let people = people && facts.users.values().map(person).ne(self.engine.tailnet().people.iter().cloned());
        if !people && changed.iter().all(same) {
            return None;
        }
        let (net, at) = self.tailnet_again(facts, changed, people, &owners);
        let engine = self.engine.on(Arc::new(net));
        let (mut whole, mut own) = (Vec::new(), Vec::new());
        let changes = Comparison::new(&engine, &self.engine);
        for (id, now) in &at {
            let Some(before) = self.at.get(id).copied() else { continue };
            if engine.class_of(*now) != self.engine.class_of(before) {
                whole.push(*id);
            } else if changes.own_part_changed(*now, before) {
                own.push(*id);
            }
        }
        whole.sort_unstable();
        own.sort_unstable();
        let next = Arc::new(Self { engine, at, server_url: facts.settings.server_url.clone() });
        Some((next, whole, own))
    }

    /// The tailnet with the nodes that did not change taken over as they are.
    fn tailnet_again(
        &self,
        facts: &Facts<'_>,
        changed: &SortedSet<NodeId>,
        people: bool,
        owners: &SortedMap<UserId, usize>,
    ) -> (Tailnet, HashMap<NodeId, usize>) {
        let old = self.engine.tailnet();
        if people {
            return tailnet(facts);
        }
        let nodes = (facts.nodes)();
        let at: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(i, n)| (n.id, i)).collect();
        let known = |id: &NodeId| self.at.get(id).filter(|_| !changed.contains(id)).and_then(|i| old.machines.get(*i));
        let same = |n: &Arc<Node>| known(&n.id).cloned().unwrap_or_else(|| Arc::new(machine(n, owners)));
        let machines = nodes.iter().map(same).collect();
        let (people, domains, extra_ranges) = (old.people.clone(), old.domains.clone(), old.extra_ranges.clone());
        (Tailnet { people, machines, domains, extra_ranges }, at)
    }

    /// What happens to a login from one node at another; `None` is a refusal. A check carries the time that an approval
    /// holds as its session duration.
    pub(crate) fn ssh_action(&self, from: &Node, to: &Node, login: &str) -> Option<SshAction> {
        self.engine.ssh_action(self.machine(from)?, self.machine(to)?, login, &self.server_url)
    }

    /// Pools that the IPv4 address of a new node is to come from.
    pub(crate) fn pools_for(&self, user: UserId, tags: &[String]) -> Vec<IpNet> {
        let net = self.engine.tailnet();
        let owner = net.people.iter().position(|p| p.id == user.0);
        self.engine.policy().pools_for(net, &Machine { owner, tags: tags.to_vec(), ..Machine::default() })
    }

    fn machine(&self, node: &Node) -> Option<usize> {
        self.at.get(&node.id).copied()
    }
}

/// The people and nodes as the engine knows them.
fn tailnet(facts: &Facts<'_>) -> (Tailnet, HashMap<NodeId, usize>) {
    let people: Vec<Person> = facts.users.values().map(person).collect();
    let owners: SortedMap<UserId, usize> = facts.users.keys().enumerate().map(|(i, id)| (*id, i)).collect();
    let nodes = (facts.nodes)();
    let at = nodes.iter().enumerate().map(|(i, n)| (n.id, i)).collect();
    let machines = nodes.iter().map(|n| Arc::new(machine(n, &owners))).collect();
    let mut domains: Vec<String> =
        people.iter().filter_map(|p| p.email.rsplit_once('@').map(|(_, d)| d.to_owned())).collect();
    domains.push(facts.settings.base_domain.clone());
    let extra = [facts.settings.prefix_v4.map(IpNet::V4), facts.settings.prefix_v6.map(IpNet::V6)];
    let net = Tailnet { people, machines, domains: Some(domains), extra_ranges: own_ranges(extra) };
    (net, at)
}

/// The people and nodes as the engine knows them, for a policy that is not in force.
#[must_use]
pub fn tailnet_of(facts: &Facts<'_>) -> Tailnet {
    tailnet(facts).0
}

/// Ranges that lie outside Tailscale's own.
fn own_ranges(ranges: [Option<IpNet>; 2]) -> Vec<IpNet> {
    let inside = |r: &IpNet| TAILNET.iter().any(|u| u.contains(r));
    ranges.into_iter().flatten().filter(|r| !inside(r)).collect()
}

fn person(user: &User) -> Person {
    Person {
        id: user.id.0,
        name: user.name.clone(),
        email: user.email.clone(),
        provider_id: user.provider_id.clone(),
        role: Role::parse(&user.role),
        groups: user.groups.clone(),
    }
}

fn machine(node: &Node, owners: &SortedMap<UserId, usize>) -> Machine {
    let (exits, subnets): (Vec<IpNet>, Vec<IpNet>) = node.enabled_routes().partition(is_exit_route);
    Machine {
        name: node.given_name.clone(),
        owner: owners.get(&node.user).copied(),
        tags: node.tags.clone(),
        ips: node.ips().collect(),
        subnets,
        exit: exits.len() == 2,
        attributes: node.posture(),
    }
}

impl Policy for Enforced {
    fn class_of(&self, viewer: &Node) -> ClassId {
        // A node that waits for approval, or is not applied yet, sees nobody.
        self.machine(viewer).and_then(|m| self.engine.class_of(m)).map_or(ClassId::NOBODY, ClassId)
    }
    fn sees(&self, viewer: ClassId, peer: &Node) -> bool {
        self.machine(peer).is_some_and(|m| self.engine.sees(viewer.0, m))
    }
    fn routes(&self, viewer: ClassId, peer: &Node, serving: Vec<IpNet>) -> Vec<IpNet> {
        self.machine(peer).map_or_else(Vec::new, |m| self.engine.routes_for(viewer.0, m, &serving))
    }
    fn peer_capabilities(&self, peer: &Node, exit: bool) -> CapMap {
        self.machine(peer).map_or_else(CapMap::new, |m| self.engine.peer_capabilities(m, exit))
    }
    fn filters(&self, node: &Node) -> Vec<FilterRule> {
        self.machine(node).map_or_else(Vec::new, |m| self.engine.filter(m))
    }
    fn ssh(&self, node: &Node) -> Option<SshPolicy> {
        // Said even when it is empty: absence would not revoke what a client has.
        let rules = self.machine(node).map_or_else(Vec::new, |m| self.engine.ssh_rules(m, &self.server_url));
        Some(SshPolicy { rules })
    }
    fn may_use_tag(&self, user: &User, tag: &str) -> bool {
        let net = self.engine.tailnet();
        let person = net.people.iter().position(|p| p.id == user.id.0);
        person.is_some_and(|p| self.engine.policy().may_use_tag(net, p, tag))
    }
    fn auto_approves(&self, node: &Node, route: IpNet) -> bool {
        let net = self.engine.tailnet();
        let owner = net.people.iter().position(|p| p.id == node.user.0);
        let machine = Machine { owner, tags: node.tags.clone(), ..Machine::default() };
        self.engine.policy().auto_approves(net, &machine, route)
    }
    fn hides_ipv4(&self, node: &Node) -> bool {
        self.machine(node).is_some_and(|m| self.engine.hides_ipv4(m))
    }
    fn self_capabilities(&self, node: &Node) -> CapMap {
        self.machine(node).map_or_else(CapMap::new, |m| self.engine.node_attributes(m))
    }
}

/// The policy when none was good: everybody reaches their own devices and nothing else.
pub(crate) const OWN_DEVICES_ONLY: &str =
    r#"{"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}]}"#;

/// Settings that a policy depends on.
pub(crate) fn depends_on(old: &Settings, new: &Settings) -> bool {
    old.server_url != new.server_url || old.prefix_v4 != new.prefix_v4 || old.prefix_v6 != new.prefix_v6
}

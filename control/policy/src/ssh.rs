//! SSH rules of one machine (`tailcfg.SSHPolicy`): who may log in as whom.
//!
//! Rules that ask for a check come first, as the strictest. `localpart:*@domain` gives each person the login of
//! their mail address, in a rule of their own behind the common one.

use crate::{
    check::local_part_domain,
    engine::Engine,
    ipset::{Builder, IpSet},
    policy::CheckPeriod,
    resolve::Resolver,
    selector::{AutoGroup, Selector},
};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{SshAction, SshPrincipal, SshRule};
use std::net::IpAddr;

/// How long an approval holds when the policy does not say: 12 hours, in nanoseconds.
const CHECK_PERIOD: i64 = 12 * 3_600_000_000_000;
/// Where a client asks about a session that needs a check; the client fills in the variables.
const ACTION_PATH: &str =
    "/machine/ssh/action/from/$SRC_NODE_ID/to/$DST_NODE_ID?ssh_user=$SSH_USER&local_user=$LOCAL_USER";
/// Addresses that one rule names as sources at most.
const PRINCIPALS_MAX: usize = 65_536;

/// All rules of the `ssh` section, resolved.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SshRules {
    rules: Vec<Resolved>,
}

#[derive(Debug, PartialEq)]
struct Resolved {
    index: usize,
    src: IpSet,
    dst: IpSet,
    own: bool,
    others: bool,
    users: SortedMap<String, String>,
    /// A login for people with a mail address of one of these domains.
    has_local_part: bool,
    local_parts: SortedMap<usize, String>,
    recorders: Vec<String>,
}

pub(crate) fn compile_ssh(r: &Resolver<'_>) -> SshRules {
    let mut rules = Vec::new();
    for (index, rule) in r.policy.ssh.iter().enumerate() {
        let mut src = Builder::default();
        rule.src.iter().for_each(|s| src.set(&r.set(&s.value)));
        let mut src = src.build();
        if !rule.posture.is_empty() {
            let fits = |m: &crate::tailnet::Machine| {
                rule.posture
                    .iter()
                    .filter_map(|n| r.policy.postures.get(n))
                    .any(|p| p.iter().all(|a| a.holds(&m.attributes)))
            };
            let mut kept = Builder::default();
            let machines = r.net.machines.iter().filter(|m| fits(m));
            machines.flat_map(|m| &m.ips).filter(|ip| src.contains(**ip)).for_each(|ip| kept.ip(*ip));
            src = kept.build();
        }
        if src.is_empty() {
            continue;
        }
        let is_own = |s: &Selector| *s == Selector::Auto(AutoGroup::Own);
        let mut dst = Builder::default();
        rule.dst.iter().filter(|d| !is_own(&d.value)).for_each(|d| dst.set(&r.set(&d.value)));
        let mut users = SortedMap::new();
        let mut local_parts = SortedMap::new();
        users.insert("root".to_owned(), String::new());
        for user in &rule.users {
            if user == "autogroup:nonroot" {
                users.insert("*".into(), "=".into());
            } else if let Some(domain) = local_part_domain(user) {
                for (i, p) in r.net.people.iter().enumerate() {
                    if let Some(local) =
                        p.local_part().filter(|_| p.domain().is_some_and(|d| d.eq_ignore_ascii_case(domain)))
                    {
                        local_parts.insert(i, local.to_owned());
                    }
                }
            } else {
                users.insert(user.clone(), user.clone());
            }
        }
        let port = |ip: &IpAddr| std::net::SocketAddr::new(*ip, RECORDER_PORT).to_string();
        rules.push(Resolved {
            index,
            src,
            dst: dst.build(),
            own: rule.dst.iter().any(|d| is_own(&d.value)),
            others: rule.dst.iter().any(|d| !is_own(&d.value)),
            users,
            has_local_part: rule.users.iter().any(|u| local_part_domain(u).is_some()),
            local_parts,
            recorders: rule
                .recorder
                .iter()
                .flat_map(|s| r.set(&s.value).addresses(RECORDERS_MAX))
                .map(|ip| port(&ip))
                .collect(),
        });
    }
    SshRules { rules }
}

/// Port of a session recorder.
const RECORDER_PORT: u16 = 80;
/// Recorders named in one rule at most.
const RECORDERS_MAX: usize = 64;

fn principals(ips: impl IntoIterator<Item = IpAddr>) -> Vec<SshPrincipal> {
    ips.into_iter().map(|ip| SshPrincipal { node_ip: ip.to_string(), ..SshPrincipal::default() }).collect()
}

impl Engine {
    /// Whether the policy has any SSH rules.
    #[must_use]
    pub fn has_ssh(&self) -> bool {
        !self.policy.ssh.is_empty()
    }

    /// SSH rules of a machine. `base` is the URL of the server, for checks.
    #[must_use]
    pub fn ssh_rules(&self, machine: usize, base: &str) -> Vec<SshRule> {
        let Some(m) = self.net.machines.get(machine) else { return Vec::new() };
        let mut out: Vec<(bool, SshRule)> = Vec::new();
        for rule in &self.ssh.rules {
            let is_dst = m.ips.iter().any(|ip| rule.dst.contains(*ip));
            let is_src = m.ips.iter().any(|ip| rule.src.contains(*ip));
            let mut emit = |who: Vec<SshPrincipal>, person: Option<usize>| self.emit(&mut out, rule, who, person, base);
            if let Some(person) = m.person().filter(|_| rule.own) {
                emit(self.sources_of(rule, person), Some(person));
            }
            if !rule.others {
                continue;
            }
            if is_dst && !rule.has_local_part {
                emit(principals(rule.src.addresses(PRINCIPALS_MAX)), None);
            } else if is_dst {
                let mut people: Vec<usize> = (0..self.net.people.len()).collect();
                hearthgate_sorted::sort_by_key(&mut people, |p| self.net.people[*p].id);
                for person in people {
                    emit(self.sources_of(rule, person), Some(person));
                }
                let tagged = self.net.machines.iter().filter(|m| !m.tags.is_empty());
                emit(principals(ips_of(tagged.filter(|m| m.ips.iter().any(|ip| rule.src.contains(*ip))))), None);
            } else if rule.has_local_part && is_src {
                // A source that is no destination gets the rule for its own owner.
                match m.person() {
                    Some(person) => emit(self.sources_of(rule, person), Some(person)),
                    None => emit(principals(ips_of([m])), None),
                }
            }
        }
        hearthgate_sorted::sort_by_key(&mut out, |(check, _)| !check);
        out.into_iter().map(|(_, rule)| rule).collect()
    }

    /// Addresses of a person's devices that a rule has as sources.
    fn sources_of(&self, rule: &Resolved, person: usize) -> Vec<SshPrincipal> {
        let own = self.own.get(person).into_iter().flatten().filter_map(|i| self.net.machines.get(*i as usize));
        principals(ips_of(own.filter(|m| m.ips.iter().any(|ip| rule.src.contains(*ip)))))
    }

    fn emit(
        &self,
        out: &mut Vec<(bool, SshRule)>,
        rule: &Resolved,
        who: Vec<SshPrincipal>,
        person: Option<usize>,
        base: &str,
    ) {
        let Some(written) = self.policy.ssh.get(rule.index).filter(|_| !who.is_empty()) else { return };
        let check = written.action == "check";
        let mut action = SshAction {
            accept: !check,
            allow_agent_forwarding: true,
            allow_local_port_forwarding: true,
            allow_remote_port_forwarding: true,
            recorders: rule.recorders.clone(),
            ..SshAction::default()
        };
        if check {
            action.hold_and_delegate = format!("{base}{ACTION_PATH}");
            action.session_duration = self.check_period(rule.index);
        }
        let made = |users: SortedMap<String, String>| SshRule {
            principals: who.clone(),
            ssh_users: users,
            action: Some(action.clone()),
            accept_env: written.accept_env.clone(),
            ..SshRule::default()
        };
        out.push((check, made(rule.users.clone())));
        if let Some(local) = person.and_then(|p| rule.local_parts.get(&p)) {
            out.push((check, made(SortedMap::from([(local.clone(), local.clone())]))));
        }
    }

    /// The action of the first rule under which one machine may log in at another as `user`; `None` without one.
    #[must_use]
    pub fn ssh_action(&self, from: usize, to: usize, user: &str, base: &str) -> Option<SshAction> {
        let ips: Vec<String> = self.net.machines.get(from)?.ips.iter().map(ToString::to_string).collect();
        let fits = |rule: &SshRule| {
            rule.principals.iter().any(|p| ips.contains(&p.node_ip)) && may_log_in(&rule.ssh_users, user)
        };
        self.ssh_rules(to, base).into_iter().find(fits).and_then(|rule| rule.action)
    }

    /// How long an approval under a rule of the `ssh` section holds, in nanoseconds; 0 is not at all.
    #[must_use]
    pub fn check_period(&self, rule: usize) -> i64 {
        match self.policy.ssh.get(rule).and_then(|r| r.check_period) {
            None => CHECK_PERIOD,
            Some(CheckPeriod::Always) => 0,
            Some(CheckPeriod::For(ns)) => ns,
        }
    }
}

/// Whether `SSHUsers` let somebody log in.
pub(crate) fn may_log_in(users: &SortedMap<String, String>, user: &str) -> bool {
    match users.get(user) {
        _ if user.is_empty() => false,
        Some(local) => !local.is_empty(),
        None => user != "root" && users.get("*").is_some_and(|l| !l.is_empty()),
    }
}

fn ips_of<'a>(machines: impl IntoIterator<Item = &'a std::sync::Arc<crate::tailnet::Machine>>) -> Vec<IpAddr> {
    let mut b = Builder::default();
    machines.into_iter().flat_map(|m| &m.ips).for_each(|ip| b.ip(*ip));
    b.build().addresses(PRINCIPALS_MAX)
}

//! What parsing cannot see: names that must exist, selectors that must not stand where they stand.
//!
//! The order of the checks is part of the interface: the first refusal is the one that is told. The wording is
//! Tailscale's where it is known.

use crate::{
    Refusal, go_duration,
    people::PeopleIndex,
    policy::{CheckPeriod, Located, Policy, Selectors, Ssh, SshTest},
    ports::{ALL_PORTS, has_ports, protocol_name},
    selector::{AutoGroup, Role, Selector, check_tag},
    tailnet::Tailnet,
};

/// The longest checkPeriod: 168 hours, in nanoseconds.
const CHECK_PERIOD_MAX: i64 = 168 * 3_600_000_000_000;
/// Capabilities of Tailscale's own that a grant may give.
const TAILSCALE_CAPS: [&str; 6] = ["drive", "relay", "webui", "kubernetes", "tsidp", "secrets"];
/// What refuses an app connector's grants and others of Tailscale's own domain.
const TAILSCALE_DOMAIN: &str = "tailscale.com/";

type Checked = Result<(), Refusal>;

/// Checks everything that needs no topology.
pub(crate) fn check(policy: &Policy) -> Checked {
    for rule in policy.acls.iter().flatten() {
        sources(policy, &rule.src, "src=")?;
        for target in &rule.dst {
            let shown = Located { at: target.at, value: target.to.clone() };
            known(policy, &shown, &format!("dst={:?}: ", target.to.to_string()))?;
            destination(&shown)?;
            if !has_ports(rule.protocol) && target.ports != [ALL_PORTS] {
                let name = protocol_name(rule.protocol.unwrap_or_default());
                return refuse(
                    target.at,
                    format!("protocol does not support specific ports: {name:?}, only \"*\" is allowed"),
                );
            }
        }
        let own = rule.dst.iter().any(|t| t.to == Selector::Auto(AutoGroup::Own));
        own_sources(own, &rule.src, true)?;
        postures(policy, &rule.posture, rule.at)?;
    }
    ssh_rules(policy)?;
    grants(policy)?;
    for attr in &policy.node_attrs {
        for target in &attr.target {
            known(policy, target, "")?;
            if let Selector::Auto(AutoGroup::Own | AutoGroup::Internet | AutoGroup::DangerAll | AutoGroup::NonRoot) =
                target.value
            {
                return refuse(target.at, format!("{:?} not valid as a nodeAttrs target", target.value.to_string()));
            }
        }
    }
    let approvers = policy.route_approvers.iter().flat_map(|(_, s)| s).chain(&policy.exit_approvers);
    for owner in policy.tag_owners.values().flatten().chain(approvers) {
        known(policy, owner, "")?;
        if matches!(owner.value, Selector::Net(_) | Selector::Any | Selector::Host(_) | Selector::IpSet(_)) {
            return refuse(owner.at, format!("{:?} is not a user, group, tag or autogroup", owner.value.to_string()));
        }
    }
    for part in policy.ip_sets.values().flatten() {
        known(policy, &part.what, "")?;
    }
    postures(policy, &policy.default_posture, 0)?;
    policy.ssh_tests.iter().try_for_each(|t| ssh_test(policy, t))
}

fn refuse(at: usize, message: impl Into<String>) -> Checked {
    Err(Refusal::new(at, message))
}

/// Whether what a selector names is defined.
fn known(policy: &Policy, s: &Located<Selector>, prefix: &str) -> Checked {
    match &s.value {
        Selector::Group(g) if !policy.groups.contains_key(g) && !g.contains('@') => {
            refuse(s.at, format!("{prefix}group not found: {g:?}"))
        }
        Selector::Tag(t) if !policy.tag_owners.contains_key(t) => refuse(s.at, format!("{prefix}tag not found: {t:?}")),
        Selector::Host(h) if !policy.hosts.contains_key(h) => refuse(s.at, format!("{prefix}host not found: {h:?}")),
        Selector::IpSet(i) if !policy.ip_sets.contains_key(i) => {
            refuse(s.at, format!("{prefix}ipset not found: {i:?}"))
        }
        _ => Ok(()),
    }
}

fn sources(policy: &Policy, src: &Selectors, prefix: &str) -> Checked {
    for s in src {
        known(policy, s, prefix)?;
        if let Selector::Auto(AutoGroup::Own | AutoGroup::Internet | AutoGroup::NonRoot) = s.value {
            return refuse(s.at, format!("{:?} not valid on the src side of a rule", s.value.to_string()));
        }
    }
    Ok(())
}

fn destination(s: &Located<Selector>) -> Checked {
    match s.value {
        Selector::Auto(AutoGroup::DangerAll) => refuse(s.at, "cannot use autogroup:danger-all as a dst"),
        Selector::Auto(AutoGroup::NonRoot) => refuse(s.at, "\"autogroup:nonroot\" not valid on the dst side of a rule"),
        _ => Ok(()),
    }
}

/// `autogroup:self` needs sources that are people; `*` will do in `acls`, where only people are taken from it.
fn own_sources(own: bool, src: &Selectors, any: bool) -> Checked {
    let fits = |s: &Selector| match s {
        Selector::User(_)
        | Selector::Group(_)
        | Selector::Domain(_)
        | Selector::Auto(AutoGroup::Member | AutoGroup::Role(_)) => true,
        Selector::Any => any,
        _ => false,
    };
    match src.iter().find(|s| own && !fits(&s.value)) {
        Some(s) => refuse(s.at, "autogroup:self can only be used with users, groups, or supported autogroups"),
        None => Ok(()),
    }
}

fn postures(policy: &Policy, names: &[String], at: usize) -> Checked {
    match names.iter().find(|n| !policy.postures.contains_key(*n)) {
        Some(name) => refuse(at, format!("posture not found: {name:?}")),
        None => Ok(()),
    }
}

fn grants(policy: &Policy) -> Checked {
    for grant in policy.grants.iter().flatten() {
        let app = grant.app.as_ref().filter(|a| !a.is_empty());
        if grant.ip.is_empty() && app.is_none() {
            return refuse(grant.at, "ip and app can not both be empty");
        }
        for name in app.iter().flat_map(|a| a.keys()) {
            capability_name(name).or_else(|why| refuse(grant.at, why))?;
        }
        let internet = grant.dst.iter().find(|d| d.value == Selector::Auto(AutoGroup::Internet));
        if let (Some(d), true) = (internet, app.is_some()) {
            return refuse(d.at, "cannot use app grants with autogroup:internet");
        }
        for d in &grant.dst {
            if let Selector::Net(net) = d.value
                && net.prefix_len() == 0
            {
                return refuse(
                    d.at,
                    format!(
                        "dst {:?}: to allow all IP addresses, use \"*\" or \"autogroup:internet\"",
                        net.to_string()
                    ),
                );
            }
        }
        sources(policy, &grant.src, "src=")?;
        for d in &grant.dst {
            known(policy, d, "")?;
            destination(d)?;
        }
        if let Some(tag) = grant.via.iter().find(|t| !policy.tag_owners.contains_key(&t.value)) {
            return refuse(tag.at, format!("tag {:?} not found", tag.value));
        }
        let own = grant.dst.iter().any(|d| d.value == Selector::Auto(AutoGroup::Own));
        own_sources(own, &grant.src, false)?;
        postures(policy, &grant.posture, grant.at)?;
    }
    Ok(())
}

fn capability_name(name: &str) -> Result<(), &'static str> {
    let form = "capability name must have the form {domain}/{path}";
    let parts =
        name.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty() && !domain.contains(':'));
    if parts.is_none() || name.contains("://") {
        return Err(form);
    }
    if let Some(rest) = name.strip_prefix(TAILSCALE_DOMAIN) {
        let allowed = rest.strip_prefix("cap/").is_some_and(|c| TAILSCALE_CAPS.contains(&c));
        return if allowed { Ok(()) } else { Err("capability name must not be in the tailscale.com domain") };
    }
    Ok(())
}

fn ssh_rules(policy: &Policy) -> Checked {
    for rule in &policy.ssh {
        if rule.action.is_empty() {
            return refuse(rule.at, "action must be specified");
        }
        if rule.users.is_empty() {
            return refuse(rule.at, "users must be specified");
        }
        if let Some(user) = rule.users.iter().find(|u| u.is_empty() || *u == "*") {
            return refuse(rule.at, format!("user {user:?} is not valid"));
        }
        if rule.accept_env.iter().any(String::is_empty) {
            return refuse(rule.at, "acceptEnv values cannot be empty");
        }
        for s in &rule.src {
            known(policy, s, "")?;
            let bad = matches!(s.value, Selector::Any | Selector::Host(_) | Selector::Net(_) | Selector::IpSet(_));
            let auto = matches!(
                s.value,
                Selector::Auto(AutoGroup::Own | AutoGroup::Internet | AutoGroup::DangerAll | AutoGroup::NonRoot)
            );
            if bad || auto {
                return refuse(s.at, format!("invalid src {:?}", s.value.to_string()));
            }
        }
        for d in &rule.dst {
            let bad = matches!(
                d.value,
                Selector::Any | Selector::Host(_) | Selector::Net(_) | Selector::IpSet(_) | Selector::Group(_)
            );
            let auto =
                matches!(d.value, Selector::Auto(AutoGroup::Internet | AutoGroup::DangerAll | AutoGroup::NonRoot));
            if bad || auto {
                return refuse(d.at, format!("invalid dst {:?}", d.value.to_string()));
            }
            known(policy, d, "")?;
        }
        ssh_pairs(rule)?;
        match rule.check_period {
            Some(_) if rule.action != "check" => {
                return refuse(rule.at, "checkPeriod is only valid with action \"check\"");
            }
            Some(CheckPeriod::For(p)) if p < 0 => {
                return refuse(rule.at, format!("checkPeriod {} must be a positive duration", go_duration::show(p)));
            }
            Some(CheckPeriod::For(p)) if p > CHECK_PERIOD_MAX => {
                return refuse(rule.at, format!("checkPeriod {} is above the max (168h)", go_duration::show(p)));
            }
            _ => {}
        }
        for r in &rule.recorder {
            known(policy, r, "")?;
        }
        postures(policy, &rule.posture, rule.at)?;
    }
    Ok(())
}

/// Tags do not reach people's devices, and a person's devices are reached by that person only.
fn ssh_pairs(rule: &Ssh) -> Checked {
    let tagged = rule.src.iter().any(|s| matches!(s.value, Selector::Tag(_) | Selector::Auto(AutoGroup::Tagged)));
    for d in &rule.dst {
        let name = d.value.to_string();
        match &d.value {
            Selector::User(_) | Selector::Auto(AutoGroup::Own | AutoGroup::Member) if tagged => {
                return refuse(d.at, format!("tags in src cannot access user devices in dst {name:?}"));
            }
            Selector::User(_) if rule.src.iter().any(|s| s.value != d.value) => {
                return refuse(
                    d.at,
                    format!("users in dst are only allowed from the same user: {name:?}; use autogroup:self"),
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// `sshTests` name hosts that can be reached by SSH.
fn ssh_test(policy: &Policy, test: &SshTest) -> Checked {
    if test.src.is_empty() {
        return refuse(test.at, "SSH tests src must be specified");
    }
    if test.dst.is_empty() {
        return refuse(test.at, "SSH tests dst must be specified");
    }
    for d in &test.dst {
        let text = &d.value;
        let disallowed = || refuse(d.at, format!("SSH tests dst contains disallowed element {text:?}"));
        if text.starts_with("tag:") {
            if check_tag(text).is_err() || !policy.tag_owners.contains_key(text) {
                return refuse(d.at, format!("SSH tests dst contains unknown tag {text:?}"));
            }
            continue;
        }
        match Selector::parse(text, d.at).map(|s| host_net(policy, &s).map_or(s, Selector::Net)) {
            Ok(Selector::Net(net)) if net.prefix_len() < net.max_prefix_len() => return disallowed(),
            Ok(Selector::Auto(AutoGroup::Internet | AutoGroup::DangerAll) | Selector::Any) | Err(_) => {
                return disallowed();
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn host_net(policy: &Policy, s: &Selector) -> Option<ipnet::IpNet> {
    match s {
        Selector::Host(h) => policy.hosts.get(h).copied(),
        _ => None,
    }
}

/// Checks what depends on the people of the tailnet.
pub(crate) fn check_people(policy: &Policy, net: &Tailnet) -> Checked {
    if net.people.is_empty() {
        return Ok(());
    }
    let index = PeopleIndex::new(&net.people);
    let associated = |domain: &str| match &net.domains {
        Some(all) => all.iter().any(|d| d.eq_ignore_ascii_case(domain)),
        None => net.owner().and_then(|o| o.domain()).is_some_and(|d| d.eq_ignore_ascii_case(domain)),
    };
    let foreign =
        |d: &str| format!("{d} is not associated with this Tailnet and cannot be used in user:*@<domain> expressions");
    for (section, s) in all_selectors(policy) {
        match &s.value {
            Selector::Domain(d) if !associated(d) => return refuse(s.at, format!("[{section}] {}", foreign(d))),
            Selector::User(u) => ambiguous(net, &index, u).map_or(Ok(()), |text| refuse(s.at, text))?,
            _ => {}
        }
    }
    for user in policy.groups.values().flatten() {
        if let Selector::User(u) = user {
            ambiguous(net, &index, u).map_or(Ok(()), |text| refuse(0, text))?;
        }
    }
    for rule in &policy.ssh {
        let domains = rule.users.iter().filter_map(|u| local_part_domain(u));
        for domain in domains {
            if !associated(domain) {
                return refuse(rule.at, foreign(domain));
            }
        }
    }
    Ok(())
}

/// The domain of `localpart:*@domain`; other texts are plain login names.
pub(crate) fn local_part_domain(user: &str) -> Option<&str> {
    user.strip_prefix("localpart:*@").filter(|d| !d.is_empty())
}

fn ambiguous(net: &Tailnet, index: &PeopleIndex, token: &str) -> Option<String> {
    let matching = index.matching(token);
    // An identity provider's id names one person for certain.
    let bare = token.strip_suffix('@').unwrap_or(token);
    let certain = matching.iter().any(|p| net.people[*p].provider_id == bare);
    (matching.len() > 1 && !certain).then(|| format!("user {token:?} matches {} users", matching.len()))
}

fn all_selectors(policy: &Policy) -> impl Iterator<Item = (&'static str, &Located<Selector>)> {
    let acls = policy.acls.iter().flatten().flat_map(|r| r.src.iter()).map(|s| ("acls", s));
    let grants = policy.grants.iter().flatten().flat_map(|g| g.src.iter().chain(&g.dst)).map(|s| ("grants", s));
    let ssh = policy.ssh.iter().flat_map(|r| r.src.iter().chain(&r.dst)).map(|s| ("ssh", s));
    let attrs = policy.node_attrs.iter().flat_map(|a| &a.target).map(|s| ("nodeAttrs", s));
    let owners = policy.tag_owners.values().flatten().map(|s| ("tagOwners", s));
    acls.chain(grants).chain(ssh).chain(attrs).chain(owners)
}

/// Roles that count as administrators.
pub(crate) fn has_role(actual: Role, wanted: Role) -> bool {
    actual == wanted || (wanted == Role::Admin && actual == Role::Owner)
}

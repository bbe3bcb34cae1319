//! From the tree of a text to a [`Policy`]: the shape of each section. References between sections are `check.rs`.
//!
//! Sections and fields: Tailscale's documentation "Syntax reference for the tailnet policy file".

use crate::{
    Refusal,
    fields::{Fields, array, capabilities, object, selectors, text, texts, wrong_kind},
    go_duration,
    hujson::{self, Kind, Value},
    ipset::parse_net,
    policy::{Acl, CheckPeriod, Grant, IpSetPart, Located, NodeAttr, Policy, Ssh, SshTest, Target, Test},
    ports::{parse_ports, parse_protocol, parse_protocol_ports, split_target},
    posture::Assertion,
    selector::{Selector, check_tag},
};
use hearthgate_sorted::SortedMap;

const SECTIONS: [&str; 18] = [
    "groups",
    "hosts",
    "tagowners",
    "acls",
    "grants",
    "autoapprovers",
    "ssh",
    "nodeattrs",
    "tests",
    "sshtests",
    "postures",
    "defaultsrcposture",
    "ipsets",
    "randomizeclientport",
    "disableipv4",
    "onecgnatroute",
    "derpmap",
    "$schema",
];

/// Reads the shape of a policy; references are not yet checked.
pub(crate) fn parse(source: &str) -> Result<Policy, Refusal> {
    let tree = hujson::parse(source)?;
    let f = Fields::of(&tree, "policy", &SECTIONS)?;
    let mut policy = Policy {
        randomize_client_port: f.flag("randomizeClientPort")?,
        disable_ipv4: f.flag("disableIPv4")?,
        default_posture: f.plain_texts(&["defaultSrcPosture"])?,
        one_cgnat_route: f.text(&["OneCGNATRoute"])?.map(|t| t.value),
        derp_map: f.get(&["derpMap"]).map(derp_map).transpose()?,
        ..Policy::default()
    };
    if let Some(v) = f.get(&["groups"]) {
        policy.groups = groups(v)?;
    }
    if let Some(v) = f.get(&["hosts"]) {
        policy.hosts = hosts(v)?;
    }
    if let Some(v) = f.get(&["tagOwners"]) {
        for m in object(v, "tagOwners")? {
            check_tag(&m.name).map_err(|why| Refusal::new(m.at, format!("tagOwners[{:?}]: {why}", m.name)))?;
            policy.tag_owners.insert(m.name.clone(), selectors(texts(&m.value, "tagOwners")?)?);
        }
    }
    if let Some(v) = f.get(&["postures"]) {
        for m in object(v, "postures")? {
            let parse = |t: Located<String>| Assertion::parse(&t.value).map_err(|why| Refusal::new(t.at, why));
            policy
                .postures
                .insert(m.name.clone(), texts(&m.value, "postures")?.into_iter().map(parse).collect::<Result<_, _>>()?);
        }
    }
    if let Some(v) = f.get(&["ipsets"]) {
        for m in object(v, "ipsets")? {
            let parts = texts(&m.value, "ipsets")?.into_iter().map(ip_set_part).collect::<Result<_, _>>()?;
            policy.ip_sets.insert(m.name.clone(), parts);
        }
    }
    policy.acls = f.get(&["acls"]).map(|v| each(v, "acls", acl)).transpose()?;
    policy.grants = f.get(&["grants"]).map(|v| each(v, "grants", grant)).transpose()?;
    if let Some(v) = f.get(&["autoApprovers"]) {
        auto_approvers(v, &mut policy)?;
    }
    if let Some(v) = f.get(&["ssh"]) {
        policy.ssh = each(v, "ssh", ssh)?;
    }
    if let Some(v) = f.get(&["nodeAttrs"]) {
        policy.node_attrs = each(v, "nodeAttrs", node_attr)?;
    }
    if let Some(v) = f.get(&["tests"]) {
        policy.tests = each(v, "tests", test)?;
    }
    if let Some(v) = f.get(&["sshTests"]) {
        policy.ssh_tests = each(v, "sshTests", ssh_test)?;
    }
    Ok(policy)
}

fn derp_map(value: &Value) -> Result<crate::PolicyDerpMap, Refusal> {
    let json = value.to_json().ok_or_else(|| wrong_kind(value, "derpMap"))?;
    serde_json::from_value(json).map_err(|e| Refusal::new(value.at, format!("derpMap: {e}")))
}

fn each<T>(value: &Value, what: &str, read: impl Fn(&Value) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
    array(value, what)?.iter().map(read).collect()
}

fn groups(value: &Value) -> Result<SortedMap<String, Vec<Selector>>, Refusal> {
    let mut members: Vec<_> = object(value, "groups")?.iter().collect();
    // The last by name is blamed first.
    hearthgate_sorted::sort_by(&mut members, |a, b| b.name.cmp(&a.name));
    let mut out = SortedMap::new();
    for group in members {
        if !group.name.starts_with("group:") {
            return Err(Refusal::new(group.at, format!("group names must start with 'group:', got {:?}", group.name)));
        }
        let mut list = Vec::new();
        for member in texts(&group.value, "groups")? {
            let name = member.value.trim();
            let bad = |why: &str| Err(Refusal::new(member.at, format!("groups[{:?}]: {name:?}: {why}", group.name)));
            match name {
                // A group of the identity provider is written with its domain.
                _ if name.starts_with("group:") && !name.contains('@') => {
                    return bad("group members cannot be recursive");
                }
                _ if name.starts_with("tag:") || name.starts_with("autogroup:") || !name.contains('@') => {
                    return bad("group members must be users");
                }
                _ => list.push(Selector::parse(name, member.at)?),
            }
        }
        out.insert(group.name.clone(), list);
    }
    Ok(out)
}

fn hosts(value: &Value) -> Result<SortedMap<String, ipnet::IpNet>, Refusal> {
    let mut out = SortedMap::new();
    for m in object(value, "hosts")? {
        let address = text(&m.value, "hosts")?;
        if m.name.is_empty() || m.name.contains([':', '@', '/']) || m.name == "*" {
            return Err(Refusal::new(m.at, format!("invalid host name {:?}", m.name)));
        }
        let net = parse_net(address)
            .ok_or_else(|| Refusal::new(m.value.at, format!("hosts[{:?}]: invalid IP address {address:?}", m.name)))?;
        out.insert(m.name.clone(), net);
    }
    Ok(out)
}

fn ip_set_part(t: Located<String>) -> Result<IpSetPart, Refusal> {
    let (word, rest) = t.value.trim().split_once(char::is_whitespace).unwrap_or(("add", t.value.trim()));
    let add = match word {
        "add" => true,
        "remove" => false,
        _ => return Err(Refusal::new(t.at, format!("invalid operation {word:?} in an IP set: use add or remove"))),
    };
    Ok(IpSetPart { add, what: Located { at: t.at, value: Selector::parse(rest, t.at)? } })
}

fn acl(value: &Value) -> Result<Acl, Refusal> {
    let f = Fields::of(value, "acls", &["action", "proto", "src", "dst", "users", "ports", "srcposture"])?;
    let action = f.text(&["action"])?;
    let (at, action) = action.map_or((f.at, String::new()), |a| (a.at, a.value));
    if action != "accept" {
        return Err(Refusal::new(at, format!("action={action:?} is not supported")));
    }
    let proto = f.text(&["proto"])?;
    let protocol = match &proto {
        Some(p) => parse_protocol(&p.value).map_err(|why| Refusal::new(p.at, why))?,
        None => None,
    };
    let dst = f.texts(&["dst", "ports"])?.into_iter().map(target).collect::<Result<_, _>>()?;
    Ok(Acl { at: f.at, protocol, src: f.selectors(&["src", "users"])?, dst, posture: f.plain_texts(&["srcPosture"])? })
}

pub(crate) fn target(t: Located<String>) -> Result<Target, Refusal> {
    let refuse = |why: String| Refusal::new(t.at, format!("dst={:?}: {why}", t.value));
    let (to, ports) = split_target(&t.value).map_err(refuse)?;
    let ports = parse_ports(ports).map_err(refuse)?;
    Ok(Target { at: t.at, to: Selector::parse(&to, t.at)?, ports })
}

fn grant(value: &Value) -> Result<Grant, Refusal> {
    let f = Fields::of(value, "grants", &["src", "dst", "ip", "app", "via", "srcposture"])?;
    let via = f.texts(&["via"])?;
    if let Some(other) = via.iter().find(|v| !v.value.starts_with("tag:")) {
        return Err(Refusal::new(other.at, "via can only be a tag"));
    }
    let ip =
        f.texts(&["ip"])?.into_iter().map(|t| parse_protocol_ports(&t.value).map_err(|why| Refusal::new(t.at, why)));
    Ok(Grant {
        at: f.at,
        ip: ip.collect::<Result<_, _>>()?,
        src: f.selectors(&["src"])?,
        dst: f.selectors(&["dst"])?,
        app: f.get(&["app"]).map(|v| capabilities(v, "app")).transpose()?,
        via,
        posture: f.plain_texts(&["srcPosture"])?,
    })
}

fn auto_approvers(value: &Value, policy: &mut Policy) -> Result<(), Refusal> {
    let f = Fields::of(value, "autoApprovers", &["routes", "exitnode", "services"])?;
    policy.exit_approvers = f.selectors(&["exitNode"])?;
    if let Some(routes) = f.get(&["routes"]) {
        for m in object(routes, "routes")? {
            let net = parse_net(&m.name)
                .ok_or_else(|| Refusal::new(m.at, format!("invalid route {:?} in autoApprovers", m.name)))?;
            policy.route_approvers.push((net, selectors(texts(&m.value, "routes")?)?));
        }
    }
    Ok(())
}

fn ssh(value: &Value) -> Result<Ssh, Refusal> {
    const KNOWN: [&str; 9] =
        ["action", "src", "dst", "users", "checkperiod", "acceptenv", "recorder", "enforcerecorder", "srcposture"];
    let f = Fields::of(value, "ssh", &KNOWN)?;
    let action = f.text(&["action"])?.map_or((f.at, String::new()), |a| (a.at, a.value.trim().to_owned()));
    if !matches!(action.1.as_str(), "" | "accept" | "check") {
        return Err(Refusal::new(action.0, format!("{:?} is not a valid action", action.1)));
    }
    let period = f.text(&["checkPeriod"])?;
    let check_period = match &period {
        None => None,
        Some(p) if p.value == "always" => Some(CheckPeriod::Always),
        Some(p) => Some(CheckPeriod::For(go_duration::parse(&p.value).map_err(|why| Refusal::new(p.at, why))?)),
    };
    Ok(Ssh {
        at: f.at,
        action: action.1,
        src: f.selectors(&["src"])?,
        dst: f.selectors(&["dst"])?,
        users: f.plain_texts(&["users"])?.iter().map(|u| u.trim().to_owned()).collect(),
        check_period,
        accept_env: f.plain_texts(&["acceptEnv"])?,
        recorder: f.selectors(&["recorder"])?,
        enforce_recorder: f.flag("enforceRecorder")?,
        posture: f.plain_texts(&["srcPosture"])?,
    })
}

fn node_attr(value: &Value) -> Result<NodeAttr, Refusal> {
    let f = Fields::of(value, "nodeAttrs", &["target", "attr", "app", "ippool"])?;
    let mut ip_pool = Vec::new();
    for t in f.texts(&["ipPool"])? {
        ip_pool.push(parse_net(&t.value).ok_or_else(|| Refusal::new(t.at, format!("invalid ipPool {:?}", t.value)))?);
        let net = ip_pool[ip_pool.len() - 1];
        if !crate::attrs::pool_allowed(net) {
            return Err(Refusal::new(
                t.at,
                format!("ipPool {net} must be within {TAILNET_V4} and outside Tailscale's reserved ranges"),
            ));
        }
    }
    Ok(NodeAttr {
        target: f.selectors(&["target"])?,
        attr: f.plain_texts(&["attr"])?,
        app: f.get(&["app"]).map(|v| capabilities(v, "app")).transpose()?.unwrap_or_default(),
        ip_pool,
    })
}

fn test(value: &Value) -> Result<Test, Refusal> {
    let f = Fields::of(value, "tests", &["src", "user", "proto", "accept", "allow", "deny", "srcpostureattrs"])?;
    let attrs = match f.get(&["srcPostureAttrs"]) {
        None => SortedMap::new(),
        Some(v) => object(v, "srcPostureAttrs")?
            .iter()
            .map(|m| Ok((m.name.clone(), m.value.to_json().ok_or_else(|| wrong_kind(&m.value, &m.name))?)))
            .collect::<Result<_, Refusal>>()?,
    };
    Ok(Test {
        src: f.text(&["src", "user"])?.map_or_else(String::new, |t| t.value),
        protocol: f.text(&["proto"])?.map_or(Ok(None), |t| parse_protocol(&t.value)),
        accept: f.plain_texts(&["accept", "allow"])?,
        deny: f.plain_texts(&["deny"])?,
        posture_attrs: attrs,
    })
}

fn ssh_test(value: &Value) -> Result<SshTest, Refusal> {
    let f = Fields::of(value, "sshTests", &["src", "dst", "accept", "deny", "check", "srcpostureattrs"])?;
    let users = |name: &str| Ok(f.plain_texts(&[name])?.iter().map(|u| u.trim().to_owned()).collect::<Vec<_>>());
    let dst = match f.get(&["dst"]) {
        // One name may stand without brackets.
        Some(v) if matches!(v.kind, Kind::String(_)) => vec![Located { at: v.at, value: text(v, "dst")?.to_owned() }],
        _ => f.texts(&["dst"])?,
    };
    Ok(SshTest {
        at: f.at,
        src: f.text(&["src"])?.map_or_else(String::new, |t| t.value.trim().to_owned()),
        dst: dst.into_iter().map(|t| Located { at: t.at, value: t.value.trim().to_owned() }).collect(),
        accept: users("accept")?,
        deny: users("deny")?,
        check: users("check")?,
    })
}
use hearthgate_tailcfg::TAILNET_V4;

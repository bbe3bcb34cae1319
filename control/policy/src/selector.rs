//! The names a policy uses for machines and people: users, groups, tags, hosts, addresses, `*`, autogroups, IP sets.

use crate::{Refusal, ipset::parse_net};
use ipnet::IpNet;
use std::fmt;

/// A group that Tailscale keeps by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AutoGroup {
    /// Devices of people.
    Member,
    /// Devices with tags.
    Tagged,
    /// The same person's devices; only as a destination.
    Own,
    /// Public addresses through an exit node; only as a destination.
    Internet,
    /// Every address there is; only as a source.
    DangerAll,
    /// Any login but root; only among the users of an SSH rule.
    NonRoot,
    /// People into whose tailnet a device is shared.
    Shared,
    /// People with a role.
    Role(Role),
}

/// A person's role in the tailnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The one owner.
    Owner,
    /// May do everything but give the tailnet away.
    Admin,
    /// Users and devices.
    ItAdmin,
    /// Policy, DNS, routes.
    NetworkAdmin,
    /// Payment.
    BillingAdmin,
    /// Reads everything.
    Auditor,
    /// Nothing special.
    Member,
}

impl Role {
    /// From the text of a topology or of an administrator; unknown texts are members.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "it-admin" => Self::ItAdmin,
            "network-admin" => Self::NetworkAdmin,
            "billing-admin" => Self::BillingAdmin,
            "auditor" => Self::Auditor,
            _ => Self::Member,
        }
    }
}

const AUTOGROUPS: [(&str, AutoGroup); 15] = [
    ("autogroup:internet", AutoGroup::Internet),
    ("autogroup:member", AutoGroup::Member),
    ("autogroup:members", AutoGroup::Member),
    ("autogroup:nonroot", AutoGroup::NonRoot),
    ("autogroup:tagged", AutoGroup::Tagged),
    ("autogroup:self", AutoGroup::Own),
    ("autogroup:danger-all", AutoGroup::DangerAll),
    ("autogroup:shared", AutoGroup::Shared),
    ("autogroup:admin", AutoGroup::Role(Role::Admin)),
    ("autogroup:owner", AutoGroup::Role(Role::Owner)),
    ("autogroup:it-admin", AutoGroup::Role(Role::ItAdmin)),
    ("autogroup:network-admin", AutoGroup::Role(Role::NetworkAdmin)),
    ("autogroup:billing-admin", AutoGroup::Role(Role::BillingAdmin)),
    ("autogroup:auditor", AutoGroup::Role(Role::Auditor)),
    ("autogroup:admins", AutoGroup::Role(Role::Admin)),
];

/// Which machines, people or addresses are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Selector {
    /// `*`.
    Any,
    /// `name@`, `name@domain`, or an identity provider's id.
    User(String),
    /// `user:*@domain`: everybody with a mail address of a domain.
    Domain(String),
    /// `group:x`, name with prefix.
    Group(String),
    /// `tag:x`, name with prefix.
    Tag(String),
    /// A name of the `hosts` section.
    Host(String),
    /// An address or prefix.
    Net(IpNet),
    /// `ipset:x`, name with prefix.
    IpSet(String),
    /// `autogroup:x`.
    Auto(AutoGroup),
}

impl Selector {
    /// Reads one; white space around it does not count.
    pub(crate) fn parse(text: &str, at: usize) -> Result<Self, Refusal> {
        let text = text.trim();
        if let Some(net) = parse_net(text) {
            return Ok(Self::Net(net));
        }
        Ok(match text {
            "*" => Self::Any,
            _ if text.starts_with("autogroup:") => {
                let known = AUTOGROUPS.iter().find(|(name, _)| *name == text);
                Self::Auto(known.ok_or_else(|| Refusal::new(at, format!("unknown autogroup {text:?}")))?.1)
            }
            _ if text.starts_with("group:") => Self::Group(text.to_owned()),
            _ if text.starts_with("tag:") => Self::Tag(text.to_owned()),
            _ if text.starts_with("ipset:") => Self::IpSet(text.to_owned()),
            _ if text.starts_with("user:*@") => Self::Domain(text["user:*@".len()..].to_owned()),
            _ if text.contains('@') => Self::User(text.to_owned()),
            _ if text.is_empty() || text.contains([':', '/']) => {
                return Err(Refusal::new(at, format!("invalid name {text:?}")));
            }
            _ => Self::Host(text.to_owned()),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::User(s) | Self::Group(s) | Self::Tag(s) | Self::Host(s) | Self::IpSet(s) => f.write_str(s),
            Self::Domain(d) => write!(f, "user:*@{d}"),
            Self::Net(n) => f.write_str(&crate::ipset::short(*n)),
            Self::Auto(a) => {
                f.write_str(AUTOGROUPS.iter().find(|(_, g)| g == a).map_or("autogroup:?", |(name, _)| name))
            }
        }
    }
}

/// The rules for the name of a tag (`tailcfg.CheckTag`).
pub(crate) fn check_tag(tag: &str) -> Result<(), &'static str> {
    let Some(name) = tag.strip_prefix("tag:") else { return Err("tags must start with 'tag:'") };
    match name.as_bytes() {
        [] => Err("tag names must not be empty"),
        [first, ..] if !first.is_ascii_alphabetic() => Err("tag names must start with a letter, after 'tag:'"),
        all if !all.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') => {
            Err("tag names can only contain numbers, letters, or dashes")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_apart() {
        let kind = |t: &str| Selector::parse(t, 0).unwrap();
        assert_eq!(kind(" * "), Selector::Any);
        assert_eq!(kind("ann@"), Selector::User("ann@".into()));
        assert_eq!(kind("user:*@example.com"), Selector::Domain("example.com".into()));
        assert_eq!(kind("fd7a::1"), Selector::Net("fd7a::1/128".parse().unwrap()));
        assert_eq!(kind("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(kind("autogroup:members").to_string(), "autogroup:member");
        assert_eq!(kind("nas"), Selector::Host("nas".into()));
        assert!(Selector::parse("foo:bar", 0).is_err());
        assert!(Selector::parse("autogroup:nobody", 0).is_err());
        assert!(Selector::parse("10.0.0.0/33", 0).is_err());
    }

    #[test]
    fn tags_have_rules() {
        assert!(check_tag("tag:web-1").is_ok());
        assert_eq!(check_tag("tag:1web"), Err("tag names must start with a letter, after 'tag:'"));
        assert!(check_tag("tag:").is_err() && check_tag("tag:a_b").is_err() && check_tag("web").is_err());
    }
}

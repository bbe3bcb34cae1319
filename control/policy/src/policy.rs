//! A policy as written, after parsing: every section as typed values with their place in the text.

use crate::{derp::PolicyDerpMap, ports::ProtocolPorts, posture::Assertion, selector::Selector};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::PortRange;
use ipnet::IpNet;
use serde_json::Value;

/// A list of selectors and where each stands.
pub(crate) type Selectors = Vec<Located<Selector>>;

/// A value and its byte offset in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Located<T> {
    pub(crate) at: usize,
    pub(crate) value: T,
}

/// A policy file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    pub(crate) groups: SortedMap<String, Vec<Selector>>,
    pub(crate) hosts: SortedMap<String, IpNet>,
    pub(crate) tag_owners: SortedMap<String, Selectors>,
    pub(crate) acls: Option<Vec<Acl>>,
    pub(crate) grants: Option<Vec<Grant>>,
    pub(crate) route_approvers: Vec<(IpNet, Selectors)>,
    pub(crate) exit_approvers: Selectors,
    pub(crate) ssh: Vec<Ssh>,
    pub(crate) node_attrs: Vec<NodeAttr>,
    pub(crate) tests: Vec<Test>,
    pub(crate) ssh_tests: Vec<SshTest>,
    pub(crate) postures: SortedMap<String, Vec<Assertion>>,
    pub(crate) default_posture: Vec<String>,
    pub(crate) ip_sets: SortedMap<String, Vec<IpSetPart>>,
    pub(crate) randomize_client_port: bool,
    pub(crate) disable_ipv4: bool,
    pub(crate) one_cgnat_route: Option<String>,
    pub(crate) derp_map: Option<PolicyDerpMap>,
}

impl Policy {
    /// Without a section of rules everything is allowed; an empty section allows nothing.
    pub(crate) fn has_rules(&self) -> bool {
        self.acls.is_some() || self.grants.is_some()
    }

    /// The relays the policy gives.
    #[must_use]
    pub fn derp_map(&self) -> Option<&PolicyDerpMap> {
        self.derp_map.as_ref()
    }
}

/// One entry of `acls`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Acl {
    pub(crate) at: usize,
    pub(crate) protocol: Option<u8>,
    pub(crate) src: Selectors,
    pub(crate) dst: Vec<Target>,
    pub(crate) posture: Vec<String>,
}

/// `target:ports`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) at: usize,
    pub(crate) to: Selector,
    pub(crate) ports: Vec<PortRange>,
}

/// One entry of `grants`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    pub(crate) at: usize,
    pub(crate) src: Selectors,
    pub(crate) dst: Selectors,
    pub(crate) ip: Vec<ProtocolPorts>,
    pub(crate) app: Option<SortedMap<String, Option<Vec<Value>>>>,
    pub(crate) via: Vec<Located<String>>,
    pub(crate) posture: Vec<String>,
}

/// One entry of `ssh`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ssh {
    pub(crate) at: usize,
    pub(crate) action: String,
    pub(crate) src: Selectors,
    pub(crate) dst: Selectors,
    pub(crate) users: Vec<String>,
    pub(crate) check_period: Option<CheckPeriod>,
    pub(crate) accept_env: Vec<String>,
    pub(crate) recorder: Vec<Located<Selector>>,
    pub(crate) enforce_recorder: bool,
    pub(crate) posture: Vec<String>,
}

/// How long an approved check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckPeriod {
    /// Ask each time.
    Always,
    /// Nanoseconds.
    For(i64),
}

/// One entry of `nodeAttrs`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeAttr {
    pub(crate) target: Selectors,
    pub(crate) attr: Vec<String>,
    pub(crate) app: SortedMap<String, Option<Vec<Value>>>,
    pub(crate) ip_pool: Vec<IpNet>,
}

/// One entry of `tests`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(crate) src: String,
    pub(crate) protocol: Result<Option<u8>, String>,
    pub(crate) accept: Vec<String>,
    pub(crate) deny: Vec<String>,
    /// Attributes of the source's device, for postures.
    pub(crate) posture_attrs: SortedMap<String, Value>,
}

/// One entry of `sshTests`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SshTest {
    pub(crate) at: usize,
    pub(crate) src: String,
    pub(crate) dst: Vec<Located<String>>,
    pub(crate) accept: Vec<String>,
    pub(crate) deny: Vec<String>,
    pub(crate) check: Vec<String>,
}

/// One line of an IP set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IpSetPart {
    pub(crate) add: bool,
    pub(crate) what: Located<Selector>,
}

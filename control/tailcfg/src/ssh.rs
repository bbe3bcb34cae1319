//! SSH rules (`tailcfg.SSHPolicy`); these types are in camel case on the wire.

use crate::{is_false, is_zero, time::Time};
use hearthgate_read::struct_of;
use hearthgate_sorted::SortedMap;
use serde::Serialize;

/// SSH rules of a node, the first match wins. `{"rules":[]}` revokes everything; absence changes nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SshPolicy {
    /// Rules in order.
    pub rules: Vec<SshRule>,
}

struct_of!(SshPolicy { rules: "rules" });

/// One rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SshRule {
    /// When the rule ends; none is never.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub rule_expires: Time,
    /// Who; any match suffices.
    pub principals: Vec<SshPrincipal>,
    /// Requested user to local user: `*`, `=`, empty for refused.
    pub ssh_users: SortedMap<String, String>,
    /// What happens; none is a refusal.
    pub action: Option<SshAction>,
    /// Environment variables the client may send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept_env: Vec<String>,
}

struct_of!(SshRule {
    rule_expires: "ruleExpires",
    principals: "principals",
    ssh_users: "sshUsers",
    action: "action",
    accept_env: "acceptEnv",
});

/// Who a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SshPrincipal {
    /// Stable id of a node.
    #[serde(rename = "node", skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Address of a node.
    #[serde(rename = "nodeIP", skip_serializing_if = "String::is_empty")]
    pub node_ip: String,
    /// Login name.
    #[serde(rename = "userLogin", skip_serializing_if = "String::is_empty")]
    pub user_login: String,
    /// Anyone.
    #[serde(rename = "any", skip_serializing_if = "is_false")]
    pub any: bool,
}

struct_of!(SshPrincipal { node: "node", node_ip: "nodeIP", user_login: "userLogin", any: "any" });

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SshAction {
    /// Text to show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Refuse.
    #[serde(skip_serializing_if = "is_false")]
    pub reject: bool,
    /// Let in.
    #[serde(skip_serializing_if = "is_false")]
    pub accept: bool,
    /// Longest session in nanoseconds; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub session_duration: i64,
    /// Agent forwarding may be used.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_agent_forwarding: bool,
    /// URL to ask for the real action.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hold_and_delegate: String,
    /// Local port forwarding may be used.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_local_port_forwarding: bool,
    /// Remote port forwarding may be used.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_remote_port_forwarding: bool,
    /// Addresses of session recorders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recorders: Vec<String>,
}

struct_of!(SshAction {
    message: "message",
    reject: "reject",
    accept: "accept",
    session_duration: "sessionDuration",
    allow_agent_forwarding: "allowAgentForwarding",
    hold_and_delegate: "holdAndDelegate",
    allow_local_port_forwarding: "allowLocalPortForwarding",
    allow_remote_port_forwarding: "allowRemotePortForwarding",
    recorders: "recorders",
});

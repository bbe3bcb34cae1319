//! What postures of a policy ask about a node: facts of its client, and values that somebody gave it.
//!
//! Names and forms: Tailscale's documentation "Device posture management" (`node:os` … `node:tsVersion`, `custom:*`), and
//! its API's `device/{id}/attributes`. `ip:country` is not known here: no table of countries fits on a router.

use crate::{Change, CoreError, Node, NodeId, Now, Result, World};
use hearthgate_sorted::SortedMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Namespace of values that people and tools set.
const CUSTOM: &str = "custom:";
/// Values of one node.
pub const ATTRIBUTES_MAX: usize = 32;
/// Longest name with its namespace, and longest text as a value, in bytes: Tailscale's limits.
const TEXT_MAX: usize = 50;

/// A value that somebody gave a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Attribute {
    /// A text, a number or a flag.
    pub value: Value,
    /// When it goes away; `None` is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Timestamp>,
}

hearthgate_read::struct_of!(Attribute;
must { value: "value" }
may { expiry: "expiry" }
not {});

impl Node {
    /// Everything postures may ask about this node, given values included.
    #[must_use]
    pub fn posture(&self) -> SortedMap<String, Value> {
        let host = &self.hostinfo;
        let mut all: SortedMap<String, Value> = SortedMap::new();
        let mut fact = |name: &str, value: Value| all.insert(format!("node:{name}"), value);
        if !host.os.is_empty() {
            // Clients say macOS and iOS, policies macos and ios.
            fact("os", host.os.to_ascii_lowercase().into());
        }
        if !host.os_version.is_empty() {
            fact("osVersion", host.os_version.as_str().into());
        }
        if let Some(version) = short_version(&host.ipn_version) {
            fact("tsVersion", version.into());
            if let Some(track) = release_track(version) {
                fact("tsReleaseTrack", track.into());
            }
            fact("tsAutoUpdate", host.allows_update.into());
        }
        if let Some(encrypted) = host.state_encrypted {
            fact("tsStateEncrypted", encrypted.into());
        }
        all.extend(self.attributes.iter().map(|(name, a)| (name.clone(), a.value.clone())));
        all
    }
}

/// The value that a person means by a text: `true`, `false` and numbers as such, all else as text; `'7'` in single
/// quotes is a text as well.
#[must_use]
pub fn value_of(text: &str) -> Value {
    if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        return inner.into();
    }
    match serde_json::from_str(text) {
        Ok(found @ (Value::Bool(_) | Value::Number(_))) => found,
        _ => text.into(),
    }
}

/// `1.102.5` of `1.102.5-t1a2b3c4d-g0123`.
fn short_version(long: &str) -> Option<&str> {
    long.split(['-', '+']).next().filter(|v| !v.is_empty())
}

/// Odd second numbers are unstable releases (`version/prop.go` of tailscale.com v1.102.5).
fn release_track(version: &str) -> Option<&'static str> {
    let minor: u64 = version.split('.').nth(1)?.parse().ok()?;
    Some(if minor.is_multiple_of(2) { "stable" } else { "unstable" })
}

impl World {
    /// Gives a node values for postures, in place of older ones; `None` takes one away. All of them, or none.
    ///
    /// # Errors
    /// No such node; a name outside `custom:` or with other characters than letters, digits and `_`; a text that is too
    /// long or has others than those and `.`; a list or an object; an expiry that is past; too many.
    pub fn set_node_attributes(
        &mut self,
        id: NodeId,
        changes: Vec<(String, Option<Attribute>)>,
        now: Now,
    ) -> Result<()> {
        let mut all = self.node(id)?.attributes.clone();
        for (name, value) in changes {
            check_name(&name)?;
            match value {
                None => {
                    all.remove(&name);
                }
                Some(a) => {
                    check_value(&a.value)?;
                    if a.expiry.is_some_and(|e| e <= now.wall) {
                        return Err(CoreError::invalid("the expiry of an attribute lies in the past"));
                    }
                    all.insert(name, a);
                }
            }
        }
        if all.len() > ATTRIBUTES_MAX {
            return Err(CoreError::Full(format!(
                "a node has {ATTRIBUTES_MAX} attributes at most: take some away first"
            )));
        }
        if self.node(id)?.attributes != all {
            self.edit_node(id, true, Change::Upserted(id), |n| n.record.attributes = all)?;
        }
        Ok(())
    }

    /// Takes away the values whose time is over.
    pub(crate) fn drop_old_attributes(&mut self, now: Now) {
        let old = |a: &Attribute| a.expiry.is_some_and(|e| e <= now.wall);
        let ids: Vec<NodeId> = self.nodes.iter().filter(|n| n.attributes.values().any(old)).map(|n| n.id).collect();
        for id in ids {
            // Gone already is what this wanted.
            let _ = self.edit_node(id, true, Change::Upserted(id), |n| n.record.attributes.retain(|_, a| !old(a)));
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let own = name.strip_prefix(CUSTOM).unwrap_or_default();
    let usual = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if own.is_empty() || name.len() > TEXT_MAX || !own.bytes().all(usual) {
        return Err(CoreError::invalid(format!(
            "{name:?} is no name for an attribute: write custom: and letters, digits or '_', {TEXT_MAX} bytes at most"
        )));
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<()> {
    let usual = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    match value {
        Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) if text.len() <= TEXT_MAX && text.bytes().all(usual) => Ok(()),
        _ => Err(CoreError::invalid(format!(
            "the value of an attribute is true, false, a number, or a text of letters, digits, '_' and '.', \
             {TEXT_MAX} bytes at most"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_tracks() {
        assert_eq!(short_version("1.102.5-t1a2b3c4d-g0123"), Some("1.102.5"));
        assert_eq!(short_version(""), None);
        assert_eq!(release_track("1.102.5"), Some("stable"));
        assert_eq!(release_track("1.103.12"), Some("unstable"));
        assert_eq!(release_track("unknown"), None);
    }

    #[test]
    fn values_are_read_as_people_mean_them() {
        for (text, value) in
            [("true", true.into()), ("87.5", 87.5.into()), ("'87'", "87".into()), ("null", Value::from("null"))]
        {
            assert_eq!(value_of(text), value);
        }
    }

    #[test]
    fn names_and_values() {
        assert!(check_name("custom:tier_2").is_ok());
        let long = format!("custom:{}", "x".repeat(TEXT_MAX));
        for bad in ["tier", "node:os", "custom:", "custom:a b", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        for good in [Value::from(true), Value::from(87.5), Value::from("gold.1"), Value::from("")] {
            assert!(check_value(&good).is_ok(), "{good}");
        }
        for bad in [Value::Null, Value::from("a b"), Value::from("x".repeat(51)), serde_json::json!([1])] {
            assert!(check_value(&bad).is_err(), "{bad}");
        }
    }
}

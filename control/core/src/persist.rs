//! What the world looks like on flash: one record a thing, JSON, keyed so that things of a kind lie together.

use crate::{ApiKey, AuditEntry, Node, NodeId, NodeRecord, PolicyVersion, PreAuthKey, User, UserId};
use crate::{
    audit::{self, AUDIT},
    records::{RECORD_PREFIX, Records},
};
use serde::{Serialize, de::DeserializeOwned};

const USER: &str = "user/";
const NODE: &str = "node/";
const PREAUTH: &str = "preauth/";
const API_KEY: &str = "apikey/";
const POLICY: &str = "policy/";
const NEXT_ID: &str = "meta/next-id";

/// One record to make durable: a key, and a value or `None` to delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Ordered key.
    pub key: String,
    /// JSON; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// A stored record could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the stored record {key:?} cannot be read: {source}. Restore a backup, or delete this record")]
pub struct LoadError {
    /// Key of the record.
    pub key: String,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// Everything that is kept on flash, read back.
#[derive(Debug, Default)]
pub struct Stored {
    pub(crate) users: Vec<User>,
    pub(crate) nodes: Vec<NodeRecord>,
    pub(crate) preauth: Vec<PreAuthKey>,
    pub(crate) api_keys: Vec<ApiKey>,
    pub(crate) records: Records,
    /// Each with its slot in the ring.
    pub(crate) audit: Vec<(u64, AuditEntry)>,
    pub(crate) policies: Vec<PolicyVersion>,
    pub(crate) next_id: u64,
}

impl Stored {
    /// Prefixes of the keys that belong to the world.
    pub const PREFIXES: [&str; 8] = [USER, NODE, PREAUTH, API_KEY, POLICY, NEXT_ID, RECORD_PREFIX, AUDIT];

    /// Takes in one stored record. Keys of other parts are left alone.
    ///
    /// # Errors
    /// The record is not of the form that its key says.
    pub fn add(&mut self, key: &str, value: &[u8]) -> Result<(), LoadError> {
        fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, LoadError> {
            serde_json::from_slice(value).map_err(|source| LoadError { key: key.to_owned(), source })
        }
        if key.starts_with(USER) {
            self.users.push(read(key, value)?);
        } else if key.starts_with(NODE) {
            self.nodes.push(read(key, value)?);
        } else if key.starts_with(PREAUTH) {
            self.preauth.push(read(key, value)?);
        } else if key.starts_with(API_KEY) {
            self.api_keys.push(read(key, value)?);
        } else if key.starts_with(RECORD_PREFIX) {
            self.records.insert(key.to_owned(), value.into());
        } else if key.starts_with(AUDIT) {
            self.audit.push((audit::slot(key), read(key, value)?));
        } else if key.starts_with(POLICY) {
            self.policies.push(read(key, value)?);
        } else if key == NEXT_ID {
            self.next_id = read(key, value)?;
        }
        Ok(())
    }
}

impl Write {
    /// The records of users and nodes that were taken over from elsewhere, numbers included.
    #[must_use]
    pub fn taken_over(users: &[User], nodes: &[NodeRecord]) -> Vec<Self> {
        let numbers = users.iter().map(|u| u.id.0).chain(nodes.iter().map(|n| n.id.0));
        let next = numbers.max().map_or(1, |n| n.saturating_add(1));
        let users = users.iter().map(Self::user);
        users.chain(nodes.iter().map(|n| Self::put(NODE, n.id.0, n))).chain([Self::next_id(next)]).collect()
    }

    pub(crate) fn user(user: &User) -> Self {
        Self::put(USER, user.id.0, user)
    }
    pub(crate) fn delete_user(id: UserId) -> Self {
        Self::delete(USER, id.0)
    }
    pub(crate) fn node(node: &Node) -> Self {
        Self::put(NODE, node.id.0, &node.record)
    }
    pub(crate) fn delete_node(id: NodeId) -> Self {
        Self::delete(NODE, id.0)
    }
    pub(crate) fn preauth(key: &PreAuthKey) -> Self {
        Self::put(PREAUTH, key.id, key)
    }
    pub(crate) fn delete_preauth(id: u64) -> Self {
        Self::delete(PREAUTH, id)
    }
    pub(crate) fn api_key(key: &ApiKey) -> Self {
        Self::put(API_KEY, key.id, key)
    }
    pub(crate) fn delete_api_key(id: u64) -> Self {
        Self::delete(API_KEY, id)
    }
    pub(crate) fn policy(version: &PolicyVersion) -> Self {
        Self::put(POLICY, version.version, version)
    }
    pub(crate) fn delete_policy(version: u64) -> Self {
        Self::delete(POLICY, version)
    }
    pub(crate) fn next_id(next: u64) -> Self {
        Self { key: NEXT_ID.into(), value: Some(next.to_string().into_bytes()) }
    }

    fn put(prefix: &str, id: u64, value: &impl Serialize) -> Self {
        // These types hold strings, numbers and lists only: serialising them cannot fail.
        Self { key: record_key(prefix, id), value: Some(serde_json::to_vec(value).unwrap_or_default()) }
    }
    fn delete(prefix: &str, id: u64) -> Self {
        Self { key: record_key(prefix, id), value: None }
    }
}

/// Sixteen hexadecimal digits, so that keys sort as their numbers do.
fn record_key(prefix: &str, id: u64) -> String {
    format!("{prefix}{id:016x}")
}

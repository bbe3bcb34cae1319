//! Pre-auth keys: how a device joins without a person at hand.

use crate::{CoreError, Entropy, MintedKey, Now, Result, UserId, World, Write, credentials, names::is_tag};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// What stands before the digits, as Headscale writes it.
const KIND: &str = "hskey-auth";

/// A pre-auth key as stored: the secret is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PreAuthKey {
    /// Number.
    pub id: u64,
    /// Digits that name it.
    pub prefix: String,
    /// SHA-256 of the secret.
    pub hash: String,
    /// Owner of the nodes it lets in; `None` for a key that only makes tagged nodes.
    pub user: Option<UserId>,
    /// May be used more than once.
    pub reusable: bool,
    /// Nodes are removed soon after they go offline.
    pub ephemeral: bool,
    /// Has let a node in.
    pub used: bool,
    /// Nodes it lets in need not wait for approval.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preauthorized: bool,
    /// Tags of the nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working; `None` is never.
    pub expiration: Option<Timestamp>,
    /// What it is for, in its maker's words; empty if nothing was said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was made to stop working before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

hearthgate_read::struct_of!(PreAuthKey;
must {
    id: "id", prefix: "prefix", hash: "hash", reusable: "reusable", ephemeral: "ephemeral", used: "used", created:
    "created",
}
may {
    user: "user", preauthorized: "preauthorized", tags: "tags", expiration: "expiration", description:
    "description", revoked: "revoked",
}
not {});

impl PreAuthKey {
    /// The key with its secret hidden.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{KIND}-{}-***", self.prefix)
    }
}

/// What a new pre-auth key shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPreAuthKey {
    /// Owner.
    pub user: Option<UserId>,
    /// May be used more than once.
    pub reusable: bool,
    /// Nodes are ephemeral.
    pub ephemeral: bool,
    /// Nodes need not wait for approval.
    pub preauthorized: bool,
    /// Tags of the nodes.
    pub tags: Vec<String>,
    /// When it stops working; `None` is never.
    pub expiration: Option<Timestamp>,
    /// What it is for; at most [`DESCRIPTION_MAX`] bytes.
    pub description: String,
}

/// Most keys. Members of the pages and tools may make them; of those that are of no more use the oldest makes room.
pub const PREAUTH_MAX: usize = 1024;
/// Longest description of a key in bytes.
pub const DESCRIPTION_MAX: usize = 200;

impl World {
    /// Makes a pre-auth key. The text in the answer is the only time the secret is seen.
    ///
    /// # Errors
    /// Neither user nor tags, an unknown user, a malformed tag, or [`PREAUTH_MAX`] keys that all still work.
    pub fn create_preauth_key(
        &mut self,
        new: NewPreAuthKey,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<(PreAuthKey, MintedKey)> {
        match new.user {
            Some(id) if !self.users.contains_key(&id) => return Err(CoreError::not_found(format!("user {id}"))),
            None if new.tags.is_empty() => {
                return Err(CoreError::invalid("a pre-auth key needs a user, or tags for the nodes it lets in"));
            }
            _ => {}
        }
        if let Some(bad) = new.tags.iter().find(|t| !is_tag(t)) {
            return Err(CoreError::invalid(format!(
                "{bad:?} is not a tag: write tag: and a letter, then letters, digits and '-'"
            )));
        }
        if new.description.len() > DESCRIPTION_MAX {
            return Err(CoreError::invalid(format!("a description has at most {DESCRIPTION_MAX} bytes")));
        }
        if self.preauth.len() >= PREAUTH_MAX {
            let spent = self.preauth.values().find(|k| Self::preauth_refusal(k, now).is_some()).map(|k| k.id);
            let full = || CoreError::Full(format!("there are {PREAUTH_MAX} pre-auth keys: delete some"));
            self.delete_preauth_key(spent.ok_or_else(full)?)?;
        }
        let minted = credentials::mint(KIND, rng);
        let key = PreAuthKey {
            id: self.next_id(),
            prefix: minted.prefix.clone(),
            hash: minted.hash.clone(),
            user: new.user,
            reusable: new.reusable,
            ephemeral: new.ephemeral,
            used: false,
            preauthorized: new.preauthorized,
            tags: new.tags,
            created: now.wall,
            expiration: new.expiration,
            description: new.description,
            revoked: None,
        };
        self.put_preauth(key.clone());
        Ok((key, minted))
    }

    /// How many keys of a user still work.
    #[must_use]
    pub fn working_preauth_keys(&self, user: UserId, now: Now) -> usize {
        let works = |key: &&PreAuthKey| key.user == Some(user) && Self::preauth_refusal(key, now).is_none();
        self.preauth.values().filter(works).count()
    }

    /// All pre-auth keys by number.
    pub fn preauth_keys(&self) -> impl Iterator<Item = &PreAuthKey> {
        self.preauth.values()
    }

    /// Makes a key stop working now. Nodes that used it stay.
    ///
    /// # Errors
    /// No such key.
    pub fn expire_preauth_key(&mut self, id: u64, now: Now) -> Result<()> {
        let mut key =
            self.preauth.get(&id).cloned().ok_or_else(|| CoreError::not_found(format!("pre-auth key {id}")))?;
        key.expiration = Some(now.wall);
        key.revoked = Some(now.wall);
        self.put_preauth(key);
        Ok(())
    }

    /// Forgets a key. Nodes that used it stay.
    ///
    /// # Errors
    /// No such key.
    pub fn delete_preauth_key(&mut self, id: u64) -> Result<()> {
        Arc::make_mut(&mut self.preauth)
            .remove(&id)
            .ok_or_else(|| CoreError::not_found(format!("pre-auth key {id}")))?;
        self.write(Write::delete_preauth(id));
        Ok(())
    }

    /// The key that `text` is, if its secret is right.
    pub(crate) fn find_preauth(&self, text: &str) -> Option<&PreAuthKey> {
        let (prefix, secret) = credentials::split(KIND, text)?;
        self.preauth.values().find(|k| k.prefix == prefix && credentials::matches(secret, &k.hash))
    }

    /// Why `key` may not let a new node in; `None` when it may.
    pub(crate) fn preauth_refusal(key: &PreAuthKey, now: Now) -> Option<&'static str> {
        if key.expiration.is_some_and(|e| e <= now.wall) {
            Some("authkey expired")
        } else if key.used && !key.reusable {
            Some("authkey already used")
        } else {
            None
        }
    }

    pub(crate) fn put_preauth(&mut self, key: PreAuthKey) {
        self.write(Write::preauth(&key));
        Arc::make_mut(&mut self.preauth).insert(key.id, key);
    }
}

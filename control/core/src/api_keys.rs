//! API keys: how remote tools prove who they are.

use crate::{CoreError, Entropy, MintedKey, Now, Result, World, Write, credentials};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

const KIND: &str = "hskey-api";

/// An API key as stored: the secret is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ApiKey {
    /// Number.
    pub id: u64,
    /// Digits that name it.
    pub prefix: String,
    /// SHA-256 of the secret.
    pub hash: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops working; `None` is never.
    pub expiration: Option<Timestamp>,
    /// When it was used last; on flash it is coarse: it rides along with other changes of the key.
    pub last_seen: Option<Timestamp>,
}

hearthgate_read::struct_of!(ApiKey;
must { id: "id", prefix: "prefix", hash: "hash", created: "created" }
may { expiration: "expiration", last_seen: "last_seen" }
not {});

impl ApiKey {
    /// The key with its secret hidden.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{KIND}-{}-***", self.prefix)
    }
}

impl World {
    /// Makes an API key. The text in the answer is the only time the secret is seen.
    pub fn create_api_key(
        &mut self,
        expiration: Option<Timestamp>,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> (ApiKey, MintedKey) {
        let minted = credentials::mint(KIND, rng);
        let key = ApiKey {
            id: self.next_id(),
            prefix: minted.prefix.clone(),
            hash: minted.hash.clone(),
            created: now.wall,
            expiration,
            last_seen: None,
        };
        self.put_api_key(key.clone());
        (key, minted)
    }

    /// All API keys by number.
    pub fn api_keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.api_keys.values()
    }

    /// The number of the key that `text` is, if it works now. Its last use is kept, without a flash write.
    pub fn use_api_key(&mut self, text: &str, now: Now) -> Option<u64> {
        let (prefix, secret) = credentials::split(KIND, text)?;
        let fits = |k: &&ApiKey| {
            k.prefix == prefix && k.expiration.is_none_or(|e| e > now.wall) && credentials::matches(secret, &k.hash)
        };
        let id = self.api_keys.values().find(fits)?.id;
        if let Some(key) = Arc::make_mut(&mut self.api_keys).get_mut(&id) {
            key.last_seen = Some(now.wall);
        }
        Some(id)
    }

    /// The number of the key with this prefix, masked or not.
    ///
    /// # Errors
    /// No such key.
    pub fn api_key_by_prefix(&self, prefix: &str) -> Result<u64> {
        let bare = prefix.trim_start_matches("hskey-api-").trim_end_matches("-***");
        let found = self.api_keys.values().find(|k| k.prefix == bare);
        found.map(|k| k.id).ok_or_else(|| CoreError::not_found(format!("API key {prefix}")))
    }

    /// Makes a key stop working now.
    ///
    /// # Errors
    /// No such key.
    pub fn expire_api_key(&mut self, id: u64, now: Now) -> Result<()> {
        let mut key = self.api_keys.get(&id).cloned().ok_or_else(|| CoreError::not_found(format!("API key {id}")))?;
        key.expiration = Some(now.wall);
        self.put_api_key(key);
        Ok(())
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// No such key.
    pub fn delete_api_key(&mut self, id: u64) -> Result<()> {
        Arc::make_mut(&mut self.api_keys).remove(&id).ok_or_else(|| CoreError::not_found(format!("API key {id}")))?;
        self.write(Write::delete_api_key(id));
        Ok(())
    }

    fn put_api_key(&mut self, key: ApiKey) {
        self.write(Write::api_key(&key));
        Arc::make_mut(&mut self.api_keys).insert(key.id, key);
    }
}

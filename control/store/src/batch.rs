//! What is committed together.

use crate::{BATCH_MAX, BATCH_OPS_MAX, KEY_MAX, Result, StoreError, VALUE_MAX};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key, if it is there.
    Delete(Vec<u8>),
}

impl Op {
    /// The key it is about.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

/// What has to be true for a batch to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The key is not there.
    Absent(Vec<u8>),
    /// The key has this value.
    Equals(Vec<u8>, Vec<u8>),
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) preconditions: Vec<Precondition>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.ops.push(Op::Put(key.to_vec(), value.to_vec()));
        self
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) -> &mut Self {
        self.ops.push(Op::Delete(key.to_vec()));
        self
    }

    /// Applies only if `key` is not there.
    pub fn if_absent(&mut self, key: &[u8]) -> &mut Self {
        self.preconditions.push(Precondition::Absent(key.to_vec()));
        self
    }

    /// Applies only if `key` has `value`.
    pub fn if_equals(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.preconditions.push(Precondition::Equals(key.to_vec(), value.to_vec()));
        self
    }

    /// The changes, in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Checks sizes and preconditions.
    pub(crate) fn check(&self, get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>) -> Result<()> {
        if self.ops.len() > BATCH_OPS_MAX {
            return Err(StoreError::TooLarge("batch"));
        }
        let mut total = 0;
        for op in &self.ops {
            let value = if let Op::Put(_, v) = op { v.len() } else { 0 };
            if op.key().is_empty() || op.key().len() > KEY_MAX {
                return Err(StoreError::TooLarge("key"));
            }
            if value > VALUE_MAX {
                return Err(StoreError::TooLarge("value"));
            }
            total += op.key().len() + value;
        }
        if total > BATCH_MAX {
            return Err(StoreError::TooLarge("batch"));
        }
        for precondition in &self.preconditions {
            let holds = match precondition {
                Precondition::Absent(key) => get(key)?.is_none(),
                Precondition::Equals(key, value) => get(key)?.as_ref() == Some(value),
            };
            if !holds {
                return Err(StoreError::Conflict);
            }
        }
        Ok(())
    }
}

//! Byte strings: standard base64 with padding, as Go writes `[]byte`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_read::{Read, Scalar, Unfit};
use serde::{Serialize, Serializer};

/// Bytes, in JSON as base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Read for Bytes {
    fn start() -> Self {
        Self::default()
    }

    fn expected(&self) -> &'static str {
        "a string in base64"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        let Scalar::Text(text) = scalar else { return Err(Unfit::Type(self.expected())) };
        self.0 = STANDARD.decode(text).map_err(|e| Unfit::content(&e))?;
        Ok(())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(&self.0))
    }
}

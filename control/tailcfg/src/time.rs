//! Points in time as Go writes them: RFC 3339, with the year 1 for "none".

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const GO_ZERO: &str = "0001-01-01T00:00:00Z";

/// A point in time, or none. Written as RFC 3339; none is Go's zero time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(Option<Timestamp>);

impl Time {
    /// The point in time, if there is one.
    #[must_use]
    pub const fn get(self) -> Option<Timestamp> {
        self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }
}

impl From<Option<Timestamp>> for Time {
    fn from(t: Option<Timestamp>) -> Self {
        Self(t)
    }
}

impl From<Timestamp> for Time {
    fn from(t: Timestamp) -> Self {
        Self(Some(t))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(t) => s.collect_str(&t),
            None => s.serialize_str(GO_ZERO),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<String>::deserialize(d)? else { return Ok(Self(None)) };
        if text.is_empty() {
            return Ok(Self(None));
        }
        let parsed: Timestamp = text.parse().map_err(D::Error::custom)?;
        // Go's zero time comes in other offsets and spellings too: nothing real lies before 1970.
        Ok(Self((parsed.as_second() > 0).then_some(parsed)))
    }
}

//! Points in time as Go writes them: RFC 3339, with the year 1 for "none".

use hearthgate_read::{Read, Scalar, Unfit, deserialize};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

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

impl Read for Time {
    fn start() -> Self {
        Self(None)
    }

    fn expected(&self) -> &'static str {
        "a time such as 2026-01-02T03:04:05Z"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        let Scalar::Text(text) = scalar else { return Err(Unfit::Type(self.expected())) };
        self.0 = None;
        if !text.is_empty() {
            let parsed: Timestamp = text.parse().map_err(|e| Unfit::content(&e))?;
            // Go's zero time comes in other offsets and spellings too: nothing real lies before 1970.
            self.0 = (parsed.as_second() > 0).then_some(parsed);
        }
        Ok(())
    }

    fn null(&mut self) -> bool {
        self.0 = None;
        true
    }
}

deserialize!(Time);

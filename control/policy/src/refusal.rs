//! Why a policy was not taken.

use crate::hujson::position;
use serde::Serialize;
use std::fmt;

/// A refusal in Tailscale's words, and where in the text its cause stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Tailscale's wording where it is known.
    pub message: String,
    /// Line, from 1; 0 when nothing in the text is to blame.
    pub line: u32,
    /// Column in bytes, from 1; 0 likewise.
    pub column: u32,
    /// Byte offset, until [`Refusal::located`] turns it into line and column.
    #[serde(skip)]
    pub(crate) at: usize,
}

impl Refusal {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), line: 0, column: 0, at }
    }

    /// With line and column in `text`.
    pub(crate) fn located(mut self, text: &str) -> Self {
        (self.line, self.column) = position(text, self.at);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 && !self.message.starts_with("hujson:") {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

//! A mistake in the configuration.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The server does not start with it.
    Error,
    /// The key has no effect.
    Warning,
}

/// A mistake: where it is, what it is, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, or the environment variable.
    pub place: String,
    /// Line, from 1; 0 when there is none.
    pub line: usize,
    /// Column, from 1; 0 when there is none.
    pub column: usize,
    /// Key with its nesting; empty when the file is no TOML at all.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// How bad it is.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(if self.severity == Severity::Error { ": " } else { ": warning: " })?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

//! Why a command was refused.

/// Result of a command.
pub type Result<T> = std::result::Result<T, CoreError>;

/// Why a command was refused; the text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The thing named does not exist.
    #[error("{0} not found")]
    NotFound(String),
    /// The state does not allow it now (name taken, user still has nodes…).
    #[error("{0}")]
    Conflict(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The caller may not do this (wrong machine key, bad pre-auth key…).
    #[error("{0}")]
    Denied(String),
    /// A named limit is reached.
    #[error("{0}")]
    Full(String),
}

impl CoreError {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }
    pub(crate) fn denied(text: impl Into<String>) -> Self {
        Self::Denied(text.into())
    }
    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::NotFound(text.into())
    }
}

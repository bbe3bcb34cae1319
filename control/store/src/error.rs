//! Why the store refused, and what to do.

use std::{io, path::PathBuf};

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused.
    #[error("{what} {path}: {source}. Check free space and permissions of the state folder")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("{0} is in use by another hearthgate: stop that one first, or choose another state_dir")]
    Locked(PathBuf),
    /// Stored bytes are not what was written.
    #[error("{0} is damaged ({1}): restore a backup with `hearthgate restore`")]
    Corrupt(PathBuf, String),
    /// Written by a newer program.
    #[error("this state was written by a newer hearthgate (schema {found}, this one knows {known}): install that version again, or restore a backup made by this one")]
    NewerSchema {
        /// Schema of the state.
        found: u64,
        /// Newest schema this program knows.
        known: u64,
    },
    /// A precondition did not hold; nothing was changed.
    #[error("the stored value has changed meanwhile: read it again and repeat")]
    Conflict,
    /// A key, value or batch beyond its limit.
    #[error("a {0} is too large to be stored")]
    TooLarge(&'static str),
    /// An earlier write failed half-way, so nothing more is accepted.
    #[error("the store stopped after a failed write: free some space on the state folder and start hearthgate again")]
    Poisoned,
    /// An engine failed in its own words.
    #[error("the {0} engine failed: {1}")]
    Engine(&'static str, String),
    /// An engine that is not in this build.
    #[error("{0:?} is no store engine: use log, redb or sled")]
    UnknownEngine(String),
}

impl StoreError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

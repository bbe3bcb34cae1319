//! Why the store refused, and what to do.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

/// Why the store refused. Every message ends with what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused for a reason without a case of its own.
    #[error("{what} {path}: {source}. Check the disk of the state folder")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No room left, or the quota is used up.
    #[error("{what} {path}: the disk is full. Nothing of this change was stored; free some space and repeat")]
    DiskFull {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Not allowed, or mounted read-only.
    #[error(
        "{what} {path}: {source}. The folder has to be writable for the user that hearthgate runs as (chown, chmod 0700, not mounted read-only)"
    )]
    Permission {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("{path} is in use by another hearthgate{}: stop that one first, or choose another state folder", holder(.pid))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who holds it, if known.
        pid: Option<u32>,
    },
    /// Stored bytes are not what was written.
    #[error(
        "{path} is damaged ({why}). Nothing was changed. Keep a copy, move it away and restore a backup with `hearthgate restore`"
    )]
    Corrupt {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a newer program.
    #[error("this state was written by a newer hearthgate (schema {found}, this one knows {known}): {remedy}")]
    NewerSchema {
        /// Schema of the state.
        found: u64,
        /// Newest schema this program knows.
        known: u64,
        /// Which version to install, and which backup to restore.
        remedy: String,
    },
    /// A step from one schema to the next failed; the state is as it was.
    #[error(
        "the state could not be brought from schema {from} to {to}: {why}. It is unchanged; go back to the former version"
    )]
    Migration {
        /// Schema of the state.
        from: u64,
        /// Schema it was to become.
        to: u64,
        /// Why not.
        why: String,
    },
    /// The folder holds the state of another engine.
    #[error(
        "{path} holds state of the {found} engine, but {asked} is asked for: set the engine to {found}, or move with `hearthgate backup` and `hearthgate restore --engine {asked}` into an empty folder"
    )]
    OtherEngine {
        /// The folder.
        path: PathBuf,
        /// Engine whose files are there.
        found: &'static str,
        /// Engine that was to be opened.
        asked: &'static str,
    },
    /// A restore into a folder that is in use already.
    #[error("{0} already holds state: move it away first")]
    NotEmpty(PathBuf),
    /// A precondition did not hold; nothing was changed.
    #[error("the stored value has changed meanwhile: read it again and repeat")]
    Conflict,
    /// A key, value or batch beyond its limit.
    #[error("a {0} is empty or too large to be stored")]
    TooLarge(&'static str),
    /// An earlier write failed half-way, so nothing more is accepted.
    #[error(
        "the store stopped after a failed write: check free space and health of the state folder's disk and start hearthgate again"
    )]
    Poisoned,
    /// An engine failed in its own words.
    #[error("the {0} engine failed: {1}. Start hearthgate again; if it stays, restore a backup")]
    Engine(&'static str, String),
    /// An engine nobody knows.
    #[error("{0:?} is no store engine: use log, redb or sled")]
    UnknownEngine(String),
    /// An engine that is not in this build.
    #[error("the {0} engine is not in this build: set another store engine")]
    NotBuilt(&'static str),
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl StoreError {
    /// Gives a system error its place and its remedy.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { what, path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Permission { what, path, source },
            _ => Self::Io { what, path, source },
        }
    }

    pub(crate) fn corrupt(path: impl Into<PathBuf>, why: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), why: why.into() }
    }
}

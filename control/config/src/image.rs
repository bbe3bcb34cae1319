//! `[image]`: where a box that runs one of our images takes upgrades and says how the last one ended. `[upgrade]`: the
//! feed that is asked for new versions.

use crate::read::section;
use std::path::PathBuf;

/// Both are empty where upgrades come by a package manager.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageConfig {
    /// Folder that upgrade files are received into, from where the image's init takes them.
    pub upgrade_dir: PathBuf,
    /// JSON that the image's init writes: the slot that runs, how the last upgrade ended.
    pub status_file: PathBuf,
}

section!(ImageConfig { upgrade_dir, status_file });

/// Empty and off: nobody is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpgradeConfig {
    /// URL of the signed list of the newest version's files.
    pub feed_url: String,
    /// Public key of whoever signs it, in usign's format; empty: the one that came with the program.
    pub feed_key: PathBuf,
    /// A box with one of our images fetches a newer version and restarts with it by itself.
    pub automatic: bool,
}

section!(UpgradeConfig { feed_url, feed_key, automatic });

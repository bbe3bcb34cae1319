//! `[image]`: where a box that runs one of our images takes upgrades and says how the last one ended. `[upgrade]`: the
//! feed that is asked for new versions.

use serde::Deserialize;
use std::path::PathBuf;

/// Both are empty where upgrades come by a package manager.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageConfig {
    /// Folder that upgrade files are received into, from where the image's init takes them.
    pub upgrade_dir: PathBuf,
    /// JSON that the image's init writes: the slot that runs, how the last upgrade ended.
    pub status_file: PathBuf,
}

/// Empty and off: nobody is asked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeConfig {
    /// URL of the signed list of the newest version's files.
    pub feed_url: String,
    /// Public key of whoever signs it, in usign's format; empty: the one that came with the program.
    pub feed_key: PathBuf,
    /// A box with one of our images fetches a newer version and restarts with it by itself.
    pub automatic: bool,
}

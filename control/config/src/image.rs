//! `[image]`: where a box that runs one of our images takes upgrades and says how the last one ended.

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

//! What a backup holds, before it is put in place of the state.

use crate::text as t;
use jiff::Timestamp;
use serde::Serialize;

/// A backup that was checked.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What a confirmation names, so that nobody confirms another backup than was shown.
    pub id: String,
    /// Length of the file.
    pub bytes: u64,
    /// When it was made, if it says.
    pub made: Option<Timestamp>,
    /// Its newest entry in the log of changes.
    pub last_entry: Option<Timestamp>,
    /// Version of hearthgate that first wrote its form where it was made.
    pub version: Option<String>,
    /// Suffix of the devices' names, if one was chosen on the pages.
    pub network: Option<String>,
    /// Devices in it.
    pub devices: usize,
    /// Users in it.
    pub users: usize,
    /// Who may log in as owner afterwards; nobody: the pages are claimed anew.
    pub owners: Vec<String>,
    /// It has the keys of the box: clients go on without a new login.
    pub keys: bool,
}

impl Summary {
    /// In a few words, for the log of changes and the command line.
    #[must_use]
    pub fn words(&self) -> String {
        let age = self.made.or(self.last_entry).map(|at| format!(", of {}", t::minute(at)));
        format!("{}, {}{}", t::count(self.devices, "device"), t::count(self.users, "user"), age.unwrap_or_default())
    }
}

/// The state before the last restore, kept on the box.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kept {
    /// When it was written.
    pub made: Option<Timestamp>,
    /// Length of the file.
    pub bytes: u64,
}

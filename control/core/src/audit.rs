//! The audit log: who changed what. A ring of bounded size, on flash and in memory.
//!
//! An entry rides along with the change it tells about, so it costs no flush of its own. What strangers can cause
//! (failed logins) is [kept in memory](World::note) only: nobody from outside may wear out the flash.

use crate::{Now, World, Write};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// Entries kept; the oldest is overwritten.
pub const AUDIT_MAX: usize = 500;
/// Entries in memory only, among those.
pub const NOTES_MAX: usize = 100;
/// Longest text of a field in bytes.
const FIELD_MAX: usize = 200;
pub(crate) const AUDIT: &str = "audit/";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditEntry {
    /// Running number.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who: an account, `api key <prefix>`, `console`, `oauth <id>`, or an address that is not logged in.
    pub actor: String,
    /// What was done, in a few words.
    pub action: String,
    /// On what.
    pub subject: String,
    /// It is in memory only.
    #[serde(skip)]
    pub noted: bool,
}

hearthgate_read::struct_of!(AuditEntry;
must { id: "id", at: "at", actor: "actor", action: "action", subject: "subject" }
may {}
not { noted });

impl World {
    /// Adds an entry that is stored with the batch it is part of.
    pub fn audit(&mut self, actor: &str, action: &str, subject: &str, now: Now) {
        let entry = self.append(actor, action, subject, false, now);
        let key = format!("{AUDIT}{:04}", self.audit_slot);
        self.audit_slot = after(self.audit_slot);
        // Entries hold strings and numbers only: writing them as JSON cannot fail.
        self.write(Write { key, value: Some(serde_json::to_vec(&entry).unwrap_or_default()) });
    }

    /// Adds an entry that is lost at a restart. Of these there are [`NOTES_MAX`] at most, the oldest is dropped:
    /// strangers cause them, and must not push out what people did.
    pub fn note(&mut self, actor: &str, action: &str, subject: &str, now: Now) -> AuditEntry {
        if self.audit.iter().filter(|e| e.noted).count() >= NOTES_MAX
            && let Some(oldest) = self.audit.iter().position(|e| e.noted)
        {
            Arc::make_mut(&mut self.audit).remove(oldest);
        }
        self.append(actor, action, subject, true, now)
    }

    fn append(&mut self, actor: &str, action: &str, subject: &str, noted: bool, now: Now) -> AuditEntry {
        let id = self.audit.last().map_or(1, |e| e.id + 1);
        let (actor, action, subject) = (short(actor), short(action), short(subject));
        let entry = AuditEntry { id, at: now.wall, actor, action, subject, noted };
        let log = Arc::make_mut(&mut self.audit);
        if log.len() >= AUDIT_MAX {
            log.remove(0);
        }
        log.push(entry.clone());
        entry
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn audit_log(&self) -> &[AuditEntry] {
        &self.audit
    }
}

/// The slot that follows in the ring. Entries on flash have a count of their own: those in memory only have numbers, too.
pub(crate) const fn after(slot: u64) -> u64 {
    (slot + 1) % AUDIT_MAX as u64
}

/// The slot of a stored entry, by its key.
pub(crate) fn slot(key: &str) -> u64 {
    key.strip_prefix(AUDIT).and_then(|n| n.parse().ok()).filter(|n| *n < AUDIT_MAX as u64).unwrap_or(0)
}

fn short(text: &str) -> String {
    let end = (0..=FIELD_MAX.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

//! Records that are in DNS because of us and have to go: kept in the store, so that a restart forgets none.
//!
//! Where one was written is kept with it, without the secrets for it: a configuration that names another provider since
//! must not be asked to take away what it never had.

use crate::options::{CertificateOptions, Provider};
use hearthgate_core::{CoreError, World};
use jiff::Timestamp;
use serde::Serialize;

const RECORD: &str = "certificates/pending/";
/// Most of them: all that the budget lets be written while one of them lives, tries to take it away included.
pub(super) const PENDING_MAX: usize = 256;

/// A record that has to go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Pending {
    /// Its name in DNS.
    pub(super) name: String,
    /// Its text.
    pub(super) value: String,
    /// [`place`] of the provider that has it.
    pub(super) place: String,
    /// When it shall go.
    pub(super) due: Timestamp,
}

hearthgate_read::struct_of!(Pending;
must { name: "name", value: "value", place: "place", due: "due" }
may {}
not {});

/// Which provider this is, as long as the same one has the same records.
pub(super) fn place(options: &CertificateOptions) -> String {
    match &options.provider {
        Provider::Rfc2136(server) => format!("rfc2136 {} {}", server.server, server.zone),
        Provider::Httpreq(program) => format!("httpreq {}", program.endpoint),
    }
}

/// All of them.
pub(super) fn all(world: &World) -> Vec<Pending> {
    world.records(RECORD).collect()
}

/// Notes one, in place of one of the same name.
///
/// # Errors
/// There are [`PENDING_MAX`], or the store has no room.
pub(super) fn note(world: &mut World, pending: &Pending) -> Result<(), CoreError> {
    let others = world.records::<Pending>(RECORD).filter(|p| p.name != pending.name).count();
    if others >= PENDING_MAX {
        return Err(CoreError::Full(format!("{PENDING_MAX} records wait to be taken out of DNS")));
    }
    world.put_record(&format!("{RECORD}{}", pending.name), pending)
}

/// Forgets one, unless there is another value at the name by now.
pub(super) fn done(world: &mut World, name: &str, value: &str) {
    let key = format!("{RECORD}{name}");
    if world.record::<Pending>(&key).is_some_and(|p| p.value == value) {
        world.delete_record(&key);
    }
}

//! Putting a backup in the place of the state, at a start, before the store is opened. Names of files in the state
//! folder say how far it has come, so that a power cut at any moment leaves the old state or the new one:
//!
//! ```text
//! restore.next            a backup that was sent, confirmed; the state is still the old one
//! restore.back            before-restore.backup, confirmed to be put back; the same
//! before-restore.backup   the old state, written whole before the next step
//! restore.now             the name restore.next gets then; while it is there, the store is made from it anew
//! restore.back-now        the name restore.back gets then; the same
//! store.damaged           the old store, where it could not be read and so not be written as a backup
//! ```
//!
//! Where the old state is the only one of its kind, it goes by rename from name to name: it is never copied and removed.

use crate::backup::{self, KEY_FILES};
use hearthgate_store::{EngineKind, StoreError, save_backup};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A backup that was confirmed.
pub(crate) const NEXT: &str = "restore.next";
/// The state before the last restore, confirmed.
pub(crate) const BACK: &str = "restore.back";
/// The state before the last restore.
pub(crate) const BEFORE: &str = "before-restore.backup";
/// A store that could not be read.
const DAMAGED: &str = "store.damaged";
/// What is confirmed, and what it is called while it is put in place.
const WAYS: [(&str, &str); 2] = [(NEXT, "restore.now"), (BACK, "restore.back-now")];

/// How a restore ended.
#[derive(Debug)]
pub(crate) enum Swapped {
    /// The backup is in place.
    Done,
    /// It could not be put in place; the state is the old one.
    Refused(String),
}

/// Puts a confirmed backup in place, if there is one. Can be cut off at any point, and repeated.
///
/// # Errors
/// The disk failed such that neither state could be put in place; the next start tries again.
pub(crate) fn swap(state_dir: &Path, engine: EngineKind) -> Result<Option<Swapped>, StoreError> {
    let there = |name: &str| state_dir.join(name).exists();
    let begun = WAYS.iter().find(|(_, now)| there(now)).map(|(_, now)| *now);
    let wanted = WAYS.iter().find(|(next, _)| there(next));
    let now = match (begun, wanted) {
        (None, None) => return Ok(None),
        (Some(now), None) => now,
        // What is half done is no state to keep: the other backup takes the place of the one it was made from.
        (Some(now), Some((next, _))) => {
            rename(&state_dir.join(next), &state_dir.join(now))?;
            now
        }
        (None, Some((next, now))) => {
            if let Err(e) = keep(state_dir, engine)? {
                // Nothing was touched yet: without a copy of the old state nothing will be.
                give_up(state_dir, next)?;
                return Ok(Some(Swapped::Refused(e.to_string())));
            }
            rename(&state_dir.join(next), &state_dir.join(now))?;
            now
        }
    };
    let before = state_dir.join(BEFORE);
    Ok(Some(match put(&state_dir.join(now), state_dir, engine) {
        Ok(()) => {
            remove(&state_dir.join(now))?;
            sync(state_dir)?;
            Swapped::Done
        }
        // What is kept is not what was there last: better to try again than to go back to it.
        Err(e) if there(DAMAGED) || !before.exists() => return Err(e),
        Err(e) => {
            put(&before, state_dir, engine)?;
            give_up(state_dir, now)?;
            Swapped::Refused(e.to_string())
        }
    }))
}

/// Ends a restore that is not to be: what was sent is removed, what was kept gets its name back.
///
/// # Errors
/// The disk failed.
pub(crate) fn give_up(state_dir: &Path, name: &str) -> Result<(), StoreError> {
    let file = state_dir.join(name);
    if name.starts_with(BACK) {
        return rename(&file, &state_dir.join(BEFORE));
    }
    remove(&file)?;
    sync(state_dir)
}

/// Writes the state that is there as a backup. A store that cannot be read is moved aside, with the key files.
///
/// # Errors
/// Outside: the store is in use, or the disk failed. Inside: it could not be kept.
fn keep(state_dir: &Path, engine: EngineKind) -> Result<Result<(), StoreError>, StoreError> {
    let store = state_dir.join("store");
    if !store.exists() {
        return Ok(Ok(()));
    }
    let records = hearthgate_store::open(&store, engine).and_then(|store| {
        let records = store.scan(b"")?;
        store.close()?;
        Ok(records)
    });
    Ok(match records {
        Ok(records) => backup::with_key_files(state_dir, records)
            .and_then(|bytes| save_backup(&bytes, &state_dir.join(BEFORE)))
            .and_then(|_| remove_folder(&state_dir.join(DAMAGED))),
        Err(e @ (StoreError::Corrupt { .. } | StoreError::NewerSchema { .. })) => {
            tracing::warn!(error = %e, "the state before cannot be read: its files are kept as store.damaged");
            set_aside(state_dir, &store)
        }
        Err(e) => return Err(e),
    })
}

/// Moves the store out of the way, with copies of the key files in it.
fn set_aside(state_dir: &Path, store: &Path) -> Result<(), StoreError> {
    let aside = state_dir.join(DAMAGED);
    remove_folder(&aside)?;
    for name in KEY_FILES {
        if let Some(bytes) = backup::key_file(&state_dir.join(name))? {
            hearthgate_durable_file::replace(&store.join(name), &bytes)?;
        }
    }
    rename(store, &aside)
}

/// Makes the state what a backup says, whatever it was.
fn put(file: &Path, state_dir: &Path, engine: EngineKind) -> Result<(), StoreError> {
    remove_folder(&state_dir.join("store"))?;
    for name in KEY_FILES {
        remove(&state_dir.join(name))?;
    }
    backup::restore_into(file, state_dir, engine).map(drop)
}

/// Renames a file, durably.
///
/// # Errors
/// The disk failed.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(failed("renaming", from))?;
    sync(to.parent().unwrap_or(Path::new(".")))
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed("syncing the folder", folder))
}

/// Removes a folder that may not be there.
fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a file that may not be there.
///
/// # Errors
/// The disk failed.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(e)),
        _ => Ok(()),
    }
}

pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path: PathBuf = path.to_path_buf();
    move |source| StoreError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_store::{Batch, open};

    const ENGINE: EngineKind = EngineKind::Log;

    fn write(state: &Path, value: &[u8], key: &str) {
        let mut store = open(&state.join("store"), ENGINE).expect("a store");
        let mut batch = Batch::new();
        batch.put(b"user/1", value);
        store.commit(batch).expect("room");
        fs::write(state.join("noise_private.key"), key).expect("room");
    }

    fn read(state: &Path) -> (Vec<u8>, String) {
        let store = open(&state.join("store"), ENGINE).expect("a store");
        let value = store.get(b"user/1").expect("a disk").expect("a record");
        (value, fs::read_to_string(state.join("noise_private.key")).expect("a key"))
    }

    fn export(state: &Path) -> Vec<u8> {
        let store = open(&state.join("store"), ENGINE).expect("a store");
        backup::with_key_files(state, store.scan(b"").expect("a disk")).expect("a backup")
    }

    /// A folder with an old state, and the backup of another.
    fn two_states() -> (tempfile::TempDir, Vec<u8>) {
        let (old, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        write(old.path(), b"old", "old key");
        write(new.path(), b"new", "new key");
        let bytes = export(new.path());
        (old, bytes)
    }

    #[test]
    fn the_old_state_is_kept_and_can_be_put_back() {
        let (dir, new) = two_states();
        let state = dir.path();
        assert!(matches!(swap(state, ENGINE), Ok(None)));
        fs::write(state.join("front_pairing"), "of the old state").expect("room");
        fs::write(state.join(NEXT), &new).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert_eq!(read(state), (b"new".to_vec(), "new key".into()));
        assert!(!state.join("front_pairing").exists(), "a key of the old state is no part of the new one");
        assert!(matches!(swap(state, ENGINE), Ok(None)));
        rename(&state.join(BEFORE), &state.join(NEXT)).expect("renamed");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert_eq!(read(state), (b"old".to_vec(), "old key".into()));
        assert_eq!(fs::read_to_string(state.join("front_pairing")).expect("it is back"), "of the old state");
        let kept: Vec<_> = hearthgate_store::read_backup(&state.join(BEFORE)).expect("a backup");
        assert!(kept.iter().any(|(k, v)| k == b"user/1" && v == b"new"), "and the other way round");
    }

    #[test]
    fn a_power_cut_leaves_a_state_that_the_next_start_completes() {
        let (dir, new) = two_states();
        let state = dir.path();
        // Cut off while the new store was being made: the old one is half gone.
        save_backup(&export(state), &state.join(BEFORE)).expect("room");
        fs::write(state.join(WAYS[0].1), &new).expect("room");
        fs::remove_dir_all(state.join("store")).expect("removed");
        fs::create_dir(state.join("store")).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert_eq!(read(state), (b"new".to_vec(), "new key".into()));
    }

    /// A folder in the way of the file that a backup of the old state is written to first.
    fn no_room(state: &Path) -> PathBuf {
        let way = state.join(format!("{BEFORE}.new"));
        fs::create_dir(&way).expect("room");
        way
    }

    #[test]
    fn the_only_copy_of_a_state_outlives_every_refusal() {
        let (dir, kept) = two_states();
        let state = dir.path();
        let way = no_room(state);
        fs::write(state.join(BACK), &kept).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Refused(_)))));
        assert_eq!(read(state), (b"old".to_vec(), "old key".into()));
        assert_eq!(fs::read(state.join(BEFORE)).expect("it has its name again"), kept);
        // The same when it is found out later.
        fs::remove_dir(way).expect("removed");
        let mut damaged = kept.clone();
        damaged[kept.len() / 2] ^= 1;
        fs::remove_file(state.join(BEFORE)).expect("removed");
        fs::write(state.join(BACK), &damaged).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Refused(_)))));
        assert_eq!(read(state), (b"old".to_vec(), "old key".into()));
        assert_eq!(fs::read(state.join(BEFORE)).expect("it has its name again"), damaged);
        assert!(WAYS.iter().all(|(next, now)| !state.join(next).exists() && !state.join(now).exists()));
    }

    #[test]
    fn a_half_done_restore_is_ended_by_another_and_keeps_the_state_before_the_first() {
        let (dir, new) = two_states();
        let state = dir.path();
        save_backup(&export(state), &state.join(BEFORE)).expect("room");
        let before = fs::read(state.join(BEFORE)).expect("a backup");
        fs::write(state.join("restore.now"), "does not matter").expect("room");
        fs::remove_dir_all(state.join("store")).expect("removed");
        fs::write(state.join(NEXT), &new).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert_eq!(read(state), (b"new".to_vec(), "new key".into()));
        assert_eq!(fs::read(state.join(BEFORE)).expect("a backup"), before);
        assert!(!state.join("restore.now").exists() && !state.join(NEXT).exists());
    }

    #[test]
    fn a_damaged_store_is_moved_aside_with_its_keys() {
        let (dir, new) = two_states();
        let state = dir.path();
        let log = state.join("store/state.log");
        let mut bytes = fs::read(&log).expect("the log");
        bytes.iter_mut().take(64).for_each(|b| *b = 0xa5);
        fs::write(&log, &bytes).expect("room");
        assert!(matches!(open(&state.join("store"), ENGINE), Err(StoreError::Corrupt { .. })));
        fs::write(state.join(NEXT), &new).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert_eq!(read(state), (b"new".to_vec(), "new key".into()));
        assert_eq!(fs::read(state.join(DAMAGED).join("state.log")).expect("it is kept"), bytes);
        assert_eq!(fs::read(state.join(DAMAGED).join("noise_private.key")).expect("it is kept"), b"old key");
        // It goes with the next state that could be kept.
        fs::write(state.join(NEXT), &new).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert!(!state.join(DAMAGED).exists());
    }

    #[test]
    fn a_key_that_cannot_be_read_stops_it_before_anything_is_touched() {
        let (dir, new) = two_states();
        let state = dir.path();
        fs::create_dir(state.join("relay_key.pem")).expect("room");
        fs::write(state.join(NEXT), &new).expect("room");
        let Ok(Some(Swapped::Refused(why))) = swap(state, ENGINE) else { panic!("a key would have been lost") };
        assert!(why.contains("relay_key.pem"), "{why}");
        assert_eq!(read(state), (b"old".to_vec(), "old key".into()));
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_the_old_state() {
        let (dir, mut new) = two_states();
        let state = dir.path();
        let middle = new.len() / 2;
        new[middle] ^= 1;
        fs::write(state.join(NEXT), &new).expect("room");
        let Ok(Some(Swapped::Refused(why))) = swap(state, ENGINE) else { panic!("a damaged backup was taken") };
        assert!(why.contains("damaged"), "{why}");
        assert_eq!(read(state), (b"old".to_vec(), "old key".into()));
        assert!(!state.join(WAYS[0].1).exists() && !state.join(NEXT).exists());
    }
}

//! Putting a backup in the place of the state, at a start, before the store is opened. Names of files in the state
//! folder say how far it has come, so that a power cut at any moment leaves the old state or the new one:
//!
//! ```text
//! restore.next            confirmed; the state is still the old one
//! before-restore.backup   the old state, written whole before the next step
//! restore.now             the name restore.next gets then; while it is there, the store is made from it anew
//! ```

use crate::backup::{self, KEY_FILES};
use hearthgate_store::{EngineKind, StoreError, save_backup};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A backup that was confirmed.
pub(crate) const NEXT: &str = "restore.next";
/// The same while it is put in place.
const NOW: &str = "restore.now";
/// The state before the last restore.
pub(crate) const BEFORE: &str = "before-restore.backup";

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
    let (next, now, before) = (state_dir.join(NEXT), state_dir.join(NOW), state_dir.join(BEFORE));
    if next.exists() {
        let store = hearthgate_store::open(&state_dir.join("store"), engine)?;
        let old = backup::with_key_files(state_dir, store.scan(b"")?);
        store.close()?;
        if let Err(e) = old.and_then(|bytes| save_backup(&bytes, &before)) {
            // Nothing was touched yet: without a copy of the old state nothing will be.
            remove(&next)?;
            return Ok(Some(Swapped::Refused(e.to_string())));
        }
        rename(&next, &now)?;
    }
    if !now.exists() {
        return Ok(None);
    }
    let done = match put(&now, state_dir, engine) {
        Ok(()) => Swapped::Done,
        Err(e) => {
            put(&before, state_dir, engine)?;
            Swapped::Refused(e.to_string())
        }
    };
    remove(&now)?;
    Ok(Some(done))
}

/// Makes the state what a backup says, whatever it was.
fn put(file: &Path, state_dir: &Path, engine: EngineKind) -> Result<(), StoreError> {
    let store = state_dir.join("store");
    match fs::remove_dir_all(&store) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("removing", &store)(e)),
        _ => {}
    }
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
    let folder = to.parent().unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(failed("syncing the folder", folder))
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
        fs::write(state.join(NOW), &new).expect("room");
        fs::remove_dir_all(state.join("store")).expect("removed");
        fs::create_dir(state.join("store")).expect("room");
        assert!(matches!(swap(state, ENGINE), Ok(Some(Swapped::Done))));
        assert_eq!(read(state), (b"new".to_vec(), "new key".into()));
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
        assert!(!state.join(NOW).exists() && !state.join(NEXT).exists());
    }
}

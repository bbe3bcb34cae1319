//! A backup of everything: the records of the store, and the key files beside it.

use crate::state::App;
use hearthgate_store::{EngineKind, Record, Store, StoreError, encode_backup};
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Files of the state folder that are part of a backup: without the Noise key every client has to log in again, and
/// without the relay's certificate clients refuse the relay.
pub(crate) const KEY_FILES: [&str; 7] = [
    "noise_private.key",
    "derp_server_private.key",
    "relay_cert.pem",
    "relay_key.pem",
    "relay_cert.host",
    "front_client_private.key",
    "front_pairing",
];
/// Where they are inside the backup.
const PREFIX: &str = "file/";
/// The Noise key inside a backup.
pub(crate) const NOISE_KEY: &str = "file/noise_private.key";
/// When a backup was made, RFC 3339. Older backups have none.
pub(crate) const MADE: &str = "backup/made";
/// Longest of them in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// The bytes of a backup of the running server.
///
/// # Errors
/// The disk failed, or the server is going down.
pub(crate) async fn of_running(app: &App) -> Result<Vec<u8>, StoreError> {
    with_key_files(&app.state_dir, app.control.export().await?)
}

/// The bytes of a backup with these records and the key files in `state_dir`.
///
/// # Errors
/// A record is too long, or a key file is there and cannot be read.
pub fn with_key_files(state_dir: &Path, mut records: Vec<Record>) -> Result<Vec<u8>, StoreError> {
    for name in KEY_FILES {
        if let Some(bytes) = key_file(&state_dir.join(name))? {
            records.push((format!("{PREFIX}{name}").into_bytes(), bytes));
        }
    }
    records.push((MADE.into(), jiff::Timestamp::now().to_string().into_bytes()));
    encode_backup(records)
}

/// The bytes of a key file, if it is there.
///
/// # Errors
/// It cannot be read, or is too long for one: a backup without it would be none.
pub(crate) fn key_file(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |e: io::Error| StoreError::Io { what: "reading", path: path.to_owned(), source: e };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long for a key file")));
    }
    Ok(Some(bytes))
}

/// Puts a backup into a folder without state: its records and its key files. Returns the number of records.
///
/// # Errors
/// It is damaged, or the disk failed; or there is state already.
pub fn restore_into(file: &Path, state_dir: &Path, engine: EngineKind) -> Result<usize, StoreError> {
    let dir = state_dir.join("store");
    let count = hearthgate_store::restore(file, &dir, engine)?;
    let mut store = hearthgate_store::open(&dir, engine)?;
    unpack_key_files(&mut *store, state_dir)?;
    store.close()?;
    Ok(count)
}

/// Moves the key files of a restored backup out of the store into `state_dir`.
///
/// # Errors
/// The disk failed.
pub fn unpack_key_files(store: &mut dyn Store, state_dir: &Path) -> Result<(), StoreError> {
    let mut batch = hearthgate_store::Batch::new();
    batch.delete(MADE.as_bytes());
    for name in KEY_FILES {
        let key = format!("{PREFIX}{name}");
        if let Some(bytes) = store.get(key.as_bytes())? {
            let path = state_dir.join(name);
            hearthgate_durable_file::replace(&path, &bytes)?;
            batch.delete(key.as_bytes());
        }
    }
    store.commit(batch).map(drop)
}

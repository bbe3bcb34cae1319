//! Commands on a state folder that no server has open: backup and restore.

use crate::{Failure, args::Args, setup};
use hearthgate_store::{backup, open, restore};
use std::path::Path;

/// `hearthgate backup FILE`.
pub(crate) fn make_backup(args: &Args) -> Result<(), Failure> {
    let config = setup::usable(args)?;
    let [_, file] = args.words.as_slice() else { return Err(Failure::Usage("name the file: hearthgate backup FILE".into())) };
    let state = setup::state_dir(&config);
    let mut store = open(&state.join("store"), config.store.engine.parse()?)?;
    // The key files are part of the state: without the Noise key every client has to log in again.
    let mut batch = hearthgate_store::Batch::new();
    for name in KEY_FILES {
        if let Ok(text) = std::fs::read(state.join(name)) {
            batch.put(format!("file/{name}").as_bytes(), &text);
        }
    }
    store.commit(batch)?;
    let count = backup(&*store, Path::new(file))?;
    println!("{count} records are in {file}; it holds private keys, so keep it safe");
    Ok(())
}

/// Files that belong to a backup.
const KEY_FILES: [&str; 5] = ["noise_private.key", "derp_server_private.key", "relay_cert.pem", "relay_key.pem", "relay_cert.host"];

/// `hearthgate restore FILE`.
pub(crate) fn take_backup(args: &Args) -> Result<(), Failure> {
    let config = setup::usable(args)?;
    let [_, file] = args.words.as_slice() else { return Err(Failure::Usage("name the file: hearthgate restore FILE".into())) };
    let state = setup::state_dir(&config);
    let engine = args.value("engine").unwrap_or(&config.store.engine).parse()?;
    let dir = state.join("store");
    let count = restore(Path::new(file), &dir, engine)?;
    let store = open(&dir, engine)?;
    for name in KEY_FILES {
        if let Some(text) = store.get(format!("file/{name}").as_bytes())? {
            write_private(&state.join(name), &text)?;
        }
    }
    println!("{count} records were restored to {}", state.display());
    Ok(())
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

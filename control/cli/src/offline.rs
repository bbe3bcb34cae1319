//! Backup, of a running server or of its folder.

use crate::{Failure, args::Args, remote, setup};
use hearthgate_server::with_key_files;
use hearthgate_store::{open, save_backup};
use std::path::Path;

/// `hearthgate backup FILE`: through the running server if there is one, else from its folder.
pub(crate) fn make_backup(args: &Args) -> Result<(), Failure> {
    let config = setup::usable(args)?;
    let [_, file] = args.words.as_slice() else {
        return Err(Failure::Usage("name the file: hearthgate backup FILE".into()));
    };
    let state = setup::state_dir(&config);
    let socket = setup::socket(&config);
    let bytes = match std::os::unix::net::UnixStream::connect(&socket) {
        _ if remote::is_remote(&config) => remote::fetch(&config, "/api/v1/backup")?,
        Ok(_) => remote::fetch(&config, "/api/v1/backup")?,
        Err(_) if !state.exists() => {
            return Err(Failure::Failed(format!("there is no state in {}: nothing to back up", state.display())));
        }
        Err(_) => {
            let store = open(&state.join("store"), config.store.engine.parse()?)?;
            with_key_files(&state, store.scan(b"")?)?
        }
    };
    let count = save_backup(&bytes, Path::new(file))?;
    println!("{count} records are in {file}; it holds private keys, so keep it safe");
    Ok(())
}

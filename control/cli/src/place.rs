//! What every long-running command needs of its machine: a folder for its state, enough file descriptors, and
//! threads.

use crate::Failure;
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Makes the folder of the state, for its owner only.
pub(crate) fn make_state_dir(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    let hint = "choose another with HEARTHGATE_STATE_DIR or --state-dir";
    made.map_err(|e| Failure::Failed(format!("the state folder {} cannot be made: {e}; {hint}", path.display())))
}

/// Folder of the state when none is configured.
pub(crate) fn usual_state_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if is_root {
        PathBuf::from("/var/lib/hearthgate")
    } else {
        std::env::var_os("XDG_STATE_HOME").map_or_else(|| home.join(".local/state"), PathBuf::from).join("hearthgate")
    }
}

/// Each client needs a file descriptor or two; the usual soft limit of 1,024 would end at five hundred clients.
pub(crate) fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(e) = raised {
        tracing::warn!(error = %e, "the limit of open files could not be raised");
    }
}

/// Threads as the target's limits allow (targets/TARGET.toml).
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(hearthgate_limits::WORKER_THREADS)
        .max_blocking_threads(hearthgate_limits::BLOCKING_THREADS)
        .enable_all()
        .build()
}

//! Asking a running router.

use super::args::Line;
use crate::Failure;
use serde_json::Value;
use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// Environment variable with the socket's path.
const SOCKET_VARIABLE: &str = "HEARTHGATE_ROUTER_SOCKET";

/// Where a router is asked.
pub(super) fn socket(line: &Line) -> PathBuf {
    let from_env = std::env::var(SOCKET_VARIABLE).ok();
    line.value("socket").map(str::to_owned).or(from_env).unwrap_or_else(|| hearthgate_router::SOCKET.into()).into()
}

/// Whether a router answers there.
pub(super) fn is_running(socket: &Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

/// Sends a request and reads its answer.
pub(super) fn call(line: &Line, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let socket = socket(line);
    if !is_running(&socket) {
        let text = format!("no router answers on {}: start it with `hearthgate router up`", socket.display());
        return Err(Failure::Failed(text));
    }
    crate::client::call(&socket, method, path, body)
}

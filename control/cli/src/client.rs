//! HTTP over the server's unix socket.

use crate::Failure;
use serde_json::Value;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const JSON: &str = "application/json";
/// Longest wait for an answer: a dynamic DNS service is waited for a minute, after another one that is under way.
const WAIT: Duration = Duration::from_secs(150);
/// Largest answer.
pub(crate) const ANSWER_MAX: u64 = 256 * 1024 * 1024;

/// Sends a request to the running server and reads its JSON answer.
pub(crate) fn call(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let text = exchange(socket, method, path, JSON, body.as_bytes())?;
    let text = String::from_utf8_lossy(&text);
    Ok(serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned())))
}

/// Fetches bytes from the running server.
#[cfg(feature = "control")]
pub(crate) fn fetch(socket: &Path, path: &str) -> Result<Vec<u8>, Failure> {
    exchange(socket, "GET", path, JSON, b"")
}

/// Sends bytes to the running server and reads its JSON answer.
#[cfg(feature = "control")]
pub(crate) fn send(socket: &Path, path: &str, bytes: &[u8]) -> Result<Value, Failure> {
    let text = exchange(socket, "PUT", path, "application/octet-stream", bytes)?;
    serde_json::from_slice(&text).map_err(|e| Failure::Failed(format!("the server's answer is not JSON: {e}")))
}

/// Sends a request and reads its answer.
fn exchange(socket: &Path, method: &str, path: &str, media: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let unreachable = |e: std::io::Error| {
        Failure::Failed(format!(
            "no server answers on {} ({e}): start it with `hearthgate serve`, or name its configuration with --config or HEARTHGATE_STATE_DIR",
            socket.display()
        ))
    };
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    stream.set_read_timeout(Some(WAIT))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // Who refuses a long body answers before all of it was sent.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut answer);
    if answer.is_empty() {
        sent.and(read)?;
    }
    take_apart(answer)
}

/// The body of a good answer; a bad one as the failure it describes.
pub(crate) fn take_apart(mut answer: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(used)) = response.parse(&answer) else {
        return Err(Failure::Failed("the server's answer is not HTTP".into()));
    };
    let status = response.code.unwrap_or(0);
    let body = answer.split_off(used.min(answer.len()));
    good(status, body)
}

/// The body, unless the status tells of a failure.
pub(crate) fn good(status: u16, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let value: Value =
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    let detail =
        value.get("detail").or_else(|| value.get("message")).and_then(Value::as_str).or_else(|| value.as_str());
    Err(Failure::Failed(
        detail.filter(|d| !d.is_empty()).map_or_else(|| format!("the server answered {status}"), str::to_owned),
    ))
}

/// A path segment or query value with everything unusual as `%XX`.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
        out
    })
}

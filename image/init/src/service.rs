//! A child that is always wanted: started again when it ends, more slowly the more often it does.

use crate::log;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Longest pause before another start.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// A run this long was no failure: the next pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// How long the program may take to answer a question about its health.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most that is read of such an answer.
const MAX_ANSWER: u64 = 256;

/// A service and its present process.
pub struct Service {
    name: &'static str,
    command: Command,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
}

impl Service {
    /// Starts it.
    pub fn start(name: &'static str, command: Command) -> Self {
        let mut service = Self { name, command, child: None, started: Instant::now(), pause: Duration::from_secs(1) };
        service.spawn();
        service
    }

    fn spawn(&mut self) {
        self.started = Instant::now();
        match self.command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => log::say(&format!("{}: {error}", self.name)),
        }
    }

    /// Looks after it; call this every second or so.
    pub fn tend(&mut self) {
        let ended = match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => true,
        };
        if !ended {
            return;
        }
        if self.child.take().is_some() {
            log::say(&format!("{} ended, starting it again in {} s", self.name, self.pause.as_secs()));
            if self.started.elapsed() > GOOD_RUN {
                self.pause = Duration::from_secs(1);
            }
            self.started = Instant::now();
        }
        if self.started.elapsed() >= self.pause {
            self.pause = (self.pause * 2).min(MAX_PAUSE);
            self.spawn();
        }
    }

    /// Asks it to end, and waits up to ten seconds.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Whether hearthgate answers `/health` with 200: it does once its state is open. Asked on its command socket, because a
/// configuration of the owner's may have it listen elsewhere on the network, or with TLS.
pub fn is_healthy(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_an_answer_of_200_is_health() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(!is_healthy(&path), "nobody listens");
        let listener = UnixListener::bind(&path).unwrap();
        for (says, well) in [("HTTP/1.1 200 OK\r\n\r\n", true), ("HTTP/1.1 503 No\r\n\r\n", false), ("", false)] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    // All of it: what is not read would reset the connection.
                    let mut asked = Vec::new();
                    while !asked.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        asked.extend(byte);
                    }
                    assert!(asked.starts_with(b"GET /health "));
                    stream.write_all(says.as_bytes()).unwrap();
                });
                assert_eq!(is_healthy(&path), well, "{says:?}");
            });
        }
    }
}

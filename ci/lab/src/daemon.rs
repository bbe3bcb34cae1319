//! A program that goes on running inside a namespace.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::command;
use crate::context::Context;
use crate::outcome::{Failure, Outcome};

/// Time a program has to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program that a machine runs at times: started, ended, started again.
pub struct Supervised {
    name: String,
    daemon: Option<Daemon>,
}

impl Supervised {
    /// One that does not run yet; `name` is for messages.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), daemon: None }
    }

    /// Takes over what was started, once it answers.
    pub fn runs(&mut self, daemon: Daemon) {
        self.daemon = Some(daemon);
    }

    /// Ends it as a shutdown would.
    pub fn stop(&mut self) -> Outcome {
        self.take()?.stop()
    }

    /// Ends it without a word, as a power cut would.
    pub fn kill(&mut self) -> Outcome {
        self.take()?.kill()
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> Outcome {
        self.daemon.as_mut().map_or(Ok(()), Daemon::check)
    }

    /// Number of the running process.
    pub fn pid(&self) -> Outcome<u32> {
        self.daemon.as_ref().map(Daemon::pid).ok_or_else(|| self.down())
    }

    /// Text of its log so far; empty if it does not run.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::output).unwrap_or_default()
    }

    fn take(&mut self) -> Outcome<Daemon> {
        self.daemon.take().ok_or_else(|| self.down())
    }

    fn down(&self) -> Failure {
        Failure(format!("{} does not run", self.name))
    }
}

/// Handle of a running program. It does not end it when dropped: the namespace's removal does.
pub struct Daemon {
    name: String,
    child: Child,
    /// Where its output goes.
    pub log: PathBuf,
}

impl Daemon {
    /// Takes over a started program.
    pub fn new(name: &str, child: Child, log: PathBuf) -> Self {
        Self { name: name.to_owned(), child, log }
    }

    /// Number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program answers; fails at once if it ends.
    pub fn answers(mut self, context: &Context, limit: Duration, mut look: impl FnMut() -> Outcome) -> Outcome<Self> {
        context.eventually(&format!("{} answers", self.name), limit, || {
            self.check()?;
            look()
        })?;
        Ok(self)
    }

    /// Fails if the program has ended by itself.
    pub fn check(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Failure(format!("{} ended: {status}", self.name))),
        }
    }

    /// Waits for a program that ends by itself, and well.
    pub fn finished(mut self, limit: Duration) -> Outcome {
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(Failure(format!("{}: {status}: {}", self.name, self.output())));
                }
                None if start.elapsed() >= limit => {
                    return Err(Failure(format!("{} did not end in {limit:?}", self.name)));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Sends SIGTERM and waits. An unclean end is a failure.
    pub fn stop(mut self) -> Outcome {
        command::signal("TERM", &[self.child.id()]);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(Failure(format!("{} did not end cleanly: {status}", self.name)))
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()?;
        Err(Failure(format!("{} ignored SIGTERM for {PATIENCE:?}", self.name)))
    }

    /// Sends SIGKILL and waits: the program gets no chance to say good-bye.
    pub fn kill(mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Text of its log so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

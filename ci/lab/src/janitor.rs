//! Leaves the machine as it was, however the lab ends.
//!
//! A second process (this program again, in a process group of its own, so that Ctrl-C passes
//! it by) reads from a pipe what the lab makes. When the pipe closes, because the lab returned,
//! panicked or was killed, it removes what is still on the list: first the processes *inside*
//! our namespaces, which are exactly ours, then the namespaces.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::command;
use crate::outcome::Outcome;

/// Hidden first argument that makes this program the janitor.
pub const COMMAND: &str = "__janitor";
/// Limit for one `ip` command of the cleaning.
const STEP: Duration = Duration::from_secs(10);

/// The lab's end of the pipe.
pub struct Janitor {
    child: Mutex<Child>,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Janitor {
    /// Starts the second process.
    pub fn start() -> Outcome<Self> {
        let mut child =
            Command::new(std::env::current_exe()?).arg(COMMAND).stdin(Stdio::piped()).process_group(0).spawn()?;
        let pipe = Mutex::new(child.stdin.take());
        Ok(Self { child: Mutex::new(child), pipe })
    }

    /// A namespace is about to be made.
    pub fn remember_namespace(&self, name: &str) -> Outcome {
        self.tell(&format!("+netns {name}"))
    }

    /// A symbolic link was made.
    pub fn remember_link(&self, path: &Path) -> Outcome {
        self.tell(&format!("+link {}", path.display()))
    }

    /// It is gone, or is to be kept.
    pub fn forget_namespace(&self, name: &str) -> Outcome {
        self.tell(&format!("-netns {name}"))
    }

    /// It is gone, or is to be kept.
    pub fn forget_link(&self, path: &Path) -> Outcome {
        self.tell(&format!("-link {}", path.display()))
    }

    /// Closes the pipe and waits for the cleaning to be done.
    pub fn finish(&self) {
        *self.pipe.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }

    fn tell(&self, line: &str) -> Outcome {
        if let Some(pipe) = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            writeln!(pipe, "{line}")?;
            pipe.flush()?;
        }
        Ok(())
    }
}

/// The second process: listens until the pipe closes, then cleans.
pub fn listen() {
    let mut left = BTreeSet::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if let Some(thing) = line.strip_prefix('+') {
            left.insert(thing.to_owned());
        } else if let Some(thing) = line.strip_prefix('-') {
            left.remove(thing);
        }
    }
    for thing in left {
        match thing.split_once(' ') {
            Some(("netns", name)) => remove_namespace(name),
            Some(("link", path)) => {
                let _ = std::fs::remove_file(path);
            }
            _ => {}
        }
    }
}

/// Ends every process in a namespace, then the namespace.
pub fn remove_namespace(name: &str) {
    // Twice: a process may be forking while the list is read.
    for _ in 0..2 {
        command::signal("KILL", &pids(name));
    }
    let _ = command::run(Command::new("ip").args(["netns", "del", name]), STEP);
}

/// Process ids inside a namespace.
pub fn pids(name: &str) -> Vec<u32> {
    command::run(Command::new("ip").args(["netns", "pids", name]), STEP)
        .map(|output| output.stdout.lines().filter_map(|l| l.trim().parse().ok()).collect())
        .unwrap_or_default()
}

//! Runs a program with a time limit and keeps what it said.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::outcome::{Failure, Outcome};

/// Time between two looks at whether a program has ended.
const POLL: Duration = Duration::from_millis(10);
/// A program's output beyond this many bytes is read and dropped.
const OUTPUT_LIMIT: usize = 4 << 20;

/// What a finished (or killed) program left.
#[derive(Debug)]
pub struct Output {
    /// The command line, for messages.
    pub line: String,
    /// `None` when killed at the limit.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Wall time.
    pub took: Duration,
}

impl Output {
    /// Did it end by itself with status 0?
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Fails, with the program's words, unless it ended with status 0.
    pub fn ok(self) -> Outcome<Self> {
        if self.success() { Ok(self) } else { Err(Failure(self.complaint())) }
    }

    /// One sentence on how it ended.
    pub fn complaint(&self) -> String {
        let how = match self.status {
            Some(status) => status.to_string(),
            None => format!("killed after {:.0} s", self.took.as_secs_f64()),
        };
        let words = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        format!("`{}`: {how}: {}", self.line, words.trim())
    }

    /// Entry of the command log.
    pub fn record(&self) -> String {
        let how = match self.status {
            Some(status) => status.to_string(),
            None => "killed at the limit".to_owned(),
        };
        let mut record = format!("$ {}   ({how}, {:.2} s)", self.line, self.took.as_secs_f64());
        for line in self.stdout.lines().chain(self.stderr.lines()) {
            record.push_str("\n             | ");
            record.push_str(line);
        }
        record
    }
}

/// Runs a program with no input, for at most `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Outcome<Output> {
    let line = describe(command);
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Failure(format!("`{line}`: {e}")))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(POLL);
    };
    Ok(Output {
        line,
        status,
        stdout: stdout.map(finish).unwrap_or_default(),
        stderr: stderr.map(finish).unwrap_or_default(),
        took: start.elapsed(),
    })
}

/// Sends a signal by name to process ids. A process that is already gone is no failure.
pub fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    let mut command = Command::new("kill");
    command.arg("-s").arg(name);
    command.args(pids.iter().map(u32::to_string));
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// The command as a person would type it; the namespace wrapper is left out.
fn describe(command: &Command) -> String {
    let mut words: Vec<String> = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    if let Some(at) = words.iter().position(|w| w == crate::netns::WRAPPER_MARK) {
        let place = words.get(3).cloned().unwrap_or_default();
        words.drain(..(at + 3).min(words.len()));
        words.insert(0, format!("[{place}]"));
    }
    words.join(" ")
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0_u8; 8192];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                break;
            }
            if kept.len() < OUTPUT_LIMIT {
                kept.extend(buffer.iter().take(count));
            }
        }
        kept
    })
}

fn finish(reader: JoinHandle<Vec<u8>>) -> String {
    let bytes = reader.join().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

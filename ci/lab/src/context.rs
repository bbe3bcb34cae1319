//! What every part of one scenario shares: its folder, its deadline, its log of commands, and
//! the list of what must be taken away afterwards.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::args::Options;
use crate::command::{self, Output};
use crate::janitor::Janitor;
use crate::outcome::{Failure, Outcome};

/// Time between two looks at something that is expected to change.
const POLL: Duration = Duration::from_millis(250);

/// Shared by all parts of one running scenario.
pub struct Context {
    /// Folder of logs and state: `target/lab/NAME`.
    pub dir: PathBuf,
    /// A symbolic link to `dir` with a short path, because a Unix socket path has room for 107
    /// bytes and a build folder may be deep.
    pub short: PathBuf,
    /// Prefix of every namespace name; contains our process id.
    pub prefix: String,
    /// The command line's choices.
    pub options: Rc<Options>,
    /// Takes away what we made, even when we die.
    pub janitor: Rc<Janitor>,
    deadline: Instant,
    started: Instant,
    log: RefCell<File>,
    /// Held while we run: two labs must not write into one folder.
    _lock: File,
    clients: Cell<usize>,
}

impl Context {
    /// Empties and prepares the folder of a scenario that may take `limit`.
    pub fn new(
        scenario: &str,
        number: usize,
        limit: Duration,
        options: Rc<Options>,
        janitor: Rc<Janitor>,
    ) -> Outcome<Rc<Self>> {
        let dir = options.lab_dir.join(scenario);
        fs::create_dir_all(&options.lab_dir)?;
        let lock = File::create(options.lab_dir.join(format!("{scenario}.lock")))?;
        lock.try_lock()
            .map_err(|e| Failure(format!("{} is another lab's ({e}); set HEARTHGATE_LAB_DIR", dir.display())))?;
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let prefix = format!("hgl{}-{number}", std::process::id());
        let short = std::env::temp_dir().join(&prefix);
        std::os::unix::fs::symlink(&dir, &short).map_err(|e| Failure(format!("link {}: {e}", short.display())))?;
        janitor.remember_link(&short)?;
        let log = RefCell::new(File::create(dir.join("commands.log"))?);
        let (started, patience) = (Instant::now(), options.patience);
        Ok(Rc::new(Self {
            dir,
            short,
            prefix,
            options,
            janitor,
            deadline: started + limit * patience,
            started,
            log,
            _lock: lock,
            clients: Cell::new(0),
        }))
    }

    /// The given limit, stretched for a slow machine, cut to what is left of the scenario's.
    pub fn within(&self, limit: Duration) -> Duration {
        (limit * self.options.patience).min(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs a command to its end, or kills it at the limit; either way it is in the log.
    pub fn run(&self, command: &mut std::process::Command, limit: Duration) -> Outcome<Output> {
        let limit = self.within(limit);
        if limit.is_zero() {
            return Err(Failure("the scenario's time limit is over".into()));
        }
        let output = command::run(command, limit)?;
        self.note(&output.record());
        Ok(output)
    }

    /// Runs a command whose long answer is kept in a file of its own, the newest only.
    pub fn run_quietly(&self, command: &mut std::process::Command, limit: Duration, file: &str) -> Outcome<Output> {
        let output = command::run(command, self.within(limit))?;
        if output.success() {
            fs::write(self.dir.join(file), &output.stdout)?;
        } else {
            self.note(&output.record());
        }
        Ok(output)
    }

    /// Writes a line to the command log.
    pub fn note(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        // A full disk must not turn into a wrong verdict about the server.
        let _ = writeln!(self.log.borrow_mut(), "[{seconds:8.3}] {text}");
    }

    /// Looks again and again until `look` gives a value. `look` answers `Err` with what it saw
    /// instead, and the last such sight is in the failure.
    pub fn eventually<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Outcome<T>) -> Outcome<T> {
        let start = Instant::now();
        let limit = self.within(limit);
        loop {
            let seen = match look() {
                Ok(value) => {
                    self.note(&format!("{what}: after {:.1} s", start.elapsed().as_secs_f64()));
                    return Ok(value);
                }
                Err(seen) => seen,
            };
            if start.elapsed() >= limit {
                return Err(Failure(format!(
                    "not within {:.0} s: {what}; last seen: {seen}",
                    start.elapsed().as_secs_f64()
                )));
            }
            std::thread::sleep(POLL);
        }
    }

    /// The client version of the next client: those asked for, in turn.
    pub fn next_version(&self) -> String {
        let number = self.clients.replace(self.clients.get() + 1);
        let versions = &self.options.versions;
        versions[number % versions.len()].clone()
    }

    /// A folder below the scenario's, by its short path.
    pub fn folder(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.short.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Prints the last lines of every log.
    pub fn tail_logs(&self, lines: usize) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut logs: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        logs.sort();
        for path in logs {
            print_tail(&path, lines);
        }
    }
}

/// Longest line shown; logs have the rest.
const WIDTH: usize = 300;

fn print_tail(path: &Path, lines: usize) {
    let Ok(bytes) = fs::read(path) else { return };
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    println!("--- {} (last {} of {} lines)", path.display(), lines.min(all.len()), all.len());
    for line in all.iter().skip(all.len().saturating_sub(lines)) {
        println!("    {}", line.chars().take(WIDTH).collect::<String>());
    }
}

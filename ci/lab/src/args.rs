//! The command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::outcome::{Failure, Outcome};

/// Printed for `--help` and after a mistake.
pub const USAGE: &str = "\
Runs official Tailscale clients in network namespaces against a Hearthgate server.

  hearthgate-lab list                 the scenarios
  hearthgate-lab doctor               which needed programs are missing
  hearthgate-lab all [OPTIONS]        every scenario
  hearthgate-lab NAME... [OPTIONS]    these scenarios
  hearthgate-lab clean                remove what runs with --keep left

  --client VERSION[,VERSION...]  official client versions, given to clients in turn
                                 (default: the newest of ci/clients/versions; ci/clients/build builds them)
  --hearthgate PATH              server binary (default target/debug/hearthgate)
  --emulator PROGRAM             runs the server binary, e.g. qemu-mipsel-static for one of ci/build
  --patience N                   all time limits N times as long, for a slow machine (default 1)
  --keep                         leave namespaces and processes of the run in place

Environment: HEARTHGATE_CACHE (default .cache), HEARTHGATE_LAB_DIR (default target/lab).";

/// The client version used when none is asked for: the newest, as the scripts have it.
fn newest_client() -> &'static str {
    let versions = include_str!("../../clients/versions");
    versions.lines().find_map(|line| line.strip_prefix("NEWEST_CLIENT=")).expect("ci/clients/versions names it")
}

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Print the scenarios.
    List,
    /// Print what is missing.
    Doctor,
    /// Remove left-overs of kept runs.
    Clean,
    /// Print the usage.
    Help,
    /// Run scenarios; an empty list means all.
    Run(Vec<String>),
}

/// How it is to be done.
#[derive(Debug)]
pub struct Options {
    /// Client versions, given out in turn.
    pub versions: Vec<String>,
    /// The server binary.
    pub hearthgate: PathBuf,
    /// What runs the server binary, if this machine cannot.
    pub emulator: Option<String>,
    /// Factor of all time limits.
    pub patience: u32,
    /// Leave everything in place after a run.
    pub keep: bool,
    /// Where the runs' folders are.
    pub lab_dir: PathBuf,
    /// Where the built clients are.
    pub clients_dir: PathBuf,
}

impl Options {
    /// What to start: the server binary, or an emulator with the binary as its first argument.
    pub fn program(&self) -> (&OsStr, Option<&OsStr>) {
        let binary = self.hearthgate.as_os_str();
        match &self.emulator {
            Some(emulator) => (OsStr::new(emulator), Some(binary)),
            None => (binary, None),
        }
    }
}

/// Reads the command line (without the program's name).
pub fn parse(words: &[String]) -> Outcome<(Task, Options)> {
    let root = workspace_root()?;
    let folder = |variable: &str, default: &str| -> PathBuf {
        std::env::var_os(variable).map_or_else(|| root.join(default), PathBuf::from)
    };
    let target = folder("CARGO_TARGET_DIR", "target");
    let mut options = Options {
        versions: vec![newest_client().to_owned()],
        hearthgate: target.join("debug/hearthgate"),
        emulator: None,
        patience: 1,
        keep: false,
        lab_dir: std::env::var_os("HEARTHGATE_LAB_DIR").map_or_else(|| target.join("lab"), PathBuf::from),
        clients_dir: folder("HEARTHGATE_CACHE", ".cache").join("clients"),
    };
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| Failure(format!("{word} needs a value")));
        match word.as_str() {
            "--client" => {
                options.versions = value()?.split(',').map(str::to_owned).collect();
            }
            "--hearthgate" => options.hearthgate = PathBuf::from(value()?),
            "--patience" => {
                options.patience = value()?.parse().map_err(|_| Failure("--patience needs a number".into()))?;
            }
            "--emulator" => options.emulator = Some(value()?),
            "--keep" => options.keep = true,
            "-h" | "--help" => return Ok((Task::Help, options)),
            option if option.starts_with('-') => {
                return Err(Failure(format!("unknown option {option}")));
            }
            name => names.push(name.to_owned()),
        }
    }
    options.hearthgate = std::path::absolute(&options.hearthgate)?;
    options.lab_dir = std::path::absolute(&options.lab_dir)?;
    options.clients_dir = std::path::absolute(&options.clients_dir)?;
    let only = |name: &str| names.len() == 1 && names.first().is_some_and(|n| n == name);
    let task = match names.first().map(String::as_str) {
        None => Task::Help,
        Some(_) if only("list") => Task::List,
        Some(_) if only("doctor") => Task::Doctor,
        Some(_) if only("clean") => Task::Clean,
        Some(_) if only("all") => Task::Run(Vec::new()),
        Some(_) => Task::Run(names),
    };
    Ok((task, options))
}

/// The folder with the workspace's `Cargo.toml`, from here upwards.
fn workspace_root() -> Outcome<PathBuf> {
    let here = std::env::current_dir()?;
    let is_root =
        |dir: &&Path| std::fs::read_to_string(dir.join("Cargo.toml")).is_ok_and(|t| t.contains("[workspace]"));
    Ok(here.ancestors().find(is_root).map_or_else(|| here.clone(), Path::to_path_buf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Outcome<(Task, Options)> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn names_and_options_may_be_mixed() {
        let (task, options) =
            parsed("relay --client 1.80.3,1.102.5 restart --keep --hearthgate /bin/true --emulator qemu-mips-static")
                .unwrap();
        let Task::Run(names) = task else { panic!("{task:?}") };
        assert_eq!(names, ["relay", "restart"]);
        assert_eq!(options.versions, ["1.80.3", "1.102.5"]);
        assert_eq!(options.hearthgate, Path::new("/bin/true"));
        assert_eq!(options.emulator.as_deref(), Some("qemu-mips-static"));
        assert!(options.keep);
    }

    #[test]
    fn all_is_an_empty_list() {
        let (task, options) = parsed("all").unwrap();
        assert!(matches!(task, Task::Run(names) if names.is_empty()));
        assert_eq!(options.versions, [newest_client()]);
        assert!(newest_client().starts_with("1."), "{}", newest_client());
    }

    #[test]
    fn mistakes_are_told() {
        assert!(parsed("relay --clients 1").is_err());
        assert!(parsed("relay --client").is_err());
    }
}

//! Runs official Tailscale clients in network namespaces against a Hearthgate server.
//!
//! One scenario is one file in `scenarios/`; its doc comment draws the network. See
//! `docs/lab.md` for how to use and extend it.

mod args;
mod client;
mod clock;
mod command;
mod context;
mod daemon;
mod doctor;
mod flow;
mod headscale;
mod helpers;
mod internet;
mod janitor;
mod lab;
mod nat;
mod netns;
mod outcome;
mod router;
mod scenario;
mod scenarios;
mod server;
mod server_config;
mod status;
mod stream;

use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use args::{Options, Task};
use janitor::Janitor;
use outcome::{Failure, Outcome};
use scenario::{Scenario, Verdict};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == janitor::COMMAND) {
        janitor::listen();
        return ExitCode::SUCCESS;
    }
    let outcome = match helpers::run(&words) {
        Some(outcome) => outcome.map(|()| true),
        None => args::parse(&words).and_then(|(task, options)| perform(task, options)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("hearthgate-lab: {failure}");
            ExitCode::from(2)
        }
    }
}

fn perform(task: Task, options: Options) -> Outcome<bool> {
    match task {
        Task::Help => println!("{}", args::USAGE),
        Task::List => {
            for scenario in scenarios::ALL {
                println!("{:14} {}", scenario.name, scenario.summary);
            }
        }
        Task::Doctor => return Ok(doctor::report(&options)),
        Task::Clean => clean(),
        Task::Run(names) => return run(&names, options),
    }
    Ok(true)
}

fn run(names: &[String], options: Options) -> Outcome<bool> {
    let chosen = choose(names)?;
    if !doctor::is_root() {
        return Err("namespaces need root; see `hearthgate-lab doctor`".into());
    }
    if !options.hearthgate.exists() {
        return Err(Failure(format!("no server binary at {}", options.hearthgate.display())));
    }
    let options = Rc::new(options);
    let janitor = Rc::new(Janitor::start()?);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (number, scenario) in chosen.iter().enumerate() {
        match scenario.judge(number, &options, &janitor) {
            Verdict::Passed => passed += 1,
            Verdict::Failed => failed += 1,
            Verdict::Skipped => skipped += 1,
        }
    }
    janitor.finish();
    let skips = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    println!("{passed} passed, {failed} failed{skips}");
    Ok(failed == 0)
}

fn choose(names: &[String]) -> Outcome<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(scenarios::ALL.iter().filter(|s| s.usual).collect());
    }
    let find = |name: &String| {
        scenarios::ALL
            .iter()
            .find(|scenario| scenario.name == name)
            .ok_or_else(|| Failure(format!("no scenario {name}; see `hearthgate-lab list`")))
    };
    names.iter().map(find).collect()
}

/// Removes the namespaces and links of labs whose process is gone.
fn clean() {
    for name in left_by_the_dead(Path::new("/run/netns")) {
        println!("removing {name}");
        janitor::remove_namespace(&name);
    }
    let links = std::env::temp_dir();
    for name in left_by_the_dead(&links) {
        // Only links are ours; whatever else has such a name stays.
        if links.join(&name).is_symlink() {
            let _ = std::fs::remove_file(links.join(name));
        }
    }
}

/// Names in a folder that begin as ours do, with the id of a process that is no more.
fn left_by_the_dead(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let dead = |name: &String| {
        let pid = name.strip_prefix("hgl").and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
    };
    entries.flatten().filter_map(|e| e.file_name().into_string().ok()).filter(dead).collect()
}

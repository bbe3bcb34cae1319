//! What a scenario is, and how one is run and judged.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::args::Options;
use crate::context::Context;
use crate::janitor::{self, Janitor};
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};

/// Lines of each log that are shown after a failure.
const TAIL: usize = 25;

/// One entry of the table in [`crate::scenarios`].
pub struct Scenario {
    /// Name on the command line and of the log folder.
    pub name: &'static str,
    /// One line for `list`.
    pub summary: &'static str,
    /// It fails when it takes longer.
    pub limit: Duration,
    /// How many different client versions it needs; with fewer it is skipped.
    pub versions: usize,
    /// Minor number of the oldest client that can do it; with an older one it is skipped.
    pub oldest: u32,
    /// It is run by `all`; otherwise by its name only.
    pub usual: bool,
    /// Programs it needs beyond [`crate::doctor::ALWAYS`].
    pub programs: &'static [&'static str],
    /// The steps.
    pub run: fn(&mut Lab) -> Outcome,
}

/// How one run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All steps held.
    Passed,
    /// One did not.
    Failed,
    /// Too few client versions were given, or one that is too old; nothing was run.
    Skipped,
}

impl Scenario {
    /// What most scenarios have in common.
    pub const BASE: Self = Self {
        name: "",
        summary: "",
        limit: Duration::from_secs(180),
        versions: 1,
        oldest: 0,
        usual: true,
        programs: &[],
        run: |_| Err(Failure(String::new())),
    };

    /// Runs it and prints its line.
    pub fn judge(&self, number: usize, options: &Rc<Options>, janitor: &Rc<Janitor>) -> Verdict {
        if options.versions.len() < self.versions {
            println!("SKIP {}: needs --client with {} versions", self.name, self.versions);
            return Verdict::Skipped;
        }
        if let Some(old) = options.versions.iter().find(|version| minor(version) < self.oldest) {
            println!("SKIP {}: clients can do it since 1.{}, {old} is older", self.name, self.oldest);
            return Verdict::Skipped;
        }
        if let Some(missing) = crate::doctor::ALWAYS.iter().chain(self.programs).find(|p| !crate::doctor::present(p)) {
            println!("FAIL {}: {missing} is missing, see `hearthgate-lab doctor`", self.name);
            return Verdict::Failed;
        }
        let start = Instant::now();
        let context = Context::new(self.name, number, self.limit, options.clone(), janitor.clone());
        let context = match context {
            Ok(context) => context,
            Err(failure) => {
                println!("FAIL {}: {failure}", self.name);
                return Verdict::Failed;
            }
        };
        let mut lab = Lab::new(context.clone());
        let outcome = (self.run)(&mut lab).and_then(|()| lab.check());
        let verdict = match outcome {
            Ok(()) => {
                println!("PASS {} ({:.1} s)", self.name, start.elapsed().as_secs_f64());
                Verdict::Passed
            }
            Err(failure) => {
                context.note(&format!("FAILED: {failure}"));
                println!("FAIL {}: {failure}, logs in {}", self.name, context.dir.display());
                context.tail_logs(TAIL);
                Verdict::Failed
            }
        };
        finish(&context);
        verdict
    }
}

/// Takes the scenario's namespaces away, or tells how to use what is kept.
fn finish(context: &Context) {
    let names = namespaces(&context.prefix);
    if context.options.keep {
        println!("kept: {}; enter with `ip netns exec NAME sh`", names.join(" "));
    }
    for name in &names {
        if !context.options.keep {
            janitor::remove_namespace(name);
        }
        let _ = context.janitor.forget_namespace(name);
    }
    if !context.options.keep {
        let _ = std::fs::remove_file(&context.short);
    }
    let _ = context.janitor.forget_link(&context.short);
}

/// Names of all namespaces that begin with `prefix` and a dash.
pub fn namespaces(prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return Vec::new() };
    let prefix = format!("{prefix}-");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect();
    names.sort();
    names
}

/// The minor number of a version `1.MINOR.PATCH`; 0 if there is none.
pub fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|part| part.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn minor_versions_compare_as_numbers() {
        assert!(super::minor("1.102.5") > super::minor("1.98.9"));
        assert_eq!(super::minor("nonsense"), 0);
    }
}

//! The `hearthgate` program. Everything is in the crates; see `ARCHITECTURE.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hearthgate_cli::run(std::env::args_os().skip(1))
}

//! The command line of `hearthgate`: starting the server, and Headscale's commands for looking after it.
//!
//! Commands talk to the running server over its unix socket, through the same HTTP API that remote tools use.

#[cfg(any(feature = "control", feature = "relay"))]
mod acme;
#[cfg(all(test, feature = "control"))]
mod actions_test;
mod args;
#[cfg(feature = "control")]
mod attributes;
#[cfg(feature = "control")]
mod certificates;
#[cfg(any(feature = "control", feature = "router"))]
mod client;
#[cfg(feature = "control")]
mod commands;
#[cfg(not(feature = "control"))]
#[path = "commands_small.rs"]
mod commands;
#[cfg(feature = "relay")]
mod derp;
#[cfg(feature = "control")]
mod dyndns;
#[cfg(feature = "front")]
mod front;
#[cfg(all(feature = "front", feature = "front-gateway"))]
mod front_gateway;
#[cfg(feature = "control")]
mod import;
#[cfg(feature = "control")]
mod known;
mod logging;
#[cfg(feature = "control")]
mod oauth;
#[cfg(feature = "control")]
mod offline;
#[cfg(any(feature = "control", feature = "router"))]
mod output;
#[cfg(any(feature = "control", feature = "relay"))]
mod place;
#[cfg(feature = "control")]
mod policy;
#[cfg(feature = "control")]
mod policy_text;
#[cfg(feature = "control")]
mod portmap;
#[cfg(feature = "control")]
mod remote;
#[cfg(feature = "control")]
mod restore;
#[cfg(feature = "router")]
mod router;
#[cfg(feature = "control")]
mod serve;
#[cfg(feature = "control")]
mod setup;
#[cfg(feature = "control")]
mod upgrade;
#[cfg(feature = "control")]
mod upgrade_feed;
#[cfg(feature = "control")]
mod webhooks;
#[cfg(feature = "control")]
mod wireguard;

use std::process::ExitCode;

/// Exit code for a mistake on the command line.
const USAGE: u8 = 2;
/// Exit code for a policy that was refused.
#[cfg(feature = "control")]
const REFUSED: u8 = 2;

/// What went wrong, as shown to the person.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// It was tried and failed.
    Failed(String),
    /// The answer is no, and has been printed.
    #[cfg(feature = "control")]
    Refused,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            #[cfg(feature = "control")]
            Self::Refused => f.write_str("refused"),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Self {
        Self::Failed(e.to_string())
    }
}

/// Runs the program with these arguments (without its name).
#[must_use]
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let args: Vec<std::ffi::OsString> = args.into_iter().collect();
    let result = match args.first().and_then(|word| word.to_str()) {
        #[cfg(feature = "router")]
        Some(word) if router::is_ours(word) => router::run(args),
        _ => args::parse(args).and_then(commands::run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("hearthgate: {text}\nTry `hearthgate help`.");
            ExitCode::from(USAGE)
        }
        #[cfg(feature = "control")]
        Err(Failure::Refused) => ExitCode::from(REFUSED),
        Err(Failure::Failed(text)) => {
            eprintln!("hearthgate: {text}");
            ExitCode::FAILURE
        }
    }
}

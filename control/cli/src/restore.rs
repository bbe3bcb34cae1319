//! `hearthgate restore`: a backup in the place of the state, of a running server or in the folder of one that is down.
//! What is there is replaced only when that is said, and is kept then.

use crate::{Failure, args::Args, remote, setup};
use hearthgate_config::Config;
use hearthgate_read::json;
use hearthgate_server::{kept_file, own_as_folder, replace, restore_into, summary};
use hearthgate_store::StoreError;
use serde_json::Value;
use std::{fs, io, os::unix::net::UnixStream, path::Path};

const REPLACE: &str = "nothing was changed: to put it in the place of what is there, which is kept, add --replace";

/// `hearthgate restore FILE` and `hearthgate restore --undo`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = setup::usable(args)?;
    let file = match (args.words.as_slice(), args.has("undo")) {
        ([_, file], false) => Some(Path::new(file)),
        ([_], true) => None,
        _ => return Err(Failure::Usage("name the file: hearthgate restore FILE, or say --undo".into())),
    };
    if remote::is_remote(&config) || UnixStream::connect(setup::socket(&config)).is_ok() {
        running(args, &config, file)
    } else {
        stopped(args, &config, file)
    }
}

/// Through a running server, which checks it, and starts anew with it.
fn running(args: &Args, config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let answer = match file {
        Some(file) => {
            let bytes = fs::read(file).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))?;
            remote::send(config, "/api/v1/restore", bytes)?
        }
        None => remote::call(config, "POST", "/api/v1/restore/previous", None)?,
    };
    let waiting = answer.get("waiting").cloned().unwrap_or_default();
    println!("{}", words(&waiting));
    if args.has("replace") && !args.has("dry-run") {
        let body = json!({ "id": waiting.get("id") });
        remote::call(config, "POST", "/api/v1/restore/confirm", Some(&body))?;
        println!("The server starts anew with it; what was there is kept: hearthgate restore --undo --replace");
        return Ok(());
    }
    remote::call(config, "DELETE", "/api/v1/restore", None)?;
    if args.has("dry-run") { Ok(()) } else { Err(Failure::Failed(REPLACE.into())) }
}

/// In the folder of a server that is down.
fn stopped(args: &Args, config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let state = setup::state_dir(config);
    let engine = args.value("engine").unwrap_or(&config.store.engine).parse()?;
    let failed = |e: hearthgate_server::Refusal| Failure::Failed(e.to_string());
    let kept = kept_file(&state);
    let file = match file {
        Some(file) => file,
        None if kept.exists() => &kept,
        None => return Err(Failure::Failed("nothing was restored here, so there is nothing to put back".into())),
    };
    if args.has("dry-run") {
        println!("{}", words(&json!(summary(file).map_err(failed)?)));
        return Ok(());
    }
    if args.has("replace") {
        let done = replace(file, &state, engine);
        own(&state)?;
        let done = done.map_err(failed)?;
        println!("{}", words(&json!(done)));
        println!("It is in {}; what was there is kept: hearthgate restore --undo --replace", state.display());
        return Ok(());
    }
    let restored = restore_into(file, &state, engine);
    own(&state)?;
    match restored {
        Ok(count) => println!("{count} records were restored to {}", state.display()),
        Err(e @ StoreError::NotEmpty(_)) => return Err(Failure::Failed(format!("{e}. Or: {REPLACE}"))),
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

/// Root restores for the user that runs the server.
fn own(state: &Path) -> Result<(), Failure> {
    match own_as_folder(state) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Failure::Failed(format!("giving the state to the owner of {}: {e}", state.display())))
        }
        _ => Ok(()),
    }
}

/// What a backup holds, in a sentence.
fn words(summary: &Value) -> String {
    let number = |name: &str| summary.get(name).and_then(Value::as_u64).unwrap_or_default();
    let made = ["made", "lastEntry"].into_iter().find_map(|n| summary.get(n)?.as_str());
    let owners: Vec<&str> =
        summary.get("owners").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    format!(
        "The backup holds {} devices and {} users; made: {}; owners of the pages: {}.",
        number("devices"),
        number("users"),
        made.unwrap_or("it does not say"),
        if owners.is_empty() { "nobody".to_owned() } else { owners.join(", ") }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_told_in_a_sentence() {
        let told = words(
            &json!({ "devices": 3, "users": 1, "made": null, "lastEntry": "2026-01-02T03:04:05Z", "owners": ["eve"] }),
        );
        assert_eq!(
            told,
            "The backup holds 3 devices and 1 users; made: 2026-01-02T03:04:05Z; owners of the pages: eve."
        );
        assert!(words(&json!({})).contains("it does not say") && words(&json!({})).contains("nobody"));
    }
}

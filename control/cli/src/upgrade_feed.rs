//! `hearthgate upgrade --check` and `--feed`: what the feed of new versions says, and having the box take what is there.
//! The server asks and fetches; here its answers are waited for.

use crate::{Failure, args::Args, remote::call, setup};
use hearthgate_config::Config;
use serde_json::Value;
use std::{thread::sleep, time::Duration};

/// Between two looks at how far the server is.
const POLL: Duration = Duration::from_secs(1);
/// Longest wait, in looks: the server gives up on a file after half an hour.
const LOOKS: u32 = 1900;
const PATH: &str = "/api/v1/upgrade/feed";

/// Carries out the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = setup::usable(args)?;
    call(&config, "POST", &format!("{PATH}/look"), None)?;
    let news = settled(&config)?;
    failed(&news)?;
    println!("{}", tell(&news));
    if !args.has("feed") || !flag(&news, "newer") || !flag(&news, "byItself") {
        return Ok(());
    }
    call(&config, "POST", &format!("{PATH}/fetch"), None)?;
    // The box restarts as soon as it has the file: silence is how it begins.
    match settled(&config) {
        Ok(news) => failed(&news)?,
        Err(_) => println!("The box does not answer any more: it has the file, or lost its network."),
    }
    println!("The box checks the file and restarts with it; its System page says how it went.");
    Ok(())
}

/// What is known once nothing is under way.
fn settled(config: &Config) -> Result<Value, Failure> {
    for _ in 0..LOOKS {
        let news = call(config, "GET", PATH, None)?;
        if text(&news, "doing").is_empty() {
            return Ok(news);
        }
        sleep(POLL);
    }
    Err(Failure::Failed("the server is still at it; its System page says how it goes".into()))
}

fn failed(news: &Value) -> Result<(), Failure> {
    let error = text(news, "error");
    if error.is_empty() { Ok(()) } else { Err(Failure::Failed(error.to_owned())) }
}

/// What there is, for people.
fn tell(news: &Value) -> String {
    let (version, running) = (text(news, "version"), text(news, "running"));
    if !flag(news, "newer") {
        return format!("{running} runs; the feed has {version}, nothing newer for this box");
    }
    let how = match text(news, "command") {
        "" => "hearthgate upgrade --feed fetches it, and the box restarts with it".to_owned(),
        command => format!("on the box itself:\n  {command}"),
    };
    format!("version {version} is there, {running} runs; {how}")
}

fn text<'a>(news: &'a Value, key: &str) -> &'a str {
    news.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn flag(news: &Value, key: &str) -> bool {
    news.get(key).and_then(Value::as_bool).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_there_is_told_with_what_to_do() {
        let news =
            |newer: bool, command: &str| json!({ "running": "1", "version": "2", "newer": newer, "command": command });
        assert_eq!(tell(&news(false, "")), "1 runs; the feed has 2, nothing newer for this box");
        assert!(tell(&news(true, "")).contains("upgrade --feed"));
        assert!(tell(&news(true, "apt x")).ends_with("on the box itself:\n  apt x"));
        assert!(failed(&json!({ "error": "no" })).is_err() && failed(&news(true, "")).is_ok());
    }
}

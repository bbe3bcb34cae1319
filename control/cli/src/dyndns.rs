//! `hearthgate dyndns`: the name that follows this box's addresses.

use crate::{
    Failure,
    args::{Args, Output},
    commands::ask,
    output::show,
    setup::secret,
};
use hearthgate_config::Config;
use hearthgate_read::json;
use hearthgate_server::DyndnsSettings;
use serde_json::Value;
use std::io::Read;

const PATH: &str = "/api/v1/dyndns";
const COLUMNS: [(&str, &str); 7] = [
    ("Name", "name"),
    ("Service", "service"),
    ("State", "state"),
    ("Leads to", "told"),
    ("Since", "toldAt"),
    ("Addresses now", "seen"),
    ("Why", "why"),
];
const SERVICES: [(&str, &str); 5] =
    [("Service", "service"), ("Name", "label"), ("--user", "user"), ("Secret", "secret"), ("--url", "url")];
/// Longest secret that is read, in bytes.
const SECRET_MAX: u64 = 4096;

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["status"] | [] => tell(args, &ask(args, "GET", PATH, None)?),
        ["services"] => show(&ask(args, "GET", &format!("{PATH}/services"), None)?["services"], args.output, &SERVICES),
        ["set", service, name] => {
            let mut body = json!({ "service": service, "name": name, "secret": typed(args)? });
            // What is not said stays as it was.
            for flag in ["user", "url", "zone"] {
                if let Some(text) = args.value(flag) {
                    body[flag] = text.into();
                }
            }
            if let Some(families) = args.value("families") {
                if !["4", "6", "46"].contains(&families) {
                    return Err(Failure::Usage("--families is 4, 6 or 46".into()));
                }
                body["ipv4"] = families.contains('4').into();
                body["ipv6"] = families.contains('6').into();
            }
            if let Some(ttl) = args.value("ttl") {
                let ttl: u32 = ttl.parse().map_err(|_| Failure::Usage(format!("{ttl:?} is no number of seconds")))?;
                body["ttl"] = ttl.into();
            }
            tell(args, &ask(args, "POST", PATH, Some(&body))?);
        }
        ["update"] => tell(args, &ask(args, "POST", &format!("{PATH}/update"), None)?),
        ["remove" | "delete" | "rm"] => {
            ask(args, "DELETE", PATH, None)?;
            println!("done");
        }
        _ => {
            let usage = "dyndns: set SERVICE NAME -f FILE, status, update, remove or services";
            return Err(Failure::Usage(usage.into()));
        }
    }
    Ok(())
}

fn tell(args: &Args, answer: &Value) {
    if answer["state"] == "none" && args.output == Output::Table {
        println!("no dynamic name: `hearthgate dyndns services` lists who keeps one, `hearthgate dyndns set` sets it");
    } else {
        show(answer, args.output, &COLUMNS);
    }
}

/// The secret: from a file, or from what is typed. On the command line everybody on the machine could read it.
fn typed(args: &Args) -> Result<String, Failure> {
    let mut text = String::new();
    match args.value("file") {
        Some("-") | None => {
            eprintln!("Password or token (nothing: as it is), then Enter and Ctrl-D:");
            std::io::stdin().take(SECRET_MAX).read_to_string(&mut text)?;
        }
        Some(path) => {
            let file = std::fs::File::open(path);
            file.and_then(|f| f.take(SECRET_MAX).read_to_string(&mut text))
                .map_err(|e| Failure::Failed(format!("{path} cannot be read: {e}")))?;
        }
    }
    Ok(text.trim().to_owned())
}

/// What the configuration sets, checked. With a mistake in it the server runs without a name of its configuration, and
/// the log says so: nobody should lose a network over its name.
pub(crate) fn options(config: &Config) -> Option<DyndnsSettings> {
    let c = &config.dyndns;
    if c.service.is_empty() {
        return None;
    }
    let checked = secret(&c.secret, &c.secret_path).and_then(|secret| {
        let settings = c.settings(secret);
        settings.map(|s| s.checked().map_err(|e| Failure::Failed(e.to_string()))).transpose()
    });
    checked.unwrap_or_else(|e| {
        tracing::error!("dyndns: {e}; until this is mended the name is not kept");
        None
    })
}

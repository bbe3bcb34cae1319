//! `hearthgate wireguard`: devices without a client.

use crate::{
    Failure,
    args::{Args, Output},
    client::encode,
    commands::ask,
    output::show,
};
use hearthgate_read::json;
use hearthgate_web::qr;
use serde_json::Value;

const DEVICES: &str = "/api/v1/wireguard";
const COLUMNS: [(&str, &str); 7] = [
    ("ID", "id"),
    ("Name", "name"),
    ("Address", "address"),
    ("LAN", "access.lan"),
    ("Internet", "access.internet"),
    ("Network", "access.tailnet"),
    ("Created", "createdAt"),
];

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["add" | "create" | "new", name] => {
            let access = json!({
                "lan": !args.has("no-lan"), "internet": args.has("internet"), "tailnet": args.has("tailnet"),
            });
            let answer = ask(args, "POST", DEVICES, Some(&json!({ "name": name, "access": access })))?;
            if args.output != Output::Table {
                show(&answer, args.output, &[]);
                return Ok(());
            }
            let text = answer["configuration"].as_str().unwrap_or_default();
            println!("{}\n{text}", qr::console(text));
            eprintln!("This is shown once: its private key is kept nowhere.");
            Ok(())
        }
        ["list" | "ls" | "show"] => {
            let answer = ask(args, "GET", DEVICES, None)?;
            let devices = answer.get("devices").cloned().unwrap_or(Value::Array(Vec::new()));
            show(&devices, args.output, &COLUMNS);
            Ok(())
        }
        ["set" | "change"] => {
            let mut body = json!({});
            if let Some(name) = args.value("name") {
                body["name"] = name.into();
            }
            if args.value("access").is_some() {
                body["access"] = access(&args.list("access"))?;
            }
            let path = format!("{DEVICES}/{}", encode(args.need("id", "the device")?));
            show(&ask(args, "POST", &path, Some(&body))?["device"], args.output, &COLUMNS);
            Ok(())
        }
        ["remove" | "delete" | "rm"] => {
            ask(args, "DELETE", &format!("{DEVICES}/{}", encode(args.need("id", "the device")?)), None)?;
            println!("done");
            Ok(())
        }
        _ => Err(Failure::Usage("wireguard: add NAME, list, set -i ID or remove -i ID".into())),
    }
}

/// What a list like `lan,tailnet` lets a device reach.
fn access(words: &[String]) -> Result<Value, Failure> {
    if let Some(word) = words.iter().find(|w| !matches!(w.as_str(), "lan" | "internet" | "tailnet")) {
        return Err(Failure::Usage(format!("{word:?} is nothing to reach: lan, internet, tailnet")));
    }
    let has = |what: &str| words.iter().any(|w| w == what);
    Ok(json!({ "lan": has("lan"), "internet": has("internet"), "tailnet": has("tailnet") }))
}

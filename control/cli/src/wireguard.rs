//! `hearthgate wireguard`: devices without a client.

use crate::{
    Failure,
    args::{Args, Output},
    client::encode,
    commands::ask,
    output::show,
};
use hearthgate_web::qr;
use serde_json::{Value, json};

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
        ["remove" | "delete" | "rm"] => {
            ask(args, "DELETE", &format!("{DEVICES}/{}", encode(args.need("id", "the device")?)), None)?;
            println!("done");
            Ok(())
        }
        _ => Err(Failure::Usage("wireguard: add NAME, list or remove -i ID".into())),
    }
}

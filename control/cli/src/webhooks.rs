//! `hearthgate webhooks`: other servers that hear of events, through API v2.

use crate::{
    Failure,
    args::{Args, Output},
    client::encode,
    commands::ask,
    output::show,
};
use hearthgate_read::json;
use serde_json::Value;

const ALL: &str = "/api/v2/tailnet/-/webhooks";
const COLUMNS: [(&str, &str); 5] = [
    ("ID", "endpointId"),
    ("URL", "endpointUrl"),
    ("Form", "providerType"),
    ("Events", "subscriptions"),
    ("Created", "created"),
];

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    let one = |end: &str| {
        let id = args.need("id", "the webhook")?;
        Ok::<_, Failure>(format!("/api/v2/webhooks/{}{end}", encode(id)))
    };
    match words {
        ["create" | "c" | "new"] => {
            let body = json!({
                "endpointUrl": args.need("url", "the address")?,
                "providerType": args.value("provider").unwrap_or_default(),
                "subscriptions": args.list("events"),
                "local": args.has("local"),
            });
            secret(args, &ask(args, "POST", ALL, Some(&body))?);
        }
        ["list" | "ls" | "show"] => show(&ask(args, "GET", ALL, None)?["webhooks"], args.output, &COLUMNS),
        ["set"] => {
            let body = json!({ "subscriptions": args.list("events") });
            show(&ask(args, "PATCH", &one("")?, Some(&body))?, args.output, &COLUMNS);
        }
        ["rotate"] => secret(args, &ask(args, "POST", &one("/rotate")?, None)?),
        ["test"] => {
            ask(args, "POST", &one("/test")?, None)?;
            println!("a test event is on its way");
        }
        ["delete" | "del" | "rm"] => {
            ask(args, "DELETE", &one("")?, None)?;
            println!("done");
        }
        _ => return Err(Failure::Usage("webhooks: create, list, set, rotate, test or delete".into())),
    }
    Ok(())
}

/// Shows a secret, this one time.
fn secret(args: &Args, answer: &Value) {
    if args.output == Output::Table {
        println!("webhook id  {}", answer["endpointId"].as_str().unwrap_or_default());
        println!("secret      {}", answer["secret"].as_str().unwrap_or_default());
    } else {
        show(answer, args.output, &[]);
    }
}

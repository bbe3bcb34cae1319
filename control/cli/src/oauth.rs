//! `hearthgate oauth-clients`: clients of API v2 with scopes.

use crate::{
    Failure,
    args::{Args, Output},
    client::encode,
    commands::ask,
    output::show,
};
use hearthgate_read::json;

const KEYS: &str = "/api/v2/tailnet/-/keys";
const COLUMNS: [(&str, &str); 5] =
    [("ID", "id"), ("Description", "description"), ("Scopes", "scopes"), ("Tags", "tags"), ("Created", "created")];

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["create" | "c" | "new"] => {
            let body = json!({
                "keyType": "client",
                "scopes": args.list("scope"),
                "tags": args.list("tag"),
                "description": args.value("description").unwrap_or_default(),
            });
            let answer = ask(args, "POST", KEYS, Some(&body))?;
            if args.output == Output::Table {
                println!("client id      {}", answer["id"].as_str().unwrap_or_default());
                println!("client secret  {}", answer["key"].as_str().unwrap_or_default());
            } else {
                show(&answer, args.output, &[]);
            }
            Ok(())
        }
        ["list" | "ls" | "show"] => {
            let answer = ask(args, "GET", KEYS, None)?;
            let clients =
                answer["keys"].as_array().into_iter().flatten().filter(|k| k["keyType"] == "client").cloned().collect();
            show(&serde_json::Value::Array(clients), args.output, &COLUMNS);
            Ok(())
        }
        ["delete" | "del" | "rm"] => {
            ask(args, "DELETE", &format!("{KEYS}/{}", encode(args.need("id", "the client")?)), None)?;
            println!("done");
            Ok(())
        }
        _ => Err(Failure::Usage("oauth-clients: create, list or delete".into())),
    }
}

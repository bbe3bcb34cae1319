//! `nodes attributes`: what postures of the policy ask about a node, and the values somebody gives it.

use crate::{
    Failure,
    args::{Args, Output},
    commands::{ask, time_from_now},
    output::show,
};
use hearthgate_core::value_of;
use hearthgate_read::json;
use serde_json::{Map, Value};

const COLUMNS: [(&str, &str); 3] = [("Attribute", "name"), ("Value", "value"), ("Until", "until")];

pub(crate) fn run(args: &Args, path: &str) -> Result<(), Failure> {
    let mut changes = Map::new();
    for pair in args.list("set") {
        let (name, text) = pair.split_once('=').ok_or_else(|| {
            Failure::Usage(format!("{pair:?}: write --set custom:NAME=VALUE, with commas between several"))
        })?;
        changes.insert(name.to_owned(), value_of(text));
    }
    changes.extend(args.list("unset").into_iter().map(|name| (name, Value::Null)));
    let answer = if changes.is_empty() {
        ask(args, "GET", path, None)?
    } else {
        let expiry = args.value("expiry").map(time_from_now).transpose()?;
        ask(args, "POST", path, Some(&json!({ "attributes": changes, "expiry": expiry })))?
    };
    if args.output == Output::Table {
        show(&rows(&answer), args.output, &COLUMNS);
    } else {
        show(&answer, args.output, &[]);
    }
    Ok(())
}

fn rows(answer: &Value) -> Value {
    let all = answer["attributes"].as_object().into_iter().flatten();
    all.map(|(name, value)| json!({ "name": name, "value": value, "until": answer["expiries"][name] })).collect()
}

//! `nodes attributes`: what postures of the policy ask about a node, and the values somebody gives it.

use crate::{
    Failure,
    args::{Args, Output},
    commands::{ask, time_from_now},
    output::show,
};
use serde_json::{Map, Value, json};

const COLUMNS: [(&str, &str); 3] = [("Attribute", "name"), ("Value", "value"), ("Until", "until")];

pub(crate) fn run(args: &Args, path: &str) -> Result<(), Failure> {
    let mut changes = Map::new();
    for pair in args.list("set") {
        let (name, text) = pair.split_once('=').ok_or_else(|| {
            Failure::Usage(format!("{pair:?}: write --set custom:NAME=VALUE, with commas between several"))
        })?;
        changes.insert(name.to_owned(), value(text));
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

/// `true`, `false` and numbers as such, all else as text; `'7'` in single quotes is a text as well.
fn value(text: &str) -> Value {
    if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        return inner.into();
    }
    match serde_json::from_str(text) {
        Ok(found @ (Value::Bool(_) | Value::Number(_))) => found,
        _ => text.into(),
    }
}

fn rows(answer: &Value) -> Value {
    let all = answer["attributes"].as_object().into_iter().flatten();
    all.map(|(name, value)| json!({ "name": name, "value": value, "until": answer["expiries"][name] })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_mean_them() {
        assert_eq!(value("true"), json!(true));
        assert_eq!(value("87.5"), json!(87.5));
        assert_eq!(value("'87'"), json!("87"));
        assert_eq!(value("gold"), json!("gold"));
        assert_eq!(value("null"), json!("null"));
    }
}

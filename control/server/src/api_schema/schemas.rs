//! The schemas of API v1's bodies and answers: `schemas.json` in its short form, and how that is read.
//!
//! As code that makes them they were 40 KB of the program, as text they are 6. In the short form a schema is
//!
//! * a word: `text`, `flag`, `integer`, `object`, `text?` and `object?` (or null), `time` (or null), `id`, `user`,
//!   `node`, `route`, `tag`, `login`, `service`;
//! * `@Name`, the schema of that name; `[` and a word, a list of it; `^…`, texts that match; `a|b|c`, one of these texts;
//! * an object, whose keys are properties; those with `!` behind them must be there;
//! * `{"=": …}`, a schema as OpenAPI 3.1 has it.

use crate::share::ROUTES_MAX;
use hearthgate_read::json;
use serde_json::{Map, Value};

const SHORT: &str = include_str!("schemas.json");

pub(super) const ID: &str = "^[0-9]{1,18}$";
pub(super) const AUTH_ID: &str = "^hskey-authreq-[0-9a-f]{24}$";
pub(super) const USER: &str = "^[A-Za-z][A-Za-z0-9_.+-]{1,60}$";
pub(super) const NODE: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const TAG: &str = "^tag:[a-zA-Z][a-zA-Z0-9-]{0,30}$";
const ROUTE: &str = "^(((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])|([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])|::/0)$";

/// Texts that match a pattern.
pub(super) fn matching(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// The schema of that name.
pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// All of them by name.
pub(super) fn schemas() -> Map<String, Value> {
    // A test reads it.
    let short: Map<String, Value> = serde_json::from_slice(SHORT.as_bytes()).unwrap_or_default();
    let mut all: Map<String, Value> = short.into_iter().map(|(name, schema)| (name, long(schema))).collect();
    if let Some(shared) = all.get_mut("Shared") {
        shared["properties"]["routes"] = json!({ "type": "array", "maxItems": ROUTES_MAX, "items": matching(ROUTE) });
    }
    all
}

fn long(short: Value) -> Value {
    match short {
        Value::String(word) => of_word(&word),
        Value::Object(mut fields) => {
            if let Some(schema) = fields.remove("=") {
                return schema;
            }
            let mut required = Vec::new();
            let mut properties = Map::new();
            for (key, schema) in fields {
                let name = key.trim_end_matches('!');
                if name.len() < key.len() {
                    required.push(Value::from(name));
                }
                properties.insert(name.to_owned(), long(schema));
            }
            json!({ "type": "object", "required": required, "properties": Value::Object(properties) })
        }
        other => other,
    }
}

fn of_word(word: &str) -> Value {
    match word {
        "text" => json!({ "type": "string" }),
        "flag" => json!({ "type": "boolean" }),
        "integer" | "object" => json!({ "type": word }),
        "object?" => json!({ "type": ["object", "null"] }),
        "text?" => json!({ "type": ["string", "null"] }),
        "time" => json!({ "type": ["string", "null"], "format": "date-time" }),
        "id" => matching(ID),
        "login" => matching(AUTH_ID),
        "user" => matching(USER),
        "node" => matching(NODE),
        "route" => matching(ROUTE),
        "tag" => matching(TAG),
        "service" => json!({ "enum": hearthgate_dyndns::SERVICES.iter().map(|s| s.id).collect::<Vec<_>>() }),
        _ => {
            if let Some(name) = word.strip_prefix('@') {
                named(name)
            } else if let Some(of) = word.strip_prefix('[') {
                json!({ "type": "array", "items": of_word(of) })
            } else if word.starts_with('^') {
                matching(word)
            } else {
                json!({ "enum": word.split('|').collect::<Vec<_>>() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_read() {
        let all = schemas();
        assert_eq!(all["Nothing"], json!({ "type": "object" }));
        assert_eq!(
            all["RestoreId"],
            json!({ "type": "object", "required": ["id"], "properties": { "id": matching("^[0-9a-f]{16}$") } })
        );
        assert_eq!(all["Users"]["properties"]["users"]["items"], named("User"));
        assert_eq!(all["Front"]["required"], json!(["state"]));
        assert_eq!(all["Front"]["properties"]["state"]["enum"][1], "connecting");
        assert_eq!(all["Shared"]["properties"]["routes"]["maxItems"], ROUTES_MAX);
        assert_eq!(all["NewDyndns"]["properties"]["ttl"]["minimum"], 30);
        assert_eq!(all["Pending"]["properties"]["pending"], json!({ "type": "array" }));
    }

    #[test]
    fn every_word_of_the_short_form_is_one() {
        fn words(short: &Value, found: &mut Vec<String>) {
            match short {
                Value::String(word) => found.push(word.trim_start_matches('[').to_owned()),
                Value::Object(fields) if !fields.contains_key("=") => fields.values().for_each(|v| words(v, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        words(&serde_json::from_str(SHORT).unwrap(), &mut found);
        assert!(found.len() > 100);
        for word in found {
            // What is no word becomes a list of texts, which has more than one.
            assert_ne!(of_word(&word)["enum"].as_array().map(Vec::len), Some(1), "{word}");
        }
    }
}

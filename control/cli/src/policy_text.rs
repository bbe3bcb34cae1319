//! Answers about policies as text for people.

use serde_json::Value;
use std::fmt::Write;

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The list under a name, or the value itself if it is one.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.as_array().or_else(|| value[name].as_array()).map_or(&[], Vec::as_slice)
}

fn rules(explanation: &Value) -> impl Iterator<Item = String> {
    list(&explanation["rules"], "")
        .iter()
        .map(|r| format!("{}[{}] {}", word(r, "section"), r["index"], word(r, "allows")))
}

/// Whether, and by which rules, each pair is connected.
pub(crate) fn explanations(answer: &Value) -> String {
    let mut out = String::new();
    for e in list(answer, "explanations") {
        let allowed = if e["allowed"] == true { "allowed" } else { "not allowed" };
        let _ = writeln!(out, "{} → {}: {allowed}", word(e, "from"), word(e, "to"));
        for line in rules(e).chain(list(&e["whyNot"], "").iter().filter_map(Value::as_str).map(str::to_owned)) {
            let _ = writeln!(out, "    {line}");
        }
        if e["allowed"] != true && e["visible"] == true {
            let _ = writeln!(out, "    they see each other all the same, by other rules");
        }
    }
    if out.is_empty() { "nothing fits\n".into() } else { out }
}

/// Who gets there, one line each.
pub(crate) fn who(answer: &Value) -> String {
    let mut out = String::new();
    for e in list(answer, "explanations") {
        let _ = writeln!(out, "{} → {}: {}", word(e, "from"), word(e, "to"), rules(e).collect::<Vec<_>>().join(", "));
    }
    if out.is_empty() { "nobody\n".into() } else { out }
}

/// What is gained (`+`) and lost (`-`).
pub(crate) fn difference(answer: &Value) -> String {
    let mut out = String::new();
    for (sign, name) in [('+', "gained"), ('-', "lost")] {
        for a in list(&answer[name], "") {
            let _ = writeln!(out, "{sign} {} → {}: {}", word(a, "from"), word(a, "to"), word(a, "what"));
        }
    }
    if out.is_empty() { "nobody gains or loses anything\n".into() } else { out }
}

/// The versions that are kept, oldest first.
pub(crate) fn versions(answer: &Value) -> String {
    let mut out = String::new();
    for v in list(answer, "versions") {
        let _ =
            writeln!(out, "{}  {}  {}  {} bytes", word(v, "version"), word(v, "time"), word(v, "author"), v["bytes"]);
    }
    if out.is_empty() { "no policy was ever set\n".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_answer_reads_as_lines() {
        let rule = json!({ "section": "acls", "index": 0, "allows": "tcp:22" });
        let yes = json!({ "from": "a", "to": "b", "allowed": true, "visible": true, "rules": [rule], "whyNot": [] });
        let no =
            json!({ "from": "b", "to": "a", "allowed": false, "visible": true, "rules": [], "whyNot": ["no rule"] });
        // With and without a server the list stands in another place.
        let text = explanations(&json!({ "explanations": [yes, no] }));
        assert_eq!(text, explanations(&json!([yes, no])));
        assert!(text.starts_with("a → b: allowed\n    acls[0] tcp:22\nb → a: not allowed\n    no rule\n"), "{text}");
        assert_eq!(who(&json!([yes])), "a → b: acls[0] tcp:22\n");
        assert_eq!(who(&json!([])), "nobody\n");
        let change = json!({ "gained": [{ "from": "a", "to": "b", "what": "22" }], "lost": [] });
        assert_eq!(difference(&change), "+ a → b: 22\n");
    }
}

//! Tables for people, JSON and YAML for programs.

use crate::args::Output;
use serde_json::Value;

/// Prints `value`; as a table when it is a list and people asked.
pub(crate) fn show(value: &Value, how: Output, columns: &[(&str, &str)]) {
    match how {
        Output::Json => println!("{}", serde_json::to_string_pretty(value).unwrap_or_default()),
        Output::JsonLine => println!("{value}"),
        Output::Yaml => print!("{}", yaml(value, 0)),
        Output::Table => print!("{}", table(value, columns)),
    }
}

fn table(value: &Value, columns: &[(&str, &str)]) -> String {
    let single = [value.clone()];
    let rows = value.as_array().map_or(single.as_slice(), Vec::as_slice);
    let cell = |row: &Value, path: &str| {
        let found = path.split('.').try_fold(row, |v, key| v.get(key)).unwrap_or(&Value::Null);
        match found {
            Value::Null => "-".to_owned(),
            Value::String(s) if s.is_empty() => "-".to_owned(),
            Value::String(s) => s.clone(),
            Value::Array(a) => {
                a.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        }
    };
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, path)| cell(row, path)).collect()));
    let widths: Vec<usize> =
        (0..columns.len()).map(|c| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0)).collect();
    lines.iter().fold(String::new(), |mut out, line| {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
        out
    })
}

fn yaml(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    let scalar = |v: &Value| match v {
        // JSON strings are valid YAML scalars, whatever they hold.
        Value::Array(a) if a.is_empty() => "[]".to_owned(),
        Value::Object(o) if o.is_empty() => "{}".to_owned(),
        v => v.to_string(),
    };
    let nested =
        |v: &Value| matches!(v, Value::Array(a) if !a.is_empty()) || matches!(v, Value::Object(o) if !o.is_empty());
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().fold(String::new(), |mut out, item| {
            if nested(item) {
                let inner = yaml(item, depth + 1);
                out.push_str(&format!("{pad}- {}", inner.trim_start()));
            } else {
                out.push_str(&format!("{pad}- {}\n", scalar(item)));
            }
            out
        }),
        Value::Object(fields) if !fields.is_empty() => fields.iter().fold(String::new(), |mut out, (key, v)| {
            if nested(v) {
                out.push_str(&format!("{pad}{key}:\n{}", yaml(v, depth + 1)));
            } else {
                out.push_str(&format!("{pad}{key}: {}\n", scalar(v)));
            }
            out
        }),
        other => format!("{pad}{}\n", scalar(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_align_and_mark_what_is_missing() {
        let value =
            json!([{ "id": "1", "user": { "name": "ann" }, "tags": ["tag:a", "tag:b"] }, { "id": "20", "user": null }]);
        let got = table(&value, &[("ID", "id"), ("User", "user.name"), ("Tags", "tags")]);
        assert_eq!(got, "ID  User  Tags\n1   ann   tag:a, tag:b\n20  -     -\n");
    }

    #[test]
    fn yaml_nests() {
        let value = json!([{ "id": "1", "ips": ["a", "b"], "none": [] }]);
        assert_eq!(yaml(&value, 0), "- id: \"1\"\n  ips:\n    - \"a\"\n    - \"b\"\n  none: []\n");
    }
}

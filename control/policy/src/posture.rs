//! Device postures: `node:os == 'macos'`, `node:tsVersion >= '1.40'`, `custom:tier IN ['a', 'b']`, `x IS SET`.
//!
//! Source: Tailscale's documentation of `postures` in policy files.

use hearthgate_sorted::SortedMap;
use serde_json::Value;
use std::cmp::Ordering;

/// One condition; a posture holds when all of its conditions do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assertion {
    attribute: String,
    test: Comparison,
}

#[derive(Debug, Clone, PartialEq)]
enum Comparison {
    Equal(Value),
    NotEqual(Value),
    Ordered(Value, Order),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Set,
    NotSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn fits(self, actual: Ordering) -> bool {
        match self {
            Self::Less => actual.is_lt(),
            Self::LessOrEqual => actual.is_le(),
            Self::Greater => actual.is_gt(),
            Self::GreaterOrEqual => actual.is_ge(),
        }
    }
}

impl Assertion {
    /// Reads `attribute operator value`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("invalid posture assertion {text:?}: {why}");
        let text_ = text.trim();
        let (attribute, rest) = text_.split_once(char::is_whitespace).ok_or_else(|| bad("an operator is missing"))?;
        let prefix_ok = attribute.split_once(':').is_some_and(|(p, n)| !p.is_empty() && !n.is_empty());
        if !prefix_ok {
            return Err(bad("an attribute has the form namespace:name"));
        }
        let rest = rest.trim();
        let after = |op: &str| rest.strip_prefix(op).map(str::trim);
        let test = if rest.eq_ignore_ascii_case("IS SET") {
            Comparison::Set
        } else if rest.eq_ignore_ascii_case("NOT SET") {
            Comparison::NotSet
        } else if let Some(v) = after("NOT IN") {
            Comparison::NotIn(list(v).ok_or_else(|| bad("a list is expected"))?)
        } else if let Some(v) = after("IN") {
            Comparison::In(list(v).ok_or_else(|| bad("a list is expected"))?)
        } else {
            let operators: [(&str, fn(Value) -> Comparison); 6] = [
                ("==", Comparison::Equal),
                ("!=", Comparison::NotEqual),
                (">=", |v| Comparison::Ordered(v, Order::GreaterOrEqual)),
                ("<=", |v| Comparison::Ordered(v, Order::LessOrEqual)),
                (">", |v| Comparison::Ordered(v, Order::Greater)),
                ("<", |v| Comparison::Ordered(v, Order::Less)),
            ];
            let found = operators.iter().find_map(|(op, make)| Some((after(op)?, make)));
            let (value, make) = found.ok_or_else(|| bad("unknown operator"))?;
            make(scalar(value).ok_or_else(|| bad("a value is expected"))?)
        };
        Ok(Self { attribute: attribute.to_owned(), test })
    }

    /// Whether a device with these attributes meets it. What is not known does not, unless absence is asked for.
    pub(crate) fn holds(&self, attributes: &SortedMap<String, Value>) -> bool {
        let value = attributes.get(&self.attribute);
        match &self.test {
            Comparison::Set => value.is_some(),
            Comparison::NotSet => value.is_none(),
            Comparison::Equal(v) => value.is_some_and(|x| same(x, v)),
            Comparison::NotEqual(v) => value.is_some_and(|x| !same(x, v)),
            Comparison::In(all) => value.is_some_and(|x| all.iter().any(|v| same(x, v))),
            Comparison::NotIn(all) => value.is_some_and(|x| !all.iter().any(|v| same(x, v))),
            Comparison::Ordered(v, order) => value.and_then(|x| compare(x, v)).is_some_and(|o| order.fits(o)),
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

/// Numbers by size, texts as versions: part by part, numbers as numbers.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x.as_f64()?.partial_cmp(&y.as_f64()?),
        (Value::String(x), Value::String(y)) => Some(compare_versions(x, y)),
        _ => None,
    }
}

fn compare_versions(a: &str, b: &str) -> Ordering {
    let parts = |t: &str| -> Vec<Result<u64, String>> {
        t.split(['.', '-', '+', ' ']).filter(|p| !p.is_empty()).map(|p| p.parse().map_err(|_| p.to_owned())).collect()
    };
    let (a, b) = (parts(a), parts(b));
    for i in 0..a.len().max(b.len()) {
        let zero = Ok(0);
        let order = match (a.get(i).unwrap_or(&zero), b.get(i).unwrap_or(&zero)) {
            (Ok(x), Ok(y)) => x.cmp(y),
            (Err(x), Err(y)) => x.cmp(y),
            (Ok(_), Err(_)) => Ordering::Greater,
            (Err(_), Ok(_)) => Ordering::Less,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn scalar(text: &str) -> Option<Value> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return (!inner.contains(quote)).then(|| Value::String(inner.to_owned()));
        }
    }
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => serde_json::from_str::<serde_json::Number>(text).ok().map(Value::Number),
    }
}

fn list(text: &str) -> Option<Vec<Value>> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    inner.split(',').filter(|t| !t.trim().is_empty()).map(scalar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let facts = SortedMap::from([
            ("node:os".to_owned(), Value::from("linux")),
            ("node:tsVersion".to_owned(), Value::from("1.102.5")),
            ("custom:score".to_owned(), Value::from(7)),
        ]);
        let holds = |t: &str| Assertion::parse(t).unwrap().holds(&facts);
        assert!(holds("node:os == 'linux'") && !holds("node:os != 'linux'"));
        assert!(holds("node:tsVersion >= '1.40'") && !holds("node:tsVersion < '1.102'"));
        assert!(holds("node:os IN ['macos', 'linux']") && !holds("node:os NOT IN ['linux']"));
        assert!(holds("custom:score > 6.5") && holds("custom:none NOT SET") && !holds("custom:none == 1"));
        assert!(
            Assertion::parse("node:os").is_err()
                && Assertion::parse("os == 'x'").is_err()
                && Assertion::parse("node:os ~ 'x'").is_err()
        );
    }
}

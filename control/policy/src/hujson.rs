//! HuJSON (JSON with comments and trailing commas) as a tree in which every value knows where it stands.
//!
//! Own parser, because a policy's mistakes are told with line and column, and no kept library gives both HuJSON and
//! positions. Source: the JWCC grammar (nigeltao.github.io/blog/2021/json-with-commas-comments.html), RFC 8259.

use crate::Refusal;

/// Longest text accepted, in bytes; Tailscale's own limit is smaller.
pub const TEXT_MAX: usize = 2 << 20;
/// Deepest nesting accepted.
const DEPTH_MAX: u32 = 32;

/// A HuJSON text as plain JSON; `None` when it is none.
#[must_use]
pub fn plain_json(text: &str) -> Option<serde_json::Value> {
    parse(text).ok()?.to_json()
}

/// A value and the byte offset at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) at: usize,
    pub(crate) name: String,
    pub(crate) value: Value,
}

impl Value {
    /// The same as a plain JSON value; `None` for a number that JSON libraries cannot hold.
    pub(crate) fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match &self.kind {
            Kind::Null => Json::Null,
            Kind::Bool(b) => Json::Bool(*b),
            Kind::Number(n) => serde_json::from_str(n).ok()?,
            Kind::String(s) => Json::String(s.clone()),
            Kind::Array(items) => Json::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?),
            Kind::Object(members) => {
                Json::Object(members.iter().map(|m| Some((m.name.clone(), m.value.to_json()?))).collect::<Option<_>>()?)
            }
        })
    }

    /// Its kind in the words of Go's JSON decoder, which users know from Tailscale's messages.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "bool",
            Kind::Number(_) => "number",
            Kind::String(_) => "string",
            Kind::Array(_) => "array",
            Kind::Object(_) => "object",
        }
    }
}

/// Line and column (both from 1, columns in bytes) of a byte offset.
pub(crate) fn position(text: &str, at: usize) -> (u32, u32) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// Parses a whole text.
pub(crate) fn parse(text: &str) -> Result<Value, Refusal> {
    if text.len() > TEXT_MAX {
        return Err(Refusal::new(0, format!("the policy is longer than {TEXT_MAX} bytes")));
    }
    let mut parser = Parser { text, at: 0 };
    parser.blank()?;
    let value = parser.value(0)?;
    parser.blank()?;
    if parser.at < text.len() {
        return Err(parser.fail("invalid character after top-level value"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail(&self, what: &str) -> Refusal {
        let (line, column) = position(self.text, self.at);
        Refusal::new(self.at, format!("hujson: line {line}, column {column}: {what}"))
    }

    fn unexpected(&self, place: &str) -> Refusal {
        match self.text.get(self.at..).and_then(|t| t.chars().next()) {
            Some(c) => self.fail(&format!("invalid character {c:?} {place}")),
            None => self.fail("unexpected EOF"),
        }
    }

    /// Skips white space and comments.
    fn blank(&mut self) -> Result<(), Refusal> {
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            match rest {
                [b' ' | b'\t' | b'\n' | b'\r', ..] => self.at += 1,
                [b'/', b'/', ..] => self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
                [b'/', b'*', inner @ ..] => match inner.windows(2).position(|w| w == b"*/") {
                    Some(end) => self.at += end + 4,
                    None => return Err(self.fail("unexpected EOF in a comment")),
                },
                _ => return Ok(()),
            }
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value, Refusal> {
        if depth > DEPTH_MAX {
            return Err(self.fail("nested too deeply"));
        }
        let at = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => return Err(self.unexpected("at start of value")),
        };
        Ok(Value { at, kind })
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, Refusal> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("at start of value"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn array(&mut self, depth: u32) -> Result<Kind, Refusal> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Kind::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.after_element(b']', "after array element")?;
        }
    }

    fn object(&mut self, depth: u32) -> Result<Kind, Refusal> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        loop {
            self.blank()?;
            let at = self.at;
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Kind::Object(members));
                }
                Some(b'"') => {}
                _ => return Err(self.unexpected("at start of object name")),
            }
            let name = self.string()?;
            if !seen.insert(name.clone()) {
                return Err(Refusal::new(at, format!("duplicate object member name {name:?}")));
            }
            self.blank()?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object name"));
            }
            self.at += 1;
            self.blank()?;
            let value = self.value(depth + 1)?;
            members.push(Member { at, name, value });
            self.after_element(b'}', "after object value")?;
        }
    }

    /// A comma, or the closing bracket ahead.
    fn after_element(&mut self, close: u8, place: &str) -> Result<(), Refusal> {
        self.blank()?;
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(c) if c == close => {}
            _ => return Err(self.unexpected(place)),
        }
        Ok(())
    }

    /// Finds the end of a string or number and lets the JSON library read it: escapes and number forms are its field.
    fn string(&mut self) -> Result<String, Refusal> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(b'\n') | None => {
                    self.at = end.min(bytes.len());
                    return Err(self.unexpected("in string literal"));
                }
                Some(_) => end += 1,
            }
        }
        let literal = self.text.get(start..=end).unwrap_or_default();
        match serde_json::from_str(literal) {
            Ok(text) => {
                self.at = end + 1;
                Ok(text)
            }
            Err(_) => Err(self.fail("invalid string literal")),
        }
    }

    fn number(&mut self) -> Result<Kind, Refusal> {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
        let literal = &rest[..length];
        if serde_json::from_str::<serde_json::Number>(literal).is_err() {
            return Err(self.fail("invalid number literal"));
        }
        self.at += length;
        Ok(Kind::Number(literal.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_trailing_commas() {
        let v = parse("// a\n{ /* b */ \"x\": [1, 2.5e3,], \"y\": {\"z\": \"\\u0041\",}, } // end").unwrap();
        assert_eq!(v.to_json().unwrap(), serde_json::json!({ "x": [1, 2500.0], "y": { "z": "A" } }));
    }

    #[test]
    fn mistakes_have_a_place() {
        let e = parse("{\n  \"a\": ?\n}").unwrap_err();
        assert_eq!(e.message, "hujson: line 2, column 8: invalid character '?' at start of value");
        assert!(parse("{\"a\": 1, \"a\": 2}").unwrap_err().message.contains("duplicate"));
        assert!(parse("{\"a\": \"").is_err());
        assert!(parse("[1 2]").is_err());
        assert!(parse("[,]").is_err());
        assert!(parse("/* open").is_err());
        assert!(parse(&"[".repeat(100)).is_err());
    }
}

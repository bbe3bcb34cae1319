//! The flags, as the official client takes them: `--flag value`, `--flag=value`, and switches with or without `=false`.

use crate::Failure;
use hearthgate_sorted::SortedMap;
use serde_json::{Map, Value};
use std::{ffi::OsString, fs, time::Duration};

/// Flags with a value.
const VALUES: [&str; 15] = [
    "login-server",
    "authkey",
    "auth-key",
    "hostname",
    "advertise-routes",
    "advertise-tags",
    "exit-node",
    "taildrop-dir",
    "state-dir",
    "interface",
    "port",
    "data-plane",
    "socket",
    "format",
    "timeout",
];
/// Flags that are on or off.
const SWITCHES: [&str; 11] = [
    "advertise-exit-node",
    "accept-routes",
    "accept-dns",
    "exit-node-allow-lan-access",
    "snat-subnet-routes",
    "nat66",
    "shields-up",
    "until-direct",
    "json",
    "verbose",
    "help",
];
/// Preferences whose value is a list with commas.
const LISTS: [&str; 2] = ["advertise-routes", "advertise-tags"];
/// Preferences whose value is a text.
const TEXTS: [&str; 4] = ["login-server", "hostname", "exit-node", "taildrop-dir"];
/// Preferences that are on or off.
const BOOLS: [&str; 7] = [
    "advertise-exit-node",
    "accept-routes",
    "accept-dns",
    "exit-node-allow-lan-access",
    "snat-subnet-routes",
    "nat66",
    "shields-up",
];

/// A parsed command line.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    flags: SortedMap<String, String>,
}

impl Line {
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags.get(name).map(String::as_str)
    }

    /// A switch, if it was given.
    pub(super) fn switch(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.value(name) {
            None => Ok(None),
            Some("" | "true" | "1" | "t") => Ok(Some(true)),
            Some("false" | "0" | "f") => Ok(Some(false)),
            Some(other) => Err(Failure::Usage(format!("--{name}={other}: true or false"))),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self.switch(name), Ok(Some(true)))
    }

    /// A time such as `5s` or `500ms`, if it was given.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let read = |digits: &str, unit: f64| digits.parse().ok().map(|n: f64| n * unit);
        let seconds = match text.trim_end_matches(|c: char| c.is_ascii_alphabetic()) {
            digits if text.len() == digits.len() => None,
            digits => match text.strip_prefix(digits) {
                Some("ms") => read(digits, 1e-3),
                Some("s") => read(digits, 1.0),
                Some("m") => read(digits, 60.0),
                _ => None,
            },
        };
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|time| !time.is_zero());
        time.map(Some).ok_or_else(|| Failure::Usage(format!("--{name}={text}: a time such as 5s or 500ms")))
    }

    /// The preferences that were given, by name.
    pub(super) fn changes(&self) -> Result<Map<String, Value>, Failure> {
        let mut changes = Map::new();
        for name in TEXTS {
            if let Some(text) = self.value(name) {
                changes.insert(name.into(), text.into());
            }
        }
        for name in LISTS {
            if let Some(text) = self.value(name) {
                let list: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
                changes.insert(name.into(), list.into());
            }
        }
        for name in BOOLS {
            if let Some(on) = self.switch(name)? {
                changes.insert(name.into(), on.into());
            }
        }
        if let Some(key) = self.value("authkey").or(self.value("auth-key")) {
            let key = match key.strip_prefix("file:") {
                Some(path) => {
                    fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{path}: {e}")))?.trim().to_owned()
                }
                None => key.to_owned(),
            };
            changes.insert("auth-key".into(), key.into());
        }
        Ok(changes)
    }
}

/// Reads the command line.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Line, Failure> {
    let usage = |e: lexopt::Error| Failure::Usage(e.to_string());
    let mut line = Line::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(usage)? {
        let (name, value) = match arg {
            lexopt::Arg::Value(word) => {
                line.words.push(word.to_string_lossy().into_owned());
                continue;
            }
            lexopt::Arg::Short('h') => ("help".to_owned(), String::new()),
            lexopt::Arg::Short('c') => ("c".to_owned(), parser.value().map_err(usage)?.to_string_lossy().into_owned()),
            lexopt::Arg::Short(other) => return Err(Failure::Usage(format!("unknown flag -{other}"))),
            lexopt::Arg::Long(name) => {
                let name = name.to_owned();
                let value = if VALUES.contains(&name.as_str()) {
                    parser.value().map_err(usage)?
                } else if SWITCHES.contains(&name.as_str()) {
                    parser.optional_value().unwrap_or_default()
                } else {
                    return Err(Failure::Usage(format!("unknown flag --{name}")));
                };
                (name, value.to_string_lossy().into_owned())
            }
        };
        line.flags.insert(name, value);
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(text: &str) -> Result<Line, Failure> {
        parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn only_what_was_given_is_changed() {
        let line = line("router up --login-server http://192.168.1.1 --accept-routes --snat-subnet-routes=false --advertise-routes=10.0.0.0/24,fd00::/64").unwrap();
        assert_eq!(line.words, ["router", "up"]);
        let expected = json!({
            "login-server": "http://192.168.1.1", "accept-routes": true, "snat-subnet-routes": false,
            "advertise-routes": ["10.0.0.0/24", "fd00::/64"],
        });
        assert_eq!(Value::Object(line.changes().unwrap()), expected);
    }

    #[test]
    fn empty_values_clear() {
        let line = line("router up --advertise-routes= --exit-node=").unwrap();
        assert_eq!(Value::Object(line.changes().unwrap()), json!({ "advertise-routes": [], "exit-node": "" }));
    }

    #[test]
    fn times_are_read() {
        let time = |text: &str| line(&format!("ping a --timeout {text}")).unwrap().duration("timeout").ok().flatten();
        for (text, milliseconds) in [("5s", 5000), ("500ms", 500), ("1.5s", 1500), ("2m", 120_000)] {
            assert_eq!(time(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["5", "s", "0s", "5h", "-1s", "1e400s", "s5"] {
            assert_eq!(time(bad), None, "{bad}");
        }
        assert_eq!(line("ping a").unwrap().duration("timeout").unwrap(), None);
    }

    #[test]
    fn mistakes_are_told() {
        assert!(line("router up --no-such").is_err());
        assert!(line("router up --accept-routes=maybe").unwrap().changes().is_err());
        assert!(line("router up --hostname").is_err());
    }
}

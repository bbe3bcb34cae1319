//! Words and flags, as Headscale names them.

use crate::Failure;
use hearthgate_sorted::SortedMap;
use std::ffi::OsString;

/// Flags with a value: long name, short name.
const VALUES: &[(&str, Option<char>)] = &[
    ("config", Some('c')),
    ("output", Some('o')),
    ("user", Some('u')),
    ("scope", Some('s')),
    ("tag", None),
    ("description", None),
    ("url", None),
    ("provider", None),
    ("events", None),
    ("identifier", Some('i')),
    ("name", Some('n')),
    ("email", None),
    ("expiration", Some('e')),
    ("display-name", Some('d')),
    ("picture-url", Some('p')),
    ("new-name", Some('r')),
    ("tags", Some('t')),
    ("routes", None),
    ("auth-id", None),
    ("key", Some('k')),
    ("prefix", None),
    ("id", None),
    ("expiry", None),
    ("set", None),
    ("unset", None),
    ("engine", None),
    ("policy", None),
    ("topology", None),
    ("node", None),
    ("from", None),
    ("to", None),
    ("file", Some('f')),
    ("version-id", None),
    ("db", None),
    ("noise-key", None),
    ("derp-key", None),
    ("box-url", None),
    ("access", None),
    ("zone", None),
    ("ttl", None),
    ("families", None),
    ("hostname", None),
    ("listen-addr", None),
    ("stun-listen-addr", None),
    ("public-networks", None),
    ("metrics-listen-addr", None),
    ("verify-client-url", None),
    ("state-dir", None),
    ("tls-cert", None),
    ("tls-key", None),
    ("mesh-key-file", None),
    ("mesh-with", None),
];
/// Flags without a value.
const SWITCHES: &[&str] = &[
    "dry-run",
    "replace",
    "undo",
    "check",
    "feed",
    "local",
    "force",
    "reusable",
    "ephemeral",
    "preauthorized",
    "disable",
    "help",
    "version",
    "json",
    "stdin-jsonl",
    "without-relay",
    "no-lan",
    "internet",
    "tailnet",
    "bypass-server-and-access-database-directly",
];

/// Output forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Output {
    /// A table for people.
    #[default]
    Table,
    /// JSON with indentation.
    Json,
    /// JSON on one line.
    JsonLine,
    /// YAML.
    Yaml,
}

/// A parsed command line.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) words: Vec<String>,
    values: SortedMap<&'static str, String>,
    switches: Vec<&'static str>,
    pub(crate) output: Output,
}

impl Args {
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    /// All flags that were given.
    #[cfg(feature = "control")]
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        self.values.keys().copied().chain(self.switches.iter().copied())
    }

    /// A value that must be there.
    #[cfg(feature = "control")]
    pub(crate) fn need(&self, name: &str, what: &str) -> Result<&str, Failure> {
        self.value(name).ok_or_else(|| Failure::Usage(format!("{what} is needed: --{name}")))
    }

    /// Values with commas between them.
    #[cfg(any(feature = "control", feature = "relay"))]
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.value(name)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// What a short flag means depends on the command: `-e` is an email for users, an expiration for keys; `-r` and `-i`
/// likewise.
pub(crate) fn long_of(short: char, words: &[String]) -> Option<&'static str> {
    let group = words.first().map_or("", String::as_str);
    let command = words.get(1).map_or("", String::as_str);
    Some(match (short, group) {
        ('e', "users" | "user") => "email",
        ('e', "nodes" | "node") => "expiry",
        ('d', "nodes" | "node") => "disable",
        ('r', "nodes" | "node") => "routes",
        ('p', "apikeys" | "apikey" | "api") => "prefix",
        ('i', "webhooks" | "webhook") => "id",
        ('e', "webhooks" | "webhook") => "events",
        ('u', "webhooks" | "webhook") => "url",
        ('p', "webhooks" | "webhook") => "provider",
        ('t', "oauth-clients" | "oauth-client" | "oauth") => "tag",
        ('d', "oauth-clients" | "oauth-client" | "oauth") => "description",
        ('i', "oauth-clients" | "oauth-client" | "oauth") => "id",
        ('i', "wireguard" | "wg" | "preauthkeys" | "preauthkey" | "authkey" | "pre" | "apikeys" | "apikey" | "api") => {
            "id"
        }
        ('t', _) if command.is_empty() => "tags",
        _ => VALUES.iter().find(|(_, s)| *s == Some(short)).map(|(l, _)| *l)?,
    })
}

/// Reads the command line.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, Failure> {
    let usage = |e: lexopt::Error| Failure::Usage(e.to_string());
    let mut parsed = Args::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(usage)? {
        let long = match arg {
            lexopt::Arg::Value(word) => {
                parsed.words.push(word.to_string_lossy().into_owned());
                continue;
            }
            lexopt::Arg::Short('h') => "help",
            lexopt::Arg::Short(s) => {
                long_of(s, &parsed.words).ok_or_else(|| Failure::Usage(format!("unknown flag -{s}")))?
            }
            lexopt::Arg::Long(l) => {
                let known = VALUES.iter().map(|(n, _)| *n).chain(SWITCHES.iter().copied()).find(|n| *n == l);
                known.ok_or_else(|| Failure::Usage(format!("unknown flag --{l}")))?
            }
        };
        if SWITCHES.contains(&long) {
            parsed.switches.push(long);
        } else {
            let value = parser.value().map_err(usage)?.to_string_lossy().into_owned();
            // A flag given several times is a list.
            parsed.values.entry(long).and_modify(|v| *v = format!("{v},{value}")).or_insert(value);
        }
    }
    parsed.output = match parsed.value("output") {
        None | Some("") => Output::Table,
        Some("json") => Output::Json,
        Some("json-line") => Output::JsonLine,
        Some("yaml") => Output::Yaml,
        Some(other) => return Err(Failure::Usage(format!("{other:?} is no output form: json, json-line or yaml"))),
    };
    Ok(parsed)
}

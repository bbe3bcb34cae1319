//! Log lines on standard error: `level message key=value`, or JSON.
//!
//! Field names come from one dictionary: `node`, `peer`, `machine`, `error`, `addr`, `prefix`, `user`, `key`.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

struct Lines {
    level: Level,
    json: bool,
}

/// Sends log events to standard error from now on.
pub(crate) fn start(level: &str, format: &str) {
    let level = level.parse().unwrap_or(Level::INFO);
    // A second start in one process keeps the first.
    let _ = tracing::subscriber::set_global_default(Lines { level, json: format == "json" });
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.rest.push((field.name(), text));
        }
    }
}

/// The level from which another crate is heard.
fn quiet(target: &str) -> Level {
    if target.starts_with("boringtun") { Level::ERROR } else { Level::WARN }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Of other crates only what somebody should act on. WireGuard in user space warns of each peer that is asleep.
        *metadata.level() <= self.level
            && (metadata.target().starts_with("hearthgate") || *metadata.level() <= quiet(metadata.target()))
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // To the second.
        let now = jiff::Timestamp::now();
        let time = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
        let level = event.metadata().level();
        let line = if self.json {
            let mut object = serde_json::Map::new();
            object.insert("time".into(), time.to_string().into());
            object.insert("level".into(), level.to_string().to_lowercase().into());
            object.insert("message".into(), fields.message.into());
            object.extend(fields.rest.into_iter().map(|(k, v)| (k.to_owned(), v.into())));
            serde_json::Value::Object(object).to_string()
        } else {
            let rest = fields.rest.iter().fold(String::new(), |mut out, (k, v)| {
                let _ = write!(out, " {k}={v}");
                out
            });
            format!("{time} {:5} {}{rest}", level, fields.message)
        };
        // A log that cannot be written has nowhere to say so.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

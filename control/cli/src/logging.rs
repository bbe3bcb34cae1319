//! Log lines on standard error: `level message key=value`, or JSON.
//!
//! Field names come from one dictionary: `node`, `peer`, `machine`, `error`, `addr`, `prefix`, `user`, `key`.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use tracing::{Level, Value};

/// Lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Sends log events to standard error from now on.
pub(crate) fn start(level: &str, format: &str) {
    let level = Level::of(level).unwrap_or(Level::Info);
    JSON.store(format == "json", Relaxed);
    tracing::start(level, ours);
    libraries::start(level);
}

fn ours(level: Level, message: fmt::Arguments<'_>, names: &[&'static str], values: &[Value<'_>]) {
    let fields = names.iter().zip(values).map(|(name, value)| (*name, value.to_string())).collect();
    write(level, message.to_string(), fields);
}

fn write(level: Level, message: String, fields: Vec<(&'static str, String)>) {
    // To the second.
    let now = jiff::Timestamp::now();
    let time = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let level = level.name();
    let line = if JSON.load(Relaxed) {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), time.to_string().into());
        object.insert("level".into(), level.to_ascii_lowercase().into());
        object.insert("message".into(), message.into());
        object.extend(fields.into_iter().map(|(k, v)| (k.to_owned(), v.into())));
        serde_json::Value::Object(object).to_string()
    } else {
        let mut line = format!("{time} {level:5} {message}");
        for (k, v) in fields {
            // Writing to a String cannot fail.
            let _ = write!(line, " {k}={v}");
        }
        one_line(line)
    };
    // A log that cannot be written has nowhere to say so.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Control characters as escapes: what a stranger sent can neither begin a line of its own nor speak to a terminal.
fn one_line(line: String) -> String {
    if !line.contains(char::is_control) {
        return line;
    }
    line.chars().fold(String::new(), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// What libraries say through the crate `tracing`.
mod libraries {
    use super::write;
    use library_tracing::{
        Event, Metadata, Subscriber,
        field::{Field, Visit},
        span, subscriber,
    };
    use std::fmt;
    use tracing::Level;

    struct Lines {
        level: Level,
    }

    /// Begins to listen. A second start in one process keeps the first.
    pub(super) fn start(level: Level) {
        let _ = subscriber::set_global_default(Lines { level });
    }

    #[derive(Default)]
    struct Fields {
        message: String,
        rest: Vec<(&'static str, String)>,
    }

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            let text = format!("{value:?}");
            if field.name() == "message" {
                self.message = text;
            } else {
                self.rest.push((field.name(), text));
            }
        }
    }

    /// Warnings and errors are what somebody should act on.
    fn level(metadata: &Metadata<'_>) -> Option<Level> {
        match *metadata.level() {
            library_tracing::Level::ERROR => Some(Level::Error),
            library_tracing::Level::WARN => Some(Level::Warn),
            _ => None,
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            // WireGuard in user space warns of each peer that is asleep.
            let least = if metadata.target().starts_with("boringtun") { Level::Error } else { Level::Warn };
            level(metadata).is_some_and(|level| level <= least && level <= self.level)
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            write(level(event.metadata()).unwrap_or(Level::Warn), fields.message, fields.rest);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_stranger_begins_no_line_and_says_nothing_to_a_terminal() {
        let said = "name=a\nINFO all is well\r\u{1b}[2J \u{85}é".to_owned();
        assert_eq!(one_line(said), r"name=a\nINFO all is well\r\u{1b}[2J \u{85}é");
        assert_eq!(one_line("é plain".into()), "é plain");
    }
}

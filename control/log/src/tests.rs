//! One test, since there is one sink in a process.

use crate::{Level, Value, debug, enabled, error, info, start, trace, warn};
use std::{fmt, sync::Mutex};

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keep(level: Level, message: fmt::Arguments<'_>, names: &[&'static str], values: &[Value<'_>]) {
    assert_eq!(names.len(), values.len());
    let fields: String = names.iter().zip(values).map(|(name, value)| format!(" {name}={value}")).collect();
    SAID.lock().unwrap().push(format!("{} {message}{fields}", level.name()));
}

fn not_wanted() -> u8 {
    panic!("evaluated though nobody wants it")
}

#[test]
fn events_have_their_fields_in_order_and_those_below_the_level_are_not_made() {
    error!("before the start");
    assert!(!enabled(Level::Error));
    start(Level::Debug, keep);
    start(Level::Trace, keep);
    let (node, name, parts) = (7_u64, String::from("a b"), ["x"]);
    info!("plain");
    warn!(%node, name, host = name.as_str(), ?parts, "of {} and {node}", 5);
    error!(error = %"why", many = ?parts, on = true, "three");
    debug!(%name, "wanted");
    trace!(value = not_wanted(), "not wanted");
    assert_eq!(
        *SAID.lock().unwrap(),
        [
            "INFO plain",
            r#"WARN of 5 and 7 node=7 name="a b" host="a b" parts=["x"]"#,
            r#"ERROR three error=why many=["x"] on=true"#,
            "DEBUG wanted name=a b",
        ]
    );
}

#[test]
fn levels_have_names() {
    assert_eq!(Level::of("debug"), Some(Level::Debug));
    assert_eq!(Level::of("WARN"), Some(Level::Warn));
    assert_eq!(Level::of("loud"), None);
    assert!(Level::Error < Level::Trace);
}

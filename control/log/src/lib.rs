//! Log events: a level, a message, named fields.
//!
//! The macros are written as those of the crate `tracing`, under whose name the workspace hands this one out
//! (`Cargo.toml`). Each event of `tracing` carries a description of itself and the code that asks whether it is wanted,
//! half a kilobyte in all; here it is a call of [`event()`] with a list of names and one of values. What is not here: spans,
//! and fields without a value. Until [`start`] nothing is said.

mod macros;

use std::{fmt, sync::OnceLock};

/// How urgent an event is; the first is the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may not work.
    Warn,
    /// What whoever runs the program wants to know.
    Info,
    /// What helps to find a mistake.
    Debug,
    /// Each step.
    Trace,
}

impl Level {
    /// Its name in capitals, as it stands in log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }

    /// The level of a name, in small or capital letters; `None` if there is none of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
        all.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// `%value`.
    Display(&'a dyn fmt::Display),
    /// `?value`, and a value without a sign, which so is in quotes if it is a text.
    Debug(&'a dyn fmt::Debug),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Display(value) => value.fmt(f),
            Self::Debug(value) => value.fmt(f),
        }
    }
}

/// What may be the value of a field without a sign before it: what looks the same to people and to programs.
pub trait Plain: fmt::Debug {}

macro_rules! plain {
    ($($type:ty),*) => { $(impl Plain for $type {})* };
}
plain!(str, String, bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
impl<T: Plain + ?Sized> Plain for &T {}

/// A field without a sign.
pub const fn plain<T: Plain>(value: &T) -> Value<'_> {
    Value::Debug(value)
}

/// Where events go: level, message, names of the fields, and their values, as many.
pub type Sink = fn(Level, fmt::Arguments<'_>, &[&'static str], &[Value<'_>]);

static STARTED: OnceLock<(Level, Sink)> = OnceLock::new();

/// Hands events down to `least` to `sink` from now on. A second start keeps the first.
pub fn start(least: Level, sink: Sink) {
    let _ = STARTED.set((least, sink));
}

/// Whether events of this level are wanted.
#[must_use]
pub fn enabled(level: Level) -> bool {
    STARTED.get().is_some_and(|(least, _)| level <= *least)
}

/// Says an event, if it is wanted: what the macros call.
pub fn event(level: Level, message: fmt::Arguments<'_>, names: &[&'static str], values: &[Value<'_>]) {
    if let Some((least, sink)) = STARTED.get()
        && level <= *least
    {
        sink(level, message, names, values);
    }
}

#[cfg(test)]
mod tests;

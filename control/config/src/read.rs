//! From TOML to the types of the configuration: each section lists its keys, and one function reads all sections.
//!
//! serde would compile a reader for every section, a third of a megabyte; what happens once per start may be a walk
//! through tables. A key that is absent leaves its default, one that nobody knows is a mistake, and every mistake has
//! its place in the text.

use hearthgate_sorted::SortedMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
    path::PathBuf,
    str::FromStr,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A value with its place in the text.
pub(crate) type Given<'a> = Spanned<DeValue<'a>>;

/// What is wrong, and where in the text.
pub(crate) struct Mistake {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// In words, with what would be right.
    pub message: String,
}

/// A value of the configuration, or a section with keys.
pub(crate) trait Read {
    /// Takes over what is given; leaves itself as it is where that does not fit, and says so.
    fn read(&mut self, given: &Given<'_>, mistakes: &mut Vec<Mistake>);

    /// Keys of a section.
    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The value of the key of this number.
    fn field(&mut self, _number: usize) -> Option<&mut dyn Read> {
        None
    }
}

/// Lists the keys of a section, which are all its fields; behind `required` those that have no default.
macro_rules! section {
    ($type:ty { $($key:ident),* $(,)? } $(required { $($required:ident),* })?) => {
        impl $crate::read::Read for $type {
            fn read(&mut self, given: &$crate::read::Given<'_>, mistakes: &mut Vec<$crate::read::Mistake>) {
                $crate::read::table(self, &[$($(stringify!($required)),*)?], given, mistakes);
            }

            fn keys(&self) -> &'static [&'static str] {
                &[$(stringify!($key)),*]
            }

            fn field(&mut self, number: usize) -> Option<&mut dyn $crate::read::Read> {
                // All of them, or this does not compile.
                let Self { $($key),* } = self;
                let mut left = number;
                $(
                    if left == 0 {
                        return Some($key);
                    }
                    left = left.wrapping_sub(1);
                )*
                let _ = left;
                None
            }
        }
    };
}
pub(crate) use section;

/// Reads a section; keys in `required` must be there.
pub(crate) fn table(into: &mut dyn Read, required: &[&str], given: &Given<'_>, mistakes: &mut Vec<Mistake>) {
    let DeValue::Table(table) = given.get_ref() else {
        mistakes.push(mismatch(given, "a table"));
        return;
    };
    for key in required.iter().filter(|key| !table.contains_key(**key)) {
        mistakes.push(Mistake { span: given.span(), message: format!("missing key `{key}`") });
    }
    entries(into, table, mistakes);
}

/// Reads the keys of a table, which is the whole file or a section of it.
pub(crate) fn entries(into: &mut dyn Read, table: &DeTable<'_>, mistakes: &mut Vec<Mistake>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        match named(into, name) {
            Some(field) => field.read(value, mistakes),
            None => {
                let known = into.keys().iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                let message = format!("unknown key `{name}`, known ones here are {known}");
                mistakes.push(Mistake { span: key.span(), message });
            }
        }
    }
}

/// The value of a key such as `derp.server.enabled`.
pub(crate) fn at<'a>(whole: &'a mut dyn Read, path: &str) -> Option<&'a mut dyn Read> {
    path.split('.').try_fold(whole, |section, name| named(section, name))
}

fn named<'a>(section: &'a mut dyn Read, name: &str) -> Option<&'a mut dyn Read> {
    let number = section.keys().iter().position(|key| *key == name)?;
    section.field(number)
}

fn mismatch(given: &Given<'_>, expected: &str) -> Mistake {
    let found = match given.get_ref() {
        DeValue::String(text) => format!("string {text:?}"),
        DeValue::Integer(number) => format!("integer `{number}`"),
        DeValue::Boolean(value) => format!("boolean `{value}`"),
        DeValue::Array(_) => "list".into(),
        other => other.type_str().into(),
    };
    Mistake { span: given.span(), message: format!("invalid type: {found}, expected {expected}") }
}

/// A value that is made of one given value.
pub(crate) trait Single: Sized {
    /// The value, or a word about why there is none.
    fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self>;
}

impl<T: Single> Read for Option<T> {
    fn read(&mut self, given: &Given<'_>, mistakes: &mut Vec<Mistake>) {
        *self = T::single(given, mistakes).or(self.take());
    }
}

impl<T: Single> Read for Vec<T> {
    fn read(&mut self, given: &Given<'_>, mistakes: &mut Vec<Mistake>) {
        match given.get_ref() {
            DeValue::Array(list) => *self = list.iter().filter_map(|one| T::single(one, mistakes)).collect(),
            _ => mistakes.push(mismatch(given, "a list")),
        }
    }
}

impl<T: Default + Read> Read for SortedMap<String, T> {
    fn read(&mut self, given: &Given<'_>, mistakes: &mut Vec<Mistake>) {
        let DeValue::Table(table) = given.get_ref() else {
            mistakes.push(mismatch(given, "a table"));
            return;
        };
        *self = SortedMap::new();
        for (key, given) in table {
            let mut value = T::default();
            value.read(given, mistakes);
            self.insert(key.get_ref().to_string(), value);
        }
    }
}

impl Single for String {
    fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        match given.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                mistakes.push(mismatch(given, "a string"));
                None
            }
        }
    }
}

impl Single for PathBuf {
    fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        String::single(given, mistakes).map(Into::into)
    }
}

impl Single for bool {
    fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        match given.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                mistakes.push(mismatch(given, "true or false"));
                None
            }
        }
    }
}

/// A whole number of at most `most`.
fn number(given: &Given<'_>, most: u64, mistakes: &mut Vec<Mistake>) -> Option<u64> {
    if let DeValue::Integer(number) = given.get_ref()
        && let Ok(number) = u64::from_str_radix(number.as_str(), number.radix())
        && number <= most
    {
        return Some(number);
    }
    mistakes.push(mismatch(given, &format!("a whole number from 0 to {most}")));
    None
}

/// What a text stands for; `expected` says what it must be.
fn text<T: FromStr>(given: &Given<'_>, expected: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
    let value = match given.get_ref() {
        DeValue::String(text) => text.parse().ok(),
        _ => None,
    };
    if value.is_none() {
        mistakes.push(mismatch(given, expected));
    }
    value
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Single for $type {
            fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
                number(given, u64::from(<$type>::MAX), mistakes).and_then(|n| n.try_into().ok())
            }
        })*
    };
}
numbers!(u16, u32);

impl Single for u64 {
    fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        // TOML's numbers end there.
        number(given, i64::MAX.unsigned_abs(), mistakes)
    }
}

macro_rules! texts {
    ($($type:ty, $expected:literal;)*) => {
        $(impl Single for $type {
            fn single(given: &Given<'_>, mistakes: &mut Vec<Mistake>) -> Option<Self> {
                text(given, $expected, mistakes)
            }
        })*
    };
}
texts! {
    IpNet, "a network such as 192.168.1.0/24";
    Ipv4Net, "an IPv4 network such as 100.64.0.0/10";
    Ipv6Net, "an IPv6 network such as fd7a:115c:a1e0::/48";
    IpAddr, "an IP address";
    Ipv4Addr, "an IPv4 address";
    Ipv6Addr, "an IPv6 address";
}

macro_rules! singles {
    ($($type:ty),*) => {
        $(impl Read for $type {
            fn read(&mut self, given: &Given<'_>, mistakes: &mut Vec<Mistake>) {
                if let Some(value) = Self::single(given, mistakes) {
                    *self = value;
                }
            }
        })*
    };
}
singles!(String, PathBuf, bool, u16, u32, u64, IpAddr, Ipv4Net);

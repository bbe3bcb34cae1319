//! Domain names in the form they are sent and signed in: labels with their lengths, lower case (RFC 4034 section 6.2).

use std::fmt;

/// Longest name in bytes, with its last zero (RFC 1035 section 3.1).
pub(crate) const NAME_MAX: usize = 255;
/// Longest label in bytes.
const LABEL_MAX: usize = 63;

/// It is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no domain name")]
pub struct NameError(String);

/// A domain name.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// Reads `a.example.org`, with or without the last dot.
    ///
    /// # Errors
    /// A label is empty, too long, or holds something else than letters, digits, `-` and `_`; or the whole is too long.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError(text.chars().take(NAME_MAX).collect());
        let mut wire = Vec::with_capacity(text.len().min(NAME_MAX) + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let well = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            let length = u8::try_from(label.len()).ok().filter(|l| (1..=LABEL_MAX).contains(&usize::from(*l)));
            let Some(length) = length.filter(|_| well && wire.len() + label.len() + 2 <= NAME_MAX) else {
                return Err(wrong());
            };
            wire.push(length);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        wire.push(0);
        Ok(Self(wire))
    }

    /// As it is sent.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is `zone` or below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        // Only at the border of a label: the suffix has to begin where one begins.
        let mut at = 0;
        while let Some(rest) = self.0.get(at..) {
            if rest == zone.0 {
                return true;
            }
            match rest.first() {
                Some(length) if *length > 0 => at += 1 + usize::from(*length),
                _ => return false,
            }
        }
        false
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        while let Some((length, after)) = rest.split_first().filter(|(l, _)| **l > 0) {
            let (label, next) = after.split_at_checked(usize::from(*length)).unwrap_or((after, &[]));
            write!(f, "{}.", String::from_utf8_lossy(label))?;
            rest = next;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_lowered() {
        let name = Name::parse("_acme-challenge.A.Example.org").expect("a name");
        assert_eq!(name.wire(), b"\x0f_acme-challenge\x01a\x07example\x03org\0");
        assert_eq!(name.to_string(), "_acme-challenge.a.example.org.");
        assert_eq!(Name::parse("example.org.").expect("a name"), Name::parse("EXAMPLE.org").expect("a name"));
        let long = format!("{}.org", "a".repeat(64));
        let whole = vec!["a".repeat(63); 4].join(".");
        for bad in ["", ".", "a..b", "a b.org", "ä.org", "a.org..", "a/b.org", &long, &whole] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn within_is_by_labels() {
        let within = |a: &str, b: &str| Name::parse(a).expect("a").is_within(&Name::parse(b).expect("b"));
        assert!(within("a.example.org", "example.org") && within("example.org", "Example.ORG."));
        assert!(!within("aexample.org", "example.org") && !within("example.org", "a.example.org"));
        assert!(!within("example.org.evil.test", "example.org"));
    }
}

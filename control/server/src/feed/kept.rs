//! What is remembered of a feed over restarts, in a file of its own beside the state: three facts, written only when one
//! changes. `made` keeps an old feed from being taken for the newest, as long as it is the same feed (`of`); `tried` keeps a
//! box that went back from a version by itself from fetching that version again every day.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Largest such file in bytes.
const MAX: u64 = 256;
const NAME: &str = "upgrade-feed";

/// The facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The newest `made` that a signed feed had.
    pub(super) made: u64,
    /// Which feed that was: some hexadecimal digits of the SHA-256 of its URL and key.
    pub(super) of: String,
    /// SHA-256 of the last file that was handed to the image's init, in hexadecimal; empty if there was none.
    pub(super) tried: String,
}

impl Kept {
    /// What the folder remembers; nothing if it was lost, which costs one more try, and lets an older feed be believed that is
    /// still newer than what runs.
    pub(super) fn read(folder: &Path) -> Self {
        let mut text = String::new();
        let read = File::open(folder.join(NAME)).and_then(|file| file.take(MAX).read_to_string(&mut text));
        let mut words = text.split_whitespace();
        match read {
            Ok(_) => Self {
                made: words.next().and_then(|w| w.parse().ok()).unwrap_or(0),
                of: words.next().unwrap_or_default().to_owned(),
                tried: words.next().unwrap_or_default().to_owned(),
            },
            Err(_) => Self::default(),
        }
    }

    /// Remembers them, durably.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = format!("{} {} {}\n", self.made, self.of, self.tried);
        Ok(hearthgate_durable_file::replace(&folder.join(NAME), text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_and_a_torn_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Kept::read(dir.path()), Kept::default());
        let of = "0123456789abcdef";
        for kept in [
            Kept { made: 5, of: of.into(), tried: String::new() },
            Kept { made: u64::MAX, of: of.into(), tried: "ab".repeat(32) },
        ] {
            kept.write(dir.path()).unwrap();
            assert_eq!(Kept::read(dir.path()), kept);
        }
        std::fs::write(dir.path().join(NAME), [0xff; 900]).unwrap();
        assert_eq!(Kept::read(dir.path()), Kept::default());
    }
}

//! What a feed of upgrades says: the newest version and its files, signed as a whole, so that a box asks any web server and
//! believes none. One small file in the form of signify's embedded signatures: a comment, a signature, then the text.
//!
//! ```text
//! untrusted comment: signed by key 0123456789abcdef
//! RWQ...
//! hearthgate-feed 1
//! version 0.2.0
//! made 1790000000
//! file aarch64.hgu images/hearthgate-0.2.0-arm64.hgu 5321728 SHA256-IN-HEXADECIMAL
//! ```
//!
//! `made` is when the sources were, in seconds since 1970; the kind of a file is `TARGET.hgu` for images, `ARCH.deb`,
//! `TARGET.tar.gz`. Names are relative to the feed's own URL and hold nothing that a shell or a URL would take for more
//! than a name. Lines that begin with another word are left for later versions.

use hearthgate_usign::{PublicKey, SecretKey, UsignError};

/// Largest feed in bytes.
pub const MAX: usize = 16 * 1024;
/// Most files of a feed.
pub const MAX_FILES: usize = 64;
/// Longest name or version in bytes.
const MAX_WORD: usize = 128;
const FIRST_LINE: &str = "hearthgate-feed 1";

/// Why a feed is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FeedError {
    /// Not a feed, or one of a form that is not known here.
    #[error("this is not a feed of upgrades")]
    Format,
    /// The signature.
    #[error(transparent)]
    Signature(#[from] UsignError),
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedFile {
    /// For whom: `aarch64.hgu`, `amd64.deb`, `x86_64.tar.gz`.
    pub kind: String,
    /// Where, relative to the feed.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Of all of it.
    pub sha256: [u8; 32],
}

/// The newest version and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// For people, and for hosts that compare versions.
    pub version: String,
    /// When its sources were made, seconds since 1970.
    pub made: u64,
    /// Its files.
    pub files: Vec<FeedFile>,
}

impl Feed {
    /// Reads a feed whose signature is that of `key`.
    ///
    /// # Errors
    /// See [`FeedError`]; nothing of the text is looked at before the signature was checked.
    pub fn check(bytes: &[u8], key: &PublicKey) -> Result<Self, FeedError> {
        if bytes.len() > MAX {
            return Err(FeedError::Format);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| FeedError::Format)?;
        let (at, _) = text.match_indices('\n').nth(1).ok_or(FeedError::Format)?;
        let (signature, text) = text.split_at_checked(at + 1).ok_or(FeedError::Format)?;
        key.verify(signature, text.as_bytes())?;
        Self::read(text).ok_or(FeedError::Format)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return None;
        }
        let (mut version, mut made, mut files) = (None, None, Vec::new());
        for line in lines {
            let words: Vec<&str> = line.split(' ').take(6).collect();
            match words.as_slice() {
                ["version", word] => version = Some(plain(word)?),
                ["made", number] => made = number.parse().ok(),
                ["file", kind, name, length, sum] if files.len() < MAX_FILES => files.push(FeedFile {
                    kind: plain(kind)?,
                    name: plain(name)?,
                    length: length.parse().ok()?,
                    sha256: from_hex(sum)?,
                }),
                ["version" | "made" | "file", ..] => return None,
                _ => {}
            }
        }
        Some(Self { version: version?, made: made?, files })
    }

    /// The signed text. `None` if it says what [`Self::check`] would not take.
    #[must_use]
    pub fn sign(&self, key: &SecretKey) -> Option<String> {
        let mut text = format!("{FIRST_LINE}\nversion {}\nmade {}\n", self.version, self.made);
        for file in &self.files {
            let sum = hex(&file.sha256);
            text.push_str(&format!("file {} {} {} {sum}\n", file.kind, file.name, file.length));
        }
        let signed = key.sign(text.as_bytes()) + &text;
        (Self::check(signed.as_bytes(), &key.public()).as_ref() == Ok(self)).then_some(signed)
    }

    /// The file of a kind.
    #[must_use]
    pub fn file(&self, kind: &str) -> Option<&FeedFile> {
        self.files.iter().find(|f| f.kind == kind)
    }
}

/// Where a file of the feed at `url` is.
#[must_use]
pub fn beside(url: &str, name: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    format!("{}/{name}", path.rsplit_once('/').map_or(path, |(folder, _)| folder))
}

/// Whether a version comes after another: numbers between dots, as far as both have them; a word after `-` or `+` is left.
#[must_use]
pub fn is_newer(offered: &str, running: &str) -> bool {
    let numbers = |version: &str| -> Vec<u64> {
        let end = version.find(['-', '+']).unwrap_or(version.len());
        version.get(..end).unwrap_or_default().split('.').map(|n| n.parse().unwrap_or(0)).collect()
    };
    numbers(offered) > numbers(running)
}

/// A word that is a name and nothing else, in a URL as in a shell.
fn plain(word: &str) -> Option<String> {
    let fits = !word.is_empty()
        && word.len() <= MAX_WORD
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+/".contains(&b))
        && word.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-']));
    fits.then(|| word.to_owned())
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut sum = [0; 32];
    for (at, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Feed {
        let file =
            |kind: &str, name: &str| FeedFile { kind: kind.into(), name: name.into(), length: 7, sha256: [0xa5; 32] };
        Feed {
            version: "0.2.0".into(),
            made: 1_790_000_000,
            files: vec![file("aarch64.hgu", "images/a.hgu"), file("amd64.deb", "b_0.2.0.deb")],
        }
    }

    fn key() -> SecretKey {
        SecretKey::from_seed([1; 32], [2; 8]).unwrap()
    }

    /// Text of another's making under a good signature.
    fn signed(text: &str) -> Result<Feed, FeedError> {
        Feed::check((key().sign(text.as_bytes()) + text).as_bytes(), &key().public())
    }

    #[test]
    fn a_feed_comes_back_as_it_was_signed_and_no_other_way() {
        let text = feed().sign(&key()).unwrap();
        assert_eq!(Feed::check(text.as_bytes(), &key().public()), Ok(feed()));
        assert_eq!(feed().file("amd64.deb").unwrap().name, "b_0.2.0.deb");
        let start = text.find(FIRST_LINE).unwrap();
        for at in start..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            assert!(Feed::check(&changed, &key().public()).is_err(), "byte {at}");
            assert!(Feed::check(&text.as_bytes()[..at], &key().public()).is_err(), "cut at {at}");
        }
        let other = SecretKey::from_seed([3; 32], [2; 8]).unwrap();
        let refused = Feed::check(text.as_bytes(), &other.public());
        assert_eq!(refused, Err(FeedError::Signature(UsignError::Bad)));
        assert_eq!(Feed::check(&vec![b'x'; MAX + 1], &key().public()), Err(FeedError::Format));
    }

    #[test]
    fn what_is_more_than_a_name_is_refused_even_when_signed() {
        let sum = "a5".repeat(32);
        let head = "hearthgate-feed 1\nversion 1.0\nmade 5\n";
        assert!(signed(head).unwrap().files.is_empty());
        assert!(signed(&format!("{head}later thing\nfile k n 1 {sum}\n")).is_ok());
        for name in ["/etc/passwd", "../x", "a//b", "a;reboot", "$(x)", "http://x/y", "a/../b", "-o", "a%20b", ""] {
            assert_eq!(signed(&format!("{head}file k {name} 1 {sum}\n")), Err(FeedError::Format), "{name}");
        }
        for line in ["version", "made x\nversion", "file a b c", "file k n 1 zz", "version a b"] {
            assert_eq!(signed(&format!("{head}{line}\n")), Err(FeedError::Format), "{line}");
        }
        assert_eq!(signed("hearthgate-feed 2\nversion 1.0\nmade 5\n"), Err(FeedError::Format));
        assert_eq!(signed("hearthgate-feed 1\nversion 1.0\n"), Err(FeedError::Format));
        let many = format!("file k n 1 {sum}\n").repeat(MAX_FILES + 1);
        assert_eq!(signed(&format!("{head}{many}")), Err(FeedError::Format));
        assert_eq!(Feed { version: "1 0".into(), ..feed() }.sign(&key()), None);
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (offered, running) in [("0.2.0", "0.1.9"), ("0.10", "0.9"), ("1.0.1", "1.0"), ("2", "1.9.9-rc1")] {
            assert!(is_newer(offered, running), "{offered} {running}");
            assert!(!is_newer(running, offered), "{running} {offered}");
        }
        assert!(!is_newer("0.1.0-1", "0.1.0"));
        assert!(!is_newer("", "0.1.0"));
    }

    #[test]
    fn files_lie_beside_the_feed() {
        assert_eq!(beside("https://x/y/hearthgate.feed", "images/a"), "https://x/y/images/a");
        assert_eq!(beside("https://x/y/feed?z=/1#/", "a"), "https://x/y/a");
    }
}

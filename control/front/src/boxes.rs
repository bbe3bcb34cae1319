//! Which boxes a front serves, and which pairing lines are open: one small JSON file in the front's state folder.
//!
//! Both the running front and its command line change the file, one at a time (a lock file), whole (written beside and
//! renamed). Time is handed in. How root opens files in a folder that is somebody else's: [`own`].

mod own;

use crate::{line::PairingSecret, messages::Hello};
use hearthgate_keys::MachinePublic;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Name of the file.
const FILE: &str = "front_boxes.json";
/// Name of the lock file.
const LOCK: &str = "front_boxes.lock";
/// Most boxes of one front.
pub const BOXES_MAX: usize = 64;
/// Most open lines.
const INVITATIONS_MAX: usize = 16;
/// How long a line can be used, in seconds: a day.
pub const LINE_LIFE: u64 = 24 * 3600;
/// Longest host of a URL: a DNS name (RFC 1035).
const HOST_MAX: usize = 253;

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BoxesError {
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Somebody edited it.
    #[error(
        "{} is not as a front writes it ({source}): restore it, or remove it and pair all boxes again",
        path.display()
    )]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Why a box is not served; for the person who looks after the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The secret is not, or no longer, open.
    #[error(
        "the front does not know this box, and the line's secret was used or is over: make another with \
        `hearthgate front line` on the front"
    )]
    Unknown,
    /// Another box has this name.
    #[error("another box of this front has the same host in its server_url")]
    HostTaken,
    /// The URL has no host that could be looked for.
    #[error("the host of server_url is neither a name nor an address")]
    Host,
    /// There is no room.
    #[error("the front has as many boxes as it can hold: revoke one there")]
    Full,
}

/// A box that was paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// Its key.
    pub key: MachinePublic,
    /// Host in its URL, in small letters: what TLS asks for.
    pub host: String,
    /// When it was paired, in seconds since 1970.
    pub since: u64,
}

/// An open line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Invitation {
    hash: String,
    /// In seconds since 1970.
    until: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boxes {
    /// Where boxes find the front: host and port. It stands in the lines that are made.
    #[serde(default)]
    pub address: String,
    #[serde(default)]
    boxes: Vec<Paired>,
    #[serde(default)]
    invitations: Vec<Invitation>,
}

impl Boxes {
    /// Reads the file; a missing one is empty.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn load(state_dir: &Path) -> Result<Self, BoxesError> {
        let path = state_dir.join(FILE);
        match own::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|source| BoxesError::Content { path, source }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(BoxesError::Io { path, source }),
        }
    }

    /// Reads the file, changes it, and has the change on disk when it answers.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn change<T>(state_dir: &Path, f: impl FnOnce(&mut Self) -> T) -> Result<(Self, T), BoxesError> {
        let path = state_dir.join(LOCK);
        let locked = own::lock(state_dir, &path);
        let _lock = locked.map_err(|source| BoxesError::Io { path, source })?;
        let before = Self::load(state_dir)?;
        let mut after = before.clone();
        let result = f(&mut after);
        if after != before {
            let path = state_dir.join(FILE);
            let written = serde_json::to_vec_pretty(&after).map_err(io::Error::other);
            let written = written.and_then(|text| own::write(state_dir, &path, &text));
            written.map_err(|source| BoxesError::Io { path, source })?;
        }
        Ok((after, result))
    }

    /// Opens a line with this secret. The oldest of too many is closed.
    pub fn invite(&mut self, secret: &PairingSecret, now: u64) {
        self.forget_old(now);
        while self.invitations.len() >= INVITATIONS_MAX {
            self.invitations.remove(0);
        }
        self.invitations.push(Invitation { hash: secret.hash(), until: now.saturating_add(LINE_LIFE) });
    }

    /// Whether a box that nobody knows may have a line that is open.
    #[must_use]
    pub fn has_invitations(&self, now: u64) -> bool {
        self.invitations.iter().any(|i| i.until > now)
    }

    /// Takes a box in, or again; its line is used up then.
    ///
    /// # Errors
    /// Why it is not served.
    pub fn admit(&mut self, key: MachinePublic, hello: &Hello, now: u64) -> Result<(), Refused> {
        let host = plain_host(&hello.host).ok_or(Refused::Host)?;
        let known = self.boxes.iter().position(|b| b.key == key);
        let invitation = PairingSecret::parse(&hello.secret)
            .map(|s| s.hash())
            .and_then(|hash| self.invitations.iter().position(|i| i.hash == hash && i.until > now));
        if known.is_none() && invitation.is_none() {
            return Err(Refused::Unknown);
        }
        if self.boxes.iter().any(|b| b.host == host && b.key != key) {
            return Err(Refused::HostTaken);
        }
        if let Some(paired) = known.and_then(|at| self.boxes.get_mut(at)) {
            paired.host = host;
        } else if self.boxes.len() >= BOXES_MAX {
            return Err(Refused::Full);
        } else {
            self.boxes.push(Paired { key, host, since: now });
        }
        if let Some(at) = invitation {
            self.invitations.remove(at);
        }
        self.forget_old(now);
        Ok(())
    }

    /// Removes the box with this host, or with the key that begins so.
    pub fn revoke(&mut self, which: &str) -> Option<Paired> {
        let fits = |b: &Paired| b.host == which.to_ascii_lowercase() || b.key.to_string() == which;
        let at = self.boxes.iter().position(fits)?;
        Some(self.boxes.remove(at))
    }

    /// The boxes.
    #[must_use]
    pub fn all(&self) -> &[Paired] {
        &self.boxes
    }

    /// Whether this box is paired.
    #[must_use]
    pub fn knows(&self, key: &MachinePublic) -> bool {
        self.boxes.iter().any(|b| b.key == *key)
    }

    /// The box that a TLS hello with this name is for. Without a name (the URL has an address) there must be one box
    /// only.
    #[must_use]
    pub fn for_name(&self, name: Option<&str>) -> Option<MachinePublic> {
        match (name, self.boxes.as_slice()) {
            (Some(name), all) => all.iter().find(|b| b.host == name).map(|b| b.key),
            (None, [only]) => Some(only.key),
            (None, _) => None,
        }
    }

    fn forget_old(&mut self, now: u64) {
        self.invitations.retain(|i| i.until > now);
    }
}

/// The host in small letters and without brackets, if it is a name or an address.
fn plain_host(text: &str) -> Option<String> {
    let host = text.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':');
    (!host.is_empty() && host.len() <= HOST_MAX && host.bytes().all(good)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::MetadataExt};

    fn key(n: u8) -> MachinePublic {
        MachinePublic::from_bytes([n; 32])
    }

    fn hello(host: &str, secret: &PairingSecret) -> Hello {
        Hello { version: 1, host: host.into(), secret: secret.reveal(), wishes: false }
    }

    #[test]
    fn a_line_pairs_one_box_once() {
        let (mut boxes, secret) = (Boxes::default(), PairingSecret::from_random([3; 16]));
        let mine = hello("VPN.example.org", &secret);
        assert_eq!(boxes.admit(key(1), &mine, 100), Err(Refused::Unknown));
        boxes.invite(&secret, 100);
        assert!(boxes.has_invitations(100));
        assert_eq!(boxes.admit(key(1), &mine, 101), Ok(()));
        assert!(!boxes.has_invitations(101));
        // It comes back without its secret, somebody else does not come in with it.
        assert_eq!(boxes.admit(key(1), &Hello { secret: String::new(), ..mine.clone() }, 102), Ok(()));
        assert_eq!(boxes.admit(key(2), &hello("other.example.org", &secret), 102), Err(Refused::Unknown));
        assert_eq!(boxes.for_name(Some("vpn.example.org")), Some(key(1)));
        assert_eq!(boxes.for_name(Some("example.org")), None);
        assert_eq!(boxes.for_name(None), Some(key(1)));
    }

    #[test]
    fn a_line_is_over_after_a_day() {
        let (mut boxes, secret) = (Boxes::default(), PairingSecret::from_random([3; 16]));
        boxes.invite(&secret, 100);
        assert_eq!(boxes.admit(key(1), &hello("a.example", &secret), 100 + LINE_LIFE), Err(Refused::Unknown));
        assert_eq!(boxes.admit(key(1), &hello("a.example", &secret), 99 + LINE_LIFE), Ok(()));
    }

    #[test]
    fn names_are_one_boxs_and_can_be_given_back() {
        let mut boxes = Boxes::default();
        let (one, two) = (PairingSecret::from_random([1; 16]), PairingSecret::from_random([2; 16]));
        boxes.invite(&one, 1);
        boxes.invite(&two, 1);
        boxes.admit(key(1), &hello("a.example", &one), 2).unwrap();
        assert_eq!(boxes.admit(key(2), &hello("A.example", &two), 2), Err(Refused::HostTaken));
        assert_eq!(boxes.admit(key(2), &hello("", &two), 2), Err(Refused::Host));
        assert_eq!(boxes.admit(key(2), &hello("b.example", &two), 2), Ok(()), "a refusal used the line up");
        assert_eq!(boxes.for_name(None), None, "an address could mean either of two");
        assert_eq!(boxes.revoke("A.example").map(|b| b.key), Some(key(1)));
        assert_eq!(boxes.revoke(&key(2).to_string()).map(|b| b.host), Some("b.example".into()));
        assert_eq!(boxes.revoke("c.example"), None);
        assert_eq!(boxes.for_name(Some("a.example")), None);
    }

    #[test]
    fn the_files_stay_with_the_owner_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let as_root = std::os::unix::fs::chown(dir.path(), Some(12345), Some(12346)).is_ok();
        let secret = PairingSecret::from_random([3; 16]);
        Boxes::change(dir.path(), |b| b.invite(&secret, 1)).unwrap();
        let folder = fs::metadata(dir.path()).unwrap();
        assert!(!as_root || folder.uid() == 12345);
        for file in [FILE, LOCK] {
            let file = fs::metadata(dir.path().join(file)).unwrap();
            assert_eq!((file.uid(), file.gid()), (folder.uid(), folder.gid()));
        }
    }

    #[test]
    fn a_link_in_the_folder_leads_nowhere() {
        use std::os::unix::fs::{chown, symlink};
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = PairingSecret::from_random([3; 16]);
        let (theirs, target) = (chown(dir.path(), Some(12345), Some(12345)).is_ok(), elsewhere.path().join("shadow"));
        fs::write(&target, "{\"address\":\"not ours\"}").unwrap();
        let before = fs::metadata(&target).unwrap().uid();
        for name in [LOCK, FILE] {
            let link = dir.path().join(name);
            symlink(&target, &link).unwrap();
            let done = Boxes::change(dir.path(), |b| b.invite(&secret, 1));
            assert!(matches!(done, Err(BoxesError::Io { .. })), "{name}: {done:?}");
            fs::remove_file(&link).unwrap();
            // A lock file that does not exist yet is not made at the other end of a link either.
            symlink(elsewhere.path().join("new"), &link).unwrap();
            assert!(Boxes::change(dir.path(), |b| b.invite(&secret, 1)).is_err(), "{name}");
            fs::remove_file(&link).unwrap();
        }
        assert!(!elsewhere.path().join("new").exists());
        // The name that is written beside is emptied first: whatever is there, is not what is written to.
        symlink(&target, dir.path().join("front_boxes.new")).unwrap();
        Boxes::change(dir.path(), |b| b.invite(&secret, 1)).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "{\"address\":\"not ours\"}");
        assert_eq!(fs::metadata(&target).unwrap().uid(), before);
        assert!(!theirs || fs::metadata(dir.path().join(FILE)).unwrap().uid() == 12345);
    }

    #[test]
    fn a_second_name_of_somebody_elses_file_is_not_given_away() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        fs::write(&other, "").unwrap();
        fs::hard_link(&other, dir.path().join(LOCK)).unwrap();
        if std::os::unix::fs::chown(dir.path(), Some(12345), Some(12345)).is_err() {
            return; // Only root can give files away, and nobody else is asked to.
        }
        let owner = fs::metadata(&other).unwrap().uid();
        Boxes::change(dir.path(), |_| ()).unwrap();
        assert_eq!(fs::metadata(&other).unwrap().uid(), owner);
    }

    #[test]
    fn what_never_ends_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join(FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(Boxes::load(dir.path()), Err(BoxesError::Io { .. })));
        fs::remove_file(dir.path().join(FILE)).unwrap();
        fs::write(dir.path().join(FILE), vec![b' '; 4 << 20]).unwrap();
        assert!(matches!(Boxes::load(dir.path()), Err(BoxesError::Io { .. })));
    }

    #[test]
    fn the_file_keeps_what_two_programs_write() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Boxes::load(dir.path()).unwrap(), Boxes::default());
        let secret = PairingSecret::from_random([3; 16]);
        Boxes::change(dir.path(), |b| b.invite(&secret, 1)).unwrap();
        let (_, admitted) = Boxes::change(dir.path(), |b| b.admit(key(1), &hello("a.example", &secret), 2)).unwrap();
        admitted.unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains(&secret.reveal()));
        assert!(Boxes::load(dir.path()).unwrap().knows(&key(1)));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(matches!(Boxes::change(dir.path(), |_| ()), Err(BoxesError::Content { .. })));
    }
}

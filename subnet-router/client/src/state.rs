//! What outlives a restart: keys, preferences, and the last network map, each a file of its own.
//!
//! Keys and preferences are written when they change, the map at most hourly, for flash wears out. Every file is
//! written beside itself, flushed and renamed, so that a power cut leaves the old or the new one.

use crate::{Netmap, Prefs};
use hearthgate_keys::{DiscoPrivate, MachinePrivate, NodePrivate, encode};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Largest compressed network map that is kept.
const NETMAP_FILE_MAX: u64 = 1024 * 1024;
/// Largest network map read back, in bytes of JSON.
const NETMAP_JSON_MAX: u64 = 16 * 1024 * 1024;
/// Largest of the other files.
const FILE_MAX: u64 = 256 * 1024;
const IDENTITY: &str = "identity.json";
const PREFS: &str = "prefs.json";
const NETMAP: &str = "netmap.json.zst";
const INTERFACES: &str = "interfaces.json";

/// State could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error("{path} is damaged ({why}); remove it to begin anew, the router will have to log in again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Random,
}

/// Who we are: keys that stay the same over restarts and upgrades.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Machine key: proves to the control server who speaks.
    pub machine: MachinePrivate,
    /// Node key: WireGuard's.
    pub node: NodePrivate,
    /// Disco key. Official clients make one at each start; ours stays, so that peers which cannot hear of a new one,
    /// because control server and relay are away, find a direct path to a router that was restarted.
    pub disco: DiscoPrivate,
    /// Identifier of this installation, 64 hexadecimal digits.
    pub log_id: String,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    machine_key: String,
    node_key: String,
    #[serde(default)]
    disco_key: String,
    log_id: String,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, StateError> {
        Ok(Self {
            machine: MachinePrivate::from_random(random()?),
            node: NodePrivate::from_random(random()?),
            disco: DiscoPrivate::from_random(random()?),
            log_id: encode(&random()?),
        })
    }
}

/// 32 random bytes for a key.
pub(crate) fn random() -> Result<[u8; 32], StateError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| StateError::Random)?;
    Ok(bytes)
}

/// The state folder.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Opens the folder, making it if it is missing. Only its owner may look into it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| at(path, error))?;
        Ok(Self(path.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The keys; made and stored if there are none.
    ///
    /// # Errors
    /// The file cannot be read or written, or is damaged.
    pub fn identity(&self) -> Result<Identity, StateError> {
        let path = self.0.join(IDENTITY);
        let Some(text) = read(&path)? else {
            let identity = Identity::generate()?;
            self.store_identity(&identity)?;
            return Ok(identity);
        };
        let damaged = |why: String| StateError::Damaged { path: path.clone(), why };
        let mut file: IdentityFile = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if file.disco_key.is_empty() {
            file.disco_key = DiscoPrivate::from_random(random()?).reveal();
            self.write_json(IDENTITY, &file)?;
        }
        Ok(Identity {
            machine: MachinePrivate::parse(&file.machine_key).map_err(|e| damaged(e.to_string()))?,
            node: NodePrivate::parse(&file.node_key).map_err(|e| damaged(e.to_string()))?,
            disco: DiscoPrivate::parse(&file.disco_key).map_err(|e| damaged(e.to_string()))?,
            log_id: file.log_id,
        })
    }

    /// Stores the keys.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store_identity(&self, identity: &Identity) -> Result<(), StateError> {
        let file = IdentityFile {
            machine_key: identity.machine.reveal(),
            node_key: identity.node.reveal(),
            disco_key: identity.disco.reveal(),
            log_id: identity.log_id.clone(),
        };
        self.write_json(IDENTITY, &file)
    }

    /// The preferences; `None` if none were stored.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn prefs(&self) -> Result<Option<Prefs>, StateError> {
        let path = self.0.join(PREFS);
        let Some(text) = read(&path)? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|e| StateError::Damaged { path, why: e.to_string() })
    }

    /// Stores the preferences, if they are not what is stored.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store_prefs(&self, prefs: &Prefs) -> Result<(), StateError> {
        let known = self.prefs().ok().flatten();
        let unkeyed = Prefs { auth_key: None, ..prefs.clone() };
        if known.as_ref() == Some(&unkeyed) { Ok(()) } else { self.write_json(PREFS, &unkeyed) }
    }

    /// The last network map. One that cannot be read is as good as none: the server has a newer one.
    #[must_use]
    pub fn netmap(&self) -> Option<Netmap> {
        let file = File::open(self.0.join(NETMAP)).ok()?;
        let decoder = zstd::stream::read::Decoder::new(file.take(NETMAP_FILE_MAX)).ok()?;
        let mut json = Vec::new();
        decoder.take(NETMAP_JSON_MAX).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Stores the network map; one that is too large is not stored.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store_netmap(&self, netmap: &Netmap) -> Result<(), StateError> {
        let path = self.0.join(NETMAP);
        let json =
            serde_json::to_vec(netmap).map_err(|e| StateError::Damaged { path: path.clone(), why: e.to_string() })?;
        let bytes = zstd::bulk::compress(&json, 1).map_err(|error| at(&path, error))?;
        if bytes.len() as u64 > NETMAP_FILE_MAX {
            return Ok(());
        }
        write(&path, &bytes)
    }

    /// Forgets the network: after a logout.
    pub fn forget_netmap(&self) {
        // A file that is not there is forgotten already.
        let _ = fs::remove_file(self.0.join(NETMAP));
    }

    /// Interfaces that a process with this folder made last; none if that is not known.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        let text = read(&self.0.join(INTERFACES)).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Notes which interfaces are made from now on, if they are others: so that they are taken away after a crash, even by
    /// a process that makes others, or none.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store_interfaces(&self, names: &[&str]) -> Result<(), StateError> {
        if self.interfaces() == names { Ok(()) } else { self.write_json(INTERFACES, &names) }
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), StateError> {
        let path = self.0.join(name);
        let text = serde_json::to_vec_pretty(value)
            .map_err(|e| StateError::Damaged { path: path.clone(), why: e.to_string() })?;
        write(&path, &text)
    }
}

fn at(path: &Path, error: io::Error) -> StateError {
    StateError::Io { path: path.to_owned(), error }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path, e)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    hearthgate_durable_file::replace(path, bytes).map_err(|e| at(path, e.source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_stay_the_same_and_are_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("router")).unwrap();
        let first = state.identity().unwrap();
        let second = StateDir::open(state.path()).unwrap().identity().unwrap();
        assert_eq!(first.node.public(), second.node.public());
        assert_eq!(first.machine.public(), second.machine.public());
        assert_eq!(first.disco.public(), second.disco.public());
        assert_eq!(first.log_id, second.log_id);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path()), 0o700);
        assert_eq!(mode(&state.path().join(IDENTITY)), 0o600);
        assert!(!format!("{first:?}").contains(&first.node.reveal()));
    }

    #[test]
    fn a_damaged_key_file_is_not_replaced_silently() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        fs::write(folder.path().join(IDENTITY), "{}").unwrap();
        assert!(matches!(state.identity(), Err(StateError::Damaged { .. })));
    }

    #[test]
    fn the_auth_key_is_never_stored() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let auth_key = Some(hearthgate_keys::Secret::new("hskey-auth-secret".into()));
        state.store_prefs(&Prefs { auth_key, hostname: "gw".into(), ..Default::default() }).unwrap();
        assert!(!fs::read_to_string(folder.path().join(PREFS)).unwrap().contains("secret"));
        assert_eq!(state.prefs().unwrap().unwrap().hostname, "gw");
    }

    #[test]
    fn interfaces_are_noted_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert!(state.interfaces().is_empty());
        state.store_interfaces(&["tailscale0", "hearthgate0"]).unwrap();
        assert_eq!(state.interfaces(), ["tailscale0", "hearthgate0"]);
        let written = || fs::metadata(folder.path().join(INTERFACES)).unwrap().modified().unwrap();
        let before = written();
        state.store_interfaces(&["tailscale0", "hearthgate0"]).unwrap();
        assert_eq!(written(), before, "flash is written for news alone");
        fs::write(folder.path().join(INTERFACES), "nonsense").unwrap();
        assert!(state.interfaces().is_empty());
    }

    #[test]
    fn what_cannot_be_stored_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        fs::create_dir(folder.path().join(NETMAP)).unwrap();
        assert!(state.store_netmap(&Netmap::default()).is_err());
        let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [NETMAP]);
    }

    #[test]
    fn a_map_comes_back_and_a_torn_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.netmap(), None);
        let map = Netmap { domain: "t.example".into(), ..Default::default() };
        state.store_netmap(&map).unwrap();
        assert_eq!(state.netmap(), Some(map));
        let path = folder.path().join(NETMAP);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(state.netmap(), None);
    }
}

//! Passkeys in the control store: what is public of them, one record each, so that a login writes little.

use super::{Challenge, Registered, Site};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_core::{CoreError, Now, World};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Most passkeys of one account.
pub const PASSKEYS_MAX: usize = 10;
/// Longest name of a passkey, in characters.
pub const NAME_MAX: usize = 40;
const KIND: &str = "web/passkey/";

/// One passkey. All of it is public but whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Passkey {
    /// Identifier of the credential, as base64url.
    pub id: String,
    /// Account that it logs in.
    pub account: String,
    /// What its person calls it.
    pub name: String,
    /// Name in the URL that it is for.
    pub site: String,
    /// Handle that authenticators know the account by, as base64url: random, and the same for all its passkeys.
    pub handle: String,
    /// Public key: COSE, as base64url.
    pub key: String,
    /// Signatures so far, where the authenticator counts.
    pub counter: u32,
    /// It may be on several devices of the same person.
    pub syncable: bool,
    /// When it was registered.
    pub created: Timestamp,
    /// When it last logged somebody in.
    pub used: Option<Timestamp>,
}

hearthgate_read::struct_of!(Passkey;
must {
    id: "id", account: "account", name: "name", site: "site", handle: "handle", key: "key", counter: "counter",
    syncable: "syncable", created: "created",
}
may { used: "used" }
not {});

/// All passkeys of an account, the oldest first.
#[must_use]
pub fn mine(world: &World, account: &str) -> Vec<Passkey> {
    let mut all: Vec<Passkey> = world.records::<Passkey>(KIND).filter(|p| p.account == account).collect();
    hearthgate_sorted::sort_by(&mut all, |a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
    all
}

/// Whether anybody has a passkey for this name.
#[must_use]
pub fn any(world: &World, site: &Site) -> bool {
    world.records::<Passkey>(KIND).any(|p| p.site == site.name)
}

/// The handle of an account (base64url): that of its passkeys, or, with the first one, the random bits of the question.
#[must_use]
pub fn handle(world: &World, account: &str, challenge: &Challenge) -> String {
    mine(world, account).into_iter().next().map_or_else(|| URL_SAFE_NO_PAD.encode(challenge), |p| p.handle)
}

/// The passkey with this identifier (base64url).
#[must_use]
pub fn with_id(world: &World, id: &str) -> Option<Passkey> {
    // The record's name is a hash; what stands in it decides.
    world.record::<Passkey>(&key(id)).filter(|p| p.id == id)
}

/// Keeps a new passkey, which answered `challenge`; answers the name it got.
///
/// # Errors
/// There are too many, or it is somebody's already.
pub fn add(
    world: &mut World,
    account: &str,
    name: &str,
    site: &str,
    new: &Registered,
    challenge: &Challenge,
    now: Now,
) -> Result<String, CoreError> {
    let id = URL_SAFE_NO_PAD.encode(&new.id);
    if with_id(world, &id).is_some() {
        return Err(CoreError::Conflict("This passkey is registered already.".into()));
    }
    if mine(world, account).len() >= PASSKEYS_MAX {
        return Err(CoreError::Full(format!("There are {PASSKEYS_MAX} passkeys already: remove one first.")));
    }
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
    let passkey = Passkey {
        account: account.to_owned(),
        name: if name.is_empty() { "Passkey".to_owned() } else { name },
        site: site.to_owned(),
        handle: handle(world, account, challenge),
        key: URL_SAFE_NO_PAD.encode(&new.cose),
        counter: new.counter,
        syncable: new.syncable,
        created: now.wall,
        used: None,
        id,
    };
    world.put_record(&key(&passkey.id), &passkey)?;
    Ok(passkey.name)
}

/// Notes a login.
///
/// # Errors
/// It is gone, or it was used meanwhile by somebody else with the same counter.
pub fn used(world: &mut World, id: &str, counter: u32, now: Now) -> Result<(), CoreError> {
    let gone = || CoreError::NotFound("this passkey".into());
    let mut passkey = with_id(world, id).ok_or_else(gone)?;
    if counter != 0 && counter <= passkey.counter {
        return Err(CoreError::Conflict("The counter of this passkey went back.".into()));
    }
    (passkey.counter, passkey.used) = (counter, Some(now.wall));
    world.put_record(&key(id), &passkey)
}

/// Removes a passkey of an account; answers its name.
///
/// # Errors
/// The account has none with this identifier.
pub fn remove(world: &mut World, account: &str, id: &str) -> Result<String, CoreError> {
    let passkey = with_id(world, id).filter(|p| p.account == account);
    let passkey = passkey.ok_or_else(|| CoreError::NotFound("this passkey".into()))?;
    world.delete_record(&key(id));
    Ok(passkey.name)
}

/// Removes all passkeys of an account, which is going or has lost its password.
pub fn forget_all(world: &mut World, account: &str) {
    for passkey in mine(world, account) {
        world.delete_record(&key(&passkey.id));
    }
}

fn key(id: &str) -> String {
    format!("{KIND}{}", hearthgate_keys::encode(&Sha256::digest(id.as_bytes())[..16]))
}

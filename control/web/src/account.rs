//! Accounts of the pages: who may log in, and what their role lets them do.
//!
//! They are apart from the users of the tailnet: a user owns devices, an account opens pages. The owner's account is
//! made together with a user of the same name, so that the first device has somebody to belong to.

use crate::passkey;
use hearthgate_core::{CoreError, Now, UserId, World};
use serde::Serialize;

/// Most accounts.
pub const ACCOUNTS_MAX: usize = 64;
const KIND: &str = "web/account/";

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees and changes the devices of its own user.
    #[default]
    Member,
    /// Sees everything, changes nothing.
    Auditor,
    /// Sees and changes everything but accounts and backups.
    Admin,
    /// Everything.
    Owner,
}

hearthgate_read::names_of!(Role {
    "member" => Self::Member,
    "auditor" => Self::Auditor,
    "admin" => Self::Admin,
    "owner" => Self::Owner,
});

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Member, Self::Auditor, Self::Admin, Self::Owner];

    /// The name in forms and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads [`Role::name`].
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }

    /// Sees the whole network.
    #[must_use]
    pub fn sees_all(self) -> bool {
        self >= Self::Auditor
    }

    /// Changes the whole network.
    #[must_use]
    pub fn changes_all(self) -> bool {
        self >= Self::Admin
    }

    /// Makes accounts, takes backups.
    #[must_use]
    pub fn is_owner(self) -> bool {
        self == Self::Owner
    }
}

/// One account.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub struct Account {
    /// Name to log in with; unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// User of the tailnet whose devices are its own.
    pub user: Option<UserId>,
    /// argon2id, as a PHC string.
    pub hash: String,
}

hearthgate_read::struct_of!(Account;
must { name: "name", role: "role", hash: "hash" }
may { user: "user" }
not {});

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// All accounts by name.
#[must_use]
pub fn all(world: &World) -> Vec<Account> {
    world.records(KIND).collect()
}

/// The account with this name.
#[must_use]
pub fn find(world: &World, name: &str) -> Option<Account> {
    world.record(&key(name))
}

/// Whether somebody has claimed the pages.
#[must_use]
pub fn claimed(world: &World) -> bool {
    world.records::<Account>(KIND).any(|a| a.role.is_owner())
}

/// Stores an account.
///
/// # Errors
/// A malformed name, too many accounts, or the last owner would be lost.
pub fn put(world: &mut World, account: &Account) -> Result<(), CoreError> {
    if !name_fits(&account.name) {
        return Err(CoreError::Invalid(
            "An account name has 2 to 32 characters: small letters, digits, '-' and '_', a letter first.".into(),
        ));
    }
    let accounts = all(world);
    let other_owner = accounts.iter().any(|a| a.role.is_owner() && a.name != account.name);
    let was_owner = accounts.iter().any(|a| a.role.is_owner() && a.name == account.name);
    if was_owner && !account.role.is_owner() && !other_owner {
        return Err(CoreError::Conflict("This is the last owner: make somebody else owner first.".into()));
    }
    if accounts.len() >= ACCOUNTS_MAX && !accounts.iter().any(|a| a.name == account.name) {
        return Err(CoreError::Full(format!("There are {ACCOUNTS_MAX} accounts already.")));
    }
    world.put_record(&key(&account.name), account)
}

/// Removes an account.
///
/// # Errors
/// No such account, or it is the last owner.
pub fn delete(world: &mut World, name: &str) -> Result<(), CoreError> {
    let account = find(world, name).ok_or_else(|| CoreError::NotFound(format!("account {name:?}")))?;
    if account.role.is_owner() && !all(world).iter().any(|a| a.role.is_owner() && a.name != name) {
        return Err(CoreError::Conflict("This is the last owner: make somebody else owner first.".into()));
    }
    passkey::forget_all(world, name);
    world.delete_record(&key(name));
    Ok(())
}

/// Takes the owners' accounts away, so that the pages can be claimed again: for a lost password, from the console.
pub fn reset_owners(world: &mut World, now: Now) -> usize {
    let owners: Vec<String> = all(world).into_iter().filter(|a| a.role.is_owner()).map(|a| a.name).collect();
    for name in &owners {
        passkey::forget_all(world, name);
        world.delete_record(&key(name));
        world.audit("console", "reset the owner's password", name, now);
    }
    owners.len()
}

fn key(name: &str) -> String {
    format!("{KIND}{name}")
}

fn name_fits(name: &str) -> bool {
    (2..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

//! Commands on users.

use crate::{Change, CoreError, Now, Result, User, UserId, World, Write};
use hearthgate_policy::Role;
use std::sync::Arc;

/// Longest user name in bytes.
const NAME_MAX: usize = 255;

/// What a new user shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewUser {
    /// Login name.
    pub name: String,
    /// Name to show.
    pub display_name: String,
    /// Mail address.
    pub email: String,
    /// URL of a picture.
    pub picture_url: String,
}

impl World {
    /// Makes a user.
    ///
    /// # Errors
    /// A malformed name, or one that is taken.
    pub fn create_user(&mut self, new: NewUser, now: Now) -> Result<User> {
        self.check_user_name(&new.name)?;
        let user = User {
            id: UserId(self.next_id()),
            name: new.name,
            display_name: new.display_name,
            email: new.email,
            picture_url: new.picture_url,
            provider: String::new(),
            provider_id: String::new(),
            groups: Vec::new(),
            role: String::new(),
            created: now.wall,
        };
        self.put_user(user.clone());
        Ok(user)
    }

    /// Gives a user another name.
    ///
    /// # Errors
    /// No such user, a malformed name, or one that is taken.
    pub fn rename_user(&mut self, id: UserId, name: &str) -> Result<User> {
        let mut user = self.users.get(&id).cloned().ok_or_else(|| CoreError::not_found(format!("user {id}")))?;
        if !user.provider.is_empty() {
            return Err(CoreError::conflict(format!("user {id} comes from an OpenID provider: change the name there")));
        }
        if user.name != name {
            self.check_user_name(name)?;
            name.clone_into(&mut user.name);
            self.put_user(user.clone());
            self.change(Change::User(id));
        }
        Ok(user)
    }

    /// Gives a user a role for policies: `owner`, `admin`, `it-admin`, `network-admin`, `billing-admin`, `auditor` or
    /// `member`.
    ///
    /// # Errors
    /// No such user or role.
    pub fn set_user_role(&mut self, id: UserId, role: &str) -> Result<User> {
        let mut user = self.users.get(&id).cloned().ok_or_else(|| CoreError::not_found(format!("user {id}")))?;
        let plain = matches!(role, "" | "member");
        if !plain && Role::parse(role) == Role::Member {
            return Err(CoreError::Invalid(format!(
                "{role:?} is not a role: use owner, admin, it-admin, network-admin, billing-admin, auditor or member"
            )));
        }
        let role = if plain { "" } else { role };
        if user.role != role {
            role.clone_into(&mut user.role);
            self.put_user(user.clone());
            self.change(Change::User(id));
        }
        Ok(user)
    }

    /// Removes a user who owns no nodes, with the pre-auth keys made for them.
    ///
    /// # Errors
    /// No such user, or nodes remain.
    pub fn delete_user(&mut self, id: UserId) -> Result<()> {
        if !self.users.contains_key(&id) {
            return Err(CoreError::not_found(format!("user {id}")));
        }
        let nodes = self.nodes.iter().filter(|n| n.user == id && !n.is_tagged()).count();
        if nodes > 0 {
            return Err(CoreError::conflict(format!("user {id} still owns {nodes} node(s): delete them first")));
        }
        let keys: Vec<u64> = self.preauth.values().filter(|k| k.user == Some(id)).map(|k| k.id).collect();
        for key in keys {
            self.delete_preauth_key(key)?;
        }
        Arc::make_mut(&mut self.users).remove(&id);
        self.write(Write::delete_user(id));
        Ok(())
    }

    /// All users by number.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The user with this name.
    #[must_use]
    pub fn user_by_name(&self, name: &str) -> Option<&User> {
        self.users.values().find(|u| u.name == name)
    }

    pub(crate) fn check_user_name(&self, name: &str) -> Result<()> {
        let allowed = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
        if name.len() < 2
            || name.len() > NAME_MAX
            || !name.starts_with(char::is_alphabetic)
            || !name.chars().all(allowed)
        {
            return Err(CoreError::invalid(format!(
                "{name:?} is not a user name: two to {NAME_MAX} characters, a letter first, then letters, digits and - _ . @ +"
            )));
        }
        if name.matches('@').count() > 1 {
            return Err(CoreError::invalid(format!("{name:?} has more than one '@'")));
        }
        if self.user_by_name(name).is_some() {
            return Err(CoreError::conflict(format!("a user named {name:?} exists already")));
        }
        Ok(())
    }

    pub(crate) fn put_user(&mut self, user: User) {
        self.write(Write::user(&user));
        Arc::make_mut(&mut self.users).insert(user.id, user);
    }
}

//! People that an OpenID provider vouches for.

use crate::{Change, NewUser, Now, Result, User, World};

/// What a provider says about a person who has just logged in there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Issuer and subject: what makes the person the same for ever.
    pub provider_id: String,
    /// The name they log in with at the provider; may be empty.
    pub name: String,
    /// Name to show.
    pub display_name: String,
    /// Mail address.
    pub email: String,
    /// URL of a picture.
    pub picture_url: String,
    /// Groups at the provider.
    pub groups: Vec<String>,
}

/// Longest list of groups that is kept.
const GROUPS_MAX: usize = 256;
/// Names tried before the person's number has to do.
const TRIES: u32 = 100;

impl World {
    /// The user of a person, made at their first login. What the provider says now replaces what it said before.
    ///
    /// A user that was made by hand is never taken over, whatever the address: an address at a provider proves nothing
    /// about a name that somebody chose here.
    ///
    /// # Errors
    /// No name can be made for a new user.
    pub fn provider_login(&mut self, person: Identity, now: Now) -> Result<User> {
        let known = self.users.values().find(|u| u.provider_id == person.provider_id).cloned();
        let mut user = match known {
            Some(user) => user,
            None => {
                let name = self.free_name(&person);
                self.create_user(NewUser { name, ..NewUser::default() }, now)?
            }
        };
        let before = user.clone();
        user.provider = "oidc".into();
        user.provider_id = person.provider_id;
        user.display_name = person.display_name;
        user.email = person.email;
        user.picture_url = person.picture_url;
        user.groups = person.groups.into_iter().take(GROUPS_MAX).collect();
        if user != before {
            self.put_user(user.clone());
            self.change(Change::User(user.id));
            if user.groups != before.groups || user.email != before.email {
                // Who may reach what can hang on either.
                self.change(Change::Policy);
            }
        }
        Ok(user)
    }

    /// A name that nobody has: the login name, the address, or one of these with a number.
    fn free_name(&self, person: &Identity) -> String {
        let local = person.email.split('@').next().unwrap_or_default();
        let wishes = [person.name.as_str(), person.email.as_str(), local];
        let numbered = (2..TRIES).map(|n| format!("{}-{n}", if local.is_empty() { "user" } else { local }));
        let mut all = wishes.into_iter().map(str::to_owned).chain(numbered);
        all.find(|name| self.check_user_name(name).is_ok())
            .unwrap_or_else(|| format!("user-{}", self.users.keys().last().map_or(1, |id| id.0 + 1)))
    }
}

//! What a provider says about a person (OpenID Connect Core 1.0, section 5.1).

use serde::{Deserialize, Deserializer};

/// The claims that a login uses. Empty text means that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// The person, unique at that issuer.
    pub sub: String,
    /// When the token ends, in seconds since 1970.
    pub exp: i64,
    /// When it begins to be valid.
    pub nbf: Option<i64>,
    /// What the login began with.
    pub nonce: String,
    /// Name to show.
    pub name: String,
    /// Name to log in with.
    pub preferred_username: String,
    /// Mail address.
    pub email: String,
    /// Whether the provider checked that address. Some write it as text.
    #[serde(deserialize_with = "truth")]
    pub email_verified: bool,
    /// URL of a picture.
    pub picture: String,
    /// Groups at the provider.
    pub groups: Vec<String>,
}

fn truth<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Bool(bool),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Loose::deserialize(d)? {
        Loose::Bool(b) => b,
        Loose::Text(t) => t.eq_ignore_ascii_case("true"),
        Loose::Other(_) => false,
    })
}

impl Claims {
    /// Fills in from the user-info endpoint what the ID token left out. An answer about somebody else is ignored
    /// (section 5.3.2).
    pub fn merge(&mut self, info: Self) {
        if info.sub != self.sub {
            return;
        }
        let fill = |known: &mut String, more: String| {
            if known.is_empty() {
                *known = more;
            }
        };
        if self.email.is_empty() {
            self.email_verified = info.email_verified;
        } else if self.email == info.email {
            self.email_verified |= info.email_verified;
        }
        fill(&mut self.email, info.email);
        fill(&mut self.name, info.name);
        fill(&mut self.preferred_username, info.preferred_username);
        fill(&mut self.picture, info.picture);
        if self.groups.is_empty() {
            self.groups = info.groups;
        }
    }

    /// What identifies the person for ever: issuer and subject.
    #[must_use]
    pub fn provider_id(&self) -> String {
        format!("{}/{}", self.iss.trim_end_matches('/'), self.sub)
    }
}

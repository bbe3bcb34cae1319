//! What a provider says about a person (OpenID Connect Core 1.0, section 5.1).

use serde_json::Value;

/// The claims that a login uses. Empty text means that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    pub email_verified: bool,
    /// URL of a picture.
    pub picture: String,
    /// Groups at the provider.
    pub groups: Vec<String>,
}

impl Claims {
    /// Takes the claims out of an ID token's content or the answer of the user-info endpoint. Absent or `null` is as
    /// empty, and no time at which it ends is as one long ago.
    ///
    /// # Errors
    /// One of them is of another type: its name.
    pub fn read(content: &Value) -> Result<Self, String> {
        let given = |name: &str| content.get(name).filter(|value| !value.is_null());
        let wrong = |name: &str| format!("its claim {name:?} is of another type");
        let text = |name: &str| match given(name) {
            None => Ok(String::new()),
            Some(value) => value.as_str().map(str::to_owned).ok_or_else(|| wrong(name)),
        };
        let time = |name: &str| match given(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong(name)),
        };
        let groups = match given("groups") {
            None => Vec::new(),
            Some(groups) => {
                let groups = groups.as_array().ok_or_else(|| wrong("groups"))?.iter();
                let groups = groups.map(|group| group.as_str().map(str::to_owned));
                groups.collect::<Option<_>>().ok_or_else(|| wrong("groups"))?
            }
        };
        Ok(Self {
            iss: text("iss")?,
            sub: text("sub")?,
            exp: time("exp")?.unwrap_or_default(),
            nbf: time("nbf")?,
            nonce: text("nonce")?,
            name: text("name")?,
            preferred_username: text("preferred_username")?,
            email: text("email")?,
            email_verified: match given("email_verified") {
                Some(Value::Bool(yes)) => *yes,
                Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
                _ => false,
            },
            picture: text("picture")?,
            groups,
        })
    }

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

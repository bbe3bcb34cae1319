//! `[oidc]`: logins through an OpenID provider. The keys are Headscale's.

use crate::read::section;
use hearthgate_sorted::SortedMap;
use std::{fmt, path::PathBuf};

/// The provider, and who may come in through it.
#[derive(Clone, PartialEq)]
pub struct OidcConfig {
    /// Do not start while the provider cannot be reached.
    pub only_start_if_oidc_is_available: bool,
    /// URL of the provider; empty switches all of this off.
    pub issuer: String,
    /// What the provider knows this server as.
    pub client_id: String,
    /// The secret shared with the provider; empty for a public client.
    pub client_secret: String,
    /// File with that secret, instead of it.
    pub client_secret_path: PathBuf,
    /// What is asked for.
    pub scope: Vec<String>,
    /// Mail addresses count only if the provider has verified them.
    pub email_verified_required: bool,
    /// Further parameters for the provider's login page.
    pub extra_params: SortedMap<String, String>,
    /// Domains of mail addresses that may log in; empty for all.
    pub allowed_domains: Vec<String>,
    /// Mail addresses that may log in; empty for all.
    pub allowed_users: Vec<String>,
    /// Groups whose members may log in; empty for all.
    pub allowed_groups: Vec<String>,
    /// Devices expire with the token that let them in.
    pub use_expiry_from_token: bool,
    /// Proof key.
    pub pkce: Pkce,
}

/// Without the secret.
impl fmt::Debug for OidcConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, client_id, .. } = self;
        f.debug_struct("OidcConfig").field("issuer", issuer).field("client_id", client_id).finish_non_exhaustive()
    }
}

section!(OidcConfig {
    only_start_if_oidc_is_available,
    issuer,
    client_id,
    client_secret,
    client_secret_path,
    scope,
    email_verified_required,
    extra_params,
    allowed_domains,
    allowed_users,
    allowed_groups,
    use_expiry_from_token,
    pkce,
});

/// `[oidc.pkce]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pkce {
    /// It is used.
    pub enabled: bool,
    /// `S256` or `plain`.
    pub method: String,
}

section!(Pkce { enabled, method });

impl Default for OidcConfig {
    fn default() -> Self {
        Self {
            only_start_if_oidc_is_available: true,
            issuer: String::new(),
            client_id: String::new(),
            client_secret: String::new(),
            client_secret_path: PathBuf::new(),
            scope: ["openid", "profile", "email"].map(str::to_owned).into(),
            email_verified_required: true,
            extra_params: SortedMap::new(),
            allowed_domains: Vec::new(),
            allowed_users: Vec::new(),
            allowed_groups: Vec::new(),
            use_expiry_from_token: false,
            pkce: Pkce::default(),
        }
    }
}

impl Default for Pkce {
    fn default() -> Self {
        // Headscale's default is off; every provider of the last years understands it, and it costs nothing.
        Self { enabled: true, method: "S256".into() }
    }
}

impl OidcConfig {
    /// What is wrong with the values, with the keys.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.issuer.is_empty() {
            if !self.client_id.is_empty() {
                found.push(("oidc.issuer", "name the provider's URL, like https://accounts.example.org".into()));
            }
            return found;
        }
        if !self.issuer.starts_with("https://") && !self.issuer.starts_with("http://") {
            found.push((
                "oidc.issuer",
                format!("{:?} is no URL: write it like https://accounts.example.org", self.issuer),
            ));
        }
        if self.client_id.is_empty() {
            found.push(("oidc.client_id", "the provider gives it to you when you register this server there".into()));
        }
        if !self.client_secret.is_empty() && !self.client_secret_path.as_os_str().is_empty() {
            found.push(("oidc.client_secret_path", "give the secret here or in a file, not both".into()));
        }
        if !matches!(self.pkce.method.as_str(), "S256" | "plain") {
            found.push(("oidc.pkce.method", format!("{:?} is no method: S256 or plain", self.pkce.method)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_secret_is_not_shown() {
        let text = "[oidc]\nissuer = \"https://id.example.org\"\nclient_secret = \"SeCrEt\"\n";
        let config = crate::load(Some(("f", text)), &[]).config;
        assert_eq!(config.oidc.client_secret, "SeCrEt");
        let shown = format!("{config:?}");
        assert!(shown.contains("id.example.org") && !shown.contains("SeCrEt"), "{shown}");
    }
}

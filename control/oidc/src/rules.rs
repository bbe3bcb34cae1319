//! Who may come in: `oidc.allowed_domains`, `allowed_users`, `allowed_groups`, `email_verified_required`.

use crate::{Claims, OidcError};

/// The rules. An empty list allows everyone; all lists that are not empty have to agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Domains of mail addresses.
    pub domains: Vec<String>,
    /// Mail addresses.
    pub users: Vec<String>,
    /// Groups, one of which is needed.
    pub groups: Vec<String>,
    /// An address counts only if the provider has checked it.
    pub verified_email: bool,
}

impl Rules {
    /// Whether this person may come in.
    ///
    /// # Errors
    /// [`OidcError::NotAllowed`] with the reason, for the person to read.
    pub fn check(&self, claims: &Claims) -> Result<(), OidcError> {
        let no = |why: String| Err(OidcError::NotAllowed(why));
        if !self.groups.is_empty() && !claims.groups.iter().any(|g| self.groups.contains(g)) {
            return no("you are in none of the groups that may log in here (oidc.allowed_groups)".into());
        }
        let by_mail = !self.domains.is_empty() || !self.users.is_empty();
        if self.verified_email && !claims.email_verified && (by_mail || !claims.email.is_empty()) {
            return no(format!(
                "the provider has not verified the address {:?} (oidc.email_verified_required)",
                claims.email
            ));
        }
        let domain = claims.email.rsplit_once('@').map_or("", |(_, d)| d);
        if !self.domains.is_empty() && !self.domains.iter().any(|d| d.eq_ignore_ascii_case(domain)) {
            return no(format!("addresses at {domain:?} may not log in here (oidc.allowed_domains)"));
        }
        if !self.users.is_empty() && !self.users.iter().any(|u| u.eq_ignore_ascii_case(&claims.email)) {
            return no(format!("{:?} may not log in here (oidc.allowed_users)", claims.email));
        }
        Ok(())
    }
}

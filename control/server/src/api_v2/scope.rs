//! Scopes of OAuth clients: what a token may do. A write scope includes reading; `all` includes everything.
//! Source: Tailscale's documentation of OAuth client scopes (tailscale.com/kb/1215).

use hearthgate_read::{Read, Shape};
use serde::Serialize;

/// Scopes that write; each has a `:read` form.
pub(crate) const SCOPES: [&str; 11] = [
    "all",
    "auth_keys",
    "oauth_keys",
    "devices:core",
    "devices:routes",
    "devices:posture_attributes",
    "policy_file",
    "feature_settings",
    "users",
    "dns",
    "webhooks",
];
/// Scopes that need tags: what they make or change belongs to tags.
const TAGGED: [&str; 2] = ["devices:core", "auth_keys"];

/// A set of scopes, as given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Scopes(pub Vec<String>);

impl Read for Scopes {
    fn start() -> Self {
        Self::default()
    }

    fn expected(&self) -> &'static str {
        self.0.expected()
    }

    fn begin(&mut self, shape: Shape) -> bool {
        self.0.begin(shape)
    }

    fn element(&mut self) -> Option<&mut dyn Read> {
        self.0.element()
    }
}

hearthgate_read::deserialize!(Scopes);

impl Scopes {
    /// Everything.
    pub fn all() -> Self {
        Self(vec!["all".to_owned()])
    }

    /// The first that is no scope.
    pub fn unknown(&self) -> Option<&str> {
        let known = |s: &str| SCOPES.contains(&s.strip_suffix(":read").unwrap_or(s));
        self.0.iter().map(String::as_str).find(|s| !known(s))
    }

    /// Whether `scope` (perhaps `:read`) is within this set.
    pub fn include(&self, scope: &str) -> bool {
        self.0.iter().any(|held| {
            let bare = scope.strip_suffix(":read");
            held == scope || held == "all" || bare.is_some_and(|b| held == b || held == "all:read")
        })
    }

    /// Whether tags have to be named with these scopes.
    pub fn need_tags(&self) -> bool {
        self.0.iter().any(|s| TAGGED.contains(&s.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn writing_includes_reading_and_all_includes_everything() {
        let s = scopes("devices:core users:read");
        assert!(s.include("devices:core") && s.include("devices:core:read") && s.include("users:read"));
        assert!(!s.include("users") && !s.include("devices:routes:read") && !s.include("all:read"));
        let read = scopes("all:read");
        assert!(read.include("policy_file:read") && !read.include("policy_file") && !read.include("all"));
        assert!(Scopes::all().include("oauth_keys") && Scopes::all().include("dns:read"));
    }

    #[test]
    fn unknown_scopes_and_those_that_need_tags_are_told() {
        assert_eq!(scopes("all devices:core:read nothing").unknown(), Some("nothing"));
        assert_eq!(scopes("all users dns:read").unknown(), None);
        assert!(scopes("auth_keys").need_tags() && !scopes("auth_keys:read all").need_tags());
    }
}

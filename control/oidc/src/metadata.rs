//! What a provider publishes about itself (OpenID Connect Discovery 1.0, section 3).

use crate::OidcError;
use hearthgate_read::struct_of;
use http::Uri;

/// Where the metadata of an issuer is (section 4).
#[must_use]
pub fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// The parts of the metadata that a login needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Who issues the tokens.
    pub issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where codes become tokens.
    pub token_endpoint: String,
    /// The provider's keys.
    pub jwks_uri: String,
    /// More about a person; not every provider has it.
    pub userinfo_endpoint: Option<String>,
    /// How a client proves itself at the token endpoint; none named means `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Vec<String>,
}

struct_of!(Metadata;
must {
    issuer: "issuer",
    authorization_endpoint: "authorization_endpoint",
    token_endpoint: "token_endpoint",
    jwks_uri: "jwks_uri",
}
may {
    userinfo_endpoint: "userinfo_endpoint",
    token_endpoint_auth_methods_supported: "token_endpoint_auth_methods_supported",
}
not {});

impl Metadata {
    /// Reads the document of `issuer`.
    ///
    /// # Errors
    /// It is no such document, is another issuer's (section 4.3), or names an address that is none.
    pub fn parse(json: &[u8], issuer: &str) -> Result<Self, OidcError> {
        let metadata: Self = serde_json::from_slice(json).map_err(|e| OidcError::Metadata(e.to_string()))?;
        // Some providers write their own name with a slash at its end and some do not.
        if metadata.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            let why = format!(
                "it is of {:?}, not of {issuer:?}: set oidc.issuer to what the provider calls itself",
                metadata.issuer
            );
            return Err(OidcError::Metadata(why));
        }
        let plain_issuer = issuer.starts_with("http://");
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        for url in endpoints.into_iter().chain(&metadata.userinfo_endpoint) {
            let uri: Uri = url.parse().map_err(|_| OidcError::Metadata(format!("{url:?} is no URL")))?;
            // A provider that is reached safely cannot send the secret over an open line.
            if uri.scheme_str() != Some("https") && !(plain_issuer && uri.scheme_str() == Some("http")) {
                return Err(OidcError::Metadata(format!("{url:?} is not https")));
            }
        }
        Ok(metadata)
    }

    /// Whether the secret goes into the form instead of the header.
    pub(crate) fn secret_in_form(&self) -> bool {
        let methods = &self.token_endpoint_auth_methods_supported;
        !methods.is_empty()
            && !methods.iter().any(|m| m == "client_secret_basic")
            && methods.iter().any(|m| m == "client_secret_post")
    }
}

//! The client's side of the code flow (OpenID Connect Core 1.0, section 3.1).

use crate::{Metadata, OidcError};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use form_urlencoded::Serializer;
use hearthgate_sorted::SortedMap;
use sha2::{Digest, Sha256};
use std::fmt;

/// Random bytes that one login uses up.
pub const RANDOM_BYTES: usize = 3 * 32;

/// How the code verifier is shown to the provider (RFC 7636, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PkceMethod {
    /// Its SHA-256.
    S256,
    /// Itself; for providers that know nothing better.
    Plain,
}

/// What the provider knows us as.
#[derive(Clone)]
pub struct Client {
    /// `oidc.client_id`.
    pub id: String,
    /// `oidc.client_secret`; empty for a public client.
    pub secret: String,
    /// Where the provider sends browsers back to.
    pub redirect_uri: String,
    /// What is asked for; `openid` is added.
    pub scope: Vec<String>,
    /// Further parameters of the authorization request.
    pub extra: SortedMap<String, String>,
    /// Proof key, if it is on.
    pub pkce: Option<PkceMethod>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

/// A login that is under way. Its parts are secrets until it is done.
#[derive(Clone, PartialEq, Eq)]
pub struct Flow {
    /// Comes back with the browser.
    pub state: String,
    /// Comes back inside the ID token.
    pub nonce: String,
    /// Goes to the token endpoint.
    verifier: Option<String>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").finish_non_exhaustive()
    }
}

/// A POST to the token endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Where to.
    pub url: String,
    /// The body, `application/x-www-form-urlencoded`.
    pub form: String,
    /// Value of the `Authorization` header.
    pub authorization: Option<String>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins a login: the URL for the browser, and what to remember.
    #[must_use]
    pub fn begin(&self, metadata: &Metadata, random: &[u8; RANDOM_BYTES]) -> (String, Flow) {
        let (state, rest) = random.split_at(32);
        let (nonce, verifier) = rest.split_at(32);
        let [state, nonce, verifier] = [state, nonce, verifier].map(|b| URL_SAFE_NO_PAD.encode(b));
        let mut query = Serializer::new(String::new());
        query.append_pair("response_type", "code").append_pair("client_id", &self.id);
        query.append_pair("redirect_uri", &self.redirect_uri).append_pair("scope", &self.scopes());
        query.append_pair("state", &state).append_pair("nonce", &nonce);
        match self.pkce {
            Some(PkceMethod::S256) => {
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
                query.append_pair("code_challenge_method", "S256").append_pair("code_challenge", &challenge);
            }
            Some(PkceMethod::Plain) => {
                query.append_pair("code_challenge_method", "plain").append_pair("code_challenge", &verifier);
            }
            None => {}
        }
        for (name, value) in &self.extra {
            query.append_pair(name, value);
        }
        let separator = if metadata.authorization_endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}{}", metadata.authorization_endpoint, query.finish());
        (url, Flow { state, nonce, verifier: self.pkce.map(|_| verifier) })
    }

    /// The request that turns a code into tokens.
    #[must_use]
    pub fn token_request(&self, metadata: &Metadata, flow: &Flow, code: &str) -> TokenRequest {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code").append_pair("code", code);
        form.append_pair("redirect_uri", &self.redirect_uri);
        if let Some(verifier) = &flow.verifier {
            form.append_pair("code_verifier", verifier);
        }
        let mut authorization = None;
        if self.secret.is_empty() || metadata.secret_in_form() {
            form.append_pair("client_id", &self.id);
            if !self.secret.is_empty() {
                form.append_pair("client_secret", &self.secret);
            }
        } else {
            // RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encode(&self.id), encode(&self.secret));
            authorization = Some(format!("Basic {}", STANDARD.encode(pair)));
        }
        TokenRequest { url: metadata.token_endpoint.clone(), form: form.finish(), authorization }
    }

    /// The code in the query that a browser came back with.
    ///
    /// # Errors
    /// The provider says why there is none.
    pub fn code_of(query: &str) -> Result<String, OidcError> {
        let mut code = None;
        let (mut error, mut description) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "code" => code = Some(value.into_owned()),
                "error" => error = Some(value.into_owned()),
                "error_description" => description = Some(value.into_owned()),
                _ => {}
            }
        }
        match (error, code) {
            (None, Some(code)) => Ok(code),
            (Some(error), _) => Err(OidcError::Refused(description.map_or(error.clone(), |d| format!("{error}: {d}")))),
            (None, None) => Err(OidcError::Refused("it sent no code".into())),
        }
    }

    fn scopes(&self) -> String {
        let mut all: Vec<&str> = self.scope.iter().map(String::as_str).collect();
        if !all.contains(&"openid") {
            all.insert(0, "openid");
        }
        all.join(" ")
    }
}

//! Tokens: reading the token endpoint's answer, and checking an ID token (OpenID Connect Core 1.0, section 3.1.3.7).

use crate::{Claims, Client, Flow, Metadata, OidcError, jwt};
use hearthgate_read::struct_of;
use serde_json::Value;
use std::fmt;

/// How far the clocks of provider and router may be apart, in seconds: a box without a clock of its own may be late.
const LEEWAY_S: i64 = 120;

/// What the token endpoint answered.
#[derive(Clone, Default)]
pub struct Tokens {
    /// Says who logged in.
    pub id_token: String,
    /// Opens the user-info endpoint.
    pub access_token: String,
}

struct_of!(Tokens { id_token: "id_token", access_token: "access_token" });

/// What it answers that refuses (RFC 6749, section 5.2).
#[derive(Default)]
struct Refusal {
    error: String,
    error_description: String,
}

struct_of!(Refusal;
must { error: "error" }
may { error_description: "error_description" }
not {});

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads an answer.
    ///
    /// # Errors
    /// The provider refused, or sent something else.
    pub fn parse(status: u16, json: &[u8]) -> Result<Self, OidcError> {
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(json) {
            return Err(OidcError::Refused(
                format!("{} {}", refusal.error, refusal.error_description).trim().to_owned(),
            ));
        }
        if status != 200 {
            return Err(OidcError::Answer(format!("status {status}")));
        }
        let tokens: Self = serde_json::from_slice(json).map_err(|e| OidcError::Answer(e.to_string()))?;
        if tokens.id_token.is_empty() {
            return Err(OidcError::Answer(
                "there is no id_token in it: is the scope openid allowed for this client?".into(),
            ));
        }
        Ok(tokens)
    }
}

/// Checks an ID token: signature, issuer, audience, times (`now` in seconds since 1970) and nonce.
///
/// # Errors
/// What is wrong with it. A key that is not in `jwks` may be new there: fetch them again, once.
pub fn verify(
    jwks: &Keys,
    id_token: &str,
    metadata: &Metadata,
    client: &Client,
    flow: &Flow,
    now: i64,
) -> Result<Claims, OidcError> {
    let bad = |why: &str| OidcError::Token(why.to_owned());
    let content = jwt::signed(&jwks.0, id_token)?;
    let claims = Claims::read(&content).map_err(|e| bad(&e))?;
    if claims.iss != metadata.issuer {
        return Err(bad("it is another issuer's"));
    }
    // One, or several.
    let audience = content.get("aud").unwrap_or(&Value::Null);
    let mut audience = audience.as_array().map_or(std::slice::from_ref(audience), Vec::as_slice).iter();
    if !audience.any(|one| one.as_str() == Some(&client.id)) {
        return Err(bad("it is for another client"));
    }
    if claims.sub.is_empty() {
        return Err(bad("it names nobody"));
    }
    if claims.exp.saturating_add(LEEWAY_S) < now {
        return Err(bad("it has expired: is this machine's clock right?"));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY_S)) {
        return Err(bad("it is not valid yet: is this machine's clock right?"));
    }
    if claims.nonce != flow.nonce {
        return Err(bad("it belongs to another login"));
    }
    Ok(claims)
}

/// The provider's keys (RFC 7517).
#[derive(Debug, Clone)]
pub struct Keys(Vec<jwt::Key>);

impl Keys {
    /// Reads them.
    ///
    /// # Errors
    /// It is no key set.
    pub fn parse(json: &[u8]) -> Result<Self, OidcError> {
        // Kinds of keys that are not known must not spoil the others.
        let all: Value = serde_json::from_slice(json).map_err(|e| OidcError::Answer(e.to_string()))?;
        let keys =
            all.get("keys").and_then(Value::as_array).ok_or_else(|| OidcError::Answer("it is no key set".into()))?;
        Ok(Self(keys.iter().filter_map(jwt::Key::read).collect()))
    }
}

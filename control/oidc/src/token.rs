//! Tokens: reading the token endpoint's answer, and checking an ID token (OpenID Connect Core 1.0, section 3.1.3.7).

use crate::{Claims, Client, Flow, Metadata, OidcError};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde::Deserialize;
use std::fmt;

/// How far the clocks of provider and router may be apart, in seconds: a box without a clock of its own may be late.
const LEEWAY_S: i64 = 120;
/// Signatures that are taken. Never `none`, and never a MAC: the client secret is no signing key here.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What the token endpoint answered.
#[derive(Clone, Deserialize)]
pub struct Tokens {
    /// Says who logged in.
    #[serde(default)]
    pub id_token: String,
    /// Opens the user-info endpoint.
    #[serde(default)]
    pub access_token: String,
}

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
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
            #[serde(default)]
            error_description: String,
        }
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
    let bad = |why: String| OidcError::Token(why);
    let header = decode_header(id_token).map_err(|e| bad(e.to_string()))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(bad(format!("it is signed with {:?}, which is not taken", header.alg)));
    }
    let keys = &jwks.0.keys;
    let key = match &header.kid {
        Some(kid) => jwks.0.find(kid),
        // Without a name there must be only one to choose.
        None => (keys.len() == 1).then(|| &keys[0]),
    };
    let key = key.ok_or_else(|| bad("its key is not among the provider's".into()))?;
    let key = DecodingKey::from_jwk(key).map_err(|e| bad(e.to_string()))?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[&metadata.issuer]);
    validation.set_audience(&[&client.id]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    // The library would ask the system's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims = decode::<Claims>(id_token, &key, &validation).map_err(|e| bad(e.to_string()))?.claims;
    if claims.sub.is_empty() {
        return Err(bad("it names nobody".into()));
    }
    if claims.exp.saturating_add(LEEWAY_S) < now {
        return Err(bad("it has expired: is this machine's clock right?".into()));
    }
    if claims.nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY_S)) {
        return Err(bad("it is not valid yet: is this machine's clock right?".into()));
    }
    if claims.nonce != flow.nonce {
        return Err(bad("it belongs to another login".into()));
    }
    Ok(claims)
}

/// The provider's keys (RFC 7517).
#[derive(Debug, Clone)]
pub struct Keys(JwkSet);

impl Keys {
    /// Reads them.
    ///
    /// # Errors
    /// It is no key set.
    pub fn parse(json: &[u8]) -> Result<Self, OidcError> {
        // Kinds of keys that the library does not know must not spoil the others.
        let all: serde_json::Value = serde_json::from_slice(json).map_err(|e| OidcError::Answer(e.to_string()))?;
        let keys = all
            .get("keys")
            .and_then(serde_json::Value::as_array)
            .ok_or_else(|| OidcError::Answer("it is no key set".into()))?;
        let keys = keys.iter().filter_map(|k| serde_json::from_value(k.clone()).ok()).collect();
        Ok(Self(JwkSet { keys }))
    }
}

//! Signed tokens in their compact form (RFC 7515, RFC 7519) and the keys they are checked with (RFC 7517, RFC 7518,
//! RFC 8037). The signatures themselves are ring's business.
//!
//! A key fits one family of algorithms: what a token says about itself chooses within the family, never the family.
//! Neither `none` nor a MAC is among them: the client secret is no signing key here.

use crate::OidcError;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    /// Modulus and exponent, big-endian, without zeros before them.
    Rsa(Vec<u8>, Vec<u8>),
    /// An uncompressed point of P-256.
    P256(Vec<u8>),
    /// An uncompressed point of P-384.
    P384(Vec<u8>),
    /// A point of Ed25519.
    Ed25519(Vec<u8>),
}

/// A key of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) kid: Option<String>,
    /// The one algorithm it is for, if it says so.
    alg: Option<String>,
    public: Public,
}

impl Key {
    /// Reads a key; `None` if it is of a kind that is not known, or not for signatures.
    pub(crate) fn read(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        // An uncompressed point (SEC 1, 2.3.3): both coordinates in full length.
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4_u8][..], &x, &y].concat())
        };
        let number = |name: &str| {
            let bytes = bytes(name)?;
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            bytes.get(zeros..).map(<[u8]>::to_vec)
        };
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => Public::Rsa(number("n")?, number("e")?),
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes("x")?),
            _ => return None,
        };
        Some(Self { kid: text("kid").map(str::to_owned), alg: text("alg").map(str::to_owned), public })
    }

    /// Whether `signature` is of `message` by this key and algorithm.
    fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        if self.alg.as_ref().is_some_and(|only| only != alg) {
            return false;
        }
        let point = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (&self.public, alg) {
            (Public::P256(key), "ES256") => point(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Public::P384(key), "ES384") => point(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Public::Ed25519(key), "EdDSA") => point(&signature::ED25519, key),
            (Public::Rsa(n, e), _) => {
                let parameters = match alg {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// The content of a token that one of the keys has signed.
///
/// # Errors
/// It is no such token, or none of the keys has signed it.
pub(crate) fn signed(keys: &[Key], token: &str) -> Result<Value, OidcError> {
    let bad = |why: &str| OidcError::Token(why.to_owned());
    let no_token = || bad("it is no signed token");
    let (message, signature) = token.rsplit_once('.').ok_or_else(no_token)?;
    let (header, content) = message.split_once('.').ok_or_else(no_token)?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| no_token());
    let read = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).map_err(|_| no_token());
    let header = read(header)?;
    if header.get("crit").is_some() {
        return Err(bad("it says that more has to be understood than is"));
    }
    let alg = header.get("alg").and_then(Value::as_str).ok_or_else(no_token)?;
    let key = match header.get("kid") {
        Some(kid) => keys.iter().find(|key| key.kid.as_deref() == kid.as_str() && key.kid.is_some()),
        // Without a name there must be only one to choose.
        None => keys.first().filter(|_| keys.len() == 1),
    };
    let key = key.ok_or_else(|| bad("its key is not among the provider's"))?;
    if !key.verifies(alg, message.as_bytes(), &decoded(signature)?) {
        return Err(OidcError::Token(format!("it is not signed with that key by {alg:?}")));
    }
    read(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The modulus of a key that OpenSSL made and threw away, and `{"iss":"x"}` signed with it
    /// (`openssl dgst -sha256 -sign`, for `PS256` with `-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest`).
    fn made_by_openssl() -> Value {
        serde_json::from_str(include_str!("../tests/rsa.json")).unwrap()
    }

    fn rsa(more: Value) -> Key {
        let mut jwk = json!({ "kty": "RSA", "kid": "rsa", "n": made_by_openssl()["n"], "e": "AQAB" });
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Key::read(&jwk).unwrap()
    }

    #[test]
    fn rsa_in_both_paddings() {
        let made = made_by_openssl();
        for alg in ["RS256", "PS256"] {
            let token = made[alg].as_str().unwrap();
            assert_eq!(signed(&[rsa(json!({}))], token).unwrap(), json!({ "iss": "x" }), "{alg}");
            assert!(signed(&[rsa(json!({ "alg": alg }))], token).is_ok());
            assert!(signed(&[rsa(json!({ "alg": "RS512" }))], token).is_err());
            assert!(signed(&[rsa(json!({ "kid": "other" }))], token).is_err());
            // Another content, another signature, a part too many.
            let (message, signature) = token.rsplit_once('.').unwrap();
            let (header, _) = message.split_once('.').unwrap();
            let other = URL_SAFE_NO_PAD.encode(r#"{"iss":"y"}"#);
            assert!(signed(&[rsa(json!({}))], &format!("{header}.{other}.{signature}")).is_err());
            assert!(signed(&[rsa(json!({}))], &format!("{message}.{}", &signature[4..])).is_err());
            assert!(signed(&[rsa(json!({}))], &format!("{message}.{signature}.{signature}")).is_err());
        }
    }

    #[test]
    fn zeros_before_a_modulus_are_left_out() {
        let n = URL_SAFE_NO_PAD.decode(made_by_openssl()["n"].as_str().unwrap()).unwrap();
        let padded = URL_SAFE_NO_PAD.encode([&[0][..], &n].concat());
        assert_eq!(rsa(json!({ "n": padded })), rsa(json!({})));
    }

    #[test]
    fn keys_that_are_not_for_this_are_none() {
        let no = |jwk: Value| assert!(Key::read(&jwk).is_none(), "{jwk}");
        no(json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc" }));
        no(json!({ "kty": "RSA", "n": "AQAB" }));
        no(json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }));
        no(json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }));
        no(json!({ "kty": "oct", "k": "AA" }));
        no(json!([]));
    }

    #[test]
    fn what_must_be_understood_is_not() {
        let made = made_by_openssl();
        let (_, rest) = made["RS256"].as_str().unwrap().split_once('.').unwrap();
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"rsa","crit":["b64"]}"#);
        let error = signed(&[rsa(json!({}))], &format!("{header}.{rest}")).unwrap_err();
        assert!(error.to_string().contains("understood"), "{error}");
        assert!(signed(&[rsa(json!({}))], "").is_err());
        assert!(signed(&[rsa(json!({}))], "..").is_err());
        assert!(signed(&[], made["RS256"].as_str().unwrap()).is_err());
    }
}

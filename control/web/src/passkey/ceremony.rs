//! What is believed of a browser's answer: WebAuthn sections 7.1 (registering) and 7.2 (logging in), step by step.

use super::{
    ANSWER_MAX, AuthenticatorData, CLIENT_DATA_MAX, Challenge, Passkey, PasskeyError, PublicKey, SIGNATURE_MAX, Site,
    cbor::Reader,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_keys::constant_time_eq;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The client data (section 5.8.1), as far as it matters.
#[derive(Deserialize)]
struct ClientData<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    challenge: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    origin: std::borrow::Cow<'a, str>,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

/// Answer to the question for a new passkey; every field as base64url.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a str,
    /// `attestationObject`.
    pub attestation: &'a str,
}

/// A new key that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Identifier of the credential.
    pub id: Vec<u8>,
    /// Its public key, as COSE.
    pub cose: Vec<u8>,
    /// Signatures so far.
    pub counter: u32,
    /// It may be copied to other devices of the same person.
    pub syncable: bool,
}

/// Answer to the question who logs in; every field as base64url.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// `clientDataJSON`.
    pub client_data: &'a str,
    /// `authenticatorData`.
    pub authenticator_data: &'a str,
    /// `signature`.
    pub signature: &'a str,
    /// `userHandle`; discoverable credentials have one.
    pub user_handle: &'a str,
}

/// Checks a new passkey for `site`.
///
/// # Errors
/// Why it is not believed.
pub fn register(answer: &Registration<'_>, site: &Site, challenge: &Challenge) -> Result<Registered, PasskeyError> {
    let client_data = bytes(answer.client_data, CLIENT_DATA_MAX, "client data")?;
    check_client(&client_data, "webauthn.create", site, challenge)?;
    let object = bytes(answer.attestation, ANSWER_MAX, "attestation")?;
    let attestation = Attestation::parse(&object)?;
    let data = AuthenticatorData::parse(attestation.data)?;
    check_authenticator(&data, site)?;
    let new = data.new.ok_or(PasskeyError::Malformed("no key in it"))?;
    if let Some((alg, signature)) = attestation.own {
        // Signed with the new key itself (section 8.2): no trust comes of it, but a wrong one is wrong.
        if alg != new.key.algorithm().number() {
            return Err(PasskeyError::Attestation);
        }
        new.key.verify(&signed(attestation.data, &client_data), signature)?;
    }
    Ok(Registered {
        id: new.id.to_vec(),
        cose: new.cose.to_vec(),
        counter: data.counter,
        syncable: data.flags.syncable(),
    })
}

/// Checks a login with a stored passkey; answers its new counter.
///
/// # Errors
/// Why it is not believed.
pub fn assert(
    answer: &Assertion<'_>,
    passkey: &Passkey,
    site: &Site,
    challenge: &Challenge,
) -> Result<u32, PasskeyError> {
    if passkey.site != site.name {
        return Err(PasskeyError::RelyingParty);
    }
    if !constant_time_eq(answer.user_handle.as_bytes(), passkey.handle.as_bytes()) {
        return Err(PasskeyError::RelyingParty);
    }
    let client_data = bytes(answer.client_data, CLIENT_DATA_MAX, "client data")?;
    check_client(&client_data, "webauthn.get", site, challenge)?;
    let raw = bytes(answer.authenticator_data, ANSWER_MAX, "authenticator data")?;
    let data = AuthenticatorData::parse(&raw)?;
    check_authenticator(&data, site)?;
    if data.flags.syncable() != passkey.syncable {
        return Err(PasskeyError::Backup);
    }
    let cose = bytes(&passkey.key, ANSWER_MAX, "stored key")?;
    let signature = bytes(answer.signature, SIGNATURE_MAX, "signature")?;
    PublicKey::parse(&cose)?.verify(&signed(&raw, &client_data), &signature)?;
    if (data.counter != 0 || passkey.counter != 0) && data.counter <= passkey.counter {
        return Err(PasskeyError::Counter);
    }
    Ok(data.counter)
}

/// The attestation object (section 6.5.4) of a kind that is taken.
struct Attestation<'a> {
    data: &'a [u8],
    /// Algorithm and signature of a self attestation.
    own: Option<(i64, &'a [u8])>,
}

impl<'a> Attestation<'a> {
    fn parse(object: &'a [u8]) -> Result<Self, PasskeyError> {
        let mut reader = Reader::new(object);
        let (mut format, mut statement, mut data) = (None, None, None);
        for _ in 0..reader.map()? {
            match reader.text()? {
                "fmt" => format = Some(reader.text()?),
                "attStmt" => {
                    statement = Some(reader.clone());
                    reader.skip()?;
                }
                "authData" => data = Some(reader.bytes()?),
                _ => reader.skip()?,
            }
        }
        reader.end()?;
        let (Some(format), Some(statement), Some(data)) = (format, statement, data) else {
            return Err(PasskeyError::Malformed("attestation"));
        };
        let own = statement_of(format, statement)?;
        Ok(Self { data, own })
    }
}

/// Algorithm and signature of a statement, if it has any (sections 8.2 and 8.7).
fn statement_of<'a>(format: &str, mut statement: Reader<'a>) -> Result<Option<(i64, &'a [u8])>, PasskeyError> {
    let pairs = statement.map()?;
    match format {
        "none" if pairs == 0 => Ok(None),
        "packed" => {
            let (mut alg, mut sig) = (None, None);
            for _ in 0..pairs {
                match statement.text()? {
                    "alg" => alg = Some(statement.int()?),
                    "sig" => sig = Some(statement.bytes()?),
                    // A maker's certificate, which was not asked for.
                    _ => return Err(PasskeyError::Attestation),
                }
            }
            alg.zip(sig).map(Some).ok_or(PasskeyError::Attestation)
        }
        _ => Err(PasskeyError::Attestation),
    }
}

fn check_client(json: &[u8], kind: &str, site: &Site, challenge: &Challenge) -> Result<(), PasskeyError> {
    let data: ClientData<'_> = serde_json::from_slice(json).map_err(|_| PasskeyError::Malformed("client data"))?;
    if data.kind != kind {
        return Err(PasskeyError::Type);
    }
    let answered = bytes(&data.challenge, challenge.len(), "challenge").map_err(|_| PasskeyError::Challenge)?;
    if !constant_time_eq(&answered, challenge) {
        return Err(PasskeyError::Challenge);
    }
    if data.origin != site.origin || data.cross_origin {
        return Err(PasskeyError::Origin);
    }
    Ok(())
}

fn check_authenticator(data: &AuthenticatorData<'_>, site: &Site) -> Result<(), PasskeyError> {
    if data.rp_id_hash != site.id_hash() {
        return Err(PasskeyError::RelyingParty);
    }
    if !data.flags.person() {
        return Err(PasskeyError::Person);
    }
    Ok(())
}

/// What signatures are over.
fn signed(authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
    [authenticator_data, &Sha256::digest(client_data)].concat()
}

/// Reads base64url of at most `max` bytes.
fn bytes(text: &str, max: usize, what: &'static str) -> Result<Vec<u8>, PasskeyError> {
    if text.len() > max.div_ceil(3) * 4 {
        return Err(PasskeyError::Malformed(what));
    }
    let read = URL_SAFE_NO_PAD.decode(text).map_err(|_| PasskeyError::Malformed(what))?;
    if read.len() > max { Err(PasskeyError::Malformed(what)) } else { Ok(read) }
}

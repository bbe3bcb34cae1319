//! Passkeys: logging in to the pages with a key that phone, computer or security key keeps, instead of a password.
//!
//! The relying party's side of WebAuthn (W3C, Web Authentication Level 3, sections 6.1, 7.1 and 7.2). Passkeys are
//! discoverable and verify the person (PIN, finger, face), so they need neither name nor password. Attestation is not
//! asked for and gives no trust: whoever is logged in may register what they have. Browsers offer passkeys only to
//! pages with a trustworthy origin under a name: `https://` and no IP address, or `localhost`.
//!
//! * [`Site`]: the origin, and whether there can be passkeys;
//! * [`Challenges`]: questions that are out, each good for one answer of the browser it was made for;
//! * [`register`], [`assert`]: what is believed of an answer;
//! * [`Passkey`] and what stores it.

mod authenticator;
mod cbor;
mod ceremony;
mod challenge;
mod cose;
mod site;
mod store;

pub use authenticator::{AuthenticatorData, Flags};
pub use ceremony::{Assertion, Registered, Registration, assert, register};
pub use challenge::{CHALLENGE_MS, CHALLENGES_MAX, Challenge, Challenges, Purpose};
pub use cose::{Algorithm, PublicKey};
pub use site::{NotOffered, Site};
pub use store::{NAME_MAX, PASSKEYS_MAX, Passkey, add, any, forget_all, handle, mine, remove, used, with_id};

/// Longest identifier of a credential, in bytes (section 4, "Credential ID").
pub const ID_MAX: usize = 1023;
/// Longest client data, in bytes. Browsers send some 200.
pub const CLIENT_DATA_MAX: usize = 4096;
/// Longest attestation object or authenticator data, in bytes. With an RSA key of 4096 bits it is some 2200.
pub const ANSWER_MAX: usize = 8192;
/// Longest signature, in bytes: RSA of 4096 bits.
pub const SIGNATURE_MAX: usize = 512;

/// Why an answer is not believed. The words are for the audit log and for tests; people read that it did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    /// No base64url, no JSON, no CBOR, too long, or not what stands there.
    #[error("it cannot be read: {0}")]
    Malformed(&'static str),
    /// Nobody registered it here.
    #[error("it is not known here")]
    Unknown,
    /// The client data is of the other ceremony.
    #[error("it answers something else")]
    Type,
    /// The question was another, or is too old.
    #[error("it answers an old question")]
    Challenge,
    /// Another site asked, or a frame in one.
    #[error("it was made for another site")]
    Origin,
    /// The credential belongs to another name of this box.
    #[error("it is for another name")]
    RelyingParty,
    /// Nobody was there, or nobody looked who.
    #[error("the person was not verified")]
    Person,
    /// A signature algorithm that was not offered, or a key that does not fit it.
    #[error("its key is of a kind that is not taken")]
    Key,
    /// An attestation that was not asked for.
    #[error("its attestation is of a kind that is not taken")]
    Attestation,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// The signature counter went back: somebody has a copy of the key.
    #[error("its counter went back, so there may be a copy of it")]
    Counter,
    /// A synced key that was said to be none, or the other way round.
    #[error("its flags contradict what was registered")]
    Backup,
}

//! The key of an apk feed: ECDSA on P-256 over SHA-512, with nonces from the message (RFC 6979), so that packages are
//! the same bytes each time. Source: `src/crypto_openssl.c` and `src/adb.c` (`adb_trust_write_signatures`) of
//! apk-tools 3.0.6.

use crate::PackError;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{DerSignature, Signature, SigningKey};
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use sha2::{Digest as _, Sha512};
use std::fmt;

/// Version of the signature block and the digest it names.
const HEAD: [u8; 2] = [0, 4];

/// A key that signs packages and indexes. It does not print.
pub struct ApkKey {
    key: SigningKey,
    id: [u8; 16],
}

impl fmt::Debug for ApkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApkKey(redacted)")
    }
}

impl ApkKey {
    /// A key from 32 random bytes. One in 2³² of all seeds is no key.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, PackError> {
        Ok(Self::new(SigningKey::from_slice(&seed).map_err(|e| PackError::Key(e.to_string()))?))
    }

    /// Reads a PKCS #8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, PackError> {
        Ok(Self::new(SigningKey::from_pkcs8_pem(pem).map_err(|e| PackError::Key(e.to_string()))?))
    }

    fn new(key: SigningKey) -> Self {
        let point = key.verifying_key().to_encoded_point(false);
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(Sha512::digest(point.as_bytes())) {
            *to = from;
        }
        Self { key, id }
    }

    /// The secret half as PKCS #8 PEM.
    pub fn to_pem(&self) -> Result<String, PackError> {
        let pem = self.key.to_pkcs8_pem(LineEnding::LF).map_err(|e| PackError::Key(e.to_string()))?;
        Ok(pem.as_str().to_owned())
    }

    /// The public half as PEM, for `/etc/apk/keys/NAME.pem`.
    pub fn public_pem(&self) -> Result<String, PackError> {
        let public = self.key.verifying_key();
        public.to_public_key_pem(LineEnding::LF).map_err(|e| PackError::Key(e.to_string()))
    }

    /// Payload of the signature block for an ADB payload of that schema.
    pub fn sign(&self, schema: u32, adb: &[u8]) -> Result<Vec<u8>, PackError> {
        let mut block = HEAD.to_vec();
        block.extend_from_slice(&self.id);
        let mut message = Sha512::new();
        message.update(schema.to_le_bytes());
        message.update(&block);
        message.update(Sha512::digest(adb));
        let signature: Signature =
            self.key.sign_prehash(&message.finalize()).map_err(|e| PackError::Key(e.to_string()))?;
        block.extend_from_slice(DerSignature::from(signature).as_bytes());
        Ok(block)
    }
}

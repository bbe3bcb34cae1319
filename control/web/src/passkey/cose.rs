//! Public keys as authenticators write them: COSE (RFC 9052 section 7, RFC 9053 section 7, RFC 8230 section 4), of the
//! three algorithms that are offered (WebAuthn section 5.8.5), and signatures by them.

use super::{PasskeyError, cbor::Reader};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

/// Labels of a key's parameters.
const KTY: i64 = 1;
const ALG: i64 = 3;
/// Most parameters that are looked at.
const PARAMETERS_MAX: u64 = 16;
/// Shortest and longest RSA modulus, in bytes. Longer ones cost a slow router too much.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// Longest RSA exponent, in bytes.
const EXPONENT_MAX: usize = 4;

/// A signature algorithm, by its number in COSE's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256: what nearly all authenticators have.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256: Windows Hello on older machines.
    Rs256,
}

impl Algorithm {
    /// All that are taken, the best known first.
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The number.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
        }
    }
}

/// A public key, in place in its encoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKey<'a> {
    /// x and y on P-256.
    Es256([u8; 32], [u8; 32]),
    /// An Ed25519 key.
    EdDsa([u8; 32]),
    /// Modulus and exponent.
    Rs256(&'a [u8], &'a [u8]),
}

impl<'a> PublicKey<'a> {
    /// Reads a key that is all there is.
    ///
    /// # Errors
    /// It is none of the three, or bytes follow.
    pub fn parse(cose: &'a [u8]) -> Result<Self, PasskeyError> {
        let mut reader = Reader::new(cose);
        let key = Self::read(&mut reader)?;
        reader.end()?;
        Ok(key)
    }

    /// Reads a key at the beginning of what is there.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, PasskeyError> {
        let pairs = reader.map()?;
        if pairs > PARAMETERS_MAX {
            return Err(PasskeyError::Key);
        }
        let (mut kty, mut alg, mut curve) = (None, None, None);
        let (mut first, mut second, mut third) = (None, None, None);
        for _ in 0..pairs {
            // Labels -1 to -3 mean something else for each type of key; their own type tells what is there.
            match reader.int()? {
                KTY => once(&mut kty, reader.int()?)?,
                ALG => once(&mut alg, reader.int()?)?,
                -1 => match reader.clone().int() {
                    Ok(_) => once(&mut curve, reader.int()?)?,
                    Err(_) => once(&mut first, reader.bytes()?)?,
                },
                -2 => once(&mut second, reader.bytes()?)?,
                -3 => once(&mut third, reader.bytes()?)?,
                _ => reader.skip()?,
            }
        }
        // Type of key, algorithm, curve: OKP 1, EC2 2, RSA 3; P-256 1, Ed25519 6.
        match (kty, alg, curve, first, second, third) {
            (Some(2), Some(-7), Some(1), None, Some(x), Some(y)) => Ok(Self::Es256(coordinate(x)?, coordinate(y)?)),
            (Some(1), Some(-8), Some(6), None, Some(x), None) => Ok(Self::EdDsa(coordinate(x)?)),
            (Some(3), Some(-257), None, Some(n), Some(e), None)
                if MODULUS.contains(&n.len()) && (1..=EXPONENT_MAX).contains(&e.len()) =>
            {
                Ok(Self::Rs256(n, e))
            }
            _ => Err(PasskeyError::Key),
        }
    }

    /// Its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(..) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Rs256(..) => Algorithm::Rs256,
        }
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    /// It is wrong, or the key is no point on its curve.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), PasskeyError> {
        let checked = match self {
            Self::Es256(x, y) => {
                // Uncompressed (SEC 1, section 2.3.3).
                let mut point = [4u8; 65];
                point[1..33].copy_from_slice(x);
                point[33..].copy_from_slice(y);
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rs256(n, e) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        checked.map_err(|_| PasskeyError::Signature)
    }
}

fn coordinate(bytes: &[u8]) -> Result<[u8; 32], PasskeyError> {
    bytes.try_into().map_err(|_| PasskeyError::Key)
}

/// A label may be there once.
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), PasskeyError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PasskeyError::Malformed("a key with a label twice")),
    }
}

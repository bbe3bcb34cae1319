//! snow's cryptography, with the one check that it leaves out.
//!
//! X25519 with a point of small order gives zero whatever the private key is. A client whose static key is such a point
//! could finish a handshake without owning anything, so a zero result is an error here, as RFC 7748 section 6.1 allows
//! and `crypto/ecdh`, which the official code uses, has it.

use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};

/// snow's default choice, with [`Contributory`] around its Diffie-Hellman.
pub(crate) struct Strict;

impl CryptoResolver for Strict {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        DefaultResolver.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Contributory(DefaultResolver.resolve_dh(choice)?)))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// A key agreement to which both sides have to contribute.
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, privkey: &[u8]) {
        self.0.set(privkey);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.0.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        self.0.dh(pubkey, out)?;
        // Every byte is looked at: where the first one differs from zero is nobody's business.
        let shared = out.get(..self.0.dh_len()).ok_or(Error::Dh)?;
        match shared.iter().fold(0, |seen, byte| seen | byte) {
            0 => Err(Error::Dh),
            _ => Ok(()),
        }
    }

    fn dh_len(&self) -> usize {
        self.0.dh_len()
    }
}

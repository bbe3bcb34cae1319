//! Answers to an authority that looks for a name by a TLS handshake: TLS-ALPN-01 (RFC 8737).
//!
//! Only while an answer is expected does anybody look at what a handshake asks for; and only one that offers nothing but
//! `acme-tls/1` gets it.

use super::TlsError;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::ClientHello,
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// The protocol that authorities speak; there is nothing behind the handshake.
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// Names that an authority may ask for now.
#[derive(Debug, Default)]
pub struct AlpnChallenges(RwLock<HashMap<String, Arc<ServerConfig>>>);

impl AlpnChallenges {
    /// Whether nobody is expected to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What to answer a handshake that is an authority's.
    pub(crate) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !hello.alpn()?.eq([ACME_TLS]) {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    /// Answers for `host` with the SHA-256 of its key authorization until what this returns is dropped.
    ///
    /// # Errors
    /// The name cannot stand in a certificate.
    pub fn expect(self: &Arc<Self>, host: &str, digest: &[u8; 32]) -> Result<ExpectedHandshake, TlsError> {
        let host = host.to_ascii_lowercase();
        let mut params = CertificateParams::new(vec![host.clone()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(ring::default_provider());
        // Put together by hand: the check that key and certificate fit refuses critical extensions it does not know, and
        // RFC 8737 wants one.
        let signer = provider.key_provider.load_private_key(key)?;
        let certified = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], signer));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certified));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(host.clone(), Arc::new(config));
        Ok(ExpectedHandshake { challenges: self.clone(), host })
    }
}

/// A name that is answered for as long as this lives.
#[derive(Debug)]
pub struct ExpectedHandshake {
    challenges: Arc<AlpnChallenges>,
    host: String,
}

impl Drop for ExpectedHandshake {
    fn drop(&mut self) {
        self.challenges.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_answered_while_it_is_expected() {
        let challenges = Arc::new(AlpnChallenges::default());
        let expected = challenges.expect("Relay.Example", &[7; 32]).unwrap();
        let config = challenges.0.read().unwrap().get("relay.example").cloned();
        assert_eq!(config.unwrap().alpn_protocols, [ACME_TLS]);
        drop(expected);
        assert!(challenges.is_empty());
    }
}

//! The certificate of a running server, replaceable without touching its connections.

use super::{PemPair, TlsError, meta_certificate};
use hearthgate_keys::NodePublic;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring, ring::cipher_suite},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::{Arc, PoisonError, RwLock};

/// What a server shows: a certificate chain and, behind it, the relay's meta certificate.
#[derive(Debug)]
pub struct Certificates {
    meta: Option<CertificateDer<'static>>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Begins with this certificate. With `relay`, its meta certificate is shown too.
    ///
    /// # Errors
    /// The PEM texts are not as expected, or do not fit each other.
    pub fn new(pair: &PemPair, relay: Option<&NodePublic>) -> Result<Arc<Self>, TlsError> {
        let meta = relay.map(meta_certificate).transpose()?;
        let current = RwLock::new(certified(pair, meta.as_ref())?);
        Ok(Arc::new(Self { meta, current }))
    }

    /// Shows another certificate from the next handshake on. When it is refused, the old one stays.
    ///
    /// # Errors
    /// The PEM texts are not as expected, or do not fit each other.
    pub fn replace(&self, pair: &PemPair) -> Result<(), TlsError> {
        let next = certified(pair, self.meta.as_ref())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// A server configuration that shows it: TLS 1.2 and 1.3, without HTTP/2, which has no upgrades.
    ///
    /// # Errors
    /// None that a test would not find: the cryptographic provider lacks a protocol version.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let aes = has_aes();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider(aes)))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.ignore_client_order = !aes;
        // Tickets and their cache cost memory per connection, and relay connections are long.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn certified(pair: &PemPair, meta: Option<&CertificateDer<'static>>) -> Result<Arc<CertifiedKey>, TlsError> {
    let pem = |e: rustls::pki_types::pem::Error| TlsError::Pem(e.to_string());
    let mut chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>().map_err(pem)?;
    if chain.is_empty() {
        return Err(TlsError::Pem("no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(pem)?;
    chain.extend(meta.cloned());
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &ring::default_provider())?))
}

/// `ring`, with ChaCha20-Poly1305 first where the processor has no instructions for AES: many routers.
fn provider(aes: bool) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !aes {
        let chacha = [
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ];
        provider.cipher_suites.sort_by_key(|suite| !chacha.contains(suite));
    }
    provider
}

/// Whether the processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_aes_instructions_chacha_comes_first() {
        let first = |aes| provider(aes).cipher_suites.first().map(|s| s.suite());
        assert_eq!(first(false), Some(rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256));
        assert_eq!(first(true), Some(rustls::CipherSuite::TLS13_AES_256_GCM_SHA384));
        assert_eq!(provider(false).cipher_suites.len(), provider(true).cipher_suites.len());
    }
}

//! The certificate of a running server, replaceable without touching its connections.

use super::{PemPair, TlsError, meta_certificate};
use hearthgate_fetch::{MAX_FRAGMENT, has_aes, provider};
use hearthgate_keys::NodePublic;
use rustls::{
    ServerConfig,
    crypto::ring,
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
        config.max_fragment_size = Some(MAX_FRAGMENT);
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

//! Certificates that are trusted for what they are, not for who signed them: a relay's that is pinned in the DERP map
//! (`net/tlsdial` of tailscale.com v1.104.5), and a server's whose identity is looked at by other means.

use crate::{FetchError, MAX_FRAGMENT, has_aes, provider};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A configuration that trusts the one certificate with this SHA-256, or with `None` any, whatever name and authority are
/// in it. Who shows a certificate must own its key all the same.
///
/// # Errors
/// [`FetchError::NoAuthorities`]: TLS itself cannot be set up.
pub fn pinned(hash: Option<[u8; 32]>) -> Result<Arc<ClientConfig>, FetchError> {
    let provider = Arc::new(provider(has_aes()));
    let verifier = Arc::new(Pinned { hash, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| FetchError::NoAuthorities(e.to_string()))?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.max_fragment_size = Some(MAX_FRAGMENT);
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    hash: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.hash {
            Some(hash) if Sha256::digest(leaf.as_ref()).as_slice() != hash => {
                Err(Error::General("the certificate is not the one that is pinned".into()))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    // Whoever shows the certificate must own its key, pinned or not.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_certificate_is_trusted_and_no_other() {
        let verifier = |hash| Pinned { hash, provider: Arc::new(provider(true)) };
        let name = ServerName::try_from("relay.example").unwrap();
        let leaf = CertificateDer::from(vec![1, 2, 3]);
        let check = |hash| verifier(hash).verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).is_ok();
        assert!(check(Some(Sha256::digest([1, 2, 3]).into())));
        assert!(!check(Some([0; 32])));
        assert!(check(None));
    }
}

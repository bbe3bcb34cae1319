//! Whom to trust as a relay: the certificate's name, its hash, or (for tests) anybody.
//!
//! A relay's entry in the DERP map may name another host to expect in the certificate, or `sha256-raw:` and the hash of
//! a self-signed one (`net/tlsdial` of tailscale.com v1.104.5).

use hearthgate_fetch::{Fetch, FetchError};
use hearthgate_tailcfg::DerpNode;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What stands before the hash of a certificate.
const PIN: &str = "sha256-raw:";

/// A configuration that trusts this relay, and the name to connect with.
///
/// # Errors
/// The relay's entry makes no sense, or no certificate authority is known and one is needed.
pub fn trust(node: &DerpNode, fetch: &Fetch) -> Result<(Arc<ClientConfig>, ServerName<'static>), FetchError> {
    let named = |name: &str| ServerName::try_from(name.to_owned()).map_err(|_| FetchError::Url(name.to_owned()));
    let config = match node.cert_name.strip_prefix(PIN) {
        Some(hash) => {
            let hash = hearthgate_keys::decode_fixed(hash).map_err(|_| FetchError::Url(node.cert_name.clone()))?;
            exempt(Some(hash))?
        }
        None if node.insecure_for_tests => exempt(None)?,
        None if node.cert_name.is_empty() => fetch.tls()?,
        None => return Ok((fetch.tls()?, named(&node.cert_name)?)),
    };
    Ok((config, named(node.host_name.trim_matches(['[', ']']))?))
}

/// Trusts the certificate with this hash, or any.
fn exempt(hash: Option<[u8; 32]>) -> Result<Arc<ClientConfig>, FetchError> {
    let provider = Arc::new(default_provider());
    let verifier = Arc::new(Exempt { hash, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| FetchError::NoAuthorities(e.to_string()))?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

#[derive(Debug)]
struct Exempt {
    hash: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exempt {
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
                Err(Error::General("the relay's certificate is not the one in the DERP map".into()))
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
    fn a_pinned_relay_shows_its_certificate_or_is_refused() {
        let exempt = |hash| Exempt { hash, provider: Arc::new(default_provider()) };
        let name = ServerName::try_from("relay.example").unwrap();
        let leaf = CertificateDer::from(vec![1, 2, 3]);
        let check = |hash| exempt(hash).verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).is_ok();
        assert!(check(Some(Sha256::digest([1, 2, 3]).into())));
        assert!(!check(Some([0; 32])));
        assert!(check(None));
    }

    #[test]
    fn a_pin_that_is_none_is_an_error_not_an_exemption() {
        let node = DerpNode { cert_name: "sha256-raw:zz".into(), host_name: "x".into(), ..Default::default() };
        assert!(trust(&node, &Fetch::new()).is_err());
    }
}

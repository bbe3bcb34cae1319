//! TLS for the relay: a given certificate or one of our own, and the meta certificate.
//!
//! Without a public name the relay shows a self-signed certificate whose SHA-256 stands in the DERP map
//! (`CertName: "sha256-raw:…"`, clients from 1.82). After it comes the *meta certificate*, whose subject is the
//! relay's key: clients that find it save a round trip (`derp/derpserver` of tailscale.com v1.104.5).

mod alpn;
mod swap;

pub(crate) use alpn::ACME_TLS;
pub use alpn::{AlpnChallenges, ExpectedHandshake};
pub use swap::Certificates;

use hearthgate_derp_frame::PROTOCOL_VERSION;
use hearthgate_keys::{NodePublic, encode};
use rcgen::{CertificateParams, DnType, IsCa, KeyPair, PKCS_ED25519, SerialNumber};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The PEM text holds no certificate or no key.
    #[error("the certificate or key file is not PEM as expected: {0}")]
    Pem(String),
    /// Certificate and key do not fit.
    #[error("certificate and key do not fit: {0}")]
    Rustls(#[from] rustls::Error),
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "it holds a private key")]
pub struct PemPair {
    /// Chain, the leaf first.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

/// Makes a self-signed certificate for these names and addresses, good for ten years from `not_before`.
///
/// # Errors
/// A name that cannot stand in a certificate.
pub fn self_signed(names: Vec<String>) -> Result<PemPair, TlsError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "hearthgate relay");
    // A box without a clock may think it is 1970: begin early, end late.
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(PemPair { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// `sha256-raw:` and the hash of the leaf, as it stands in a DERP map.
///
/// # Errors
/// The PEM text holds no certificate.
pub fn pin_of(pair: &PemPair) -> Result<String, TlsError> {
    let leaf = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).map_err(|e| TlsError::Pem(e.to_string()))?;
    Ok(pin_of_der(&leaf))
}

/// The same for a certificate in DER, as it comes in a handshake.
#[must_use]
pub fn pin_of_der(leaf: &CertificateDer<'_>) -> String {
    format!("sha256-raw:{}", encode(&Sha256::digest(leaf)))
}

/// A server configuration with this certificate and, after it, the relay's meta certificate.
///
/// # Errors
/// The PEM texts are not as expected, or do not fit each other.
pub fn server_config(pair: &PemPair, relay: Option<&NodePublic>) -> Result<Arc<ServerConfig>, TlsError> {
    Certificates::new(pair, relay)?.server_config()
}

/// The self-signed certificate whose subject names the relay's key and whose serial number is the protocol version.
fn meta_certificate(relay: &NodePublic) -> Result<CertificateDer<'static>, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("derpkey{}", encode(relay.as_bytes())));
    params.serial_number = Some(SerialNumber::from(u64::from(PROTOCOL_VERSION)));
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    Ok(params.self_signed(&key)?.der().clone())
}

//! Whom to trust as a relay: the certificate's name, its hash, or (for tests) anybody.
//!
//! A relay's entry in the DERP map may name another host to expect in the certificate, or `sha256-raw:` and the hash of
//! a self-signed one (`net/tlsdial` of tailscale.com v1.104.5).

use hearthgate_fetch::{Fetch, FetchError, pinned};
use hearthgate_tailcfg::DerpNode;
use rustls::{ClientConfig, pki_types::ServerName};
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
            pinned(Some(hash))?
        }
        None if node.insecure_for_tests => pinned(None)?,
        None if node.cert_name.is_empty() => fetch.tls()?,
        None => return Ok((fetch.tls()?, named(&node.cert_name)?)),
    };
    Ok((config, named(node.host_name.trim_matches(['[', ']']))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_is_none_is_an_error_not_an_exemption() {
        let node = DerpNode { cert_name: "sha256-raw:zz".into(), host_name: "x".into(), ..Default::default() };
        assert!(trust(&node, &Fetch::new()).is_err());
    }
}

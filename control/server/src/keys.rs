//! The server's key, and the certificate that it shows.

use crate::{Options, StartError};
use hearthgate_derp::{
    identity::{IdentityError, load_or_make, own_certificate},
    tls::PemPair,
};
use hearthgate_keys::MachinePrivate;
use std::path::Path;

/// The server's Noise key. If it is lost, every client has to log in again.
pub(crate) fn machine(path: &Path) -> Result<MachinePrivate, IdentityError> {
    load_or_make(path, MachinePrivate::parse, |random| MachinePrivate::from_random(random).reveal())
}

/// The certificate for TLS: the operator's, or one of our own for the host in the server's URL.
pub(crate) fn certificate(options: &Options) -> Result<PemPair, StartError> {
    if let Some(pair) = &options.certificate {
        return Ok(pair.clone());
    }
    // Until an authority has given us the first, ours has to do.
    if let Some(pair) = crate::acme::stored(options) {
        return Ok(pair);
    }
    let url = &options.settings.server_url;
    let host = url.split("://").last().unwrap_or_default();
    let host =
        host.rsplit_once(':').map_or(host, |(h, p)| if p.bytes().all(|b| b.is_ascii_digit()) { h } else { host });
    Ok(own_certificate(&options.state_dir, host.trim_matches(['[', ']']))?)
}

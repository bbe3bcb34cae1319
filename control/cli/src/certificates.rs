//! Who writes records for HTTPS certificates of devices, from the configuration.

use crate::{Failure, setup::secret};
use hearthgate_config::{Config, parse_duration};
use hearthgate_dns_update::Key;
use hearthgate_keys::Secret;
use hearthgate_server::{CertificateOptions, HttpreqOptions, Provider, Rfc2136Options};

/// `None` when nobody does.
pub(crate) fn options(config: &Config) -> Result<Option<CertificateOptions>, Failure> {
    let c = &config.certificates;
    let Some(zone) = config.certificate_zone() else { return Ok(None) };
    let provider = if c.provider == "rfc2136" {
        let secret = Secret::new(secret(&c.rfc2136.key_secret, &c.rfc2136.key_secret_path)?);
        let key = Key::new(&c.rfc2136.key_name, secret.reveal());
        let key = key.map_err(|e| Failure::Failed(format!("certificates.rfc2136: {e}")))?;
        Provider::Rfc2136(Rfc2136Options { server: c.rfc2136.server.clone(), zone, key })
    } else {
        Provider::Httpreq(HttpreqOptions {
            endpoint: c.httpreq.endpoint.clone(),
            username: c.httpreq.username.clone(),
            password: Secret::new(secret(&c.httpreq.password, &c.httpreq.password_path)?),
        })
    };
    Ok(Some(CertificateOptions { provider, wait: parse_duration(&c.wait).unwrap_or_default() }))
}

//! Overrides by environment: `HEARTHGATE_`, then the key in upper case with `_` for `.`.

use crate::read::Given;
use toml::de::DeValue;

/// What kind of value a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Texts with commas between them.
    List,
}

/// Every key that can be overridden, with its kind. Tables of records and of split DNS cannot.
pub const KEYS: &[(&str, Kind)] = &[
    ("server_url", Kind::Text),
    ("listen_addr", Kind::Text),
    ("state_dir", Kind::Text),
    ("unix_socket", Kind::Text),
    ("unix_socket_permission", Kind::Text),
    ("trusted_proxies", Kind::List),
    ("connections_per_address", Kind::Number),
    ("port_mapping", Kind::Bool),
    ("tls_cert_path", Kind::Text),
    ("tls_key_path", Kind::Text),
    ("acme_url", Kind::Text),
    ("acme_email", Kind::Text),
    ("tls_letsencrypt_hostname", Kind::Text),
    ("tls_letsencrypt_cache_dir", Kind::Text),
    ("tls_letsencrypt_challenge_type", Kind::Text),
    ("tls_letsencrypt_listen", Kind::Text),
    ("metrics_listen_addr", Kind::Text),
    ("store.engine", Kind::Text),
    ("policy.mode", Kind::Text),
    ("policy.path", Kind::Text),
    ("prefixes.v4", Kind::Text),
    ("prefixes.v6", Kind::Text),
    ("prefixes.allocation", Kind::Text),
    ("derp.server.enabled", Kind::Bool),
    ("derp.server.region_id", Kind::Number),
    ("derp.server.region_code", Kind::Text),
    ("derp.server.region_name", Kind::Text),
    ("derp.server.verify_clients", Kind::Bool),
    ("derp.server.stun_listen_addr", Kind::Text),
    ("derp.server.automatically_add_embedded_derp_region", Kind::Bool),
    ("derp.server.ipv4", Kind::Text),
    ("derp.server.ipv6", Kind::Text),
    ("derp.urls", Kind::List),
    ("derp.auto_update_enabled", Kind::Bool),
    ("derp.update_frequency", Kind::Text),
    ("derp.paths", Kind::List),
    ("dns.magic_dns", Kind::Bool),
    ("dns.base_domain", Kind::Text),
    ("dns.override_local_dns", Kind::Bool),
    ("dns.nameservers.global", Kind::List),
    ("dns.search_domains", Kind::List),
    ("dns.extra_records_path", Kind::Text),
    ("node.expiry", Kind::Text),
    ("node.approval", Kind::Bool),
    ("node.ephemeral.inactivity_timeout", Kind::Text),
    ("node.routes.ha.probe_interval", Kind::Text),
    ("node.routes.ha.probe_timeout", Kind::Text),
    ("admin.enabled", Kind::Bool),
    ("admin.networks", Kind::List),
    ("admin.hosts", Kind::List),
    ("front.pairing", Kind::Text),
    ("certificates.provider", Kind::Text),
    ("certificates.wait", Kind::Text),
    ("certificates.rfc2136.server", Kind::Text),
    ("certificates.rfc2136.zone", Kind::Text),
    ("certificates.rfc2136.key_name", Kind::Text),
    ("certificates.rfc2136.key_secret", Kind::Text),
    ("certificates.rfc2136.key_secret_path", Kind::Text),
    ("certificates.httpreq.endpoint", Kind::Text),
    ("certificates.httpreq.username", Kind::Text),
    ("certificates.httpreq.password", Kind::Text),
    ("certificates.httpreq.password_path", Kind::Text),
    ("dyndns.service", Kind::Text),
    ("dyndns.name", Kind::Text),
    ("dyndns.user", Kind::Text),
    ("dyndns.secret", Kind::Text),
    ("dyndns.secret_path", Kind::Text),
    ("dyndns.url", Kind::Text),
    ("dyndns.zone", Kind::Text),
    ("dyndns.ttl", Kind::Number),
    ("dyndns.ipv4", Kind::Bool),
    ("dyndns.ipv6", Kind::Bool),
    ("image.upgrade_dir", Kind::Text),
    ("image.status_file", Kind::Text),
    ("upgrade.feed_url", Kind::Text),
    ("upgrade.feed_key", Kind::Text),
    ("upgrade.automatic", Kind::Bool),
    ("cli.address", Kind::Text),
    ("cli.api_key", Kind::Text),
    ("router.enabled", Kind::Bool),
    ("router.hostname", Kind::Text),
    ("router.tags", Kind::List),
    ("router.advertise_routes", Kind::List),
    ("router.advertise_exit_node", Kind::Bool),
    ("router.accept_routes", Kind::Bool),
    ("router.accept_dns", Kind::Bool),
    ("router.exit_node", Kind::Text),
    ("router.exit_node_allow_lan_access", Kind::Bool),
    ("router.snat_subnet_routes", Kind::Bool),
    ("router.nat66", Kind::Bool),
    ("router.taildrop_dir", Kind::Text),
    ("router.data_plane", Kind::Text),
    ("router.interface", Kind::Text),
    ("router.port", Kind::Number),
    ("router.socket", Kind::Text),
    ("oidc.only_start_if_oidc_is_available", Kind::Bool),
    ("oidc.issuer", Kind::Text),
    ("oidc.client_id", Kind::Text),
    ("oidc.client_secret", Kind::Text),
    ("oidc.client_secret_path", Kind::Text),
    ("oidc.scope", Kind::List),
    ("oidc.email_verified_required", Kind::Bool),
    ("oidc.allowed_domains", Kind::List),
    ("oidc.allowed_users", Kind::List),
    ("oidc.allowed_groups", Kind::List),
    ("oidc.use_expiry_from_token", Kind::Bool),
    ("oidc.pkce.enabled", Kind::Bool),
    ("oidc.pkce.method", Kind::Text),
    ("log.level", Kind::Text),
    ("log.format", Kind::Text),
    ("taildrop.enabled", Kind::Bool),
    ("logtail.enabled", Kind::Bool),
    ("auto_update.enabled", Kind::Bool),
    ("config", Kind::Text),
];

/// The environment variable of a key.
#[must_use]
pub fn env_name(key: &str) -> String {
    format!("HEARTHGATE_{}", key.to_uppercase().replace('.', "_"))
}

/// Hands the value of a variable on as if the file had it.
///
/// # Errors
/// It is not of this kind, or `take` says so.
pub(crate) fn value_of(
    kind: Kind,
    text: &str,
    take: impl FnOnce(Given<'_>) -> Result<(), String>,
) -> Result<(), String> {
    // Only numbers are written as TOML writes them.
    let number = match kind {
        Kind::Number => text.parse::<i64>().map_err(|_| format!("{text:?} is not a whole number"))?.to_string(),
        _ => String::new(),
    };
    let given = |value| Given::new(0..0, value);
    take(match kind {
        Kind::Text => given(DeValue::String(text.into())),
        Kind::Number => DeValue::parse(&number).map_err(|e| e.message().to_owned())?,
        Kind::Bool => {
            let value = text.parse().map_err(|_| format!("{text:?} is neither true nor false"))?;
            given(DeValue::Boolean(value))
        }
        Kind::List => {
            let parts = text.split(',').map(str::trim).filter(|t| !t.is_empty());
            given(DeValue::Array(parts.map(|part| given(DeValue::String(part.into()))).collect()))
        }
    })
}

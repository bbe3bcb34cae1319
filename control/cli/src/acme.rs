//! From the keys about certificates of an authority to what keeps them: the same for both programs.

use hearthgate_acme::{ChallengeKind, Settings};
use hearthgate_config::AcmeConfig;
use std::path::{Path, PathBuf};

/// What certificate is wanted.
pub(crate) fn settings(config: &AcmeConfig) -> Settings {
    Settings {
        directory: config.url.clone(),
        email: config.email.clone(),
        host: config.hostname.to_ascii_lowercase(),
        challenge: if config.challenge_type == "TLS-ALPN-01" {
            ChallengeKind::TlsAlpn01
        } else {
            ChallengeKind::Http01
        },
    }
}

/// Where it is kept.
pub(crate) fn folder(config: &AcmeConfig, state_dir: &Path) -> PathBuf {
    if config.cache_dir.as_os_str().is_empty() { state_dir.join("acme") } else { config.cache_dir.clone() }
}

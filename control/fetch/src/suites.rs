//! Which ciphers TLS prefers: those that the processor is good at; and how long its records are.

use rustls::crypto::{
    CryptoProvider,
    ring::{cipher_suite, default_provider},
};

/// Longest TLS record we send, as rustls counts: header and content. Encryption adds 17 bytes, and then it is the 4,096
/// that rustls reads at once (`msgs/deframer/buffers.rs` of 0.23). A longer one is gathered in a buffer that grows and
/// shrinks with each, up to a size that musl's allocator takes from the kernel and gives back.
pub const MAX_FRAGMENT: usize = 4096 - 17;

/// `ring`, with ChaCha20-Poly1305 first unless there are instructions for AES (`aes`): many routers have none, and AES in
/// software takes several times as long. What the client puts first decides with most servers.
#[must_use]
pub fn provider(aes: bool) -> CryptoProvider {
    let mut provider = default_provider();
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

/// Whether this processor has instructions for AES.
#[must_use]
pub fn has_aes() -> bool {
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

    #[test]
    fn connections_to_relays_prefer_them() {
        let preferred = provider(has_aes()).cipher_suites.first().map(|s| s.suite());
        let config = crate::pinned(None).expect("a configuration");
        assert_eq!(config.crypto_provider().cipher_suites.first().map(|s| s.suite()), preferred);
    }
}

//! Every decoder that reads bytes of strangers, or bytes of a disk that may be damaged, as a fuzz target.
//!
//! A target takes any bytes and must neither panic nor allocate out of proportion; where there is an encoder, what was
//! decoded is encoded and decoded once more, and must be the same. Targets take the bytes as they come from the
//! wire: where a decoder lies behind encryption, the target encrypts, so that the fuzzer reaches it.
//!
//! * `cargo test -p hearthgate-fuzz` replays `corpus/`, the seeds, and deterministic mutations of both: part of every test run.
//! * `ci/fuzz/run TARGET|all [SECONDS]` searches with libFuzzer, guided by coverage, and keeps what it found.

mod control;
mod dns;
mod files;
mod front;
mod json;
mod oidc;
mod passkey;
mod relay;
mod router;
mod state;

/// A decoder under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of its folder in `corpus/`.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Inputs to begin with, some good and some nearly so.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    control::KEY_TEXT,
    control::NOISE_INITIATION,
    control::NOISE_RECORDS,
    control::TS2021_UPGRADE,
    control::WEBSOCKET,
    dns::UPDATE_ANSWER,
    files::FEED,
    files::HEADSCALE,
    files::POLICY,
    files::SLOTS,
    front::LINE,
    front::MESSAGES,
    json::MAP_REQUEST,
    json::MAP_RESPONSE,
    json::REGISTER_REQUEST,
    json::SMALL_REQUESTS,
    oidc::PROVIDER,
    passkey::ANSWERS,
    relay::DERP_FRAMES,
    relay::DERP_HELLO,
    relay::DERP_REQUEST,
    relay::STUN,
    router::DISCO,
    router::PORT_MAPPING,
    router::TUNNEL_PACKETS,
    state::BACKUP,
    state::CONFIGURATION,
    state::LOG,
    state::RECORDS,
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|t| t.name == name)
}

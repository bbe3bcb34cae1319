//! Counters of the control server in Prometheus' text form.
//!
//! Map-stream names are Headscale's with our prefix, so that dashboards need one change.

use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::fmt::Write as _;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $name:literal, $kind:literal, $help:literal;)*) => {
        /// Counters of the control server.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[$doc])* pub $field: AtomicU64,)* }

        impl Metrics {
            /// The counters in Prometheus' text form.
            #[must_use]
            pub fn text(&self) -> String {
                let mut out = String::new();
                $(
                    // Writing to a String cannot fail.
                    let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}", $name, $help, $kind, self.$field.load(Relaxed));
                )*
                out
            }
        }
    };
}

counters! {
    /// Noise connections accepted.
    noise_accepted => "hearthgate_noise_connections_total", "counter", "Noise connections accepted.";
    /// Noise handshakes that failed.
    noise_failed => "hearthgate_noise_failures_total", "counter", "Noise handshakes refused or broken.";
    /// Register requests.
    registers => "hearthgate_register_requests_total", "counter", "Register requests answered.";
    /// Map streams open.
    streams => "hearthgate_map_streams", "gauge", "Map streams open.";
    /// Whole maps sent.
    maps_whole => "hearthgate_mapresponse_whole_total", "counter", "Whole maps made.";
    /// Update requests.
    endpoint_updates => "hearthgate_mapresponse_endpoint_updates_total", "counter", "Update requests taken in.";
    /// Streams cut off because the client took no message.
    streams_stuck => "hearthgate_map_streams_stuck_total", "counter", "Map streams cut off because the client took no message.";
}

impl Metrics {
    /// Adds one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

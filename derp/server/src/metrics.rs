//! Counters of the relay; names as the official server has them, in Prometheus' text form.

use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::fmt::Write as _;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $name:literal, $kind:literal;)*) => {
        /// Counters of the relay.
        #[derive(Debug, Default)]
        pub struct RelayMetrics { $($(#[$doc])* pub $field: AtomicU64,)* }

        impl RelayMetrics {
            /// The counters in Prometheus' text form.
            #[must_use]
            pub fn text(&self) -> String {
                let mut out = String::new();
                $(
                    // Writing to a String cannot fail.
                    let _ = writeln!(out, "# TYPE {0} {1}\n{0} {2}", $name, $kind, self.$field.load(Relaxed));
                )*
                out
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepts => "derp_accepts", "counter";
    /// Connections refused by admission.
    refused => "derp_refused", "counter";
    /// Connections open.
    connections => "derp_current_connections", "gauge";
    /// Connections whose home this relay is.
    home_connections => "derp_current_home_connections", "gauge";
    /// Connections that share their key with another.
    duplicates => "derp_total_dup_client_conns", "counter";
    /// Packets received from clients.
    packets_received => "derp_packets_received", "counter";
    /// Packets sent to clients.
    packets_sent => "derp_packets_sent", "counter";
    /// Payload bytes received.
    bytes_received => "derp_bytes_received", "counter";
    /// Payload bytes sent.
    bytes_sent => "derp_bytes_sent", "counter";
    /// Packets for keys that are not connected.
    dropped_unknown_dest => "derp_packets_dropped_unknown_dest", "counter";
    /// Oldest packets lost from a full queue.
    dropped_queue_head => "derp_packets_dropped_queue_head", "counter";
    /// Pings received.
    got_ping => "derp_got_ping", "counter";
    /// Pongs sent.
    sent_pong => "derp_sent_pong", "counter";
    /// Frames of unknown type, skipped.
    unknown_frames => "derp_unknown_frames", "counter";
    /// "Peer gone" frames: disconnected.
    gone_disconnected => "derp_peer_gone_disconnected_frames", "counter";
    /// "Peer gone" frames: not here.
    gone_not_here => "derp_peer_gone_not_here_frames", "counter";
    /// Connections cut because a write took too long.
    write_timeouts => "derp_sclient_write_timeouts", "counter";
}

/// Adds `n` to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

/// Takes one from a gauge.
pub(crate) fn less(gauge: &AtomicU64) {
    gauge.fetch_sub(1, Relaxed);
}

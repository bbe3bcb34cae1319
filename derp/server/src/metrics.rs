//! Counters of the relay, under the names the official server has, in Prometheus' text form (`derp/derpserver` of
//! tailscale.com v1.104.5: group, `_`, name).

use portable_atomic::{AtomicU64, Ordering::Relaxed};
use std::{fmt::Write as _, time::Duration};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $name:literal, $kind:literal;)*) => {
        /// Counters of the relay.
        #[derive(Debug, Default)]
        pub struct RelayMetrics {
            $($(#[$doc])* pub $field: AtomicU64,)*
            /// Moving average of the time packets wait in a queue, in microseconds.
            queue_micros: AtomicU64,
        }

        impl RelayMetrics {
            /// The counters in Prometheus' text form.
            #[must_use]
            pub fn text(&self) -> String {
                let mut out = String::with_capacity(8192);
                let mut last = "";
                $(
                    let name = $name;
                    let base = name.split('{').next().unwrap_or(name);
                    // Series of one name stand together and have one type line. Writing to a String cannot fail.
                    if base != last {
                        let _ = writeln!(out, "# TYPE {base} {}", $kind);
                        last = base;
                    }
                    let _ = writeln!(out, "{name} {}", self.$field.load(Relaxed));
                )*
                let _ = last;
                let millis = self.queue_micros.load(Relaxed) as f64 / 1000.0;
                let _ = writeln!(out, "# TYPE derp_average_queue_duration_ms gauge\nderp_average_queue_duration_ms {millis}");
                let _ = writeln!(out, "# TYPE derp_version gauge\nderp_version{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
                out
            }
        }
    };
}

counters! {
    /// Connections that got as far as the first frame.
    accepts => "derp_accepts", "counter";
    /// WebSocket connections among them.
    websocket_accepts => "derp_websocket_accepts", "counter";
    /// Connections refused by admission.
    refused => "derp_refused", "counter";
    /// Connections closed at once because too many came in a second.
    accept_limited => "derp_accept_limited", "counter";
    /// Connections in their handshake.
    handshakes => "derp_current_handshakes", "gauge";
    /// Connections open.
    connections => "derp_current_connections", "gauge";
    /// Connections whose home this relay is.
    home_connections => "derp_current_home_connections", "gauge";
    /// Connections whose ideal relay is another one of the region.
    not_ideal_connections => "derp_current_notideal_connections", "gauge";
    /// Keys with more than one connection.
    duplicate_keys => "derp_current_dup_client_keys", "gauge";
    /// Connections of those keys.
    duplicate_connections => "derp_current_dup_client_conns", "gauge";
    /// Connections that shared their key with another when they came.
    duplicates => "derp_total_dup_client_conns", "counter";
    /// Keys connected here or to another relay of the mesh.
    clients_total => "derp_clients_total", "gauge";
    /// Keys connected here.
    clients_local => "derp_clients_local", "gauge";
    /// Keys connected to another relay of the mesh only.
    clients_remote => "derp_clients_remote", "gauge";
    /// Relays of the mesh that watch who is connected.
    watchers => "derp_watchers", "gauge";
    /// Bytes received: keys and packets.
    bytes_received => "derp_bytes_received", "counter";
    /// Bytes sent: frames of packets.
    bytes_sent => "derp_bytes_sent", "counter";
    /// Packets received from clients.
    packets_received => "derp_packets_received", "counter";
    /// Packets sent to clients.
    packets_sent => "derp_packets_sent", "counter";
    /// Path-finding packets received.
    received_disco => "derp_packets_received_kind{kind=\"disco\"}", "counter";
    /// Other packets received.
    received_other => "derp_packets_received_kind{kind=\"other\"}", "counter";
    /// Path-finding packets for keys that are not connected.
    dropped_unknown_dest_disco => "derp_packets_dropped{reason=\"unknown_dest\",kind=\"disco\"}", "counter";
    /// Other packets for keys that are not connected.
    dropped_unknown_dest => "derp_packets_dropped{reason=\"unknown_dest\",kind=\"other\"}", "counter";
    /// Packets that another relay handed us for keys that are not connected.
    dropped_unknown_dest_on_fwd => "derp_packets_dropped{reason=\"unknown_dest_on_fwd\",kind=\"other\"}", "counter";
    /// Packets that waited when their connection ended.
    dropped_gone => "derp_packets_dropped{reason=\"gone_disconnected\",kind=\"other\"}", "counter";
    /// Oldest path-finding packets lost from a full queue.
    dropped_queue_head_disco => "derp_packets_dropped{reason=\"queue_head\",kind=\"disco\"}", "counter";
    /// Oldest other packets lost from a full queue.
    dropped_queue_head => "derp_packets_dropped{reason=\"queue_head\",kind=\"other\"}", "counter";
    /// Bytes of path-finding packets lost from a full queue.
    dropped_bytes_queue_head_disco => "derp_bytes_dropped{reason=\"queue_head\",kind=\"disco\"}", "counter";
    /// Bytes of other packets lost from a full queue.
    dropped_bytes_queue_head => "derp_bytes_dropped{reason=\"queue_head\",kind=\"other\"}", "counter";
    /// Frames of unknown type, skipped.
    unknown_frames => "derp_unknown_frames", "counter";
    /// Connections closed for a frame that cannot be, before or after the handshake.
    violations => "derp_violations", "counter";
    /// Clients that made this relay their home, more than five seconds after they connected.
    home_moves_in => "derp_home_moves_in", "counter";
    /// Clients that went to another home.
    home_moves_out => "derp_home_moves_out", "counter";
    /// Pings received.
    got_ping => "derp_got_ping", "counter";
    /// Pongs sent.
    sent_pong => "derp_sent_pong", "counter";
    /// "Peer gone" frames: disconnected.
    gone_disconnected => "derp_peer_gone_disconnected_frames", "counter";
    /// "Peer gone" frames: not here.
    gone_not_here => "derp_peer_gone_not_here_frames", "counter";
    /// Packets handed to another relay.
    forwarded_out => "derp_packets_forwarded_out", "counter";
    /// Packets that another relay handed us.
    forwarded_in => "derp_packets_forwarded_in", "counter";
    /// Connections cut because the client took nothing for too long.
    write_timeouts => "derp_sclient_write_timeouts", "counter";
    /// Writes, of one or more frames each.
    write_batches => "derp_write_batches", "counter";
    /// Times a client was made to wait because it sent too much.
    rate_limit_waited => "derp_rate_limit_per_client_waited", "counter";
}

impl RelayMetrics {
    /// Mixes a waiting time into the average, with weight 0.1.
    pub(crate) fn queued_for(&self, waited: Duration) {
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX / 20);
        let old = self.queue_micros.load(Relaxed);
        // Two threads at once may lose a sample: it is an average.
        self.queue_micros.store(old - old / 10 + waited / 10, Relaxed);
    }
}

/// Adds `n` to a counter.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Relaxed);
    }
}

/// Takes `n` from a gauge.
pub(crate) fn less(gauge: &AtomicU64, n: u64) {
    if n > 0 {
        gauge.fetch_sub(n, Relaxed);
    }
}

/// A gauge goes up by one or down by one.
pub(crate) fn step(gauge: &AtomicU64, up: bool) {
    if up { add(gauge, 1) } else { less(gauge, 1) }
}

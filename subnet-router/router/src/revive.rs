//! A data plane whose interface somebody took away, by hand or with the kernel's module, is started again.
//!
//! Peers do not know that their sessions with us are lost, so those that were heard are greeted, as after a restart
//! of the whole router (`greet.rs`).

use crate::{
    Router,
    network::{self, Link},
    portmap,
};
use hearthgate_http::spawn;
use hearthgate_plane::{Config, Kind, PeerCounters};
use hearthgate_sorted::SortedSet;

impl Router {
    /// Whether there is a data plane; makes one anew if its interface is gone or down.
    pub(crate) fn has_plane(&mut self) -> bool {
        if self.tunnel.stays(&network::tunnel(self.plane.interface())) {
            return true;
        }
        let (before, port) = (self.plane.kind(), self.plane.port());
        // If it was gone already the last try failed, which is told below.
        if std::mem::replace(&mut self.tunnel, Link::Gone) != Link::Gone {
            tracing::warn!(interface = self.plane.interface(), "somebody removed the interface or took it down");
        }
        // The old one lets go of name and port first.
        self.plane = hearthgate_plane::gone(self.plane.as_ref());
        let config = Config { listen_port: port, ..self.plane_config.clone() };
        match hearthgate_plane::start(&config) {
            Ok((plane, events)) => (self.plane, self.plane_events) = (plane, events),
            Err(error) => {
                self.plane_fails(format!("the interface was removed, and cannot be made again: {error}"));
                return false;
            }
        }
        self.tunnel = Link::of(self.plane.interface());
        self.plane_note = note(before, self.plane.kind(), self.plane_note.take());
        self.tunnel_disco = self.services.renew(self.plane.interface());
        if self.plane.port() != port {
            let (map, mapped) = portmap::or_none(self.plane.port());
            self.port_mapped = mapped;
            if let Some(old) = std::mem::replace(&mut self.port_map, map) {
                // What is mapped is given back meanwhile.
                spawn(old.stop());
            }
            let view = self.shown.clone();
            self.begin_paths(&view);
            self.map_port();
        }
        self.counters.clear();
        self.greet_again();
        self.see();
        true
    }

    /// Begins a new session with each peer that was heard.
    pub(crate) fn greet_again(&mut self) {
        let now = self.now();
        for peer in &self.awake {
            self.greeter.again(*peer, now);
        }
    }

    /// Greets those that somebody had removed from the kernel's WireGuard: the data plane has put them back, but their
    /// sessions are gone, which they would notice after 15 s.
    pub(crate) fn greet_returned(&mut self, there: &[PeerCounters]) {
        let there: SortedSet<_> = there.iter().map(|peer| peer.key).collect();
        let returned: Vec<_> = self.counters.keys().filter(|peer| !there.contains(*peer)).copied().collect();
        let now = self.now();
        for peer in returned {
            self.counters.remove(&peer);
            if self.awake.contains(&peer) {
                self.greeter.again(peer, now);
            }
        }
    }
}

/// What people should know after a change of the data plane.
fn note(before: Kind, now: Kind, said: Option<String>) -> Option<String> {
    match (before, now) {
        (Kind::Kernel, Kind::Userspace) => Some(
            "the kernel's WireGuard went away while the router ran, and packets go through user space now: restart the \
             router when the module `wireguard` is back"
                .into(),
        ),
        (Kind::Userspace, Kind::Userspace) => said,
        (_, Kind::Kernel) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_hear_of_a_fall_back_until_the_kernel_has_it_again() {
        let fell = note(Kind::Kernel, Kind::Userspace, None);
        assert!(fell.as_deref().is_some_and(|text| text.contains("user space")));
        assert_eq!(note(Kind::Userspace, Kind::Userspace, fell.clone()), fell);
        assert_eq!(note(Kind::Userspace, Kind::Kernel, fell), None);
        assert_eq!(note(Kind::Kernel, Kind::Kernel, None), None);
    }
}

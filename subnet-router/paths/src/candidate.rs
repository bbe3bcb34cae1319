//! The endpoints at which a peer could perhaps be reached.

use crate::{
    Now,
    timing::{HASTE_INTERVAL, PING_BACK_INTERVAL, PING_INTERVAL, SESSION_ACTIVE},
};
use hearthgate_disco::TxId;
use hearthgate_sorted::SortedMap;
use std::{cmp::Reverse, net::SocketAddr, time::Duration};

/// Most candidates kept for one peer.
pub const CANDIDATES_LIMIT: usize = 100;

/// One endpoint of a peer.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// The network map names it.
    pub in_map: bool,
    /// The peer's last call-me-maybe named it.
    pub called: bool,
    /// When the peer last pinged us from it.
    pub pinged_us: Option<Now>,
    /// The transaction of that ping, to answer one that comes twice only once.
    pub last_txid: Option<TxId>,
    /// When we last pinged it.
    pub pinged: Option<Now>,
    /// When we last pinged it because it pinged us.
    pub pinged_back: Option<Now>,
    /// The latest round-trip time, and when its pong came.
    pub pong: Option<(Duration, Now)>,
}

impl Candidate {
    fn is_wanted(&self, now: Now) -> bool {
        self.in_map || self.called || self.pinged_us.is_some_and(|at| now.saturating_sub(at) < SESSION_ACTIVE)
    }

    /// Whether to ping back a candidate that just pinged us; not too often.
    pub fn ping_back(&mut self, now: Now) -> bool {
        let due = self.pinged_back.is_none_or(|at| now.saturating_sub(at) >= PING_BACK_INTERVAL);
        if due {
            self.pinged_back = Some(now);
        }
        due
    }

    /// Whether it is time for another discovery ping.
    pub fn may_ping(&self, now: Now) -> bool {
        self.pinged.is_none_or(|at| now.saturating_sub(at) >= PING_INTERVAL)
    }
}

/// All endpoints of a peer.
#[derive(Debug, Default)]
pub struct Candidates(SortedMap<SocketAddr, Candidate>);

impl Candidates {
    /// Takes the network map's list.
    pub fn set_map(&mut self, endpoints: &[SocketAddr], now: Now) {
        for candidate in self.0.values_mut() {
            candidate.in_map = false;
        }
        for &addr in endpoints.iter().take(CANDIDATES_LIMIT) {
            self.entry(addr, now, |c| c.in_map = true);
        }
        self.prune(now);
    }

    /// Takes a call-me-maybe's list; everything may be pinged again.
    pub fn set_called(&mut self, endpoints: &[SocketAddr], now: Now) {
        for candidate in self.0.values_mut() {
            candidate.called = false;
            candidate.pinged = None;
        }
        for &addr in endpoints {
            if !matches!(addr, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local()) {
                self.entry(addr, now, |c| c.called = true);
            }
        }
        self.prune(now);
    }

    /// Notes a ping from `addr`; `false` if the same one was there before.
    pub fn pinged_us(&mut self, addr: SocketAddr, txid: TxId, now: Now) -> bool {
        let mut fresh = true;
        self.entry(addr, now, |c| {
            fresh = c.last_txid != Some(txid);
            c.last_txid = Some(txid);
            c.pinged_us = Some(now);
        });
        fresh
    }

    /// Notes an address from which WireGuard got an authentic packet, so that it is pinged.
    pub fn roamed(&mut self, addr: SocketAddr, now: Now) {
        self.entry(addr, now, |c| c.pinged_us = Some(now));
    }

    /// The endpoints that are worth a ping most, at most `limit`: those that pinged us last, then those that the peer
    /// called us to. Left out are those that were pinged a moment ago.
    pub fn likeliest(&self, limit: usize, now: Now) -> Vec<SocketAddr> {
        let just_now = |at: Option<Now>| at.is_some_and(|at| now.saturating_sub(at) < HASTE_INTERVAL / 2);
        let mut all: Vec<_> = self.0.iter().filter(|(_, c)| !just_now(c.pinged)).collect();
        hearthgate_sorted::sort_by_key(&mut all, |(_, c)| (Reverse(c.pinged_us), !c.called));
        all.truncate(limit);
        all.into_iter().map(|(&addr, _)| addr).collect()
    }

    pub fn get_mut(&mut self, addr: SocketAddr) -> Option<&mut Candidate> {
        self.0.get_mut(&addr)
    }

    pub fn contains(&self, addr: SocketAddr) -> bool {
        self.0.contains_key(&addr)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &Candidate)> {
        self.0.iter().map(|(&addr, candidate)| (addr, candidate))
    }

    /// Forgets everything measured, but not the endpoints.
    pub fn forget_history(&mut self) {
        for candidate in self.0.values_mut() {
            candidate.pinged = None;
            candidate.pong = None;
            candidate.last_txid = None;
        }
    }

    fn entry(&mut self, addr: SocketAddr, now: Now, change: impl FnOnce(&mut Candidate)) {
        if !is_usable(addr) {
            return;
        }
        if self.0.len() >= CANDIDATES_LIMIT && !self.0.contains_key(&addr) {
            self.prune(now);
            if self.0.len() >= CANDIDATES_LIMIT && !self.drop_least() {
                return;
            }
        }
        change(self.0.entry(addr).or_default());
    }

    fn prune(&mut self, now: Now) {
        self.0.retain(|_, candidate| candidate.is_wanted(now));
    }

    /// Makes room: the candidate that only pinged us, and that longest ago.
    fn drop_least(&mut self) -> bool {
        let least = self
            .0
            .iter()
            .filter(|(_, c)| !c.in_map && !c.called)
            .min_by_key(|(_, c)| c.pinged_us)
            .map(|(&addr, _)| addr);
        least.is_some_and(|addr| self.0.remove(&addr).is_some())
    }
}

/// Whether a datagram can be sent there at all. 127.3.3.40 stands for relays and is nobody's address.
fn is_usable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    addr.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && ip != std::net::IpAddr::V4(crate::RELAY_MAGIC_IP)
        && !matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast())
}

#[cfg(test)]
mod tests {
    use super::{CANDIDATES_LIMIT, Candidates};
    use std::{net::SocketAddr, time::Duration};

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], n))
    }

    #[test]
    fn a_call_replaces_the_last_one_but_not_the_map() {
        let mut c = Candidates::default();
        c.set_map(&[addr(1)], Duration::ZERO);
        c.set_called(&[addr(2), "[fe80::1]:5".parse().unwrap(), "127.3.3.40:5".parse().unwrap()], Duration::ZERO);
        c.set_called(&[addr(3)], Duration::ZERO);
        assert_eq!(c.iter().map(|(a, _)| a).collect::<Vec<_>>(), [addr(1), addr(3)]);
    }

    #[test]
    fn a_peer_cannot_fill_the_memory() {
        let mut c = Candidates::default();
        c.set_map(&[addr(1)], Duration::ZERO);
        for n in 2..500 {
            c.pinged_us(addr(n), [0; 12], Duration::from_millis(n.into()));
        }
        assert_eq!(c.iter().count(), CANDIDATES_LIMIT);
        assert!(c.get_mut(addr(1)).is_some() && c.get_mut(addr(499)).is_some());
        c.set_map(&[], Duration::from_secs(60));
        assert_eq!(c.iter().count(), 0, "what pinged us a minute ago is forgotten");
    }
}

//! How many connections one address may have, so that a single stranger cannot take all there are.
//!
//! An IPv6 host has a whole /64 to itself (RFC 4291 section 2.5.4), so that is what is counted there. Addresses of this
//! machine and of trusted proxies stand for many clients and are not counted.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Connections one address may have unless told otherwise: a large household behind one NAT address.
pub const PER_ADDRESS: u32 = 256;

/// Counts connections by address.
#[derive(Debug)]
pub struct Gate {
    max: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

impl Gate {
    /// A gate that lets `max` connections of an address in; 0 for no limit.
    #[must_use]
    pub fn new(max: u32) -> Arc<Self> {
        Arc::new(Self { max, counts: Mutex::default() })
    }

    /// One more connection from here; `None` when it is one too many. It is counted until the pass is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Pass> {
        let ip = counted(ip);
        if self.max == 0 || ip.is_loopback() {
            return Some(Pass(None));
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Pass(Some((self.clone(), ip))))
    }

    fn leave(&self, ip: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&ip);
            }
        }
        // A storm of addresses does not leave its table behind.
        if counts.is_empty() {
            counts.shrink_to_fit();
        }
    }
}

/// A counted connection.
#[derive(Debug)]
pub struct Pass(Option<(Arc<Gate>, IpAddr)>);

impl Pass {
    /// The pass of a connection that is not counted.
    #[must_use]
    pub const fn uncounted() -> Self {
        Self(None)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some((gate, ip)) = self.0.take() {
            gate.leave(ip);
        }
    }
}

/// What is counted together with this address.
fn counted(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if ip != Ipv6Addr::LOCALHOST => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let gate = Gate::new(2);
        let first = gate.enter(ip("192.0.2.1")).unwrap();
        let second = gate.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(gate.enter(ip("192.0.2.1")).is_none());
        let other = gate.enter(ip("192.0.2.2")).unwrap();
        drop(first);
        let third = gate.enter(ip("192.0.2.1")).unwrap();
        assert!(gate.enter(ip("192.0.2.1")).is_none());
        drop((second, third, other));
        assert_eq!(gate.counts.lock().unwrap().capacity(), 0);
    }

    #[test]
    fn a_network_of_64_bits_is_one_address_and_this_machine_is_none() {
        let gate = Gate::new(1);
        let _one = gate.enter(ip("2001:db8::1")).unwrap();
        assert!(gate.enter(ip("2001:db8::2")).is_none());
        assert!(gate.enter(ip("2001:db8:0:1::2")).is_some());
        let local: Vec<_> = (0..5).map(|_| gate.enter(ip("127.0.0.1")).unwrap()).collect();
        let local6: Vec<_> = (0..5).map(|_| gate.enter(ip("::1")).unwrap()).collect();
        assert_eq!(local.len() + local6.len(), 10);
        let open = Gate::new(0);
        assert!((0..3).map(|_| open.enter(ip("192.0.2.1"))).collect::<Option<Vec<_>>>().is_some());
    }
}

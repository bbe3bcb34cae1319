//! Who asks through which site: each pair has an IPv4 address of its own on the translator's device. Pure.

use hearthgate_addresses::is_shared;
use ipnet::Ipv4Net;
use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

/// Addresses that stand for clients between the translator and this kernel's source NAT; nobody else sees them. They
/// are from the range for tests of network devices (RFC 2544), which no LAN has.
pub(crate) const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 252, 0), 22);
/// Pairs that are known at one time; beyond them, the one that was quiet for longest makes room.
const CLIENTS_MAX: usize = 1022;
/// The prefix of all such addresses, `fd7a:115c:a1e0:b1a::/64`; then 32 bits of site number, then the IPv4 address.
const PREFIX: [u16; 4] = [0xfd7a, 0x115c, 0xa1e0, 0x0b1a];

/// A client and the site it asks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// Its address.
    pub(crate) address: Ipv6Addr,
    /// The site's number.
    pub(crate) site: u32,
}

struct Entry {
    client: Client,
    used: u32,
}

/// The pairs.
#[derive(Default)]
pub(crate) struct Table {
    places: HashMap<Client, usize>,
    entries: Vec<Entry>,
    clock: u32,
}

impl Table {
    /// The address that stands for a client.
    pub(crate) fn address(&mut self, client: Client) -> Ipv4Addr {
        self.clock = self.clock.wrapping_add(1);
        let used = self.clock;
        let place = match self.places.get(&client) {
            Some(&place) => place,
            None => {
                let place = self.room();
                self.places.insert(client, place);
                if place == self.entries.len() {
                    self.entries.push(Entry { client, used });
                }
                place
            }
        };
        if let Some(entry) = self.entries.get_mut(place) {
            *entry = Entry { client, used };
        }
        let first = u32::from(POOL.network()).wrapping_add(1);
        Ipv4Addr::from(first.wrapping_add(u32::try_from(place).unwrap_or(0)))
    }

    /// A free place, or one that was freed.
    fn room(&mut self) -> usize {
        if self.entries.len() < CLIENTS_MAX {
            return self.entries.len();
        }
        let age = |entry: &Entry| self.clock.wrapping_sub(entry.used);
        let oldest = self.entries.iter().enumerate().max_by_key(|(_, entry)| age(entry));
        let (place, client) = oldest.map_or((0, None), |(place, entry)| (place, Some(entry.client)));
        if let Some(client) = client {
            self.places.remove(&client);
        }
        place
    }

    /// The client that an address stands for.
    pub(crate) fn client(&self, address: Ipv4Addr) -> Option<Client> {
        let first = u32::from(POOL.network()).wrapping_add(1);
        let place = usize::try_from(u32::from(address).checked_sub(first)?).ok()?;
        self.entries.get(place).map(|entry| entry.client)
    }
}

/// Takes such an address apart: site and IPv4 address.
pub(crate) fn split(address: Ipv6Addr) -> Option<(u32, Ipv4Addr)> {
    let [a, b, c, d, site_high, site_low, high, low] = address.segments();
    let join = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    ([a, b, c, d] == PREFIX).then(|| (join(site_high, site_low), Ipv4Addr::from(join(high, low))))
}

/// The address that stands for an IPv4 address at a site.
#[must_use]
pub fn join(site: u32, address: Ipv4Addr) -> Ipv6Addr {
    let prefix = PREFIX.iter().fold(0_u128, |all, part| all << 16 | u128::from(*part));
    Ipv6Addr::from(prefix << 64 | u128::from(site) << 32 | u128::from(u32::from(address)))
}

/// Whether packets may be sent on to an address (`ipn/ipnlocal/via.go`): the packet filter has seen the outer one only.
pub(crate) fn allowed(to: Ipv4Addr) -> bool {
    let odd = to.is_loopback() || to.is_multicast() || to.is_unspecified() || to.is_broadcast() || to.is_link_local();
    !odd && !is_shared(to) && !POOL.contains(&to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u128) -> Client {
        Client { address: Ipv6Addr::from(number), site: 7 }
    }

    #[test]
    fn addresses_are_put_together_and_taken_apart() {
        let text: Ipv6Addr = "fd7a:115c:a1e0:b1a:0:7:a00:5".parse().unwrap();
        assert_eq!(join(7, Ipv4Addr::new(10, 0, 0, 5)), text);
        assert_eq!(split(text), Some((7, Ipv4Addr::new(10, 0, 0, 5))));
        assert_eq!(split("fd7a:115c:a1e0::1".parse().unwrap()), None);
        assert_eq!(split(join(u32::MAX, Ipv4Addr::BROADCAST)), Some((u32::MAX, Ipv4Addr::BROADCAST)));
    }

    #[test]
    fn a_client_keeps_its_address_until_a_thousand_others_came() {
        let mut table = Table::default();
        let first = table.address(client(1));
        assert_eq!(table.address(Client { site: 8, ..client(1) }), Ipv4Addr::from(u32::from(first) + 1));
        for number in 2..2000 {
            let address = table.address(client(number));
            assert!(POOL.contains(&address) && address != POOL.broadcast(), "{address}");
            assert_eq!(table.client(address), Some(client(number)));
            // It goes on talking.
            assert_eq!(table.address(client(1)), first);
        }
        assert_eq!(table.entries.len(), CLIENTS_MAX);
        assert_eq!(table.places.len(), CLIENTS_MAX);
        assert_ne!(table.client(Ipv4Addr::from(u32::from(first) + 1)).map(|c| c.site), Some(8));
        assert_eq!(table.client(POOL.network()), None);
        assert_eq!(table.client(POOL.broadcast()), None);
    }

    #[test]
    fn what_is_for_one_host_or_everybody_is_no_target() {
        for no in
            ["127.0.0.1", "169.254.169.254", "100.64.0.9", "0.0.0.0", "255.255.255.255", "224.0.0.1", "198.19.252.9"]
        {
            assert!(!allowed(no.parse().unwrap()), "{no}");
        }
        assert!(allowed("10.0.0.5".parse().unwrap()) && allowed("100.128.0.1".parse().unwrap()));
    }
}

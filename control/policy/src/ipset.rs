//! Sets of addresses as sorted ranges, printed the way Tailscale's filters print them: an address alone, a prefix
//! where the range is exactly one, else `a-b`.

use hearthgate_tailcfg::{TAILNET, TAILNET_V4};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A set of addresses of both families.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct IpSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Collects addresses for an [`IpSet`].
#[derive(Debug, Default)]
pub(crate) struct Builder {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Builder {
    pub(crate) fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(a) => self.v4.push((a.into(), a.into())),
            IpAddr::V6(a) => self.v6.push((a.into(), a.into())),
        }
    }

    pub(crate) fn net(&mut self, net: IpNet) {
        match net {
            IpNet::V4(n) => self.v4.push((n.network().into(), n.broadcast().into())),
            IpNet::V6(n) => self.v6.push((n.network().into(), n.broadcast().into())),
        }
    }

    pub(crate) fn set(&mut self, set: &IpSet) {
        self.v4.extend_from_slice(&set.v4);
        self.v6.extend_from_slice(&set.v6);
    }

    pub(crate) fn build(mut self) -> IpSet {
        IpSet { v4: merge(&mut self.v4, |x| x.checked_add(1)), v6: merge(&mut self.v6, |x| x.checked_add(1)) }
    }
}

/// Sorts and joins ranges that overlap or touch.
fn merge<T: Ord + Copy>(ranges: &mut [(T, T)], next: impl Fn(T) -> Option<T>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for &(from, to) in ranges.iter() {
        match out.last_mut() {
            Some(last) if from <= last.1 || next(last.1) == Some(from) => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], from: T, to: T) -> bool {
    let i = ranges.partition_point(|r| r.1 < from);
    ranges.get(i).is_some_and(|r| r.0 <= from && to <= r.1)
}

fn touches<T: Ord + Copy>(ranges: &[(T, T)], from: T, to: T) -> bool {
    let i = ranges.partition_point(|r| r.1 < from);
    ranges.get(i).is_some_and(|r| r.0 <= to)
}

/// What is in `a` and not in `b`.
fn minus<T: Ord + Copy>(
    a: &[(T, T)],
    b: &[(T, T)],
    next: impl Fn(T) -> Option<T>,
    prev: impl Fn(T) -> Option<T>,
) -> Vec<(T, T)> {
    let mut out = Vec::new();
    for &(from, to) in a {
        let first = from;
        let mut from = Some(from);
        for &(cut_from, cut_to) in b.iter().filter(|c| c.1 >= first && c.0 <= to) {
            let Some(start) = from else { break };
            if cut_from > start
                && let Some(end) = prev(cut_from)
            {
                out.push((start, end));
            }
            from = next(cut_to).filter(|f| *f <= to);
        }
        if let Some(start) = from {
            out.push((start, to));
        }
    }
    out
}

impl IpSet {
    pub(crate) fn of(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let mut b = Builder::default();
        nets.into_iter().for_each(|n| b.net(n));
        b.build()
    }

    /// Ranges of IPv4 addresses, in order.
    pub(crate) fn v4_ranges(&self) -> &[(u32, u32)] {
        &self.v4
    }

    /// Ranges of IPv6 addresses, in order.
    pub(crate) fn v6_ranges(&self) -> &[(u128, u128)] {
        &self.v6
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(a) => holds(&self.v4, a.into(), a.into()),
            IpAddr::V6(a) => holds(&self.v6, a.into(), a.into()),
        }
    }

    /// Whether they share an address.
    pub(crate) fn overlaps(&self, net: IpNet) -> bool {
        match net {
            IpNet::V4(n) => touches(&self.v4, n.network().into(), n.broadcast().into()),
            IpNet::V6(n) => touches(&self.v6, n.network().into(), n.broadcast().into()),
        }
    }

    /// Whether all of `net` is in it.
    pub(crate) fn covers(&self, net: IpNet) -> bool {
        match net {
            IpNet::V4(n) => holds(&self.v4, n.network().into(), n.broadcast().into()),
            IpNet::V6(n) => holds(&self.v6, n.network().into(), n.broadcast().into()),
        }
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self {
            v4: minus(&self.v4, &other.v4, |x| x.checked_add(1), |x| x.checked_sub(1)),
            v6: minus(&self.v6, &other.v6, |x| x.checked_add(1), |x| x.checked_sub(1)),
        }
    }

    /// The smallest list of prefixes, IPv4 first.
    pub(crate) fn prefixes(&self) -> Vec<IpNet> {
        let v4 = self
            .v4
            .iter()
            .flat_map(|&(a, b)| ipnet::Ipv4Subnets::new(Ipv4Addr::from(a), Ipv4Addr::from(b), 0).map(IpNet::V4));
        let v6 = self
            .v6
            .iter()
            .flat_map(|&(a, b)| ipnet::Ipv6Subnets::new(Ipv6Addr::from(a), Ipv6Addr::from(b), 0).map(IpNet::V6));
        v4.chain(v6).collect()
    }

    /// Every range as text, IPv4 first.
    pub(crate) fn strings(&self) -> Vec<String> {
        let v4 = self.v4.iter().map(|&(a, b)| {
            let (first, last) = (Ipv4Addr::from(a), Ipv4Addr::from(b));
            let mut nets = ipnet::Ipv4Subnets::new(first, last, 0);
            text_of(first.into(), last.into(), nets.next().map(IpNet::V4), nets.next().is_none())
        });
        let v6 = self.v6.iter().map(|&(a, b)| {
            let (first, last) = (Ipv6Addr::from(a), Ipv6Addr::from(b));
            let mut nets = ipnet::Ipv6Subnets::new(first, last, 0);
            text_of(first.into(), last.into(), nets.next().map(IpNet::V6), nets.next().is_none())
        });
        v4.chain(v6).collect()
    }

    /// All addresses one by one, IPv4 first, up to `limit`: sets of hosts are small, but a prefix may be written
    /// where hosts are meant.
    pub(crate) fn addresses(&self, limit: usize) -> Vec<IpAddr> {
        let v4 = self.v4.iter().flat_map(|&(a, b)| (a..=b).map(|x| IpAddr::V4(x.into())));
        let v6 = self.v6.iter().flat_map(|&(a, b)| (a..=b).map(|x| IpAddr::V6(x.into())));
        v4.chain(v6).take(limit).collect()
    }
}

fn text_of(first: IpAddr, last: IpAddr, net: Option<IpNet>, whole: bool) -> String {
    match net {
        _ if first == last => first.to_string(),
        Some(net) if whole => net.to_string(),
        _ => format!("{first}-{last}"),
    }
}

/// An address, or a prefix as text without the length when it is one address.
pub(crate) fn short(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// `a.b.c.d` or `a.b.c.d/n` of either family; host bits are allowed and dropped.
pub(crate) fn parse_net(text: &str) -> Option<IpNet> {
    if text.contains('/') {
        return text.parse::<IpNet>().ok().map(|n| n.trunc());
    }
    text.parse::<IpAddr>().ok().map(IpNet::from)
}

fn v4(a: [u8; 4], len: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(a), len))
}

fn v6(first: u16, second: u16, third: u16, len: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), len))
}

/// What `*` means: the tailnet's ranges, without the part of the first that ChromeOS uses for its own machines.
pub(crate) fn tailnet() -> IpSet {
    IpSet::of(TAILNET).without(&IpSet::of([v4([100, 115, 92, 0], 23)]))
}

/// What `autogroup:internet` means: public addresses.
pub(crate) fn internet() -> IpSet {
    let private = [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([169, 254, 0, 0], 16)];
    let private = private.into_iter().map(|(a, l)| v4(a, l)).chain([IpNet::V4(TAILNET_V4)]);
    IpSet::of([v4([0, 0, 0, 0], 0), v6(0x2000, 0, 0, 3)]).without(&IpSet::of(private))
}

/// Everything.
pub(crate) fn everything() -> IpSet {
    IpSet::of([v4([0, 0, 0, 0], 0), v6(0, 0, 0, 0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_prints_as_tailscale_does() {
        assert_eq!(
            tailnet().strings(),
            ["100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48"]
        );
        let text = internet().strings();
        assert_eq!(text[..2], ["0.0.0.0-9.255.255.255", "11.0.0.0-100.63.255.255"]);
        assert_eq!(text.last().unwrap(), "2000::/3");
    }

    #[test]
    fn neighbours_join() {
        let set = IpSet::of(["10.0.0.0/25", "10.0.0.128/25", "10.0.2.1/32"].map(|t| t.parse().unwrap()));
        assert_eq!(set.strings(), ["10.0.0.0/24", "10.0.2.1"]);
        assert!(set.contains("10.0.0.200".parse().unwrap()) && !set.contains("10.0.1.0".parse().unwrap()));
        assert!(set.overlaps("10.0.0.0/8".parse().unwrap()) && !set.covers("10.0.0.0/8".parse().unwrap()));
        assert_eq!(set.prefixes().len(), 2);
    }

    #[test]
    fn subtraction_at_the_edges() {
        let left = everything().without(&IpSet::of(["0.0.0.0/1", "255.255.255.255/32"].map(|t| t.parse().unwrap())));
        assert_eq!(left.strings()[0], "128.0.0.0-255.255.255.254");
        assert!(left.without(&everything()).is_empty());
    }
}

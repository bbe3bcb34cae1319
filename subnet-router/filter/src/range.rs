//! Ranges of addresses.

use hearthgate_sorted::{SortedMap, SortedSet};
use ipnet::IpNet;
use std::net::IpAddr;

/// Addresses from `first` to `last`, both included, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    /// Lowest.
    pub first: IpAddr,
    /// Highest.
    pub last: IpAddr,
}

impl Range {
    /// All of IPv4.
    pub const V4: Self =
        Self { first: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), last: IpAddr::V4(std::net::Ipv4Addr::BROADCAST) };
    /// All of IPv6.
    pub const V6: Self = Self {
        first: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        last: IpAddr::V6(std::net::Ipv6Addr::from_bits(u128::MAX)),
    };

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.first.is_ipv4() == ip.is_ipv4() && self.first <= ip && ip <= self.last
    }

    /// Whether it is of IPv4.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        self.first.is_ipv4()
    }
}

impl From<IpNet> for Range {
    fn from(net: IpNet) -> Self {
        Self { first: net.network(), last: net.broadcast() }
    }
}

impl From<IpAddr> for Range {
    fn from(ip: IpAddr) -> Self {
        Self { first: ip, last: ip }
    }
}

pub(crate) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

pub(crate) fn address(v4: bool, number: u128) -> IpAddr {
    if v4 { IpAddr::V4(u32::try_from(number).unwrap_or(u32::MAX).into()) } else { IpAddr::V6(number.into()) }
}

/// Cuts overlapping ranges of one family at their ends: disjoint pieces in order, each with the indices of those that
/// cover it. Neighbours with the same indices are one piece.
pub(crate) fn cut(v4: bool, ranges: &[(Range, usize)]) -> Vec<(Range, SortedSet<usize>)> {
    // At each number: what begins, and what ended just before. The same index may begin several times.
    let mut edges: SortedMap<u128, (Vec<usize>, Vec<usize>)> = SortedMap::new();
    for (range, index) in ranges.iter().filter(|(range, _)| range.is_v4() == v4) {
        edges.entry(number(range.first)).or_default().0.push(*index);
        if let Some(after) = number(range.last).checked_add(1) {
            edges.entry(after).or_default().1.push(*index);
        }
    }
    let mut pieces: Vec<(Range, SortedSet<usize>)> = Vec::new();
    let mut active: SortedMap<usize, usize> = SortedMap::new();
    let mut starts = edges.iter().peekable();
    while let Some((start, (begin, end))) = starts.next() {
        for index in begin {
            *active.entry(*index).or_default() += 1;
        }
        for index in end {
            if let Some(count) = active.get_mut(index) {
                *count -= 1;
                if *count == 0 {
                    active.remove(index);
                }
            }
        }
        if active.is_empty() {
            continue;
        }
        let top = if v4 { u128::from(u32::MAX) } else { u128::MAX };
        let last = starts.peek().map_or(top, |(next, _)| **next - 1);
        let piece = Range { first: address(v4, *start), last: address(v4, last) };
        let cover: SortedSet<usize> = active.keys().copied().collect();
        match pieces.last_mut() {
            Some((before, same)) if number(before.last).checked_add(1) == Some(*start) && *same == cover => {
                before.last = piece.last;
            }
            _ => pieces.push((piece, cover)),
        }
    }
    pieces
}

/// The same addresses without overlaps, in order.
pub(crate) fn union(ranges: Vec<Range>) -> Vec<Range> {
    let all: Vec<(Range, usize)> = ranges.into_iter().map(|range| (range, 0)).collect();
    [true, false].into_iter().flat_map(|v4| cut(v4, &all)).map(|(range, _)| range).collect()
}

/// Addresses of the first that are not in the second; both may overlap.
pub(crate) fn without(all: Vec<Range>, except: Vec<Range>) -> Vec<Range> {
    let marked: Vec<(Range, usize)> =
        all.into_iter().map(|range| (range, 0)).chain(except.into_iter().map(|range| (range, 1))).collect();
    [true, false]
        .into_iter()
        .flat_map(|v4| cut(v4, &marked))
        .filter(|(_, cover)| !cover.contains(&1))
        .map(|(range, _)| range)
        .collect()
}

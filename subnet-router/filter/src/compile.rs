//! From rules to classes and doors.

use crate::{
    Door, Filter, ParseError, Range,
    parse::ranges,
    proto::{ICMP, ICMPV6, TCP, UDP},
    range::cut,
};
use hearthgate_sorted::{SortedMap, SortedSet};
use hearthgate_tailcfg::FilterRule;
use std::{collections::HashMap, net::IpAddr};

/// Source ranges and doors together; at some hundred bytes each in the kernel, this is a few dozen megabytes.
const MAX_PIECES: usize = 200_000;

/// What no list of protocols means.
const USUAL: [u8; 4] = [TCP, UDP, ICMP, ICMPV6];

/// Destinations and ports.
type Target = (Range, (u16, u16));

/// A rule, read.
struct Parsed {
    sources: Vec<Range>,
    holders: Vec<Range>,
    protos: Vec<u8>,
    targets: Vec<Target>,
}

/// Compiles the control server's rules. `local` is what can be ours at all (see [`crate::local_nets`]);
/// `holders` names the addresses of the peers that have a node capability, for sources such as `cap:example.com/x`.
/// Rules that only grant capabilities let no packet in.
///
/// # Errors
/// [`ParseError`]: then the filter that was in force should stay, or [`Filter::closed`].
pub fn compile(
    rules: &[FilterRule],
    local: &[Range],
    holders: impl Fn(&str) -> Vec<IpAddr>,
) -> Result<Filter, ParseError> {
    let rules: Vec<Parsed> = rules
        .iter()
        .filter(|rule| !rule.dst_ports.is_empty())
        .map(|rule| parse(rule, &holders))
        .collect::<Result<_, _>>()?;
    let mut filter = Filter::shields_up(local);
    let mut classes: HashMap<Vec<Door>, usize> = HashMap::new();
    let mut known: HashMap<(bool, SortedSet<usize>), usize> = HashMap::new();
    let (mut pieces, count) = (0, rules.len());
    for v4 in [true, false] {
        // Holders of capabilities are cut as rules of their own, numbered behind the real ones.
        let sources: Vec<(Range, usize)> = rules
            .iter()
            .enumerate()
            .flat_map(|(index, rule)| {
                let holders = rule.holders.iter().map(move |range| (*range, count + index));
                rule.sources.iter().map(move |range| (*range, index)).chain(holders)
            })
            .collect();
        for (range, cover) in cut(v4, &sources) {
            let class = match known.get(&(v4, cover.clone())) {
                Some(class) => *class,
                None => {
                    let doors = doors(v4, &rules, &cover);
                    pieces += doors.len();
                    let next = classes.len();
                    let class = *classes.entry(doors).or_insert(next);
                    known.insert((v4, cover), class);
                    class
                }
            };
            pieces += 1;
            if pieces > MAX_PIECES {
                return Err(ParseError::TooLarge(MAX_PIECES));
            }
            match filter.sources.last_mut() {
                Some((before, same)) if *same == class && adjacent(before, &range) => before.last = range.last,
                _ => filter.sources.push((range, class)),
            }
        }
    }
    filter.classes = vec![Vec::new(); classes.len()];
    for (doors, class) in classes {
        if let Some(place) = filter.classes.get_mut(class) {
            *place = doors;
        }
    }
    Ok(filter)
}

fn adjacent(a: &Range, b: &Range) -> bool {
    a.is_v4() == b.is_v4() && crate::range::number(a.last).checked_add(1) == Some(crate::range::number(b.first))
}

fn parse(rule: &FilterRule, holders: impl Fn(&str) -> Vec<IpAddr>) -> Result<Parsed, ParseError> {
    let (mut sources, mut capable) = (Vec::new(), Vec::new());
    for text in &rule.src_ips {
        match text.strip_prefix("cap:") {
            Some(cap) => capable.extend(holders(cap).into_iter().map(Range::from)),
            None => sources.extend(ranges(text)?),
        }
    }
    let protos = if rule.ip_proto.is_empty() {
        USUAL.to_vec()
    } else {
        let number = |n: &i32| u8::try_from(*n).map_err(|_| ParseError::Protocol(*n));
        rule.ip_proto.iter().map(number).collect::<Result<_, _>>()?
    };
    let mut targets = Vec::new();
    for target in &rule.dst_ports {
        let ports = (target.ports.first, target.ports.last);
        if ports.0 > ports.1 {
            return Err(ParseError::Ports(ports.0, ports.1));
        }
        targets.extend(ranges(&target.ip)?.into_iter().map(|range| (range, ports)));
    }
    Ok(Parsed { sources, holders: capable, protos, targets })
}

/// What the sources under exactly these rules may reach in one family.
fn doors(v4: bool, rules: &[Parsed], cover: &SortedSet<usize>) -> Vec<Door> {
    let icmp = if v4 { ICMP } else { ICMPV6 };
    let mut targets: SortedMap<u8, Vec<Target>> = SortedMap::new();
    for index in cover {
        let capable = *index >= rules.len();
        let Some(rule) = rules.get(index % rules.len().max(1)) else {
            continue;
        };
        let here = || rule.targets.iter().filter(|(range, _)| range.is_v4() == v4).copied();
        for proto in &rule.protos {
            match *proto {
                ICMP | ICMPV6 => {}
                TCP | UDP | crate::proto::SCTP => targets.entry(*proto).or_default().extend(here()),
                // Without ports there is no part of a port range: all or nothing.
                _ => targets.entry(*proto).or_default().extend(here().filter(|(_, ports)| *ports == (0, u16::MAX))),
            }
        }
        // Whoever may reach any port of a host may ping it; a holder of a capability may ping every host. (The
        // official filter knows only whether one of the rules could match, and for capabilities asks no further.)
        let all = if v4 { Range::V4 } else { Range::V6 };
        let pings = targets.entry(icmp).or_default();
        pings.extend(here().map(|(range, _)| (range, (0, u16::MAX))));
        if capable {
            pings.push((all, (0, u16::MAX)));
        }
    }
    let mut doors: Vec<Door> = Vec::new();
    for (proto, list) in targets {
        let ranges: Vec<(Range, usize)> = list.iter().enumerate().map(|(i, (range, _))| (*range, i)).collect();
        let mut open: Vec<(Range, Vec<(u16, u16)>)> = Vec::new();
        for (range, cover) in cut(v4, &ranges) {
            let ports = merge(cover.iter().filter_map(|i| list.get(*i)).map(|(_, ports)| *ports).collect());
            match open.last_mut() {
                Some((before, same)) if *same == ports && adjacent(before, &range) => before.last = range.last,
                _ => open.push((range, ports)),
            }
        }
        doors.extend(
            open.into_iter().flat_map(|(to, ports)| ports.into_iter().map(move |ports| Door { proto, to, ports })),
        );
    }
    doors
}

/// Port ranges without overlaps, in order.
fn merge(mut ports: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ports.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ports {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

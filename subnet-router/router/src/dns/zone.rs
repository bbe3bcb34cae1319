//! What the resolver knows: names of the network, and whom to ask for others. Pure.
//!
//! Names of the tailnet's own suffix are answered here with authority, so nothing about them ever leaves the machine
//! (behaviour after `net/dns/resolver/tsdns.go` of tailscale.com v1.104.5). With an exit node in use, its resolver is
//! asked for all else, unless the network names resolvers that are meant for this too (`dnsConfigForNetmap` in
//! `ipn/ipnlocal/node_backend.go` of v1.102.5).

use super::wire::{
    A, AAAA, AUTHORITATIVE, NAME_ERROR, NO_ERROR, PTR, Query, RECURSION_AVAILABLE, SERVER_FAILURE, TRUNCATED, sent,
};
use hearthgate_client::Netmap;
use hearthgate_plane::via_address;
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{Node, Resolver};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How long an answer may be kept, in seconds.
const TTL: u32 = 5;
/// Most resolvers asked for one question.
const UPSTREAMS: usize = 4;
/// DNS's port.
const PORT: u16 = 53;
/// Longest answer over UDP to a query that does not say how long it may be (RFC 1035 §4.2.1).
const UDP_ROOM: usize = 512;
/// From this capability version on, every exit node answers DNS questions.
const ANSWERS_DNS: u32 = 26;

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// An ordinary resolver.
    Plain(SocketAddr),
    /// A peer, by DNS over HTTPS at its peer API, which is plain HTTP inside the tunnel.
    Peer(SocketAddr),
}

/// What to do with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this back.
    Answer(Vec<u8>),
    /// Ask these, in turn; nobody named: the machine's own resolvers.
    Forward(Vec<Upstream>),
    /// It is no query.
    Ignore,
}

/// Names and resolvers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// Addresses by name, in lower case and without the last dot.
    names: SortedMap<String, Vec<IpAddr>>,
    /// Names by address.
    reverse: SortedMap<IpAddr, String>,
    /// Suffixes that are answered here.
    own: Vec<String>,
    /// Resolvers by suffix, the longest first.
    routes: Vec<(String, Vec<Upstream>)>,
    /// Resolvers for all else; empty: the machine's.
    defaults: Vec<Upstream>,
}

impl Zone {
    /// What a network map says. `exit` is the exit node in use.
    #[must_use]
    pub fn new(map: &Netmap, exit: Option<&Node>) -> Self {
        let mut zone = Self::default();
        if map.dns.proxied {
            for node in map.own.iter().chain(map.nodes()) {
                zone.add_node(node);
            }
            let suffix = map.magic_suffix();
            if !suffix.is_empty() {
                zone.own.push(plain(suffix));
            }
        }
        for record in &map.dns.extra_records {
            if let Ok(address) = record.value.parse() {
                zone.names.entry(plain(&record.name)).or_default().push(address);
            }
        }
        zone.add_resolvers(map, exit);
        zone
    }

    fn add_resolvers(&mut self, map: &Netmap, exit: Option<&Node>) {
        let dns = &map.dns;
        let proxy = exit.and_then(|exit| proxy(map, exit));
        // What only the LAN here has answers for is of no use at the other end of the tunnel, unless it is said so.
        let use_it = |resolver: &&Resolver| proxy.is_none() || resolver.use_with_exit_node;
        self.defaults = addresses(dns.resolvers.iter().filter(use_it));
        if self.defaults.is_empty() {
            match proxy {
                Some(at) => self.defaults.push(Upstream::Peer(at)),
                // The machine's own resolvers are likely not reachable any more.
                None if exit.is_some() => self.defaults = addresses(dns.fallback_resolvers.iter()),
                None => {}
            }
        }
        for (suffix, resolvers) in &dns.routes {
            let resolvers = resolvers.as_deref().unwrap_or_default();
            let found = addresses(resolvers.iter().filter(use_it));
            if !found.is_empty() {
                self.routes.push((plain(suffix), found));
            } else if resolvers.is_empty() || resolvers.iter().any(|resolver| use_it(&resolver)) {
                // Nobody is to be asked; or resolvers that we cannot ask, which must not make us ask strangers.
                self.own.push(plain(suffix));
            }
        }
        hearthgate_sorted::sort_by_key(&mut self.routes, |(suffix, _)| std::cmp::Reverse(suffix.len()));
    }

    fn add_node(&mut self, node: &Node) {
        let name = plain(&node.name);
        let found: Vec<IpAddr> = node.addresses.iter().map(ipnet::IpNet::addr).collect();
        for address in &found {
            self.reverse.insert(*address, name.clone());
        }
        if !name.is_empty() {
            self.names.insert(name, found);
        }
    }

    /// Looks at a query.
    #[must_use]
    pub fn decide(&self, query: &[u8]) -> Verdict {
        let Some(query) = Query::parse(query).filter(|query| !query.is_response()) else { return Verdict::Ignore };
        let name = query.name.as_str();
        if let Some(address) = reverse_address(name)
            && let Some(target) = self.reverse.get(&address)
        {
            let found = query.wants(PTR).then(|| sent(target)).flatten();
            return reply(&query, found.map(|target| (PTR, target)).into_iter().collect(), NO_ERROR);
        }
        let via = via_name(name, &self.own).map(|address| vec![address.into()]);
        if let Some(found) = via.as_ref().or_else(|| self.names.get(name)) {
            let data = found.iter().filter_map(|address| match address {
                IpAddr::V4(v4) if query.wants(A) => Some((A, v4.octets().to_vec())),
                IpAddr::V6(v6) if query.wants(AAAA) => Some((AAAA, v6.octets().to_vec())),
                _ => None,
            });
            return reply(&query, data.collect(), NO_ERROR);
        }
        let route = self.routes.iter().find(|(suffix, _)| is_under(name, suffix));
        let own = self.own.iter().filter(|suffix| is_under(name, suffix)).map(String::len).max();
        match (route, own) {
            (Some((suffix, upstreams)), own) if own.is_none_or(|len| len <= suffix.len()) => {
                Verdict::Forward(upstreams.clone())
            }
            (_, Some(_)) => reply(&query, Vec::new(), NAME_ERROR),
            _ => Verdict::Forward(self.defaults.clone()),
        }
    }
}

/// An answer that we know ourselves.
fn reply(query: &Query<'_>, records: Vec<(u16, Vec<u8>)>, code: u16) -> Verdict {
    Verdict::Answer(query.reply(AUTHORITATIVE | RECURSION_AVAILABLE, code, TTL, &records))
}

/// An answer that says only that nothing could be found out; `None` if `query` is no query.
#[must_use]
pub fn failure(query: &[u8]) -> Option<Vec<u8>> {
    Some(Query::parse(query)?.reply(0, SERVER_FAILURE, 0, &[]))
}

/// How long an answer over UDP to this query may be: what it says itself (EDNS, RFC 6891), or DNS's own limit.
#[must_use]
pub fn udp_room(query: &[u8]) -> usize {
    let said = Query::parse(query).and_then(|query| query.room);
    said.map_or(UDP_ROOM, |size| usize::from(size).max(UDP_ROOM))
}

/// An empty answer that asks to come again over TCP; `None` if `query` is no query.
#[must_use]
pub fn truncated(query: &[u8]) -> Option<Vec<u8>> {
    Some(Query::parse(query)?.reply(TRUNCATED | RECURSION_AVAILABLE, NO_ERROR, 0, &[]))
}

/// In lower case, without the last dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_under(name: &str, suffix: &str) -> bool {
    suffix.is_empty() || name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Resolvers that can be asked: those with an address.
fn addresses<'a>(resolvers: impl Iterator<Item = &'a Resolver>) -> Vec<Upstream> {
    let address = |text: &str| text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, PORT)));
    resolvers.filter_map(|resolver| address(&resolver.addr)).map(Upstream::Plain).take(UPSTREAMS).collect()
}

/// Where an exit node answers DNS questions, if it does and we have an address of that family.
fn proxy(map: &Netmap, exit: &Node) -> Option<SocketAddr> {
    let services = &exit.hostinfo.as_ref()?.services;
    let port = |proto: &str| services.iter().find(|service| service.proto == proto && service.port != 0);
    if exit.cap < ANSWERS_DNS && port("peerapi-dns-proxy").is_none() {
        return None;
    }
    let own = &map.own.as_ref()?.addresses;
    [("peerapi4", true), ("peerapi6", false)].into_iter().find_map(|(proto, v4)| {
        own.iter().find(|net| net.addr().is_ipv4() == v4)?;
        let address = exit.addresses.iter().map(ipnet::IpNet::addr).find(|ip| ip.is_ipv4() == v4)?;
        Some(SocketAddr::new(address, port(proto)?.port))
    })
}

/// The address that a name such as `10-0-0-5-via-7` stands for, by itself or in one of these domains or the official
/// ones (`resolveViaDomain` in `net/dns/resolver/tsdns.go` of v1.102.5, which knows only the official ones).
fn via_name(name: &str, domains: &[String]) -> Option<Ipv6Addr> {
    let (label, domain) = name.split_once('.').unwrap_or((name, ""));
    let (address, site) = label.split_once("-via-")?;
    let official = ["ts.net", "tailscale.net"].into_iter();
    let known = domain.is_empty() || official.chain(domains.iter().map(String::as_str)).any(|d| is_under(domain, d));
    let site = match site.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => site.parse(),
    };
    known.then_some(())?;
    Some(via_address(site.ok()?, address.replace('-', ".").parse().ok()?))
}

/// The address that a name for reverse look-ups stands for.
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let bytes: Vec<u8> = digits.rsplit('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        return Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let nibbles: Vec<u8> =
        digits.rsplit('.').map(|digit| u8::from_str_radix(digit, 16)).collect::<Result<_, _>>().ok()?;
    if nibbles.len() != 32 || nibbles.iter().any(|nibble| *nibble > 15) {
        return None;
    }
    let value = nibbles.iter().fold(0u128, |value, nibble| value << 4 | u128::from(*nibble));
    Some(Ipv6Addr::from(value).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_tailcfg::{DnsConfig, DnsRecord, Hostinfo, Service};
    use simple_dns::{
        CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
        rdata::{OPT, RData},
    };

    fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.questions.push(Question::new(
            Name::new(name).unwrap(),
            QTYPE::TYPE(kind),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        packet.build_bytes_vec().unwrap()
    }

    fn node(id: i64, name: &str, addresses: &[&str]) -> Node {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Node { id, name: name.into(), addresses, ..Default::default() }
    }

    fn map() -> Netmap {
        let resolver = |addr: &str| Resolver { addr: addr.into(), ..Default::default() };
        let dns = DnsConfig {
            proxied: true,
            resolvers: vec![resolver("9.9.9.9")],
            routes: [
                ("corp.example".to_owned(), Some(vec![resolver("10.0.0.53:5353")])),
                ("doh.example".to_owned(), Some(vec![resolver("https://dns.example/dns-query")])),
            ]
            .into(),
            extra_records: vec![DnsRecord {
                name: "nas.t.example".into(),
                value: "100.64.0.9".into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let printer = node(2, "Printer.t.example.", &["100.64.0.2/32", "fd7a:115c:a1e0::2/128"]);
        let peers = [(2, printer.into())].into();
        Netmap { own: Some(node(1, "gw.t.example.", &["100.64.0.1/32"])), peers, dns, ..Default::default() }
    }

    fn zone() -> Zone {
        Zone::new(&map(), None)
    }

    fn answer(name: &str, kind: TYPE) -> (RCODE, Vec<String>) {
        let Verdict::Answer(bytes) = zone().decide(&query(name, kind)) else { panic!("{name} is not answered") };
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.id(), 7);
        let text = |record: &ResourceRecord<'_>| match &record.rdata {
            RData::A(a) => Ipv4Addr::from(a.address).to_string(),
            RData::AAAA(a) => Ipv6Addr::from(a.address).to_string(),
            RData::PTR(name) => name.0.to_string(),
            other => format!("{other:?}"),
        };
        (packet.rcode(), packet.answers.iter().map(text).collect())
    }

    #[test]
    fn names_and_addresses_of_the_network_are_answered() {
        assert_eq!(answer("printer.T.example", TYPE::A), (RCODE::NoError, vec!["100.64.0.2".into()]));
        assert_eq!(answer("printer.t.example", TYPE::AAAA), (RCODE::NoError, vec!["fd7a:115c:a1e0::2".into()]));
        assert_eq!(answer("gw.t.example", TYPE::AAAA), (RCODE::NoError, vec![]));
        assert_eq!(answer("nas.t.example", TYPE::A), (RCODE::NoError, vec!["100.64.0.9".into()]));
        assert_eq!(answer("2.0.64.100.in-addr.arpa", TYPE::PTR), (RCODE::NoError, vec!["printer.t.example".into()]));
        let v6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa";
        assert_eq!(answer(v6, TYPE::PTR).1, ["printer.t.example"]);
    }

    #[test]
    fn names_with_an_address_and_a_site_are_answered() {
        let address = |site: u32| (RCODE::NoError, vec![format!("fd7a:115c:a1e0:b1a:0:{site:x}:a00:5")]);
        for name in ["10-0-0-5-via-7", "10-0-0-5-Via-7.t.example", "10-0-0-5-via-0x7.my.ts.net"] {
            assert_eq!(answer(name, TYPE::AAAA), address(7), "{name}");
            assert_eq!(answer(name, TYPE::A), (RCODE::NoError, vec![]), "{name}");
        }
        assert_eq!(forward(&zone(), "10-0-0-5-via-7.elsewhere.example"), "9.9.9.9:53");
        assert_eq!(answer("10-0-0-500-via-7.t.example", TYPE::AAAA).0, RCODE::NameError);
        assert_eq!(answer("10-0-0-5-via-x.t.example", TYPE::AAAA).0, RCODE::NameError);
    }

    #[test]
    fn unknown_names_of_the_network_never_leave_the_machine() {
        assert_eq!(answer("nobody.t.example", TYPE::A), (RCODE::NameError, vec![]));
        assert_eq!(answer("x.doh.example", TYPE::A).0, RCODE::NameError);
    }

    #[test]
    fn others_go_where_the_network_says() {
        assert_eq!(forward(&zone(), "wiki.corp.example"), "10.0.0.53:5353");
        assert_eq!(forward(&zone(), "notcorp.example"), "9.9.9.9:53");
        assert_eq!(forward(&zone(), "1.1.1.1.in-addr.arpa"), "9.9.9.9:53");
    }

    fn forward(zone: &Zone, name: &str) -> String {
        let Verdict::Forward(to) = zone.decide(&query(name, TYPE::A)) else { panic!("{name} is not passed on") };
        let text = |upstream: &Upstream| match upstream {
            Upstream::Plain(at) => at.to_string(),
            Upstream::Peer(at) => format!("peer {at}"),
        };
        to.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    fn exit(cap: u32, services: &[(&str, u16)]) -> Node {
        let service = |&(proto, port): &(&str, u16)| Service { proto: proto.into(), port, ..Default::default() };
        let services = services.iter().map(service).collect();
        let hostinfo = Some(Hostinfo { services, ..Default::default() });
        Node { cap, hostinfo, ..node(3, "x.t.example.", &["100.64.0.3/32", "fd7a:115c:a1e0::3/128"]) }
    }

    #[test]
    fn an_exit_node_is_asked_for_all_else() {
        let zone = Zone::new(&map(), Some(&exit(106, &[("peerapi4", 40000), ("peerapi6", 40001)])));
        assert_eq!(forward(&zone, "www.example"), "peer 100.64.0.3:40000");
        // The resolver of this domain is near here, not near the exit node.
        assert_eq!(forward(&zone, "wiki.corp.example"), "peer 100.64.0.3:40000");
        assert!(matches!(zone.decide(&query("printer.t.example", TYPE::A)), Verdict::Answer(_)));
    }

    #[test]
    fn what_is_meant_for_exit_nodes_too_is_asked_with_one() {
        let mut map = map();
        let exit = exit(106, &[("peerapi4", 40000)]);
        map.dns.routes.insert("none.example".into(), None);
        let marked = |addr: &str| Resolver { addr: addr.into(), use_with_exit_node: true, ..Default::default() };
        map.dns.routes.get_mut("corp.example").unwrap().as_mut().unwrap().push(marked("100.64.0.53"));
        let zone = Zone::new(&map, Some(&exit));
        assert_eq!(forward(&zone, "wiki.corp.example"), "100.64.0.53:53");
        assert!(matches!(zone.decide(&query("a.none.example", TYPE::A)), Verdict::Answer(_)));
        assert_eq!(forward(&zone, "www.example"), "peer 100.64.0.3:40000");
        map.dns.resolvers.push(marked("1.1.1.1"));
        assert_eq!(forward(&Zone::new(&map, Some(&exit)), "www.example"), "1.1.1.1:53");
    }

    #[test]
    fn an_exit_node_without_a_resolver_leaves_things_as_they_are() {
        let mut map = map();
        for exit in [exit(106, &[]), exit(25, &[("peerapi4", 40000)]), Node { hostinfo: None, ..exit(106, &[]) }] {
            assert_eq!(forward(&Zone::new(&map, Some(&exit)), "wiki.corp.example"), "10.0.0.53:5353");
            assert_eq!(forward(&Zone::new(&map, Some(&exit)), "www.example"), "9.9.9.9:53");
        }
        let old = exit(25, &[("peerapi4", 40000), ("peerapi-dns-proxy", 1)]);
        assert_eq!(forward(&Zone::new(&map, Some(&old)), "www.example"), "peer 100.64.0.3:40000");
        map.dns.fallback_resolvers = std::mem::take(&mut map.dns.resolvers);
        assert_eq!(forward(&Zone::new(&map, Some(&exit(106, &[]))), "www.example"), "9.9.9.9:53");
        assert_eq!(forward(&Zone::new(&map, None), "www.example"), "");
    }

    #[test]
    fn a_query_says_how_long_an_answer_may_be() {
        let plain = query("www.example", TYPE::A);
        assert_eq!(udp_room(&plain), 512);
        let mut packet = Packet::parse(&plain).unwrap();
        *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 1232, version: 0 });
        assert_eq!(udp_room(&packet.build_bytes_vec().unwrap()), 1232);
        let short = truncated(&plain).unwrap();
        let short = Packet::parse(&short).unwrap();
        assert!(short.has_flags(PacketFlag::TRUNCATION | PacketFlag::RESPONSE) && short.id() == 7);
        assert_eq!(truncated(b"nonsense"), None);
    }

    #[test]
    fn nonsense_is_ignored() {
        assert_eq!(zone().decide(b"nonsense"), Verdict::Ignore);
        let mut reply = query("gw.t.example", TYPE::A);
        reply[2] |= 0x80;
        assert_eq!(zone().decide(&reply), Verdict::Ignore);
    }
}

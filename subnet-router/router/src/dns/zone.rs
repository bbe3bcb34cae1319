//! What the resolver knows: names of the network, and whom to ask for others. Pure.
//!
//! Names of the tailnet's own suffix are answered here with authority, so nothing about them ever leaves the machine
//! (behaviour after `net/dns/resolver/tsdns.go` of tailscale.com v1.104.5).

use hearthgate_client::Netmap;
use hearthgate_tailcfg::{Node, Resolver};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE,
    rdata::{A, AAAA, PTR, RData},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// How long an answer may be kept, in seconds.
const TTL: u32 = 5;
/// Most resolvers asked for one question.
const UPSTREAMS: usize = 4;
/// DNS's port.
const PORT: u16 = 53;

/// What to do with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this back.
    Answer(Vec<u8>),
    /// Ask these, in turn.
    Forward(Vec<SocketAddr>),
    /// It is no query.
    Ignore,
}

/// Names and resolvers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Zone {
    /// Addresses by name, in lower case and without the last dot.
    names: BTreeMap<String, Vec<IpAddr>>,
    /// Names by address.
    reverse: BTreeMap<IpAddr, String>,
    /// Suffixes that are answered here.
    own: Vec<String>,
    /// Resolvers by suffix, the longest first.
    routes: Vec<(String, Vec<SocketAddr>)>,
    /// Resolvers for all else; empty: the machine's.
    defaults: Vec<SocketAddr>,
}

impl Zone {
    /// What a network map says.
    #[must_use]
    pub fn new(map: &Netmap) -> Self {
        let mut zone = Self { defaults: addresses(&map.dns.resolvers), ..Self::default() };
        if map.dns.proxied {
            for node in map.own.iter().chain(map.peers.values()) {
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
        for (suffix, resolvers) in &map.dns.routes {
            match resolvers.as_deref().map(addresses) {
                Some(found) if !found.is_empty() => zone.routes.push((plain(suffix), found)),
                // Resolvers that we cannot ask must not make us ask strangers.
                Some(_) | None => zone.own.push(plain(suffix)),
            }
        }
        zone.routes.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        zone
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
        let Ok(packet) = Packet::parse(query) else { return Verdict::Ignore };
        let [question] = packet.questions.as_slice() else { return Verdict::Ignore };
        if packet.has_flags(PacketFlag::RESPONSE) {
            return Verdict::Ignore;
        }
        let name = plain(&question.qname.to_string());
        if let Some(address) = reverse_address(&name)
            && let Some(target) = self.reverse.get(&address)
        {
            let found = wants(question.qtype, TYPE::PTR).then(|| Name::new(target).ok()).flatten();
            return self.reply(
                &packet,
                found.map(|target| RData::PTR(PTR(target))).into_iter().collect(),
                RCODE::NoError,
            );
        }
        if let Some(found) = self.names.get(&name) {
            let data = found.iter().filter_map(|address| match address {
                IpAddr::V4(v4) if wants(question.qtype, TYPE::A) => Some(RData::A(A::from(*v4))),
                IpAddr::V6(v6) if wants(question.qtype, TYPE::AAAA) => Some(RData::AAAA(AAAA::from(*v6))),
                _ => None,
            });
            return self.reply(&packet, data.collect(), RCODE::NoError);
        }
        let route = self.routes.iter().find(|(suffix, _)| is_under(&name, suffix));
        let own = self.own.iter().filter(|suffix| is_under(&name, suffix)).map(String::len).max();
        match (route, own) {
            (Some((suffix, upstreams)), own) if own.is_none_or(|len| len <= suffix.len()) => {
                Verdict::Forward(upstreams.clone())
            }
            (_, Some(_)) => self.reply(&packet, Vec::new(), RCODE::NameError),
            _ => Verdict::Forward(self.defaults.clone()),
        }
    }

    fn reply(&self, query: &Packet<'_>, data: Vec<RData<'_>>, code: RCODE) -> Verdict {
        let Some(question) = query.questions.first() else { return Verdict::Ignore };
        let mut packet = Packet::new_reply(query.id());
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
        if query.has_flags(PacketFlag::RECURSION_DESIRED) {
            packet.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        *packet.rcode_mut() = code;
        packet.questions.push(question.clone());
        packet.answers =
            data.into_iter().map(|data| ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL, data)).collect();
        packet.build_bytes_vec_compressed().map_or(Verdict::Ignore, Verdict::Answer)
    }
}

/// An answer that says only that nothing could be found out; `None` if `query` is no query.
#[must_use]
pub fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::parse(query).ok()?;
    let mut reply = Packet::new_reply(packet.id());
    *reply.rcode_mut() = RCODE::ServerFailure;
    reply.questions = packet.questions;
    reply.build_bytes_vec_compressed().ok()
}

fn wants(asked: QTYPE, kind: TYPE) -> bool {
    asked == QTYPE::TYPE(kind) || asked == QTYPE::ANY
}

/// In lower case, without the last dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_under(name: &str, suffix: &str) -> bool {
    suffix.is_empty() || name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Resolvers that can be asked: those with an address.
fn addresses(resolvers: &[Resolver]) -> Vec<SocketAddr> {
    let address = |text: &str| text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, PORT)));
    resolvers.iter().filter_map(|resolver| address(&resolver.addr)).take(UPSTREAMS).collect()
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
    use hearthgate_tailcfg::{DnsConfig, DnsRecord};
    use simple_dns::{QCLASS, Question};

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

    fn zone() -> Zone {
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
        let peers = [(2, node(2, "Printer.t.example.", &["100.64.0.2/32", "fd7a:115c:a1e0::2/128"]))].into();
        Zone::new(&Netmap { own: Some(node(1, "gw.t.example.", &["100.64.0.1/32"])), peers, dns, ..Default::default() })
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
    fn unknown_names_of_the_network_never_leave_the_machine() {
        assert_eq!(answer("nobody.t.example", TYPE::A), (RCODE::NameError, vec![]));
        assert_eq!(answer("x.doh.example", TYPE::A).0, RCODE::NameError);
    }

    #[test]
    fn others_go_where_the_network_says() {
        let forward = |name: &str| match zone().decide(&query(name, TYPE::A)) {
            Verdict::Forward(to) => to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            other => panic!("{other:?}"),
        };
        assert_eq!(forward("wiki.corp.example"), "10.0.0.53:5353");
        assert_eq!(forward("notcorp.example"), "9.9.9.9:53");
        assert_eq!(forward("1.1.1.1.in-addr.arpa"), "9.9.9.9:53");
    }

    #[test]
    fn nonsense_is_ignored() {
        assert_eq!(zone().decide(b"nonsense"), Verdict::Ignore);
        let mut reply = query("gw.t.example", TYPE::A);
        reply[2] |= 0x80;
        assert_eq!(zone().decide(&reply), Verdict::Ignore);
    }
}

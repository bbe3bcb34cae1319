//! Packets made by the official code (`vectors/data-disco.json`, `vectors/data-misc.json`).

use hearthgate_disco::{
    Allocate, Allocated, BindEndpoint, Envelope, Message, Ping, Pong, RelayEndpoint,
    geneve::{Header, Protocol},
    seal,
    tsmp::{Reason, Tsmp},
};
use hearthgate_keys::{DiscoPrivate, DiscoPublic, NodePublic};
use serde_json::Value;
use std::time::Duration;

fn unhex(s: &str) -> Vec<u8> {
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
}

fn bytes<const N: usize>(v: &Value) -> [u8; N] {
    unhex(v.as_str().unwrap()).try_into().unwrap()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/data-disco.json")).unwrap()
}

fn public(v: &Value, who: &str) -> DiscoPublic {
    DiscoPublic::from_bytes(bytes(&v["keys"][who]["public"]))
}

fn endpoint(v: &Value) -> RelayEndpoint {
    RelayEndpoint {
        server: public(v, "relay"),
        clients: [public(v, "a"), public(v, "b")],
        lamport: 5,
        vni: 7,
        bind_lifetime: Duration::from_secs(30),
        steady_lifetime: Duration::from_secs(300),
        addrs: vec!["198.51.100.4:7777".parse().unwrap(), "[2001:db8::4]:7777".parse().unwrap()],
    }
}

/// What each named vector means, written down by hand.
fn meaning(v: &Value, name: &str) -> Option<Message> {
    let txid = bytes(&v["txid"]);
    let node = Some(NodePublic::from_bytes(bytes(&v["node_key"])));
    let ping = |node, padding| Message::Ping(Ping { txid, node, padding });
    let pong = |source: &str| Message::Pong(Pong { txid, source: source.parse().unwrap() });
    let bind = |challenge| BindEndpoint { vni: 7, generation: 9, remote: public(v, "b"), challenge };
    let challenge = std::array::from_fn(|i| 0xc0 + i as u8);
    Some(match name {
        "ping_with_nodekey" | "ping_via_udp_relay" => ping(node, 0),
        "ping_without_nodekey" => ping(None, 0),
        "ping_nodekey_padding_100" => ping(node, 100),
        "pong_v4" => pong("203.0.113.9:41641"),
        "pong_v6" => pong("[2001:db8::7]:41641"),
        "pong_over_derp_region_12" => pong("127.3.3.40:12"),
        "call_me_maybe" => Message::CallMeMaybe(
            ["203.0.113.9:41641", "192.168.1.7:41641", "[2001:db8::7]:41641"].map(|a| a.parse().unwrap()).to_vec(),
        ),
        "call_me_maybe_empty" => Message::CallMeMaybe(Vec::new()),
        "call_me_maybe_via" => Message::CallMeMaybeVia(Some(endpoint(v))),
        "bind_udp_relay_endpoint" => Message::Bind(bind([0; 32])),
        "bind_udp_relay_endpoint_challenge" => Message::BindChallenge(bind(challenge)),
        "bind_udp_relay_endpoint_answer" => Message::BindAnswer(bind(challenge)),
        "allocate_request" => Message::Allocate(Some(Allocate::new(public(v, "b"), public(v, "a"), 3))),
        "allocate_response" => Message::Allocated(Some(Allocated { generation: 3, endpoint: endpoint(v) })),
        _ => return None,
    })
}

#[test]
fn messages_match_byte_for_byte() {
    let v = vectors();
    let nonce = bytes(&v["nonce"]);
    let mut seen = 0;
    for case in v["messages"].as_array().unwrap() {
        let name = case["Name"].as_str().unwrap();
        let message = meaning(&v, name).unwrap_or_else(|| panic!("no meaning written down for {name}"));
        let plain = unhex(case["Plain"].as_str().unwrap());
        assert_eq!(message.encode(), plain, "{name}");
        assert_eq!(Message::parse(&plain).unwrap(), message, "{name}");

        let key = |who: &Value| DiscoPrivate::from_bytes(bytes(&v["keys"][who.as_str().unwrap()]["private"]));
        let (from, to) = (key(&case["From"]), key(&case["To"]));
        let mut wire = unhex(case["Wire"].as_str().unwrap());
        let geneve = Header::parse(&wire).map(|(header, rest)| (header, rest.to_vec()));
        if let Some((header, rest)) = geneve {
            assert_eq!(header.wrap(&rest), wire, "{name}");
            assert_eq!((header.vni, header.protocol), (7, Protocol::Disco), "{name}");
            wire = rest;
        }
        assert_eq!(seal(&from.public(), &from.shared(&to.public()), &nonce, &message), wire, "{name}");
        let envelope = Envelope::parse(&wire).unwrap();
        assert_eq!(envelope.sender, from.public(), "{name}");
        assert_eq!(envelope.open(&to.shared(&envelope.sender)).unwrap(), message, "{name}");
        *wire.last_mut().unwrap() ^= 1;
        assert!(Envelope::parse(&wire).unwrap().open(&to.shared(&from.public())).is_err(), "{name}: changed");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn parsing_is_as_lenient_as_the_official_one() {
    for case in vectors()["parse"].as_array().unwrap() {
        let got = Message::parse(&unhex(case["plain"].as_str().unwrap()));
        let error = case["error"].as_str().unwrap();
        match got {
            Ok(message) => {
                assert_eq!(error, "", "{case}");
                match message {
                    Message::Ping(p) => assert_eq!((p.node, p.padding), (None, 32), "{case}"),
                    Message::CallMeMaybe(list) => assert!(list.is_empty(), "{case}"),
                    Message::Pong(p) => {
                        assert_eq!(p.source, "203.0.113.9:41641".parse().unwrap(), "{case}")
                    }
                    other => panic!("{other:?} for {case}"),
                }
            }
            Err(e) => assert_eq!(e.to_string(), error, "{case}"),
        }
    }
}

#[test]
fn geneve_headers() {
    let v = vectors();
    for (name, header) in [
        ("disco_control_vni7", Header { protocol: Protocol::Disco, vni: 7, control: true }),
        ("disco_data_vni7", Header { protocol: Protocol::Disco, vni: 7, control: false }),
        ("wireguard_vni_max", Header { protocol: Protocol::WireGuard, vni: 0xff_ffff, control: false }),
    ] {
        let wire: [u8; 8] = bytes(&v["geneve_headers"][name]);
        assert_eq!(header.encode(), wire, "{name}");
        assert_eq!(Header::parse(&wire), Some((header, &[][..])), "{name}");
    }
}

#[test]
fn tsmp_payloads() {
    let v: Value = serde_json::from_str(include_str!("vectors/data-misc.json")).unwrap();
    let key = public(&vectors(), "a");
    for (name, ip_header, message) in [
        ("disco_advert_v4", 20, Tsmp::DiscoKey(key)),
        ("disco_advert_v6", 40, Tsmp::DiscoKey(key)),
        ("pong_v4_peerapi_40123", 20, Tsmp::Pong { data: [1, 2, 3, 4, 5, 6, 7, 8], peer_api_port: 40123 }),
        (
            "reject_acl_tcp_5555_22",
            20,
            Tsmp::Reject {
                protocol: 6,
                reason: Reason::Acl,
                source_port: 5555,
                destination_port: 22,
                maybe_broken: false,
            },
        ),
    ] {
        let packet = unhex(v["tsmp"][name].as_str().unwrap());
        assert_eq!(Tsmp::parse(&packet[ip_header..]), Some(message), "{name}");
        assert_eq!(message.encode(), packet[ip_header..], "{name}");
    }
}

//! Port mapping: requests as the official code makes them (`data-portmap.json`), answers of gateways, decisions.

use hearthgate_portmap::{
    Gateway, Mapper, MapperAction, MapperEvent, Method, Protocol, Trouble, Wanted, pcp, pmp,
    upnp::{self, Url},
};
use proptest::prelude::*;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

const PORT: u16 = 41641;
const UDP: Wanted = Wanted::udp(PORT);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const NONCE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const TWO_HOURS: Duration = Duration::from_secs(7200);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn requests_match_byte_for_byte() {
    let v: serde_json::Value = serde_json::from_str(include_str!("vectors/data-portmap.json")).unwrap();
    let zero = Duration::ZERO;
    for (name, bytes) in [
        ("pmp_external_address_request", pmp::address_request()),
        ("pmp_map_udp_41641_prev0_7200s", pmp::map_request(UDP, 0, TWO_HOURS)),
        ("pmp_delete_41641", pmp::map_request(UDP, 0, zero)),
        ("pcp_announce_192.168.1.7", pcp::announce_request(OWN)),
        ("pcp_map_udp_41641_prev0_7200s_nonce_01..0c", pcp::map_request(OWN, UDP, None, TWO_HOURS, &NONCE)),
        ("pcp_delete", pcp::map_request(OWN, UDP, None, zero, &NONCE)),
    ] {
        assert_eq!(hex(&bytes), v[name].as_str().unwrap(), "{name}");
    }
    let [all, igd] = upnp::searches().map(|search| String::from_utf8(search).unwrap());
    assert_eq!(
        (all.as_str(), igd.as_str()),
        (v["upnp_msearch_all"].as_str().unwrap(), v["upnp_msearch_igd"].as_str().unwrap())
    );
}

const DESCRIPTION: &str = r#"<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>
<controlURL>/l3f</controlURL></service></serviceList>
<deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType>
<controlURL>/ppp</controlURL></service>
<service><serviceType>
  urn:schemas-upnp-org:service:WANIPConnection:1
</serviceType><controlURL>ctl/IPConn</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType>
<controlURL>http://198.51.100.9/evil</controlURL></service>
</serviceList></device></deviceList></device></root>"#;

#[test]
fn descriptions_are_read_and_lead_nowhere_else() {
    let url = Url::parse("http://192.168.1.1:5000/desc/root.xml").unwrap();
    let services = upnp::parse_description(DESCRIPTION.as_bytes(), &url);
    let found: Vec<_> =
        services.iter().map(|s| (s.kind.rsplit(':').nth(1).unwrap(), s.control.path.as_str())).collect();
    assert_eq!(found, [("WANIPConnection", "/desc/ctl/IPConn"), ("WANPPPConnection", "/ppp")]);
    let command = services[0].add(OWN, UDP, PORT, TWO_HOURS);
    assert_eq!(command.action, "\"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\"");
    assert!(command.body.contains("<NewInternalClient>192.168.1.7</NewInternalClient>"));
    for bad in ["https://192.168.1.1/", "http://router.lan/", "http://192.168.1.1/a b", "http://192.168.1.1/a\r\nX: y"]
    {
        assert_eq!(Url::parse(bad), None, "{bad}");
    }
}

/// A mapper with its clock, and what it did.
struct Bench {
    mapper: Mapper,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        Self::of(UDP)
    }

    fn of(wanted: Wanted) -> Self {
        let mut b = Self { mapper: Mapper::new(wanted, NONCE), now: Duration::from_secs(50) };
        b.event(MapperEvent::Gateway(Some(Gateway { address: ROUTER, own: OWN })));
        b
    }

    fn event(&mut self, event: MapperEvent<'_>) {
        self.mapper.handle(self.now, event);
    }

    fn router_says(&mut self, bytes: &[u8]) {
        self.event(MapperEvent::Udp { from: SocketAddr::from((ROUTER, 5351)), bytes });
    }

    fn actions(&mut self) -> Vec<MapperAction> {
        std::iter::from_fn(|| self.mapper.poll()).collect()
    }

    /// Goes to the next timer.
    fn wait(&mut self) -> Duration {
        let at = self.mapper.next_timer().expect("a timer");
        let waited = at - self.now;
        self.now = at;
        self.event(MapperEvent::Timer);
        waited
    }
}

fn pmp_address(epoch: u32, ip: [u8; 4]) -> Vec<u8> {
    [&[0, 0x80, 0, 0][..], &epoch.to_be_bytes(), &ip].concat()
}

fn pmp_mapped(epoch: u32, external: u16, lifetime: u32) -> Vec<u8> {
    let head = [&[0, 0x81, 0, 0][..], &epoch.to_be_bytes(), &PORT.to_be_bytes()].concat();
    [&head[..], &external.to_be_bytes(), &lifetime.to_be_bytes()].concat()
}

#[test]
fn nat_pmp_is_mapped_renewed_and_noticed_when_gone() {
    let mut b = Bench::new();
    assert_eq!(b.actions().len(), 6, "NAT-PMP, PCP, and two searches to two places");
    b.router_says(&pmp_address(100, [203, 0, 113, 9]));
    assert_eq!(b.wait(), Duration::from_millis(250));
    let to = SocketAddr::from((ROUTER, 5351));
    assert_eq!(b.actions(), [MapperAction::Send { to, bytes: pmp::map_request(UDP, 0, TWO_HOURS) }]);
    b.router_says(&pmp_mapped(101, 50_000, 7200));
    let external: SocketAddr = "203.0.113.9:50000".parse().unwrap();
    assert_eq!(b.actions(), [MapperAction::Mapped(Some(external))]);
    assert_eq!(b.mapper.mapped(), Some((Method::Pmp, external)));

    assert_eq!(b.wait(), TWO_HOURS / 2, "renewed at half its life");
    let renewed = [pmp::address_request(), pmp::map_request(UDP, 50_000, TWO_HOURS)];
    assert_eq!(b.actions(), renewed.map(|bytes| MapperAction::Send { to, bytes }));
    b.router_says(&pmp_mapped(101 + 3600, 50_000, 7200));
    assert_eq!(b.actions(), [], "the same mapping is no news");
    b.event(MapperEvent::Gateway(Some(Gateway { address: ROUTER, own: OWN })));
    assert_eq!(b.actions().len(), 3, "after a link change it is told again, and renewed");
    b.router_says(&pmp_mapped(101 + 3600, 50_000, 7200));

    // The line got another address.
    b.event(MapperEvent::Gateway(Some(Gateway { address: ROUTER, own: OWN })));
    b.actions();
    b.router_says(&pmp_address(101 + 3600, [203, 0, 113, 77]));
    b.router_says(&pmp_mapped(101 + 3600, 50_000, 7200));
    assert_eq!(b.actions(), [MapperAction::Mapped(Some("203.0.113.77:50000".parse().unwrap()))]);

    // The router restarts and says so: its uptime went back.
    b.now += Duration::from_secs(60);
    b.router_says(&pmp_address(1, [203, 0, 113, 9]));
    let actions = b.actions();
    assert_eq!(actions[0], MapperAction::Mapped(None));
    assert_eq!(actions.len(), 7, "and the questions start anew");
}

#[test]
fn a_silent_router_keeps_the_mapping_until_its_end() {
    let mut b = Bench::new();
    b.router_says(&pmp_address(100, [203, 0, 113, 9]));
    b.wait();
    b.router_says(&pmp_mapped(101, 50_000, 7200));
    b.actions();
    let end = b.now + TWO_HOURS;
    while b.now < end {
        assert!(b.mapper.mapped().is_some(), "lost after {:?}", end - b.now);
        b.wait();
    }
    assert_eq!(b.mapper.mapped(), None);
    assert!(b.actions().contains(&MapperAction::Mapped(None)));
}

#[test]
fn pcp_needs_its_own_nonce() {
    let mut b = Bench::new();
    b.actions();
    let announce = [&[2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100][..], &[0; 12]].concat();
    b.router_says(&announce);
    b.wait();
    let mut mapped = [&[2, 0x81, 0, 0, 0, 0, 0x1c, 0x20, 0, 0, 0, 101][..], &[0; 12], &NONCE, &[17, 0, 0, 0]].concat();
    mapped.extend_from_slice(&[0xa2, 0xa9, 0xc3, 0x50]);
    mapped.extend_from_slice(&Ipv4Addr::new(203, 0, 113, 9).to_ipv6_mapped().octets());
    let mut forged = mapped.clone();
    forged[24] ^= 1;
    b.actions();
    b.router_says(&forged);
    b.event(MapperEvent::Udp { from: "192.168.1.66:5351".parse().unwrap(), bytes: &mapped });
    assert_eq!(b.actions(), [], "another's nonce, another's address");
    b.router_says(&mapped);
    assert_eq!(b.actions(), [MapperAction::Mapped(Some("203.0.113.9:50000".parse().unwrap()))]);
    let Some(MapperAction::Send { bytes, .. }) = b.mapper.release() else { panic!() };
    assert_eq!(bytes, pcp::map_request(OWN, UDP, None, Duration::ZERO, &NONCE));
}

fn search_reply(location: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: {location}\r\n\r\n"
    )
}

#[test]
fn upnp_goes_through_its_steps() {
    let mut b = Bench::new();
    b.actions();
    let from = SocketAddr::from((ROUTER, 1900));
    b.event(MapperEvent::Udp { from, bytes: search_reply("http://198.51.100.1/x").as_bytes() });
    b.wait();
    assert_eq!(b.actions(), [], "a description elsewhere is not fetched");
    b.event(MapperEvent::Udp { from, bytes: search_reply("http://192.168.1.1:5000/desc/root.xml").as_bytes() });
    assert!(matches!(&b.actions()[..], [MapperAction::Get(url)] if url.path == "/desc/root.xml"));
    b.event(MapperEvent::Http(Some(DESCRIPTION.as_bytes())));
    let body = |actions: &[MapperAction]| match actions {
        [MapperAction::Post(command)] => command.body.clone(),
        other => panic!("{other:?}"),
    };
    assert!(body(&b.actions()).contains("<NewLeaseDuration>7200<"));
    let fault =
        |code| format!("<s:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault>");
    b.event(MapperEvent::Http(Some(fault(725).as_bytes())));
    assert!(body(&b.actions()).contains("<NewLeaseDuration>0<"), "only permanent leases");
    b.event(MapperEvent::Http(Some(fault(718).as_bytes())));
    let other = body(&b.actions());
    assert!(!other.contains("<NewExternalPort>41641<"), "another port after a conflict");
    b.event(MapperEvent::Http(Some(b"<u:AddPortMappingResponse/>")));
    assert!(body(&b.actions()).contains("GetExternalIPAddress"));
    let address = "<r><NewExternalIPAddress>203.0.113.9</NewExternalIPAddress></r>";
    b.event(MapperEvent::Http(Some(address.as_bytes())));
    let actions = b.actions();
    let [MapperAction::Mapped(Some(addr))] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(addr.ip(), IpAddr::from([203, 0, 113, 9]));
    assert!(other.contains(&format!("<NewExternalPort>{}<", addr.port())));
    assert!(matches!(b.mapper.release(), Some(MapperAction::Post(c)) if c.action.ends_with("#DeletePortMapping\"")));
}

#[test]
fn a_router_behind_a_nat_is_no_help() {
    for ip in [[10, 0, 0, 5], [100, 64, 0, 9]] {
        let mut b = Bench::new();
        b.router_says(&pmp_address(100, ip));
        b.wait();
        b.router_says(&pmp_mapped(101, 50_000, 7200));
        assert_eq!(b.mapper.mapped(), None, "{ip:?}");
        assert!(b.mapper.next_timer().is_some(), "it looks again later");
    }
    let mut b = Bench::new();
    b.actions();
    b.event(MapperEvent::Gateway(Some(Gateway { address: ROUTER, own: Ipv4Addr::new(203, 0, 113, 1) })));
    assert_eq!((b.actions(), b.mapper.next_timer()), (vec![], None), "a public address needs no mapping");
}

/// What a server wants: its port 8080 of TCP, at 443 outside.
const TCP: Wanted = Wanted { protocol: Protocol::Tcp, internal: 8080, external: Some(443) };

#[test]
fn a_tcp_port_is_asked_for_at_the_port_that_is_best_outside() {
    // RFC 6886 section 3.3 and RFC 6887 section 11.1, written out.
    assert_eq!(hex(&pmp::map_request(TCP, 443, TWO_HOURS)), "000200001f9001bb00001c20");
    let pcp = hex(&pcp::map_request(OWN, TCP, None, TWO_HOURS, &NONCE));
    assert_eq!(&pcp[72..88], "060000001f9001bb", "{pcp}");
    let deleted = hex(&pcp::map_request(OWN, TCP, None, Duration::ZERO, &NONCE));
    assert_eq!(&deleted[72..88], "060000001f900000", "{deleted}");

    let mut b = Bench::of(TCP);
    b.router_says(&pmp_address(100, [203, 0, 113, 9]));
    b.wait();
    let to = SocketAddr::from((ROUTER, 5351));
    assert_eq!(b.actions().pop(), Some(MapperAction::Send { to, bytes: pmp::map_request(TCP, 443, TWO_HOURS) }));
    let told = |op: u8| {
        let head = [&[0, op, 0, 0][..], &101_u32.to_be_bytes(), &8080_u16.to_be_bytes()].concat();
        [&head[..], &8443_u16.to_be_bytes(), &7200_u32.to_be_bytes()].concat()
    };
    b.router_says(&told(0x81));
    assert_eq!(b.mapper.mapped(), None, "that was about UDP");
    b.router_says(&told(0x82));
    assert_eq!(b.mapper.mapped(), Some((Method::Pmp, "203.0.113.9:8443".parse().unwrap())), "another port will do");
    let Some(MapperAction::Send { bytes, .. }) = b.mapper.release() else { panic!() };
    assert_eq!(hex(&bytes), "000200001f90000000000000");
}

#[test]
fn upnp_says_tcp_when_it_adds_and_when_it_deletes() {
    let url = Url::parse("http://192.168.1.1:5000/desc/root.xml").unwrap();
    let service = &upnp::parse_description(DESCRIPTION.as_bytes(), &url)[0];
    let add = service.add(OWN, TCP, 443, TWO_HOURS).body;
    for part in ["<NewProtocol>TCP<", "<NewExternalPort>443<", "<NewInternalPort>8080<"] {
        assert!(add.contains(part), "{part} in {add}");
    }
    let delete = service.delete(Protocol::Tcp, 443).body;
    assert!(delete.contains("<NewProtocol>TCP<") && delete.contains("<NewExternalPort>443<"), "{delete}");
}

#[test]
fn why_nothing_is_mapped_is_known() {
    let mut b = Bench::new();
    assert_eq!(b.mapper.status().trouble, None, "not before the end of the search");
    while b.mapper.status().trouble.is_none() {
        assert!(b.wait() < Duration::from_secs(60));
    }
    assert_eq!(b.mapper.status().trouble, Some(Trouble::Silent));

    let mut b = Bench::new();
    b.router_says(&pmp_address(100, [203, 0, 113, 9]));
    b.wait();
    let mut refused = pmp_mapped(101, 0, 0);
    refused[3] = 2;
    b.router_says(&refused);
    let status = b.mapper.status();
    assert_eq!((status.trouble, status.mapped), (Some(Trouble::Refused(Method::Pmp, 2)), None));
    assert_eq!(status.gateway.map(|g| g.address), Some(ROUTER));

    let mut b = Bench::new();
    b.router_says(&pmp_address(100, [192, 168, 0, 7]));
    b.wait();
    b.router_says(&pmp_mapped(101, 50_000, 7200));
    let trouble = b.mapper.status().trouble;
    assert_eq!(trouble, Some(Trouble::Inside("192.168.0.7:50000".parse().unwrap())));
    // Its own line got a public address meanwhile.
    b.wait();
    b.router_says(&pmp_address(800, [203, 0, 113, 9]));
    b.wait();
    b.router_says(&pmp_mapped(801, 50_000, 7200));
    assert_eq!((b.mapper.status().trouble, b.mapper.mapped().is_some()), (None, true));
}

#[test]
fn upnp_tells_its_refusal() {
    let mut b = Bench::new();
    let from = SocketAddr::from((ROUTER, 1900));
    b.event(MapperEvent::Udp { from, bytes: search_reply("http://192.168.1.1:5000/desc/root.xml").as_bytes() });
    b.wait();
    b.event(MapperEvent::Http(Some(DESCRIPTION.as_bytes())));
    let fault = b"<s:Fault><detail><UPnPError><errorCode>606</errorCode></UPnPError></detail></s:Fault>";
    // Each of its two services is asked.
    b.event(MapperEvent::Http(Some(fault)));
    b.event(MapperEvent::Http(Some(fault)));
    assert_eq!(b.mapper.status().trouble, Some(Trouble::Refused(Method::Upnp, 606)));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,300}",
                      steps in prop::collection::vec(0u8..6, 0..12), tcp in any::<bool>()) {
        let _ = (pmp::parse(&bytes), pcp::parse(&bytes), upnp::parse_answer(&bytes), Url::parse(&text));
        let url = Url::parse("http://192.168.1.1/").unwrap();
        let _ = upnp::parse_description(text.as_bytes(), &url);
        let mut b = Bench::of(if tcp { TCP } else { UDP });
        for step in steps {
            b.now += Duration::from_millis(300);
            match step {
                0 => b.router_says(&bytes),
                1 => b.router_says(&[&[0, 0x80, 0, 0][..], &bytes].concat()),
                2 => b.router_says(&[&[2, 0x81, 0, 0][..], &bytes].concat()),
                3 => b.router_says(&[&[0, 0x82, 0, 0][..], &bytes].concat()),
                4 => b.event(MapperEvent::Http(Some(text.as_bytes()))),
                _ => b.event(MapperEvent::Timer),
            }
            prop_assert!(b.actions().len() < 20);
        }
    }
}

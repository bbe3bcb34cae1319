//! UPnP Internet gateways (UPnP Device Architecture 1.1, WANIPConnection:2): search, description, commands.
//!
//! Devices are sloppy, so a reader that stops at the first mistake would find few of them: elements are taken by their
//! local names wherever they stand.

use crate::{Protocol, Wanted};
use quick_xml::{Reader, events::Event};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

/// Where searches go to.
pub const MULTICAST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// The error "only permanent leases".
pub const ONLY_PERMANENT: u16 = 725;
/// The error "the port has another mapping".
pub const CONFLICT: u16 = 718;
/// Most bytes of a description or an answer that are looked at.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Search targets.
const TARGETS: [&str; 2] = ["ssdp:all", "urn:schemas-upnp-org:device:InternetGatewayDevice:1"];
/// Services that map ports, the best first.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// Shown in the gateway's list of mappings.
const DESCRIPTION: &str = "hearthgate";

/// A URL on a LAN device: always plain HTTP to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Address and port.
    pub host: SocketAddr,
    /// Path and query, with the leading slash.
    pub path: String,
}

/// A service that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its type.
    pub kind: String,
    /// Where commands go.
    pub control: Url,
}

/// A command: to be sent with POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Where to.
    pub url: Url,
    /// Value of the header `SOAPAction`, quotes included.
    pub action: String,
    /// The body, `text/xml; charset="utf-8"`.
    pub body: String,
}

/// The searches to send, to [`MULTICAST`] and to the gateway itself.
#[must_use]
pub fn searches() -> [Vec<u8>; 2] {
    TARGETS.map(|target| {
        format!("M-SEARCH * HTTP/1.1\r\nHOST: {MULTICAST}\r\nST: {target}\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n\r\n")
            .into_bytes()
    })
}

/// The description's place in an answer to a search, if it is on the machine that answered.
#[must_use]
pub fn parse_search_reply(packet: &[u8], from: IpAddr) -> Option<Url> {
    let text = std::str::from_utf8(packet).ok()?;
    let mut lines = text.lines();
    if !lines.next()?.starts_with("HTTP/1.") || !text.contains("InternetGatewayDevice") {
        return None;
    }
    let location =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("location"))?;
    Url::parse(location.1.trim()).filter(|url| url.host.ip() == from)
}

impl Url {
    /// Reads `http://address[:port]/path`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| text.get(7..))?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let host = host.parse().ok().or_else(|| Some(SocketAddr::new(host.parse().ok()?, 80)))?;
        is_plain(path).then(|| Self { host, path: path.to_owned() })
    }

    /// A reference relative to this URL, on the same machine.
    fn join(&self, reference: &str) -> Option<Self> {
        if reference.contains("://") {
            return Self::parse(reference).filter(|url| url.host.ip() == self.host.ip());
        }
        let path = if reference.starts_with('/') {
            reference.to_owned()
        } else {
            format!("{}/{reference}", self.path.rsplit_once('/').map_or("", |(folder, _)| folder))
        };
        is_plain(&path).then_some(Self { host: self.host, path })
    }
}

/// Fit to stand in a request line.
fn is_plain(path: &str) -> bool {
    path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic())
}

/// The services of a description that map ports, the best first.
#[must_use]
pub fn parse_description(xml: &[u8], from: &Url) -> Vec<Service> {
    let mut base = from.clone();
    let (mut kind, mut control) = (None, None);
    let mut found: Vec<(usize, Service)> = Vec::new();
    walk(xml, |element| match element {
        Element::Text("URLBase", text) => {
            if let Some(url) = Url::parse(text).filter(|url| url.host.ip() == from.host.ip()) {
                base = url;
            }
        }
        Element::Text("serviceType", text) => kind = SERVICES.iter().position(|service| *service == text),
        Element::Text("controlURL", text) => control = base.join(text),
        Element::End("service") => {
            if let (Some(rank), Some(control)) = (kind.take(), control.take()) {
                found.push((rank, Service { kind: SERVICES[rank].to_owned(), control }));
            }
        }
        _ => {}
    });
    hearthgate_sorted::sort_by_key(&mut found, |(rank, _)| *rank);
    found.into_iter().map(|(_, service)| service).collect()
}

impl Service {
    fn command(&self, name: &str, arguments: &[(&str, &str)]) -> Command {
        let kind = &self.kind;
        let arguments: String = arguments.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{name} xmlns:u=\"{kind}\">{arguments}</u:{name}></s:Body></s:Envelope>\r\n"
        );
        Command { url: self.control.clone(), action: format!("\"{kind}#{name}\""), body }
    }

    /// Asks for a mapping of port `external` to ours.
    #[must_use]
    pub fn add(&self, client: Ipv4Addr, wanted: Wanted, external: u16, lease: Duration) -> Command {
        let name = if self.kind == SERVICES[0] { "AddAnyPortMapping" } else { "AddPortMapping" };
        self.command(
            name,
            &[
                ("NewRemoteHost", ""),
                ("NewExternalPort", &external.to_string()),
                ("NewProtocol", wanted.protocol.name()),
                ("NewInternalPort", &wanted.internal.to_string()),
                ("NewInternalClient", &client.to_string()),
                ("NewEnabled", "1"),
                ("NewPortMappingDescription", DESCRIPTION),
                ("NewLeaseDuration", &lease.as_secs().to_string()),
            ],
        )
    }

    /// Ends a mapping.
    #[must_use]
    pub fn delete(&self, protocol: Protocol, external: u16) -> Command {
        let port = external.to_string();
        let what = [("NewRemoteHost", ""), ("NewExternalPort", &port), ("NewProtocol", protocol.name())];
        self.command("DeletePortMapping", &what)
    }

    /// Asks for the external address.
    #[must_use]
    pub fn external_address(&self) -> Command {
        self.command("GetExternalIPAddress", &[])
    }
}

/// What a gateway answered to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    /// The external address, if it was asked for.
    pub external: Option<Ipv4Addr>,
    /// The port that was given, if the gateway chose it.
    pub port: Option<u16>,
    /// The error code, if it refused.
    pub error: Option<u16>,
}

/// Reads the answer to a command.
#[must_use]
pub fn parse_answer(xml: &[u8]) -> Answer {
    let mut answer = Answer::default();
    walk(xml, |element| match element {
        Element::Text("NewExternalIPAddress", text) => answer.external = text.parse().ok(),
        Element::Text("NewReservedPort", text) => answer.port = text.parse().ok(),
        Element::Text("errorCode", text) => answer.error = text.parse().ok(),
        _ => {}
    });
    answer
}

enum Element<'a> {
    /// Text directly in an element of this local name.
    Text(&'a str, &'a str),
    /// An element of this local name ends.
    End(&'a str),
}

/// Goes through a document as far as it can be read.
fn walk(xml: &[u8], mut visit: impl FnMut(Element<'_>)) {
    let xml = xml.get(..BODY_LIMIT).unwrap_or(xml);
    let mut reader = Reader::from_reader(xml);
    reader.config_mut().check_end_names = false;
    let mut name = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned(),
            Ok(Event::Text(text)) => {
                let text = text.decode().unwrap_or_default();
                if !text.trim().is_empty() {
                    visit(Element::Text(&name, text.trim()));
                }
            }
            Ok(Event::End(end)) => visit(Element::End(&String::from_utf8_lossy(end.local_name().as_ref()))),
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

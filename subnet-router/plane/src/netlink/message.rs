//! The messages of `NETLINK_ROUTE` that are spoken here (`linux/rtnetlink.h`, `linux/if_link.h`).
//!
//! `netlink_packet_route` has one type for all messages there are, and with it every kind of link and of traffic
//! filter: a third of a megabyte on MIPS. Its addresses, routes and rules are used; of links a name and an MTU are
//! wanted, and these are written and read here.

use netlink_packet_core::{
    DecodeError, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable, Parseable,
};
use netlink_packet_route::{address::AddressMessage, route::RouteMessage, rule::RuleMessage};

/// Bytes of `struct ifinfomsg`: family, padding, type, index, flags, mask of changes.
const LINK_HEADER: usize = 16;
/// Attributes of links.
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
/// Attribute in `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
/// The bits of an attribute's type that are its type.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// Flag of an interface that is up.
const IFF_UP: u32 = 1;

/// What is to be done; the number is the place among the four types that each thing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Make; also what the kernel answers a question with.
    New = 0,
    /// Remove.
    Del = 1,
    /// Ask.
    Get = 2,
    /// Change.
    Set = 3,
}

/// A link, as far as anybody here wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// Number; 0 for one that is not there yet.
    pub index: u32,
    /// Take it up.
    pub up: bool,
    /// Name.
    pub name: Option<String>,
    /// Largest packet in bytes.
    pub mtu: Option<u32>,
    /// The driver that makes it; none for hardware.
    pub kind: Option<String>,
}

/// What it is done to.
#[derive(Debug, Clone)]
pub(super) enum Thing {
    /// An interface.
    Link(Link),
    /// An address of an interface.
    Address(AddressMessage),
    /// A route.
    Route(RouteMessage),
    /// A policy rule.
    Rule(RuleMessage),
    /// Something that was not asked for.
    Other,
}

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// What is to be done.
    pub verb: Verb,
    /// What it is done to.
    pub thing: Thing,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        let first = match self.thing {
            Thing::Link(_) => 16,
            Thing::Address(_) => 20,
            Thing::Route(_) => 24,
            Thing::Rule(_) => 32,
            Thing::Other => 0,
        };
        first + self.verb as u16
    }

    fn buffer_len(&self) -> usize {
        match &self.thing {
            Thing::Link(link) => link.bytes().len(),
            Thing::Address(message) => message.buffer_len(),
            Thing::Route(message) => message.buffer_len(),
            Thing::Rule(message) => message.buffer_len(),
            Thing::Other => 0,
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match &self.thing {
            Thing::Link(link) => buffer.iter_mut().zip(link.bytes()).for_each(|(to, from)| *to = from),
            Thing::Address(message) => message.emit(buffer),
            Thing::Route(message) => message.emit(buffer),
            Thing::Rule(message) => message.emit(buffer),
            Thing::Other => {}
        }
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let thing = match header.message_type {
            16 => Link::parse(payload).map_or(Thing::Other, Thing::Link),
            20 => Thing::Address(AddressMessage::parse(payload)?),
            24 => Thing::Route(RouteMessage::parse(payload)?),
            32 => Thing::Rule(RuleMessage::parse(payload)?),
            _ => Thing::Other,
        };
        Ok(Self { verb: Verb::New, thing })
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

impl Link {
    fn bytes(&self) -> Vec<u8> {
        let flags = if self.up { IFF_UP } else { 0 };
        let mut bytes = vec![0; 4];
        bytes.extend(self.index.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        if let Some(name) = &self.name {
            attribute(&mut bytes, IFLA_IFNAME, &text(name));
        }
        if let Some(mtu) = self.mtu {
            attribute(&mut bytes, IFLA_MTU, &mtu.to_ne_bytes());
        }
        if let Some(kind) = &self.kind {
            let mut inner = Vec::new();
            attribute(&mut inner, IFLA_INFO_KIND, &text(kind));
            attribute(&mut bytes, IFLA_LINKINFO, &inner);
        }
        bytes
    }

    /// What the kernel says of a link; `None` if that is cut off.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(LINK_HEADER)?;
        let word = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let mut link = Self { index: word(4)?, up: word(8)? & IFF_UP != 0, ..Self::default() };
        while let Some((kind, value, behind)) = next_attribute(rest)? {
            match kind {
                IFLA_IFNAME => link.name = Some(until_zero(value)),
                IFLA_MTU => link.mtu = Some(u32::from_ne_bytes(value.try_into().ok()?)),
                IFLA_LINKINFO => {
                    let mut inner = value;
                    while let Some((kind, value, behind)) = next_attribute(inner)? {
                        if kind == IFLA_INFO_KIND {
                            link.kind = Some(until_zero(value));
                        }
                        inner = behind;
                    }
                }
                _ => {}
            }
            rest = behind;
        }
        Some(link)
    }
}

/// An attribute: its type, its value, and what is behind it.
type Attribute<'a> = (u16, &'a [u8], &'a [u8]);

/// The first attribute, `Some(None)` at the end, `None` if it is cut off.
fn next_attribute(bytes: &[u8]) -> Option<Option<Attribute<'_>>> {
    let Some((head, _)) = bytes.split_at_checked(4) else { return Some(None) };
    let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
    let kind = u16::from_ne_bytes([head[2], head[3]]) & NLA_TYPE_MASK;
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(Some((kind, bytes.get(4..length)?, behind)))
}

/// Text as the kernel writes it.
fn until_zero(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// Text as the kernel has it: with a zero byte behind.
fn text(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

/// Appends an attribute: length without padding, type, value, zeros up to a multiple of four.
fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = 4 + value.len();
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len() + (length.next_multiple_of(4) - length), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::{
        RouteNetlinkMessage,
        link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    };

    #[test]
    fn a_link_is_written_as_the_library_writes_it() {
        let name = "hearthgate0";
        let ours = Link { name: Some(name.into()), mtu: Some(1280), kind: Some("wireguard".into()), ..Link::default() };
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.into()));
        link.attributes.push(LinkAttribute::Mtu(1280));
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Wireguard)]));
        let theirs = RouteNetlinkMessage::NewLink(link);
        let mut bytes = vec![0; NetlinkSerializable::buffer_len(&theirs)];
        theirs.serialize(&mut bytes);
        let message = Message { verb: Verb::New, thing: Thing::Link(ours) };
        assert_eq!(message.message_type(), theirs.message_type());
        let mut own = vec![0; message.buffer_len()];
        message.serialize(&mut own);
        assert_eq!(own, bytes);
    }

    #[test]
    fn a_link_is_read_and_what_is_cut_off_is_none() {
        let link =
            Link { index: 7, up: true, name: Some("br-lan".into()), mtu: Some(1500), kind: Some("bridge".into()) };
        let bytes = link.bytes();
        assert_eq!(Link::parse(&bytes), Some(link));
        assert_eq!(Link::parse(&bytes[..LINK_HEADER - 1]), None);
        assert_eq!(Link::parse(&bytes[..LINK_HEADER + 6]), None, "an attribute that ends behind the message");
    }
}

//! Links, addresses, routes and policy rules (`linux/rtnetlink.h`).

use super::{
    Netlink,
    message::{Link, Message, Thing, Verb},
    unless,
};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Copies of a rule that are removed: the kernel keeps two apart that differ by their maker alone.
const MAX_COPIES: usize = 8;

/// The kernel's table of what is this machine's own (`RT_TABLE_LOCAL`).
const LOCAL: u32 = 255;

/// Kinds of interfaces that this program makes.
const KINDS: [&str; 2] = ["wireguard", "tun"];

/// What a policy rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Look a table up.
    Table(u32),
    /// Stop: unreachable.
    Unreachable,
}

/// A policy rule, apart from its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its place; lower is earlier.
    pub priority: u32,
    /// Value and mask of the packet's mark; `None`: every packet.
    pub mark: Option<(u32, u32)>,
    /// What then.
    pub then: Then,
}

/// `NETLINK_ROUTE`.
pub(crate) struct Route(Netlink);

impl Route {
    /// Opens a socket.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(Netlink::open(netlink_sys::protocols::NETLINK_ROUTE)?))
    }

    /// Index of an interface, or `None` if there is none of this name.
    pub(crate) fn index(&mut self, name: &str) -> io::Result<Option<u32>> {
        let answers = self.0.dump(get(Thing::Link(Link::default())))?;
        Ok(answers.into_iter().find_map(|answer| match answer.thing {
            Thing::Link(link) if link.name.as_deref() == Some(name) => Some(link.index),
            _ => None,
        }))
    }

    /// Index of an interface of this name that a process of earlier may have left, or `None` if there is none.
    ///
    /// Fails with `AlreadyExists` if it is of a kind that this program never makes: a bridge, say, is somebody's.
    pub(crate) fn tunnel(&mut self, name: &str) -> io::Result<Option<u32>> {
        let answers = self.0.dump(get(Thing::Link(Link::default())))?;
        let mut links = answers.into_iter().filter_map(|answer| match answer.thing {
            Thing::Link(link) if link.name.as_deref() == Some(name) => Some(link),
            _ => None,
        });
        match links.next() {
            None => Ok(None),
            Some(link) if link.kind.as_deref().is_some_and(|kind| KINDS.contains(&kind)) => Ok(Some(link.index)),
            Some(_) => {
                let text = format!("{name} is there and is no tunnel: choose another name");
                Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
            }
        }
    }

    /// Makes a WireGuard interface. Fails with `EOPNOTSUPP` where the kernel has none.
    pub(crate) fn add_wireguard(&mut self, name: &str) -> io::Result<()> {
        let link = Link { name: Some(name.into()), kind: Some("wireguard".into()), ..Link::default() };
        self.0.change(new(Thing::Link(link)), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Sets an interface's MTU and takes it up.
    pub(crate) fn up(&mut self, index: u32, mtu: u16) -> io::Result<()> {
        let link = Link { index, up: true, mtu: Some(mtu.into()), ..Link::default() };
        self.0.change(Message { verb: Verb::Set, thing: Thing::Link(link) }, 0)
    }

    /// Removes an interface; it may be gone already.
    pub(crate) fn remove_link(&mut self, index: u32) -> io::Result<()> {
        let removed = self.0.change(del(Thing::Link(Link { index, ..Link::default() })), 0);
        match removed {
            Err(error) if error.raw_os_error() == Some(19) => Ok(()), // ENODEV
            other => other,
        }
    }

    /// Addresses of an interface, without link-local ones.
    pub(crate) fn addresses(&mut self, index: u32) -> io::Result<Vec<IpNet>> {
        let answers = self.0.dump(get(Thing::Address(AddressMessage::default())))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer.thing {
                Thing::Address(m) if m.header.index == index => address_of(&m),
                _ => None,
            })
            .filter(|net| !matches!(net.addr(), IpAddr::V6(a) if a.is_unicast_link_local()))
            .collect())
    }

    /// Adds an address to an interface; it may be there already.
    pub(crate) fn add_address(&mut self, index: u32, net: IpNet) -> io::Result<()> {
        let message = new(Thing::Address(address_message(index, net)));
        unless(self.0.change(message, NLM_F_CREATE | NLM_F_EXCL), io::ErrorKind::AlreadyExists)
    }

    /// Takes an address from an interface.
    pub(crate) fn remove_address(&mut self, index: u32, net: IpNet) -> io::Result<()> {
        self.0.change(del(Thing::Address(address_message(index, net))), 0)
    }

    /// Destinations that are this machine's own by a route of ours to an interface, without being its addresses.
    pub(crate) fn services(&mut self, index: u32) -> io::Result<Vec<IpNet>> {
        let ours = |route: &RouteMessage| {
            table_of(route) == LOCAL
                && route.header.kind == RouteType::Local
                && route.header.protocol == RouteProtocol::Static
                && route.attributes.contains(&RouteAttribute::Oif(index))
        };
        let routes = self.all_routes()?.into_iter().filter(ours);
        Ok(routes.filter_map(|route| destination_of(&route)).map(|(net, _)| net).collect())
    }

    /// Makes a destination this machine's own, through an interface and as long as that lasts; it may be so already.
    pub(crate) fn add_service(&mut self, index: u32, net: IpNet) -> io::Result<()> {
        self.0.change(new(Thing::Route(service_message(index, net))), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Undoes [`Self::add_service`]; it may be undone already.
    pub(crate) fn remove_service(&mut self, index: u32, net: IpNet) -> io::Result<()> {
        no_route(self.0.change(del(Thing::Route(service_message(index, net))), 0))
    }

    fn all_routes(&mut self) -> io::Result<Vec<RouteMessage>> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut ask = RouteMessage::default();
            ask.header.address_family = family;
            let answers = self.0.dump(get(Thing::Route(ask)))?;
            all.extend(answers.into_iter().filter_map(|answer| match answer.thing {
                Thing::Route(route) => Some(route),
                _ => None,
            }));
        }
        Ok(all)
    }

    /// All routes of a table: destination, and the interface's index or `None` for `throw`. Kinds that are never ours
    /// have index 0.
    pub(crate) fn routes(&mut self, table: u32) -> io::Result<Vec<(IpNet, Option<u32>)>> {
        let routes = self.all_routes()?.into_iter().filter(|route| table_of(route) == table);
        Ok(routes.filter_map(|route| destination_of(&route)).collect())
    }

    /// Puts a route into a table: to an interface, or `throw` (go on with the next rule) without one. An `mtu` in bytes
    /// goes before the interface's.
    pub(crate) fn add_route(&mut self, table: u32, net: IpNet, index: Option<u32>, mtu: Option<u32>) -> io::Result<()> {
        let mut message = route_message(table, net, index);
        if let Some(mtu) = mtu {
            message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        }
        self.0.change(new(Thing::Route(message)), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Takes a route from a table, whatever its kind and whoever made it; it may be gone already.
    pub(crate) fn remove_route(&mut self, table: u32, net: IpNet, index: Option<u32>) -> io::Result<()> {
        let mut message = route_message(table, net, index.filter(|index| *index != 0));
        message.header.kind = RouteType::Unspec;
        message.header.scope = RouteScope::NoWhere;
        message.header.protocol = RouteProtocol::Unspec;
        no_route(self.0.change(del(Thing::Route(message)), 0))
    }

    /// The policy rules of a family, ours and others', as far as [`Rule`] says what they are.
    pub(crate) fn rules(&mut self, v6: bool) -> io::Result<Vec<Rule>> {
        let mut ask = RuleMessage::default();
        ask.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let answers = self.0.dump(get(Thing::Rule(ask)))?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer.thing {
                Thing::Rule(message) => rule_of(&message),
                _ => None,
            })
            .collect())
    }

    /// Adds a policy rule for a family; it may be there already.
    pub(crate) fn add_rule(&mut self, v6: bool, rule: &Rule) -> io::Result<()> {
        let message = new(Thing::Rule(rule_message(v6, rule)));
        unless(self.0.change(message, NLM_F_CREATE | NLM_F_EXCL), io::ErrorKind::AlreadyExists)
    }

    /// Removes a policy rule of a family, whoever made it; it may be gone already.
    pub(crate) fn remove_rule(&mut self, v6: bool, rule: &Rule) -> io::Result<()> {
        let mut message = rule_message(v6, rule);
        message.attributes.retain(|attribute| !matches!(attribute, RuleAttribute::Protocol(_)));
        for _ in 0..MAX_COPIES {
            match self.0.change(del(Thing::Rule(message.clone())), 0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

const fn new(thing: Thing) -> Message {
    Message { verb: Verb::New, thing }
}

const fn del(thing: Thing) -> Message {
    Message { verb: Verb::Del, thing }
}

const fn get(thing: Thing) -> Message {
    Message { verb: Verb::Get, thing }
}

const fn family(net: &IpNet) -> AddressFamily {
    match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    }
}

fn address_message(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(&net);
    message.header.prefix_len = net.prefix_len();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message.attributes.push(AddressAttribute::Address(net.addr()));
    if net.addr().is_ipv6() {
        // Nobody else can have the address: detection of duplicates would only delay the start (IFA_F_NODAD).
        message.attributes.push(AddressAttribute::Flags(netlink_packet_route::address::AddressFlags::Nodad));
    }
    message
}

fn address_of(message: &AddressMessage) -> Option<IpNet> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => found = Some(*ip),
            AddressAttribute::Address(ip) if found.is_none() => found = Some(*ip),
            _ => {}
        }
    }
    IpNet::new(found?, message.header.prefix_len).ok()
}

/// Takes for success that there is no such route.
fn no_route(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.raw_os_error() == Some(3) => Ok(()), // ESRCH
        other => other,
    }
}

fn service_message(index: u32, net: IpNet) -> RouteMessage {
    let mut message = route_message(LOCAL, net, Some(index));
    message.header.kind = RouteType::Local;
    if net.addr().is_ipv4() {
        message.header.scope = RouteScope::Host;
    }
    message
}

fn route_message(table: u32, net: IpNet, index: Option<u32>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(&net);
    message.header.destination_prefix_length = net.prefix_len();
    message.header.protocol = RouteProtocol::Static;
    message.header.table = u8::try_from(table).unwrap_or(0);
    message.attributes.push(RouteAttribute::Table(table));
    if net.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(net.network().into()));
    }
    if let Some(index) = index {
        message.header.kind = RouteType::Unicast;
        message.header.scope = if net.addr().is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
        message.attributes.push(RouteAttribute::Oif(index));
    } else {
        message.header.kind = RouteType::Throw;
        message.header.scope = RouteScope::Universe;
    }
    message
}

fn table_of(route: &RouteMessage) -> u32 {
    let long = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or_else(|| route.header.table.into())
}

fn destination_of(route: &RouteMessage) -> Option<(IpNet, Option<u32>)> {
    let mut ip: IpAddr = match route.header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut index = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(a)) => ip = (*a).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(a)) => ip = (*a).into(),
            RouteAttribute::Oif(i) => index = Some(*i),
            _ => {}
        }
    }
    // The kernel names the loopback interface in IPv6 `throw` routes.
    let index = match route.header.kind {
        RouteType::Throw => None,
        RouteType::Unicast => Some(index.unwrap_or(0)),
        _ => Some(0),
    };
    Some((IpNet::new(ip, route.header.destination_prefix_length).ok()?, index))
}

fn rule_of(message: &RuleMessage) -> Option<Rule> {
    let (mut priority, mut mark, mut mask, mut table) = (0, None, None, u32::from(message.header.table));
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = Some(*value),
            RuleAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let then = match message.header.action {
        RuleAction::ToTable => Then::Table(table),
        RuleAction::Unreachable => Then::Unreachable,
        _ => return None,
    };
    Some(Rule { priority, mark: mark.map(|mark| (mark, mask.unwrap_or(u32::MAX))), then })
}

fn rule_message(v6: bool, rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.attributes.push(RuleAttribute::Priority(rule.priority));
    message.attributes.push(RuleAttribute::Protocol(RouteProtocol::Static));
    if let Some((value, mask)) = rule.mark {
        message.attributes.push(RuleAttribute::FwMark(value));
        message.attributes.push(RuleAttribute::FwMask(mask));
    }
    match rule.then {
        Then::Table(table) => {
            message.header.action = RuleAction::ToTable;
            message.header.table = u8::try_from(table).unwrap_or(0);
            message.attributes.push(RuleAttribute::Table(table));
        }
        Then::Unreachable => message.header.action = RuleAction::Unreachable,
    }
    message
}

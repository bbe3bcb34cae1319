//! A blocking netlink socket: one request, its answers (RFC 3549; `linux/netlink.h`).
//!
//! Requests to the kernel are answered at once, so there is nothing to wait for and no reason for a task. The message
//! types come from the `netlink-packet-*` crates, which build for every target; `rtnetlink` and `genetlink` would add
//! an asynchronous connection on top.

mod message;
mod route;
mod wireguard;

pub(crate) use route::{Route, Rule, Then};
pub(crate) use wireguard::{PeerChange, PeerStatus, Wireguard};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use std::io;

/// Answers to one request that are kept at most; the largest are dumps of routes and peers.
const MAX_ANSWERS: usize = 65_536;

/// A netlink socket of one protocol.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket of a protocol such as `NETLINK_ROUTE`, in the caller's network namespace.
    pub(crate) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // A dump in small pieces is slow, and a lost answer would have to be asked for again.
        socket.set_rx_buf_sz(1_u32 << 20)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a change and waits for the kernel's yes or no.
    pub(crate) fn change<T>(&mut self, payload: T, flags: u16) -> io::Result<()>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.talk(payload, NLM_F_REQUEST | NLM_F_ACK | flags).map(drop)
    }

    /// Asks for a dump.
    pub(crate) fn dump<T>(&mut self, payload: T) -> io::Result<Vec<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.talk(payload, NLM_F_REQUEST | NLM_F_DUMP)
    }

    fn talk<T>(&mut self, payload: T, flags: u16) -> io::Result<Vec<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::new(Default::default(), NetlinkPayload::InnerMessage(payload));
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        drop(message);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while rest.len() >= 16 {
                let message = NetlinkMessage::<T>::deserialize(rest).map_err(io::Error::other)?;
                let length = (message.header.length as usize).next_multiple_of(4).max(16);
                rest = rest.get(length..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(inner) if answers.len() < MAX_ANSWERS => answers.push(inner),
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    _ => {}
                }
            }
        }
    }
}

/// Takes one kind of error for success: something is there already, or is gone already.
pub(crate) fn unless(result: io::Result<()>, fine: io::ErrorKind) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == fine => Ok(()),
        other => other,
    }
}

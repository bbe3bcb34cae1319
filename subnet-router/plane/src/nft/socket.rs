//! The socket for transactions, and one that hears of changes by others.

use super::Batch;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
        sockopt,
    },
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

/// Room for a transaction of thousands of elements.
const SEND_BUFFER: usize = 8 << 20;
/// How long the kernel may take to carry a transaction out.
const PATIENCE: Duration = Duration::from_secs(30);
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NFNLGRP_NFTABLES` as a bit.
const GROUP: u32 = 1 << 6;

fn open(protocol: SockProtocol, groups: u32) -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(fd)
}

fn wait(fd: &OwnedFd, limit: Duration) -> io::Result<bool> {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Carries out transactions.
pub(crate) struct NftSocket(OwnedFd);

impl NftSocket {
    /// Opens a socket in the caller's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = open(SockProtocol::NetlinkNetFilter, 0)?;
        setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER)?;
        setsockopt(&fd, sockopt::RcvBufForce, &(1 << 20))?;
        Ok(Self(fd))
    }

    /// Carries a transaction out, wholly or not at all.
    pub(crate) fn commit(&self, batch: Batch) -> io::Result<()> {
        let (bytes, acknowledged) = batch.finish();
        send(self.0.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut buffer = vec![0; 65_536];
        let mut first = Ok(());
        loop {
            if !wait(&self.0, PATIENCE)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((kind, sequence, code, next)) = head(rest) {
                rest = next;
                if kind != ERROR {
                    continue;
                }
                if code != 0 && first.is_ok() {
                    first = Err(io::Error::from_raw_os_error(-code));
                }
                // Number 1 opened the transaction: refused as a whole.
                if sequence == acknowledged || (sequence == 1 && code != 0) {
                    return first;
                }
            }
        }
    }

    /// How many rules a table has; none if there is no such table.
    pub(crate) fn count_rules(&self, table: &str) -> io::Result<usize> {
        send(self.0.as_raw_fd(), &Batch::list_rules(table), MsgFlags::empty())?;
        let mut buffer = vec![0; 65_536];
        let mut count = 0;
        loop {
            if !wait(&self.0, PATIENCE)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((kind, _, code, next)) = head(rest) {
                rest = next;
                match kind {
                    RULE => count += 1,
                    DONE => return Ok(count),
                    ERROR if code == -2 => return Ok(0), // ENOENT
                    ERROR if code != 0 => return Err(io::Error::from_raw_os_error(-code)),
                    _ => {}
                }
            }
        }
    }
}

/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// `NFT_MSG_NEWRULE` of nf_tables.
const RULE: u16 = 10 << 8 | 6;

/// Kind, sequence number and error code of a message, and what follows it.
fn head(bytes: &[u8]) -> Option<(u16, u32, i32, &[u8])> {
    let head: &[u8; 20] = bytes.first_chunk()?;
    let number = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
    let length = (u32::from_ne_bytes(number(0)) as usize).next_multiple_of(4).max(20);
    Some((
        u16::from_ne_bytes([head[4], head[5]]),
        u32::from_ne_bytes(number(8)),
        i32::from_ne_bytes(number(16)),
        bytes.get(length..).unwrap_or_default(),
    ))
}

/// Hears of every change of nftables, addresses, routes and policy rules in the namespace.
pub(crate) struct Watch {
    nft: OwnedFd,
    route: OwnedFd,
}

/// `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV4_RULE`, and those of IPv6.
const ROUTE_GROUPS: u32 = 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18;

impl Watch {
    /// Starts to listen.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            nft: open(SockProtocol::NetlinkNetFilter, GROUP)?,
            route: open(SockProtocol::NetlinkRoute, ROUTE_GROUPS)?,
        })
    }

    /// Waits for changes; forgets which.
    pub(crate) fn changed(&self, limit: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut both = [&self.nft, &self.route].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        match poll(&mut both, timeout) {
            Ok(0) | Err(Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        self.forget()?;
        Ok(true)
    }

    /// Throws away what is pending: it is about changes that are known. A lost message is a change too.
    pub(crate) fn forget(&self) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        for fd in [&self.nft, &self.route] {
            loop {
                match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

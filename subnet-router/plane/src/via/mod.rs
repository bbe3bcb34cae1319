//! 4via6: IPv6 addresses that name a site and an IPv4 address there, so that sites with the same IPv4 network can be told
//! apart (`net/tsaddr/tsaddr.go` of tailscale.com v1.102.5).
//!
//! The kernel cannot turn IPv6 packets into IPv4 ones without a module that no distribution has. So routes for these
//! addresses, and only they, lead to a TUN device of this program; what was translated comes back through it and is
//! routed, given this host's address as source and tracked by the kernel like any other. The official client ends
//! every connection in user space and dials anew instead; here connections stay between the two ends.

mod icmp;
mod table;
#[cfg(test)]
mod tests;
mod translate;

pub(crate) use table::POOL;
pub use table::join as via_address;

use crate::{PlaneError, host::netlink, netlink::Route};
use ipnet::IpNet;
use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};
use translate::Translator;
use tun_rs::{DeviceBuilder, InterruptEvent, SyncDevice};

/// The least that IPv6 works with; the tunnel has no more.
const MTU: u16 = 1280;
/// Largest IPv4 packet that is none too large as an IPv6 one.
pub(crate) const MTU_V4: u32 = 1260;
/// Longest name of an interface.
const NAME_MAX: usize = 15;
const SUFFIX: &str = "-via";
const STACK: usize = 128 << 10;

/// Whether a route is for such addresses of one site.
#[must_use]
pub fn is_via(net: &IpNet) -> bool {
    matches!(net.addr(), IpAddr::V6(ip) if table::split(ip).is_some()) && net.prefix_len() >= 128 - Ipv4Addr::BITS as u8
}

/// The name of the device that goes with an interface.
pub(crate) fn device(interface: &str) -> String {
    let room = interface.floor_char_boundary(NAME_MAX - SUFFIX.len());
    format!("{}{SUFFIX}", interface.get(..room).unwrap_or_default())
}

/// The device and its thread; both end when this is dropped.
pub(crate) struct Via {
    index: u32,
    wake: Arc<InterruptEvent>,
    stopped: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Via {
    /// Makes the device and takes it up.
    pub(crate) fn start(interface: &str) -> Result<Self, PlaneError> {
        let name = device(interface);
        let made = DeviceBuilder::new().name(&name).build_sync().and_then(|tun| {
            tun.set_nonblocking(true)?;
            Ok(tun)
        });
        let tun = made.map_err(|error| PlaneError::Tun { name: name.clone(), error })?;
        let mut route = Route::open().map_err(netlink("netlink socket"))?;
        let index = route.index(&name).map_err(netlink("interfaces"))?.unwrap_or_default();
        route.up(index, MTU).map_err(netlink("interface up"))?;
        let wake = Arc::new(InterruptEvent::new().map_err(PlaneError::Thread)?);
        let stopped = Arc::new(AtomicBool::new(false));
        let (event, flag) = (Arc::clone(&wake), Arc::clone(&stopped));
        let run = move || run(&tun, &event, &flag);
        let thread = thread::Builder::new().name("via".into()).stack_size(STACK).spawn(run);
        Ok(Self { index, wake, stopped, thread: Some(thread.map_err(PlaneError::Thread)?) })
    }

    /// The device was taken away.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// The device's number.
    pub(crate) const fn index(&self) -> u32 {
        self.index
    }
}

impl Drop for Via {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Err(error) = self.wake.trigger() {
            tracing::warn!(%error, "translator not woken");
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the translator had panicked");
        }
    }
}

fn run(tun: &SyncDevice, wake: &InterruptEvent, stopped: &AtomicBool) {
    let mut translator = Translator::default();
    let mut packet = vec![0; usize::from(MTU)];
    while !stopped.load(Ordering::Relaxed) {
        match tun.recv(&mut packet) {
            Ok(length) => translator.packet(packet.get(..length).unwrap_or_default(), |packet| {
                // A full queue loses it, as a network would.
                if let Err(error) = tun.send(packet) {
                    tracing::debug!(%error, "translated packet");
                }
            }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match tun.wait_readable_intr(wake) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return tracing::error!(%error, "the translator's device cannot be waited for any more");
                }
                _ => {}
            },
            Err(error) => return tracing::error!(%error, "the translator's device cannot be read any more"),
        }
    }
}

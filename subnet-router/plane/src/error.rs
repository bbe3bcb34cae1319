//! What can go wrong in a data plane.

use std::io;

/// A data plane could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaneError {
    /// The kernel has no WireGuard.
    #[error("the kernel has no WireGuard (module `wireguard`)")]
    NoKernelWireGuard,
    /// A TUN device could not be made.
    #[error("cannot make the TUN device {name}: {error}")]
    Tun {
        /// The interface's name.
        name: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A socket that steers packets between WireGuard, the relays and path discovery could not be opened.
    #[error("cannot open the {what} socket: {error}")]
    Socket {
        /// Which one.
        what: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// The UDP port could not be opened.
    #[error("cannot open UDP port {port}: {error}")]
    Port {
        /// The port; 0 is any.
        port: u16,
        /// The system's reason.
        error: io::Error,
    },
    /// The kernel refused a change.
    #[error("{what}: {error}")]
    Netlink {
        /// What was to be done.
        what: String,
        /// The kernel's reason.
        error: io::Error,
    },
    /// A file under `/proc/sys` could not be written.
    #[error("cannot set {name}: {error}")]
    Sysctl {
        /// The setting.
        name: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The interface was removed by somebody, and there is none in its place yet.
    #[error("the interface is gone")]
    Gone,
    /// There is no such peer.
    #[error("no such peer")]
    UnknownPeer,
    /// A datagram could not be sent.
    #[error("cannot send: {0}")]
    Send(io::Error),
    /// The operating system has no random numbers.
    #[error("no random numbers")]
    Random,
}

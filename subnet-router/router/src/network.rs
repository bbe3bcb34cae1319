//! The host's own place: addresses and networks of its interfaces, its name.
//!
//! Who cannot look, for want of files say, has not seen that anything is gone: such an error changes nothing.

use ipnet::IpNet;
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
};
use std::{io, net::IpAddr};

/// Addresses and networks of all interfaces but one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalNetwork {
    /// Addresses of interfaces that are up, loopback's too; sorted.
    pub addresses: Vec<IpAddr>,
    /// Networks they are in, hosts' own addresses and loopback's left out; sorted.
    pub attached: Vec<IpNet>,
}

impl LocalNetwork {
    /// Whether we are where we were: packets to others go out as before. Link-local addresses come and go with devices
    /// of containers, access points and bridges, through which no peer is reached.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        let outside = |ip: &&IpAddr| !ip.is_loopback() && !is_link_local(**ip);
        self.addresses.iter().filter(outside).eq(other.addresses.iter().filter(outside))
    }
}

const fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Looks. `tunnel` is the interface to leave out.
///
/// # Errors
/// The system's, when the interfaces cannot be read.
pub fn look(tunnel: &str) -> io::Result<LocalNetwork> {
    let mut found = LocalNetwork::default();
    for interface in getifaddrs()? {
        if interface.interface_name == tunnel || !interface.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        let ip = |address: Option<nix::sys::socket::SockaddrStorage>| -> Option<IpAddr> {
            let address = address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        };
        let Some(address) = ip(interface.address) else { continue };
        found.addresses.push(address);
        let link_local = address.is_ipv6() && is_link_local(address);
        if let Some(mask) = ip(interface.netmask)
            && !address.is_loopback()
            && !link_local
            && let Ok(net) = IpNet::with_netmask(address, mask)
            && net.prefix_len() < net.max_prefix_len()
        {
            found.attached.push(net.trunc());
        }
    }
    found.addresses.sort_unstable();
    found.addresses.dedup();
    found.attached.sort_unstable();
    found.attached.dedup();
    Ok(found)
}

/// Number of an interface that is up; `None` if there is no such one.
///
/// # Errors
/// The system's, when the interfaces cannot be read.
pub fn tunnel(name: &str) -> io::Result<Option<u32>> {
    // Every interface has an entry, with addresses or without.
    let up = getifaddrs()?
        .any(|interface| interface.interface_name == name && interface.flags.contains(InterfaceFlags::IFF_UP));
    if !up {
        return Ok(None);
    }
    match if_nametoindex(name) {
        Ok(index) => Ok(Some(index)),
        // It went between the two.
        Err(Errno::ENODEV | Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The interface of a data plane, as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// There is none, or it is down.
    Gone,
    /// It was made, and could not be looked at yet.
    Unseen,
    /// It has this number.
    Number(u32),
}

impl Link {
    /// That of a data plane just made.
    #[must_use]
    pub fn of(interface: &str) -> Self {
        match tunnel(interface) {
            Ok(Some(number)) => Self::Number(number),
            Ok(None) => Self::Gone,
            Err(_) => Self::Unseen,
        }
    }

    /// Whether it is still the same one, by what [`tunnel`] says now.
    pub fn stays(&mut self, seen: &io::Result<Option<u32>>) -> bool {
        match (*self, seen) {
            (Self::Gone, _) | (_, Ok(None)) => false,
            (_, Err(_)) => true,
            (Self::Number(before), Ok(Some(now))) => before == *now,
            (Self::Unseen, Ok(Some(now))) => {
                *self = Self::Number(*now);
                true
            }
        }
    }
}

/// The machine's host name.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs::File, process::Command};

    const INNER: &str = "HEARTHGATE_TEST_WITHOUT_FILES";

    #[test]
    fn who_has_no_more_files_does_not_know() {
        if env::var_os(INNER).is_some() {
            let mut link = Link::of("lo");
            assert!(matches!(link, Link::Number(_)), "{link:?}");
            let files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
            let (seen, made, all) = (tunnel("lo"), Link::of("lo"), look("ts0"));
            drop(files);
            assert!(seen.is_err() && all.is_err(), "{seen:?} {all:?}");
            assert!(link.stays(&seen));
            assert_eq!(made, Link::Unseen);
            assert!(look("ts0").is_ok_and(|all| !all.addresses.is_empty()));
            return;
        }
        // The limit is a process's own.
        let test = "network::tests::who_has_no_more_files_does_not_know";
        let script = format!("ulimit -n 32; {INNER}=1 exec \"$0\" --exact {test}");
        let run = Command::new("sh").args(["-c", &script]).arg(env::current_exe().unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn link_local_addresses_are_no_other_place() {
        let at = |addresses: &[&str]| LocalNetwork {
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            attached: Vec::new(),
        };
        let before = at(&["127.0.0.1", "192.0.2.7", "2001:db8::7", "fe80::1"]);
        assert!(before.same_place(&at(&[
            "127.0.0.1",
            "169.254.3.4",
            "192.0.2.7",
            "2001:db8::7",
            "fe80::1",
            "fe80::2"
        ])));
        assert!(before.same_place(&at(&["192.0.2.7", "2001:db8::7"])));
        assert!(!before.same_place(&at(&["127.0.0.1", "192.0.2.8", "2001:db8::7", "fe80::1"])));
        assert!(!before.same_place(&at(&["127.0.0.1", "192.0.2.7", "fe80::1"])));
    }

    #[test]
    fn an_interface_is_gone_when_that_is_seen() {
        let failed = || Err(io::Error::other("no files"));
        let mut link = Link::Number(7);
        assert!(link.stays(&Ok(Some(7))) && link.stays(&failed()));
        assert!(!link.stays(&Ok(None)), "removed or down");
        assert!(!link.stays(&Ok(Some(8))), "another one of its name");
        let mut link = Link::Unseen;
        assert!(link.stays(&failed()) && link.stays(&Ok(Some(7))));
        assert_eq!(link, Link::Number(7));
        assert!(!Link::Unseen.stays(&Ok(None)));
        assert!(!Link::Gone.stays(&failed()) && !Link::Gone.stays(&Ok(Some(7))), "there is no data plane");
        assert!(tunnel("no-such").is_ok_and(|number| number.is_none()));
    }
}

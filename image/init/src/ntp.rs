//! The time, from a time server: single-board computers have no clock that runs without power. One question and one
//! answer (RFC 5905 section 14, "SNTP"); asked again every few hours, which is what a crystal needs.

use crate::{clock, kernel, log, network};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::io::{self, Read as _};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// Asked when neither the kernel's command line (`hearthgate.ntp=`) nor DHCP (option 42) names a server, nor the router
/// answers.
const LAST_RESORT: &str = "time.cloudflare.com";
/// From 1900, where NTP begins, to 1970 (seconds).
const TO_1970: i64 = 2_208_988_800;
/// An era of NTP's 32 bits (seconds).
const ERA: i64 = 1 << 32;
const PORT: u16 = 123;
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two rounds while no server has answered.
const RETRY: Duration = Duration::from_secs(20);
/// Between two rounds afterwards.
const AGAIN: Duration = Duration::from_secs(4 * 3600);

/// The question; `cookie` comes back in the answer.
pub fn question(cookie: [u8; 8]) -> [u8; 48] {
    let mut packet = [0; 48];
    // No warning, version 4, client.
    packet[0] = 0x23;
    packet[40..].copy_from_slice(&cookie);
    packet
}

/// The server's time (nanoseconds since 1970) when it sent this; `None` if it is no answer to our question, or from a
/// server that does not know the time itself.
pub fn answer(packet: &[u8], cookie: [u8; 8]) -> Option<i64> {
    let (&first, &stratum) = (packet.first()?, packet.get(1)?);
    let from_server = first & 7 == 4;
    let synchronised = first >> 6 != 3 && (1..16).contains(&stratum);
    if !from_server || !synchronised || packet.get(24..32)? != cookie {
        return None;
    }
    let word = |at: usize| Some(i64::from(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?)));
    let (seconds, fraction) = (word(40)?, word(44)?);
    // Era 1 begins in 2036: without the highest bit it is that.
    let seconds = if seconds >> 31 == 0 { seconds + ERA } else { seconds } - TO_1970;
    Some(seconds * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32))
}

/// Asks one server.
fn ask(server: &str, port: u16) -> io::Result<i64> {
    let mut cookie = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut cookie)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((server, port))?;
    let asked = Instant::now();
    socket.send(&question(cookie))?;
    let mut packet = [0; 128];
    let n = socket.recv(&mut packet)?;
    let way = i64::try_from(asked.elapsed().as_nanos() / 2).unwrap_or(0);
    let sent = packet.get(..n).and_then(|packet| answer(packet, cookie));
    Ok(sent.ok_or_else(|| io::Error::other("not an answer"))? + way)
}

/// Whether a time (nanoseconds since 1970) can be right for a system of this age: not before its sources were made, and not
/// after its life. A time that was written down does not count: it may be that of a server that was wrong, and then no
/// other would ever be believed.
fn is_possible(nanoseconds: i64, built: i64) -> bool {
    (built..=built.saturating_add(clock::LIFE)).contains(&(nanoseconds / 1_000_000_000))
}

/// Sets the clock, for as long as the machine is on. `built` is when the system's sources were made (seconds since 1970).
/// A server with an impossible time is passed over.
pub fn run(built: i64) {
    loop {
        let known = servers().into_iter().find_map(|server| {
            let (name, port) = place(&server);
            let time = ask(name, port).ok().filter(|time| is_possible(*time, built))?;
            Some((time, server))
        });
        let Some((nanoseconds, server)) = known else {
            std::thread::sleep(RETRY);
            continue;
        };
        let now = clock_gettime(ClockId::Realtime);
        let off = nanoseconds - (now.tv_sec.saturating_mul(1_000_000_000) + now.tv_nsec);
        let time = Timespec { tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 };
        if clock_settime(ClockId::Realtime, time).is_ok() && off.abs() > 1_000_000_000 {
            log::say(&format!("the clock was {} s off, says {server}", off / 1_000_000_000));
        }
        std::thread::sleep(AGAIN);
    }
}

/// A name and its port, if one stands after it.
fn place(server: &str) -> (&str, u16) {
    let with_port = || {
        let (name, port) = server.split_once(':')?;
        Some((name, port.parse().ok()?))
    };
    with_port().unwrap_or((server, PORT))
}

fn servers() -> Vec<String> {
    if let Some(given) = kernel::argument("hearthgate.ntp") {
        return vec![given];
    }
    let mut servers = network::lease_words("/run/ntp");
    servers.extend(network::lease_words("/run/gateway"));
    servers.push(LAST_RESORT.to_owned());
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(cookie: [u8; 8], seconds: u32) -> Vec<u8> {
        let mut packet = vec![0x24, 2, 6, 0xec];
        packet.resize(24, 0);
        packet.extend_from_slice(&cookie);
        packet.resize(40, 0);
        packet.extend_from_slice(&seconds.to_be_bytes());
        packet.extend_from_slice(&0x8000_0000_u32.to_be_bytes());
        packet
    }

    #[test]
    fn only_a_server_that_knows_the_time_and_our_question_is_believed() {
        // 2026-11-21 08:00:00 UTC is 1795248000, by date(1).
        let good = reply([7; 8], 4_004_236_800);
        assert_eq!(answer(&good, [7; 8]), Some(1_795_248_000_500_000_000));
        // The second era: 2036-02-07 06:28:16 UTC is its beginning.
        assert_eq!(answer(&reply([7; 8], 0), [7; 8]), Some(2_085_978_496_500_000_000));
        assert_eq!(answer(&good, [8; 8]), None, "another question");
        for (at, byte) in [(0, 0xe4), (0, 0x23), (1, 0), (1, 16)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(answer(&bad, [7; 8]), None, "byte {at} = {byte:#x}");
        }
        for length in 0..good.len() {
            assert_eq!(answer(&good[..length], [7; 8]), None);
        }
    }

    #[test]
    fn a_time_before_the_system_or_long_after_it_is_not_believed() {
        let built = 1_795_248_000;
        for (seconds, possible) in
            [(built - 1, false), (built, true), (built + clock::LIFE, true), (built + clock::LIFE + 1, false)]
        {
            assert_eq!(is_possible(seconds * 1_000_000_000, built), possible, "{seconds}");
        }
    }

    #[test]
    fn a_port_may_stand_after_the_name() {
        assert_eq!(place("time.example"), ("time.example", 123));
        assert_eq!(place("10.0.2.2:18083"), ("10.0.2.2", 18_083));
        // A bare IPv6 address has no port: what lies behind its colons is no number of one.
        assert_eq!(place("2001:db8::1"), ("2001:db8::1", 123));
    }

    #[test]
    fn a_server_on_a_socket_is_asked() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || {
            let mut packet = [0; 64];
            let (n, from) = server.recv_from(&mut packet).unwrap();
            assert_eq!((n, packet[0] & 7), (48, 3));
            let reply = reply(packet[40..48].try_into().unwrap(), 4_004_236_800);
            server.send_to(&reply, from).unwrap();
        });
        let time = ask("127.0.0.1", port).unwrap();
        serving.join().unwrap();
        assert!((1_795_248_000_500_000_000..1_795_248_004_000_000_000).contains(&time), "{time}");
    }
}

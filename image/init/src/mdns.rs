//! `hearthgate.local` on the LAN: questions by multicast DNS for the address of this box are answered (RFC 6762), and
//! nothing else is. There is no probing for another box of the same name: the address is on the console and in the
//! router's list in any case.

use crate::{log, network};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// The name, as labels.
const NAME: [&[u8]; 2] = [b"hearthgate", b"local"];
/// How long others may keep the address (seconds, section 10).
const TTL: u32 = 120;
/// The same for those who ask as if this were usual DNS (section 6.7).
const LEGACY_TTL: u32 = 10;
/// Questions of a packet that are looked at.
const MAX_QUESTIONS: u16 = 16;
/// Labels and jumps that a name may have.
const MAX_LABELS: usize = 32;
/// Between two looks at whether the address is still the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same while there is none.
const NO_ADDRESS: Duration = Duration::from_millis(500);

const A: u16 = 1;
const AAAA: u16 = 28;
const NSEC: u16 = 47;
const ANY: u16 = 255;

/// An answer and whether it goes to the one who asked rather than to all.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The packet.
    pub bytes: Vec<u8>,
    /// To the one who asked only.
    pub unicast: bool,
}

/// What to say to a packet. `legacy`: it did not come from the port of multicast DNS.
pub fn answer(packet: &[u8], legacy: bool, address: Ipv4Addr) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    // A question of the standard kind, not an answer.
    if word(2)? & 0xf800 != 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..word(4)?.min(MAX_QUESTIONS) {
        let (ours, end) = is_our_name(packet, at)?;
        let (kind, class) = (word(end)?, word(end + 2)?);
        at = end + 4;
        if ours && matches!(kind, A | AAAA | ANY) && class & 0x7fff == 1 {
            return Some(Answer {
                bytes: reply(word(0)?, kind, legacy, address),
                unicast: legacy || class & 0x8000 != 0,
            });
        }
    }
    None
}

/// Whether the name that begins at `at` is ours, and where it ends.
fn is_our_name(packet: &[u8], at: usize) -> Option<(bool, usize)> {
    let (mut at, mut end, mut matched, mut ours) = (at, None, 0, true);
    for _ in 0..MAX_LABELS {
        let length = usize::from(*packet.get(at)?);
        match length {
            0 => return Some((ours && matched == NAME.len(), end.unwrap_or(at + 1))),
            1..=63 => {
                let label = packet.get(at + 1..at + 1 + length)?;
                ours &= NAME.get(matched).is_some_and(|name| label.eq_ignore_ascii_case(name));
                matched += 1;
                at += 1 + length;
            }
            // A jump backwards; the name ends where the first one stands.
            192.. => {
                end = end.or(Some(at + 2));
                let to = (length & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
                at = Some(to).filter(|to| *to < at)?;
            }
            _ => return None,
        }
    }
    None
}

fn name(out: &mut Vec<u8>) {
    for label in NAME {
        out.push(u8::try_from(label.len()).unwrap_or(0));
        out.extend_from_slice(label);
    }
    out.push(0);
}

/// Our address, or for IPv6 the word that there is only the other kind (section 6.1).
fn reply(id: u16, kind: u16, legacy: bool, address: Ipv4Addr) -> Vec<u8> {
    let mut out = if legacy { id.to_be_bytes().to_vec() } else { vec![0, 0] };
    out.extend_from_slice(&[0x84, 0, 0, u8::from(legacy), 0, 1, 0, 0, 0, 0]);
    if legacy {
        name(&mut out);
        out.extend_from_slice(&[kind.to_be_bytes(), [0, 1]].concat());
    }
    let kind = if kind == AAAA { NSEC } else { A };
    name(&mut out);
    out.extend_from_slice(&kind.to_be_bytes());
    // The highest bit: this record replaces all that were known. Usual DNS does not know it.
    out.extend_from_slice(if legacy { &[0, 1] } else { &[0x80, 1] });
    out.extend_from_slice(&(if legacy { LEGACY_TTL } else { TTL }).to_be_bytes());
    let mut data = Vec::new();
    if kind == NSEC {
        name(&mut data);
        // Block 0, one byte, the bit of type 1.
        data.extend_from_slice(&[0, 1, 0x40]);
    } else {
        data.extend_from_slice(&address.octets());
    }
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&data);
    out
}

/// Answers for as long as the machine is on.
pub fn run() {
    loop {
        let pause = match network::address().and_then(|text| text.parse().ok()).map(serve) {
            None => NO_ADDRESS,
            Some(Ok(())) => Duration::ZERO,
            Some(Err(error)) => {
                log::say(&format!("mDNS: {error}"));
                PATIENCE
            }
        };
        std::thread::sleep(pause);
    }
}

/// Answers until the address is another one.
fn serve(address: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    socket.join_multicast_v4(&GROUP, &address)?;
    rustix::net::sockopt::set_ip_multicast_if(&socket, &address)?;
    socket.set_multicast_ttl_v4(255)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Once unasked: those who knew an older address learn the new one (section 8.3).
    socket.send_to(&reply(0, A, false, address), (GROUP, PORT))?;
    let mut packet = [0; 1500];
    loop {
        let heard = match socket.recv_from(&mut packet) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(error);
            }
            heard => heard,
        };
        if let Ok((n, from)) = heard {
            let said = packet.get(..n).and_then(|packet| answer(packet, from.port() != PORT, address));
            if let Some(said) = said {
                let to = if said.unicast { from } else { SocketAddr::from((GROUP, PORT)) };
                // Who has gone since does not get it.
                let _ = socket.send_to(&said.bytes, to);
            }
        }
        if network::address().and_then(|text| text.parse().ok()) != Some(address) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 7);

    fn question(names: &[(&[u8], u16, u16)]) -> Vec<u8> {
        let mut packet = vec![0x12, 0x34, 0, 0, 0, names.len() as u8, 0, 0, 0, 0, 0, 0];
        for (name, kind, class) in names {
            packet.extend_from_slice(name);
            packet.extend_from_slice(&kind.to_be_bytes());
            packet.extend_from_slice(&class.to_be_bytes());
        }
        packet
    }

    const OURS: &[u8] = b"\x0aHearthGate\x05local\x00";

    #[test]
    fn the_address_is_told_in_the_words_of_rfc_6762() {
        let said = answer(&question(&[(OURS, A, 1)]), false, HERE).unwrap();
        assert!(!said.unicast);
        let want: &[u8] =
            b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x0ahearthgate\x05local\0\0\x01\x80\x01\0\0\0\x78\0\x04\xc0\xa8\x01\x07";
        assert_eq!(said.bytes, want);
        assert!(answer(&question(&[(OURS, A, 0x8001)]), false, HERE).unwrap().unicast);
        let legacy = answer(&question(&[(OURS, A, 1)]), true, HERE).unwrap();
        assert!(legacy.unicast && legacy.bytes.starts_with(&[0x12, 0x34, 0x84, 0, 0, 1, 0, 1]));
        let none = answer(&question(&[(OURS, AAAA, 1)]), false, HERE).unwrap();
        assert!(none.bytes.ends_with(b"\x0ahearthgate\x05local\0\0\x01\x40"));
    }

    #[test]
    fn a_name_by_a_jump_is_found_and_foreign_ones_are_left_alone() {
        // The second question's name ends in a jump to "local" of the first.
        let first: &[u8] = b"\x04else\x05local\x00";
        let second: &[u8] = b"\x0ahearthgate\xc0\x11";
        assert!(answer(&question(&[(first, A, 1), (second, A, 1)]), false, HERE).is_some());
        for name in [first, b"\x0ahearthgate\x00", b"\x0ahearthgate\x05local\x03lan\x00", b"\x0ahearthgate\xc0\x0c"] {
            assert_eq!(answer(&question(&[(name, A, 1)]), false, HERE), None, "{name:?}");
        }
        assert_eq!(answer(&question(&[(OURS, 16, 1)]), false, HERE), None, "TXT");
        let mut reply = question(&[(OURS, A, 1)]);
        reply[2] = 0x84;
        assert_eq!(answer(&reply, false, HERE), None, "an answer is not answered");
        let whole = question(&[(OURS, A, 1)]);
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length], false, HERE), None);
        }
    }
}

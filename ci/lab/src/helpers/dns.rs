//! A DNS server (RFC 1035) that answers every A question with one address, and everything else
//! with no records.

use std::net::{Ipv4Addr, UdpSocket};

use super::argument;
use crate::outcome::{Failure, Outcome};

/// Role name: `__dns ADDRESS:PORT ANSWER`.
pub const COMMAND: &str = "__dns";

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

/// Answers one question after another.
pub fn serve(arguments: &[String]) -> Outcome {
    let socket = UdpSocket::bind(argument(arguments, 0)?)?;
    let address: Ipv4Addr = argument(arguments, 1)?.parse().map_err(|e| Failure(format!("answer address: {e}")))?;
    let mut buffer = [0_u8; 1500];
    loop {
        let (count, from) = socket.recv_from(&mut buffer)?;
        let reply = buffer.get(..count).and_then(|query| reply(query, address));
        let sent = reply.as_deref().map(|reply| socket.send_to(reply, from));
        eprintln!("{count} bytes from {from}: {sent:?}");
    }
}

/// The answer to one query, or none if it is not a query with one question.
fn reply(query: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    if query.get(4..6)? != [0, 1] || query.get(2)? & 0x80 != 0 {
        return None;
    }
    let mut end = HEADER;
    loop {
        let length = usize::from(*query.get(end)?);
        end += 1 + length;
        match length {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    let kind = query.get(end..end + 2)?;
    let question = query.get(HEADER..end + 4)?;
    let answers = u8::from(kind == TYPE_A);
    let mut reply = query.get(..2)?.to_vec();
    // A reply, authoritative, recursion desired and available, no error.
    reply.extend([0x85, 0x80, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(question);
    if answers == 1 {
        // Name by pointer to the question; class IN, 60 s, four bytes.
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04corp\x00\x00\x01\x00\x01";

    #[test]
    fn an_a_question_gets_the_address() {
        let reply = reply(QUERY, Ipv4Addr::new(192, 0, 2, 9)).unwrap();
        assert_eq!(reply.get(..2), QUERY.get(..2));
        assert_eq!(reply.get(6..8), Some(&[0, 1][..]));
        assert!(reply.ends_with(&[0, 4, 192, 0, 2, 9]));
    }

    #[test]
    fn another_question_gets_none_and_garbage_no_reply() {
        let mut other = QUERY.to_vec();
        let at = other.len() - 3;
        if let Some(byte) = other.get_mut(at) {
            *byte = 28;
        }
        let reply_to_other = reply(&other, Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(reply_to_other.get(6..8), Some(&[0, 0][..]));
        assert!(reply(QUERY.get(..20).unwrap(), Ipv4Addr::LOCALHOST).is_none());
        assert!(reply(b"", Ipv4Addr::LOCALHOST).is_none());
    }
}

//! Messages as dnspython 2.9 makes them (without compression), and answers as it and strangers give them.

use hearthgate_dns_update::{AnswerError, Change, Key, Name, Sent, Update};
use proptest::prelude::*;

const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const TEXT: &str = "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM";
const NOW: u64 = 1_700_000_000;

const SET: &str = "123428000001000000020001036e6574076578616d706c65036f726700000600010f5f61636d652d6368616c6c656e67\
    650161036e6574076578616d706c65036f726700001000ff0000000000000f5f61636d652d6368616c6c656e67650161036e6574076578\
    616d706c65036f726700001000010000003c002c2b4c4844684b336f4752766b696566516e78374f4f637a5459355469635f785a364863\
    4d4f635f676d746f4d0a686561727468676174650000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c00201b\
    505e40f6485badeb440972205aae5c27628eacdfc6b51c68db650840a84507123400000000";
const REMOVE: &str = "123428000001000000010001036e6574076578616d706c65036f726700000600010f5f61636d652d6368616c6c656\
    e67650161036e6574076578616d706c65036f726700001000fe00000000002c2b4c4844684b336f4752766b696566516e78374f4f637a54\
    59355469635f785a3648634d4f635f676d746f4d0a686561727468676174650000fa00ff00000000003d0b686d61632d7368613235360000\
    006553f100012c002060d239617e6d7482d3218d1754ca1c4d72a140f74fb9ac0d8889efeea57a7a06123400000000";
const ADDRESSES: &str = "123428000001000000040001036e6574076578616d706c65036f726700000600010161036e6574076578616d706c\
    65036f726700000100ff0000000000000161036e6574076578616d706c65036f726700000100010000003c0004cb0071070161036e6574076\
    578616d706c65036f726700001c00ff0000000000000161036e6574076578616d706c65036f726700001c00010000003c001020010db80000\
    000000000000000000070a686561727468676174650000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c00209c1\
    fc185f359aeb12b029022b93f8303fbf1821359771d5b6406972461c4309f123400000000";
/// Answers to SET.
const DONE: &str = "1234a8000001000000000001036e6574076578616d706c65036f726700000600010a686561727468676174650000fa\
    00ff00000000003d0b686d61632d7368613235360000006553f100012c0020d5b4570ba562ec2e90f14e71c77b32ef8820fe942c4ccc7b\
    281af1ce5999c38f123400000000";
const REFUSED: &str = "1234a8050001000000000001036e6574076578616d706c65036f726700000600010a686561727468676174650000\
    fa00ff00000000003d0b686d61632d7368613235360000006553f100012c0020d0b952d5ed6959efc36ffaa2b02a0412f0a53653fc081d\
    ea8f0cdef8a57f8d19123400000000";

/// An update of both addresses of a host.
fn host(v4: Option<[u8; 4]>, v6: Option<&str>) -> Sent {
    let (zone, name) = (Name::parse("net.example.org").unwrap(), Name::parse("a.net.example.org").unwrap());
    let change = Change::Addresses(v4.map(Into::into), v6.map(|ip| ip.parse().unwrap()), 60);
    Update { zone: &zone, name: &name, change }.encode(0x1234, &key(), NOW).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn key() -> Key {
    Key::new("hearthgate", SECRET).unwrap()
}

fn sent(change: Change<'_>) -> Sent {
    let (zone, name) = (Name::parse("net.example.org"), Name::parse("_acme-challenge.a.net.example.org"));
    Update { zone: &zone.unwrap(), name: &name.unwrap(), change }.encode(0x1234, &key(), NOW).unwrap()
}

#[test]
fn updates_are_what_another_library_makes() {
    assert_eq!(sent(Change::Set(TEXT, 60)).bytes, bytes(SET));
    assert_eq!(sent(Change::Remove(TEXT)).bytes, bytes(REMOVE));
    assert_eq!(host(Some([203, 0, 113, 7]), Some("2001:db8::7")).bytes, bytes(ADDRESSES));
    // IPv4 as before, then any AAAA is deleted: type 28, class ANY, no TTL, no data (RFC 2136, section 2.5.2).
    let name = Name::parse("a.net.example.org").unwrap();
    let change = Change::OnlyIpv4([203, 0, 113, 7].into(), 60);
    let zone = Name::parse("net.example.org").unwrap();
    let only = Update { zone: &zone, name: &name, change }.encode(0x1234, &key(), NOW).unwrap().bytes;
    const ZONE: &[u8] = b"\x03net\x07example\x03org\0";
    let owner = [b"\x01a", ZONE].concat();
    let (v4, begin) = (host(Some([203, 0, 113, 7]), None).bytes, 12 + ZONE.len() + 4);
    let records = 2 * (owner.len() + 10) + 4;
    assert_eq!(only[8..10], [0, 3]);
    assert_eq!(only[begin..begin + records], v4[begin..begin + records]);
    let gone = [owner.as_slice(), &[0, 28, 0, 255, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(only[begin + records..begin + records + gone.len()], gone);
    // One family: the other is not touched.
    let one = host(None, Some("2001:db8::7")).bytes;
    assert_eq!(one[8..10], [0, 2]);
    assert!(!one.windows(4).any(|w| w == [203, 0, 113, 7]));
    let name = Name::parse("a.example.org").unwrap();
    let long = "x".repeat(256);
    assert!(Update { zone: &name, name: &name, change: Change::Set(&long, 60) }.encode(1, &key(), NOW).is_none());
}

#[test]
fn answers_count_only_with_the_right_signature() {
    let sent = sent(Change::Set(TEXT, 60));
    let (done, refused) = (bytes(DONE), bytes(REFUSED));
    assert_eq!(sent.accepts(&done, &key(), NOW + 200), Ok(()));
    assert!(
        matches!(sent.accepts(&refused, &key(), NOW), Err(e @ AnswerError::Refused(_)) if e.stays() && e.to_string().contains("REFUSED"))
    );
    assert_eq!(sent.accepts(&done, &key(), NOW + 301), Err(AnswerError::Clock));
    let other = Key::new("hearthgate", "MTEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    assert!(matches!(sent.accepts(&done, &other, NOW), Err(AnswerError::Unsigned(_))));
    let renamed = Key::new("somebody", SECRET).unwrap();
    assert!(matches!(sent.accepts(&done, &renamed, NOW), Err(AnswerError::Unsigned(_))));
    // A refusal whose code was turned into success on the way.
    let mut forged = refused;
    forged[3] = 0;
    assert!(matches!(sent.accepts(&forged, &key(), NOW), Err(AnswerError::Unsigned(_))));
    // An answer to another of our messages: its signature was over that one's.
    let removal = self::sent(Change::Remove(TEXT));
    assert!(matches!(removal.accepts(&done, &key(), NOW), Err(AnswerError::Unsigned(_))));
}

#[test]
fn unsigned_cut_and_foreign_answers_are_told_apart() {
    let sent = sent(Change::Set(TEXT, 60));
    let judge = |answer: &[u8]| sent.accepts(answer, &key(), NOW).unwrap_err();
    assert!(matches!(judge(&[0x12, 0x34, 0xa8, 5, 0, 0, 0, 0, 0, 0, 0, 0]), AnswerError::Unsigned(_)));
    assert_eq!(judge(&[0x12, 0x34, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0]), AnswerError::Truncated);
    assert_eq!(judge(&[0x12, 0x35, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0]), AnswerError::Foreign);
    // Our own message sent back.
    assert_eq!(judge(&sent.bytes), AnswerError::Foreign);
    assert_eq!(judge(&[]), AnswerError::Foreign);
    // BADKEY, as name servers say it: a signature record without a signature.
    let mut bad_key = bytes("1234a8090001000000000001036e6574076578616d706c65036f72670000060001");
    bad_key.extend(bytes("0a686561727468676174650000fa00ff00000000001d0b686d61632d7368613235360000006553f100012c0000"));
    bad_key.extend(bytes("123400110000"));
    assert!(matches!(judge(&bad_key), e @ AnswerError::Unsigned(_) if e.stays() && e.to_string().contains("BADKEY")));
}

proptest! {
    #[test]
    fn no_answer_of_a_stranger_is_accepted(at in 0usize..116, bit in 0u8..8, cut in 0usize..117, tail: Vec<u8>) {
        let sent = sent(Change::Set(TEXT, 60));
        let mut answer = bytes(DONE);
        answer[at] ^= 1 << bit;
        // The case of letters in the names of key and algorithm is the one thing that may differ.
        if sent.accepts(&answer, &key(), NOW).is_ok() {
            prop_assert!(bit == 5 && ((34..44).contains(&at) || (56..67).contains(&at)), "byte {at}, bit {bit}");
        }
        answer.truncate(cut);
        answer.extend(&tail);
        let _ = sent.accepts(&answer, &key(), NOW);
        prop_assert!(sent.accepts(&tail, &key(), NOW).is_err());
    }
}

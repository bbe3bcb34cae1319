//! Records survive every way of being cut, and nothing that a stranger sends does more than fail.

use hearthgate_keys::MachinePrivate;
use hearthgate_noise::{
    EARLY_MAGIC, Initiator, MAX_PLAINTEXT, MAX_RECORD, Opener, RECORD_HEADER, RecordError, Sealer, TAG_LEN,
    encode_early, parse_early_head, respond,
};
use proptest::prelude::*;

/// The client's sealer and the server's opener of one session.
fn pair() -> (Sealer, Opener) {
    let (client, server) = (MachinePrivate::from_random([7; 32]), MachinePrivate::from_random([8; 32]));
    let (initiator, initiation) = Initiator::start(&client, &server.public(), 148, None).unwrap();
    let accepted = respond(&server, &initiation).unwrap();
    (initiator.finish(&accepted.response).unwrap().sealer, accepted.session.opener)
}

/// Opens whatever is whole in `input` and leaves the rest there.
fn open_all(opener: &mut Opener, input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), RecordError> {
    while let Some((used, text)) = opener.open(input)? {
        out.extend_from_slice(&input[text]);
        input.drain(..used);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_writes_arrive_whole_through_any_cuts(
        writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9000), 1..6),
        cuts in prop::collection::vec(1usize..6000, 1..20),
    ) {
        let (mut sealer, mut opener) = pair();
        let mut wire = Vec::new();
        for write in &writes {
            let before = wire.len();
            sealer.seal(write, &mut wire).unwrap();
            let records = write.len().div_ceil(MAX_PLAINTEXT);
            prop_assert_eq!(wire.len() - before, write.len() + records * (RECORD_HEADER + TAG_LEN));
        }
        let (mut input, mut got, mut at) = (Vec::new(), Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            if at == wire.len() {
                break;
            }
            let end = (at + cut).min(wire.len());
            input.extend_from_slice(&wire[at..end]);
            at = end;
            open_all(&mut opener, &mut input, &mut got).unwrap();
            prop_assert!(input.len() < MAX_RECORD, "a whole record was left lying");
        }
        prop_assert_eq!(got, writes.concat());
        prop_assert!(input.is_empty());
    }

    #[test]
    fn a_changed_bit_is_never_plaintext(plain in prop::collection::vec(any::<u8>(), 1..5000), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (mut sealer, mut opener) = pair();
        let mut wire = Vec::new();
        sealer.seal(&plain, &mut wire).unwrap();
        let at = at.index(wire.len());
        wire[at] ^= 1 << bit;
        let mut got = Vec::new();
        let opened = open_all(&mut opener, &mut wire, &mut got);
        // A changed length may leave the record waiting for more, which is no plaintext either.
        prop_assert!(opened.is_err() || got.len() < plain.len());
        prop_assert!(plain.starts_with(&got), "only what came before the change is given out");
    }

    #[test]
    fn garbage_only_fails(mut bytes in prop::collection::vec(any::<u8>(), 0..5000), header in any::<bool>()) {
        let (_, mut opener) = pair();
        if header && bytes.len() >= 3 {
            bytes[0] = 4;
            bytes[1] &= 0x0f;
        }
        match opener.open(&mut bytes) {
            Ok(None) => prop_assert!(bytes.len() < MAX_RECORD),
            Ok(Some(_)) => prop_assert!(false, "garbage opened"),
            Err(e) => prop_assert!(e != RecordError::Exhausted),
        }
        prop_assert!(respond(&MachinePrivate::from_random([8; 32]), &bytes).is_err());
    }

    #[test]
    fn early_payloads_say_their_length(json in prop::collection::vec(any::<u8>(), 0..2000), other in any::<[u8; 9]>()) {
        let out = encode_early(&json);
        let head: [u8; 9] = out[..9].try_into().unwrap();
        prop_assert_eq!(parse_early_head(&head), Some(json.len()));
        prop_assert_eq!(&out[9..], &json[..]);
        prop_assert_eq!(parse_early_head(&other).is_some(), other.starts_with(&EARLY_MAGIC));
    }
}

#[test]
fn records_out_of_order_or_twice_are_refused() {
    let (mut sealer, mut opener) = pair();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    sealer.seal(b"first", &mut first).unwrap();
    sealer.seal(b"second", &mut second).unwrap();
    let mut early = second.clone();
    assert_eq!(opener.open(&mut early), Err(RecordError::Forged));
    let (mut sealer, mut opener) = pair();
    first.clear();
    sealer.seal(b"first", &mut first).unwrap();
    let mut replay = first.clone();
    assert!(opener.open(&mut first).unwrap().is_some());
    assert_eq!(opener.open(&mut replay), Err(RecordError::Forged));
}

#[test]
fn a_write_of_nothing_is_no_record() {
    let (mut sealer, mut opener) = pair();
    let mut wire = Vec::new();
    sealer.seal(&[], &mut wire).unwrap();
    assert!(wire.is_empty());
    assert_eq!(opener.open(&mut wire).unwrap(), None);
}

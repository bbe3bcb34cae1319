//! Whatever arrives, nothing panics; whatever is made is read back.

use hearthgate_disco::{Envelope, Message, Ping, demux, geneve::Header, seal, tsmp::Tsmp};
use hearthgate_keys::{DiscoPrivate, NodePublic};
use proptest::prelude::*;

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..12,
                                version in 0u8..2) {
        let _ = Message::parse(&bytes);
        let _ = Message::parse(&[&[kind, version][..], &bytes].concat());
        let _ = demux::kind(&bytes);
        let _ = Header::parse(&bytes);
        let _ = Tsmp::parse(&bytes);
        let _ = Tsmp::parse(&[&[[b'!', b'p', b'o', b'a'][usize::from(kind % 4)]][..], &bytes].concat());
        if let Some(envelope) = Envelope::parse(&[&hearthgate_disco::MAGIC[..], &bytes].concat()) {
            let _ = envelope.open(&DiscoPrivate::from_random([7; 32]).shared(&envelope.sender));
        }
    }

    #[test]
    fn what_parses_survives_a_round_trip(body in prop::collection::vec(any::<u8>(), 0..400), kind in 1u8..10) {
        if let Ok(message) = Message::parse(&[&[kind, 0][..], &body].concat()) {
            prop_assert_eq!(Message::parse(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn only_the_receiver_opens(a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), c in any::<[u8; 32]>(),
                               txid in any::<[u8; 12]>(), node in any::<[u8; 32]>(), nonce in any::<[u8; 24]>()) {
        let [a, b, c] = [a, b, c].map(DiscoPrivate::from_random);
        prop_assume!(b.public() != c.public());
        let message = Message::Ping(Ping { txid, node: Some(NodePublic::from_bytes(node)), padding: 0 });
        prop_assume!(node != [0; 32]);
        let packet = seal(&a.public(), &a.shared(&b.public()), &nonce, &message);
        let envelope = Envelope::parse(&packet).unwrap();
        prop_assert_eq!(envelope.open(&b.shared(&a.public())).unwrap(), message);
        prop_assert!(envelope.open(&c.shared(&a.public())).is_err());
    }
}

//! What a front and its boxes read: the pairing line that a person pastes, the messages of the tunnel.

use crate::Target;
use hearthgate_front::{
    Boxes, Line, PairingSecret,
    messages::{Hello, MayRelay, Reached, Welcome, Wish},
};
use hearthgate_keys::MachinePublic;

fn line() -> Line {
    let secret = PairingSecret::from_random([5; 16]);
    Line::new("front.example.org:443", MachinePublic::from_bytes([7; 32]), secret).expect("a good address")
}

pub(crate) const LINE: Target = Target {
    name: "front-line",
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        // As a line, and, because of the checksum in one, as the address in a good line.
        let made = Line::new(text, MachinePublic::from_bytes([7; 32]), PairingSecret::from_random([5; 16]));
        for line in [text.parse::<Line>(), made].into_iter().flatten() {
            assert!(line.host_and_port().1 > 0);
            assert_eq!(line.reveal().parse::<Line>(), Ok(line));
        }
    },
    seeds: || {
        let whole = line().reveal().into_bytes();
        vec![whole.clone(), whole[..60].to_vec(), b"[2001:db8::1]:443".to_vec(), b"a.example:1".to_vec()]
    },
};

pub(crate) const MESSAGES: Target = Target {
    name: "front-messages",
    run: |data| {
        let _ = (serde_json::from_slice::<Welcome>(data), serde_json::from_slice::<MayRelay>(data));
        let _ = (serde_json::from_slice::<Wish>(data), serde_json::from_slice::<Reached>(data));
        let Ok(hello) = serde_json::from_slice::<Hello>(data) else { return };
        let mut boxes = Boxes::default();
        boxes.invite(&PairingSecret::from_random([5; 16]), 0);
        let key = MachinePublic::from_bytes([7; 32]);
        if boxes.admit(key, &hello, 1).is_ok() {
            assert!(boxes.all().iter().all(|b| boxes.for_name(Some(&b.host)) == Some(key)));
            assert!(boxes.admit(MachinePublic::from_bytes([8; 32]), &hello, 1).is_err(), "a secret worked twice");
        }
    },
    seeds: || {
        let secret = PairingSecret::from_random([5; 16]).reveal();
        let hello = Hello { version: 1, host: "vpn.example.org".into(), secret, wishes: true };
        let welcome = Welcome { stun_port: 3478, ..Welcome::default() };
        vec![
            serde_json::to_vec(&hello).unwrap_or_default(),
            serde_json::to_vec(&welcome).unwrap_or_default(),
            br#"{"allow":true}"#.to_vec(),
            br#"{"tcp_port":443,"stun_port":3478}"#.to_vec(),
            br#"{"address":"203.0.113.7","tcp_port":443,"tcp":"answered","key":"mkey:00","stun_port":3478,"stun":"silent"}"#
                .to_vec(),
        ]
    },
};

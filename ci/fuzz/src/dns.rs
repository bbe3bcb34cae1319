//! What a name server answers to a dynamic update.

use crate::Target;
use hearthgate_dns_update::{Change, Key, Name, Sent, Update};

/// When the answer of the seeds was signed.
const NOW: u64 = 1_700_000_000;

fn sent() -> (Sent, Key) {
    let key = Key::new("hearthgate", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").expect("a good key");
    let name = |text| Name::parse(text).expect("a good name");
    let (zone, name) = (name("net.example.org"), name("_acme-challenge.a.net.example.org"));
    let change = Change::Set("LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM", 60);
    let sent = Update { zone: &zone, name: &name, change }.encode(0x1234, &key, NOW).expect("a short text");
    (sent, key)
}

/// A good answer.
fn done() -> Vec<u8> {
    let mut out = b"\x12\x34\xa8\0\0\x01\0\0\0\0\0\x01\x03net\x07example\x03org\0\0\x06\0\x01\x0ahearthgate\0".to_vec();
    out.extend(b"\0\xfa\0\xff\0\0\0\0\0\x3d\x0bhmac-sha256\0\0\0\x65\x53\xf1\0\x01\x2c\0\x20");
    out.extend(b"\xd5\xb4\x57\x0b\xa5\x62\xec\x2e\x90\xf1\x4e\x71\xc7\x7b\x32\xef");
    out.extend(b"\x88\x20\xfe\x94\x2c\x4c\xcc\x7b\x28\x1a\xf1\xce\x59\x99\xc3\x8f\x12\x34\0\0\0\0");
    out
}

pub(crate) const UPDATE_ANSWER: Target = Target {
    name: "dns-update-answer",
    run: |data| {
        let (sent, key) = sent();
        // Nobody who does not have the key makes an answer that counts, except by saying the same again.
        if sent.accepts(data, &key, NOW).is_ok() {
            assert!(data.eq_ignore_ascii_case(&done()));
        }
    },
    seeds: || {
        let done = done();
        assert!(sent().0.accepts(&done, &sent().1, NOW).is_ok());
        // A name that is told by a pointer, and one that leads to itself.
        let mut pointer = done.clone();
        pointer.splice(33..45, *b"\xc0\x0c");
        let mut circle = done.clone();
        circle.splice(33..45, *b"\xc0\x21");
        vec![done, pointer, circle, sent().0.bytes]
    },
};

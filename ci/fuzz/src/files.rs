//! Files that people bring: policies, another server's database, upgrades.

use crate::Target;
use hearthgate_import::headscale;
use hearthgate_policy::{answer_line, check_answer, plain_json};
use hearthgate_slots::{Feed, Record, feed};
use hearthgate_usign::SecretKey;

pub(crate) const POLICY: Target = Target {
    name: "policy",
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let first = check_answer(text, None);
        assert!(first.get("ok").is_some(), "accepted or refused");
        // Comments and trailing commas say nothing.
        if let Some(plain) = plain_json(text) {
            assert_eq!(check_answer(&plain.to_string(), None)["ok"], first["ok"]);
        }
        let topology = serde_json::json!({
            "users": [{"id": 1, "name": "anna", "email": "anna@example.com"}],
            "nodes": {"a": {"hostname": "a", "tags": ["tag:web"], "ipv4": "100.64.0.1", "ipv6": "fd7a:115c:a1e0::1"},
                      "b": {"hostname": "b", "user": "anna", "ipv4": "100.64.0.2", "routable_ips": ["10.0.0.0/8"]}},
        });
        let line = serde_json::json!({"id": "1", "cmd": "eval", "policy": text, "topology": topology}).to_string();
        let _ = answer_line(&line);
    },
    seeds: || {
        let texts = [
            r#"{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]} // all"#,
            r#"{"groups": {"group:g": ["anna@example.com"]}, "tagOwners": {"tag:web": ["group:g"]},
                "grants": [{"src": ["group:g"], "dst": ["tag:web"], "ip": ["tcp:443", "icmp:*"], "app": {"x.y/z": [{}]}}],
                "hosts": {"h": "10.0.0.0/8"}, "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:web"]}, "exitNode": []}}"#,
            r#"{"ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"],
                "checkPeriod": "12h"}], "nodeAttrs": [{"target": ["*"], "attr": ["funnel"]}],
                "postures": {"posture:p": ["node:os == 'linux'"]}, "ipsets": {"ipset:i": ["10.0.0.0/8", "remove 10.1.0.0/16"]},
                "tests": [{"src": "anna@example.com", "accept": ["tag:web:443"]}],}"#,
        ];
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    },
};

pub(crate) const HEADSCALE: Target = Target {
    name: "headscale-database",
    run: |data| {
        let Ok(now) = "2026-11-21T08:00:00Z".parse() else { return };
        let _ = headscale::read(data, None, now);
        // As a write-ahead log of nothing.
        let _ = headscale::read(&[], Some(data), now);
    },
    seeds: || {
        let mut page = b"SQLite format 3\0".to_vec();
        page.extend([2, 0, 1, 1, 0, 64, 32, 32]);
        page.resize(100, 0);
        page.extend([13, 0, 0, 0, 0, 2, 0, 0]);
        page.resize(512, 0);
        vec![page, vec![0x37, 0x7f, 0x06, 0x82, 0, 0x2d, 0xe2, 0x18]]
    },
};

pub(crate) const SLOTS: Target = Target {
    name: "slots",
    run: |data| {
        if let Some(record) = Record::decode(data) {
            assert_eq!(Record::decode(&record.encode()).map(|r| r.encode()), Some(record.encode()));
        }
    },
    seeds: || vec![vec![0; 512], b"hearthgate".to_vec()],
};

/// Under a good signature, which a fuzzer does not find: what a feed's text may do to whoever believes its signer.
pub(crate) const FEED: Target = Target {
    name: "feed",
    run: |data| {
        let key = SecretKey::from_seed([1; 32], [2; 8]).expect("32 bytes are a key");
        assert!(Feed::check(data, &key.public()).is_err(), "nothing is believed unsigned");
        let signed = [key.sign(data).as_bytes(), data].concat();
        if let Ok(feed) = Feed::check(&signed, &key.public()) {
            let again = feed.sign(&key).map(|text| Feed::check(text.as_bytes(), &key.public()));
            assert_eq!(again, Some(Ok(feed.clone())));
            for file in &feed.files {
                let url = feed::beside("https://x/y/feed", &file.name);
                assert!(
                    url.starts_with("https://x/y/") && !url.contains("/..") && !url.contains(['\'', ' ', ';', '$'])
                );
            }
        }
    },
    seeds: || {
        let sum = "a5".repeat(32);
        let text = format!("hearthgate-feed 1\nversion 0.2.0\nmade 5\nfile aarch64.hgu images/a.hgu 7 {sum}\n");
        vec![text.into_bytes(), b"hearthgate-feed 2\n".to_vec()]
    },
};

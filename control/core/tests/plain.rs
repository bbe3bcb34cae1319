//! Devices without a client: what is kept of them, and what they are told.

mod support;

use hearthgate_core::{Fact, PLAIN_DEVICES_MAX, PlainAccess, PlainSettings, Settings};
use support::Lab;

const ACCESS: PlainAccess = PlainAccess { lan: true, internet: false, tailnet: false };

fn lab(network: &str, endpoint: &str) -> Lab {
    let mut lab = Lab::new();
    let plain = PlainSettings {
        network: network.parse().unwrap(),
        endpoint: endpoint.into(),
        port: 51820,
        dns: vec!["192.168.1.1".parse().unwrap()],
        lan: vec!["192.168.1.0/24".parse().unwrap()],
    };
    let settings = Settings {
        plain: Some(plain),
        server_url: "http://192.168.1.1:8080".into(),
        ..Settings::clone(lab.world.settings())
    };
    lab.world.set_settings(settings);
    lab
}

fn add(lab: &mut Lab, name: &str, access: PlainAccess) -> Result<String, String> {
    // Different each time, as a real source would be.
    lab.now.mono_ms += 1;
    let mut next = lab.now.mono_ms;
    let mut random = move |out: &mut [u8]| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        out.iter_mut().zip(next.to_be_bytes().into_iter().cycle()).for_each(|(byte, seed)| *byte = seed);
    };
    let added = lab.world.add_plain_device(name, access, lab.now, &mut random);
    added.map(|(_, text)| text.reveal().to_owned()).map_err(|e| e.to_string())
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(" = ")).unwrap_or_default()
}

#[test]
fn a_configuration_has_what_a_device_needs() {
    let mut lab = lab("10.9.9.0/24", "home.example.org");
    let text = add(&mut lab, "tv", ACCESS).unwrap();
    let (v4, v6) = line(&text, "Address").split_once(", ").unwrap();
    assert_eq!(v4, "10.9.9.2/32");
    assert!(v6.starts_with("fd") && v6.ends_with(":a09:902/128"), "{v6}");
    assert_eq!(line(&text, "Endpoint"), "home.example.org:51820");
    assert_eq!(line(&text, "AllowedIPs"), "192.168.1.0/24");
    assert_eq!(line(&text, "DNS"), "192.168.1.1");
    let more = add(&mut lab, "phone", PlainAccess { tailnet: true, ..ACCESS }).unwrap();
    assert!(line(&more, "Address").starts_with("10.9.9.3/32, "));
    assert_eq!(line(&more, "AllowedIPs"), "192.168.1.0/24, 100.64.0.0/10, fd7a:115c:a1e0::/48");
    assert_eq!(line(&more, "PublicKey"), line(&text, "PublicKey"), "the box has one key");
    assert_ne!(line(&more, "PrivateKey"), line(&text, "PrivateKey"));
    let all = add(&mut lab, "tablet", PlainAccess { internet: true, ..ACCESS }).unwrap();
    assert_eq!(line(&all, "AllowedIPs"), "0.0.0.0/0, ::/0");
}

#[test]
fn the_endpoint_is_the_servers_host_unless_another_is_named() {
    assert_eq!(line(&add(&mut lab("10.9.9.0/24", ""), "tv", ACCESS).unwrap(), "Endpoint"), "192.168.1.1:51820");
    assert_eq!(
        line(&add(&mut lab("10.9.9.0/24", "2001:db8::1"), "tv", ACCESS).unwrap(), "Endpoint"),
        "[2001:db8::1]:51820"
    );
}

#[test]
fn no_private_key_of_a_device_is_written() {
    let mut lab = lab("10.9.9.0/24", "");
    let text = add(&mut lab, "tv", ACCESS).unwrap();
    let secret = line(&text, "PrivateKey");
    assert_eq!(secret.len(), 44);
    let batch = lab.world.take_batch();
    assert!(batch.facts.contains(&Fact::PlainDevicesChanged));
    assert!(!batch.writes.is_empty());
    for write in batch.writes {
        let value = String::from_utf8(write.value.unwrap_or_default()).unwrap();
        assert!(!value.contains(secret), "{}: {value}", write.key);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut lab = lab("10.9.9.0/30", "");
    assert!(add(&mut lab, "", ACCESS).is_err());
    assert!(add(&mut lab, "a\nb", ACCESS).is_err());
    assert!(add(&mut lab, "none", PlainAccess { lan: false, internet: false, tailnet: false }).is_err());
    add(&mut lab, "tv", ACCESS).unwrap();
    assert!(add(&mut lab, "tv", ACCESS).unwrap_err().contains("already"));
    assert!(add(&mut lab, "more", ACCESS).unwrap_err().contains("free"), "a /30 has room for one device");
    let id = lab.world.plain_devices()[0].id;
    assert_eq!(lab.world.remove_plain_device(id).unwrap(), "tv");
    assert!(lab.world.remove_plain_device(id).is_err());
    add(&mut lab, "more", ACCESS).unwrap();
    let mut settings = Settings::clone(lab.world.settings());
    settings.plain.as_mut().unwrap().lan = vec!["fd00::/64".parse().unwrap()];
    lab.world.set_settings(settings);
    assert!(add(&mut lab, "no-lan", ACCESS).unwrap_err().contains("router.wireguard.lan"));
    let mut off = Lab::new();
    assert!(add(&mut off, "tv", ACCESS).unwrap_err().contains("router.wireguard.enabled"));
}

#[test]
fn there_is_a_limit() {
    let mut lab = lab("10.9.0.0/16", "");
    for n in 0..PLAIN_DEVICES_MAX {
        add(&mut lab, &format!("d{n}"), ACCESS).unwrap();
    }
    assert!(add(&mut lab, "one-more", ACCESS).is_err());
    let devices = lab.world.plain_devices();
    let addresses: std::collections::BTreeSet<_> = devices.iter().map(|d| d.address).collect();
    assert_eq!(addresses.len(), PLAIN_DEVICES_MAX);
}

#[test]
fn a_broken_key_is_not_replaced_while_devices_know_it() {
    let mut lab = lab("10.9.9.0/24", "home.example.org");
    add(&mut lab, "tv", ACCESS).unwrap();
    let key = lab.world.plain_key().unwrap().expect("a key");
    for broken in [serde_json::json!({ "private_key": "not a key" }), serde_json::json!({}), serde_json::json!(7)] {
        lab.world.put_record("wireguard/interface", &broken).unwrap();
        let said = add(&mut lab, "phone", ACCESS).unwrap_err();
        assert!(said.contains("restore a backup") && lab.world.plain_key().is_err(), "{said}");
        assert_eq!(lab.world.record::<serde_json::Value>("wireguard/interface"), Some(broken), "it was replaced");
    }
    let id = lab.world.plain_devices()[0].id;
    lab.world.remove_plain_device(id).unwrap();
    add(&mut lab, "tv", ACCESS).unwrap();
    assert_ne!(lab.world.plain_key().unwrap().expect("a key").public(), key.public());
}

#[test]
fn a_device_is_renamed_and_reaches_other_things_with_the_same_key() {
    let mut lab = lab("10.213.77.0/29", "");
    add(&mut lab, "printer", ACCESS).expect("added");
    add(&mut lab, "camera", ACCESS).expect("added");
    let before = lab.world.plain_devices()[0].clone();
    let more = PlainAccess { tailnet: true, ..ACCESS };
    let after = lab.world.change_plain_device(before.id, Some(" plotter "), Some(more)).expect("changed");
    assert_eq!((after.name.as_str(), after.access), ("plotter", more));
    assert_eq!((after.key, after.address, after.created), (before.key, before.address, before.created));
    assert_eq!(lab.world.plain_devices()[0], after);
    // Each by itself leaves the other.
    let renamed = lab.world.change_plain_device(before.id, Some("printer"), None).expect("renamed");
    assert_eq!((renamed.name.as_str(), renamed.access), ("printer", more));
    let nothing = PlainAccess { lan: false, internet: false, tailnet: false };
    for (name, access) in [(Some("camera"), None), (Some(""), None), (Some("a\nb"), None), (None, Some(nothing))] {
        assert!(lab.world.change_plain_device(before.id, name, access).is_err(), "{name:?} {access:?}");
    }
    assert_eq!(lab.world.plain_devices()[0], renamed, "refused, and changed all the same");
    assert!(lab.world.change_plain_device(999, Some("x"), None).is_err());
}

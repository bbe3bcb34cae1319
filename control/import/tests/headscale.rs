//! The database of a Headscale 0.29.2 that two official clients had joined.

use hearthgate_core::{Now, RegisterMethod, Settings, Stored, World, Write};
use hearthgate_import::headscale::{ImportError, read};
use jiff::Timestamp;

const DATABASE: &[u8] = include_bytes!("fixtures/headscale-0.29.2.sqlite");

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

#[test]
fn users_and_nodes_come_whole() {
    let found = read(DATABASE, None, now()).unwrap();
    assert_eq!(found.users.len(), 1);
    assert_eq!((found.users[0].name.as_str(), found.users[0].email.as_str()), ("anna", "anna@home.example"));
    let names: Vec<_> = found.nodes.iter().map(|n| n.given_name.as_str()).collect();
    assert_eq!(names, ["laptop", "gw"]);
    let (laptop, gw) = (&found.nodes[0], &found.nodes[1]);
    assert!(laptop.renamed && !gw.renamed);
    assert_eq!(laptop.ipv4.unwrap().to_string(), "100.64.0.1");
    assert_eq!(gw.ipv6.unwrap().to_string(), "fd7a:115c:a1e0::2");
    assert_eq!(gw.approved_routes, ["192.168.77.0/24".parse().unwrap()]);
    assert_eq!(gw.hostinfo.routable_ips, gw.approved_routes, "advertised at the time");
    assert!(!laptop.node_key.is_zero() && !laptop.machine_key.is_zero() && !laptop.disco_key.is_zero());
    assert_eq!((laptop.method, laptop.user, laptop.expiry), (RegisterMethod::AuthKey, found.users[0].id, None));
    assert!(found.remarks.iter().any(|r| r.contains("pre-auth key")), "{:?}", found.remarks);
}

#[test]
fn the_world_loads_what_was_taken_over_and_goes_on_counting() {
    let found = read(DATABASE, None, now()).unwrap();
    let mut stored = Stored::default();
    for write in Write::taken_over(&found.users, &found.nodes) {
        stored.add(&write.key, &write.value.unwrap()).unwrap();
    }
    let now = Now { wall: now(), mono_ms: 0 };
    let mut world = World::load(
        stored,
        Settings::default(),
        std::sync::Arc::new(hearthgate_core::AllowAll),
        Default::default(),
        now,
    );
    assert_eq!(world.nodes().count(), 2);
    let new = world.create_user(hearthgate_core::NewUser { name: "otto".into(), ..Default::default() }, now).unwrap();
    assert!(new.id.0 > 2, "number {} was a node's or a user's", new.id);
}

#[test]
fn other_databases_are_refused() {
    let other = include_bytes!("fixtures/many.sqlite");
    assert!(matches!(read(other, None, now()), Err(ImportError::NoTable("users"))));
    // A key that cannot be read must not be dropped in silence: its client would have to log in again.
    let at = DATABASE.windows(8).position(|w| w == b"nodekey:").unwrap();
    let mut bad = DATABASE.to_vec();
    bad[at + 9] = b'!';
    assert!(matches!(read(&bad, None, now()), Err(ImportError::Row { what: "node_key", .. })));
}

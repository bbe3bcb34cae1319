//! A frozen backup of each schema, as a server of that time wrote it with two official clients in it. Every release has to
//! read all of them, with every engine. Files in `fixtures` are added with a new schema and never changed.

use hearthgate_core::{AllowAll, Now, Settings, Stored, World};
use hearthgate_server::unpack_key_files;
use hearthgate_store::{EngineKind, open, restore};
use std::{path::Path, sync::Arc};

#[test]
fn a_backup_of_every_schema_becomes_a_running_world() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for schema in 1..=hearthgate_store::SCHEMA {
        for engine in EngineKind::ALL.into_iter().filter(|e| e.built()) {
            let dir = tempfile::tempdir().unwrap();
            let store = dir.path().join("store");
            restore(&fixtures.join(format!("schema-{schema}.backup")), &store, engine).unwrap();
            let mut store = open(&store, engine).unwrap();
            unpack_key_files(&mut *store, dir.path()).unwrap();
            let noise = std::fs::read_to_string(dir.path().join("noise_private.key")).unwrap();
            assert!(hearthgate_keys::MachinePrivate::parse(noise.trim()).is_ok());
            assert!(store.scan(b"file/").unwrap().is_empty(), "private keys stayed in the store");
            let mut stored = Stored::default();
            for prefix in Stored::PREFIXES {
                for (key, value) in store.scan(prefix.as_bytes()).unwrap() {
                    stored.add(&String::from_utf8(key).unwrap(), &value).unwrap();
                }
            }
            let now = Now { wall: "2026-11-21T08:00:00Z".parse().unwrap(), mono_ms: 0 };
            let world = World::load(stored, Settings::default(), Arc::new(AllowAll), Default::default(), now);
            let names: Vec<_> = world.nodes().map(|n| n.given_name.clone()).collect();
            assert_eq!(names, ["a", "b"], "schema {schema} in {engine}");
            assert!(world.nodes().all(|n| n.ipv4.is_some() && !n.disco_key.is_zero()));
            assert_eq!(world.users().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["alice"]);
            assert_eq!(world.preauth_keys().count(), 1);
        }
    }
}

//! Records of other parts, and the audit log: bounded, and back after a restart.

use hearthgate_core::{AUDIT_MAX, AllowAll, NOTES_MAX, Now, RECORD_BYTES_MAX, Settings, Stored, World};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::DerpMap;
use std::sync::Arc;

const NOW: Now = Now { wall: jiff::Timestamp::UNIX_EPOCH, mono_ms: 0 };

fn load(flash: &SortedMap<String, Vec<u8>>) -> World {
    let mut stored = Stored::default();
    for (key, value) in flash {
        stored.add(key, value).expect("readable");
    }
    World::load(stored, Settings::default(), Arc::new(AllowAll), DerpMap::default(), NOW)
}

fn flush(world: &mut World, flash: &mut SortedMap<String, Vec<u8>>) {
    for write in world.take_batch().writes {
        match write.value {
            Some(value) => flash.insert(write.key, value),
            None => flash.remove(&write.key),
        };
    }
}

#[test]
fn records_survive_and_go() {
    let mut flash = SortedMap::new();
    let mut world = load(&flash);
    world.put_record("a/1", &"one").expect("stored");
    world.put_record("a/2", &"two").expect("stored");
    world.put_record("b/1", &3).expect("stored");
    assert!(world.put_record("a/3", &"x".repeat(RECORD_BYTES_MAX)).is_err());
    flush(&mut world, &mut flash);
    let mut world = load(&flash);
    assert_eq!(world.records::<String>("a/").collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(world.record::<u32>("b/1"), Some(3));
    assert!(world.delete_record("a/1") && !world.delete_record("a/1"));
    flush(&mut world, &mut flash);
    assert_eq!(load(&flash).records::<String>("a/").collect::<Vec<_>>(), ["two"]);
}

#[test]
fn the_audit_log_is_a_ring() {
    let mut flash = SortedMap::new();
    let mut world = load(&flash);
    for i in 0..AUDIT_MAX + 7 {
        world.audit("anna", "did", &i.to_string(), NOW);
        flush(&mut world, &mut flash);
    }
    world.note("10.0.0.9", "failed to log in", "", NOW);
    flush(&mut world, &mut flash);
    assert_eq!(world.audit_log().last().map(|e| e.actor.as_str()), Some("10.0.0.9"));
    assert_eq!(flash.keys().filter(|k| k.starts_with("audit/")).count(), AUDIT_MAX);
    let world = load(&flash);
    assert_eq!(world.audit_log().len(), AUDIT_MAX);
    assert_eq!(world.audit_log().first().map(|e| e.subject.clone()), Some("7".into()));
    assert_eq!(world.audit_log().last().map(|e| e.subject.clone()), Some((AUDIT_MAX + 6).to_string()));
}

#[test]
fn failed_logins_do_not_push_out_what_people_did() {
    let mut flash = SortedMap::new();
    let mut world = load(&flash);
    for i in 0..AUDIT_MAX {
        world.audit("anna", "did", &i.to_string(), NOW);
        world.note("10.0.0.9", "failed to log in", "", NOW);
    }
    for _ in 0..AUDIT_MAX * 2 {
        world.note("10.0.0.9", "failed to log in", "", NOW);
    }
    let log = world.audit_log();
    let noted = log.iter().filter(|e| e.action == "failed to log in").count();
    assert_eq!((log.len(), noted), (AUDIT_MAX, NOTES_MAX));
    assert_eq!(
        log.iter().rev().find(|e| e.actor == "anna").map(|e| e.subject.clone()),
        Some((AUDIT_MAX - 1).to_string())
    );
    // On flash there is all that people did, however many failed in between, also after another start.
    world.audit("anna", "did", "the last but one", NOW);
    flush(&mut world, &mut flash);
    let mut world = load(&flash);
    for _ in 0..AUDIT_MAX - 1 {
        world.note("10.0.0.9", "failed to log in", "", NOW);
    }
    world.audit("anna", "did", "the last", NOW);
    flush(&mut world, &mut flash);
    let world = load(&flash);
    let subjects: Vec<_> = world.audit_log().iter().map(|e| e.subject.as_str()).collect();
    assert_eq!(subjects.len(), AUDIT_MAX);
    assert_eq!((subjects[0], &subjects[AUDIT_MAX - 2..]), ("2", &["the last but one", "the last"][..]));
}

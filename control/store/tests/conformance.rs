//! What every engine has to do, run on all of them.

use hearthgate_store::{
    BATCH_MAX, Batch, EngineKind, KEY_MAX, Store, StoreError, VALUE_MAX, backup, open, read_backup, restore,
    write_backup,
};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

fn built() -> impl Iterator<Item = EngineKind> {
    EngineKind::ALL.into_iter().filter(|e| e.built())
}

fn each_engine(check: impl Fn(EngineKind, &Path)) {
    for engine in built() {
        let dir = tempfile::tempdir().unwrap();
        check(engine, dir.path());
    }
}

fn put(store: &mut dyn Store, key: &str, value: &str) {
    let mut batch = Batch::new();
    batch.put(key.as_bytes(), value.as_bytes());
    store.commit(batch).unwrap();
}

#[test]
fn records_come_back_in_order_and_after_reopening() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        for i in [3u32, 1, 2, 300, 20] {
            let mut batch = Batch::new();
            batch.put(format!("n/{i:05}").as_bytes(), &i.to_be_bytes()).put(b"other", b"x");
            store.commit(batch).unwrap();
        }
        let keys = |s: &dyn Store| {
            s.scan(b"n/").unwrap().into_iter().map(|(k, _)| String::from_utf8(k).unwrap()).collect::<Vec<_>>()
        };
        let expected = ["n/00001", "n/00002", "n/00003", "n/00020", "n/00300"];
        assert_eq!(keys(&*store), expected, "{engine:?}");
        drop(store);
        let store = open(dir, engine).unwrap();
        assert_eq!(keys(&*store), expected, "{engine:?}");
        assert_eq!(store.get(b"other").unwrap().unwrap(), b"x");
        assert_eq!(store.get(b"missing").unwrap(), None);
    });
}

#[test]
fn a_failed_precondition_changes_nothing() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        put(&mut *store, "a", "1");
        for (expected, wrong) in [("1", "2"), ("1", "")] {
            let mut batch = Batch::new();
            batch.put(b"a", b"9").put(b"b", b"9").if_equals(b"a", wrong.as_bytes());
            assert!(matches!(store.commit(batch), Err(StoreError::Conflict)), "{engine:?}");
            assert_eq!(store.get(b"a").unwrap().unwrap(), expected.as_bytes());
            assert_eq!(store.get(b"b").unwrap(), None);
        }
        let mut batch = Batch::new();
        batch.put(b"a", b"9").if_absent(b"a");
        assert!(matches!(store.commit(batch), Err(StoreError::Conflict)));
        let mut batch = Batch::new();
        batch.put(b"a", b"2").if_equals(b"a", b"1").if_absent(b"b");
        store.commit(batch).unwrap();
        assert_eq!(store.get(b"a").unwrap().unwrap(), b"2");
    });
}

#[test]
fn watchers_see_what_is_under_their_prefix() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        let watch = store.watch(b"n/");
        put(&mut *store, "m/1", "no");
        put(&mut *store, "n/1", "yes");
        let mut batch = Batch::new();
        batch.delete(b"n/1");
        store.commit(batch).unwrap();
        let seen: Vec<_> = watch.try_iter().map(|e| (e.key, e.value)).collect();
        assert_eq!(seen, [(b"n/1".to_vec(), Some(b"yes".to_vec())), (b"n/1".to_vec(), None)], "{engine:?}");
    });
}

#[test]
fn a_watcher_that_is_too_far_behind_is_cut_off_and_holds_no_memory() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        let (slow, gone) = (store.watch(b"n/"), store.watch(b""));
        drop(gone);
        let mut batch = Batch::new();
        for i in 0..3000u32 {
            batch.put(format!("n/{i:05}").as_bytes(), b"x");
        }
        store.commit(batch).unwrap();
        let seen: Vec<_> = slow.iter().collect();
        assert!((1..3000).contains(&seen.len()), "{engine:?}: {} events waited, then the watch ended", seen.len());
        assert!(seen.is_sorted_by(|a, b| a.key < b.key && a.revision == b.revision));
        let again = store.watch(b"");
        put(&mut *store, "n/1", "x");
        store.close().unwrap();
        assert_eq!(again.iter().count(), 1, "{engine:?}: closing ends the watch");
    });
}

#[test]
fn of_several_changes_to_one_key_the_last_counts() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        put(&mut *store, "b", "old");
        let mut batch = Batch::new();
        batch.put(b"a", b"1").delete(b"a").put(b"a", b"2").put(b"b", b"1").delete(b"b").delete(b"never");
        store.commit(batch).unwrap();
        for _ in 0..2 {
            assert_eq!(store.get(b"a").unwrap().as_deref(), Some(&b"2"[..]), "{engine:?}");
            assert_eq!(store.get(b"b").unwrap(), None, "{engine:?}");
            store.close().unwrap();
            store = open(dir, engine).unwrap();
        }
        let before = store.commit(Batch::new()).unwrap();
        put(&mut *store, "a", "3");
        let mut batch = Batch::new();
        batch.delete(b"a");
        assert_eq!(store.commit(batch).unwrap(), before + 2, "{engine:?}");
    });
}

#[test]
fn limits_are_kept_and_nothing_is_changed() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        let too_large = |store: &mut dyn Store, make: &dyn Fn(&mut Batch)| {
            let mut batch = Batch::new();
            batch.put(b"beside", b"x");
            make(&mut batch);
            assert!(matches!(store.commit(batch), Err(StoreError::TooLarge(_))), "{engine:?}");
            assert_eq!(store.get(b"beside").unwrap(), None);
        };
        too_large(&mut *store, &|b| {
            b.put(b"", b"empty key");
        });
        too_large(&mut *store, &|b| {
            b.put(&vec![1; KEY_MAX + 1], b"");
        });
        let large = vec![1; VALUE_MAX + 1];
        too_large(&mut *store, &|b| {
            b.put(b"k", &large);
        });
        too_large(&mut *store, &|b| {
            (0..=BATCH_MAX / VALUE_MAX).for_each(|i| {
                b.put(&[b'k', i as u8], &large[1..]);
            })
        });
        // Keys of any bytes, also those around the ends of the order.
        let keys: [&[u8]; 5] = [&[0], &[0, 0], &[0xff], &[0xff; 3], &[0xff; KEY_MAX]];
        let mut batch = Batch::new();
        keys.iter().for_each(|k| {
            batch.put(k, b"");
        });
        store.commit(batch).unwrap();
        assert_eq!(store.scan(&[0xff]).unwrap().len(), 3, "{engine:?}");
        assert_eq!(store.scan(&[0]).unwrap().len(), 2, "{engine:?}");
        assert_eq!(store.get(b"").unwrap(), None);
        assert_eq!(store.get(&[0xff; KEY_MAX]).unwrap().as_deref(), Some(&[][..]));
    });
}

#[test]
fn a_folder_has_one_user() {
    each_engine(|engine, dir| {
        let dir = &dir.join("state");
        let store = open(dir, engine).unwrap();
        let Err(e) = open(dir, engine) else { panic!("{engine:?} opened twice") };
        assert!(matches!(e, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{e}");
        store.close().unwrap();
        open(dir, engine).unwrap();
    });
}

#[test]
fn everything_is_private() {
    fn modes(dir: &Path) {
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700, "{dir:?}");
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // sled makes a folder for large values itself; the one around it is closed.
                assert!(path.ends_with("state.sled"), "{path:?}");
                continue;
            }
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        }
    }
    each_engine(|engine, dir| {
        let state = dir.join("a/b");
        fs::create_dir_all(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
        let mut store = open(&state, engine).unwrap();
        put(&mut *store, "node/1", "one");
        backup(&*store, &state.join("copy.backup")).unwrap();
        modes(&state);
    });
}

#[test]
fn a_folder_of_another_engine_is_not_taken_for_an_empty_one() {
    each_engine(|engine, dir| {
        put(&mut *open(dir, engine).unwrap(), "a", "1");
        for other in built().filter(|o| *o != engine) {
            let Err(e) = open(dir, other) else { panic!("{other:?} opened what {engine:?} wrote") };
            assert!(matches!(e, StoreError::OtherEngine { .. }), "{e}");
        }
        assert!(open(dir, engine).unwrap().get(b"a").unwrap().is_some());
    });
}

#[test]
fn a_path_that_cannot_be_a_folder_is_an_error() {
    each_engine(|engine, dir| {
        let file = dir.join("file");
        fs::write(&file, b"").unwrap();
        assert!(open(&file, engine).is_err());
        assert!(open(&file.join("below"), engine).is_err());
    });
}

#[test]
fn thousands_of_records_and_large_values() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        let value = |i: u32| [i.to_be_bytes(), (i ^ 0x5555_5555).to_be_bytes()].concat().repeat(125);
        for chunk in 0..20 {
            let mut batch = Batch::new();
            for i in chunk * 250..(chunk + 1) * 250 {
                batch.put(format!("node/{i:08}").as_bytes(), &value(i));
            }
            store.commit(batch).unwrap();
        }
        let large: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
        let mut batch = Batch::new();
        batch.put(b"large", &large);
        store.commit(batch).unwrap();
        store.close().unwrap();
        let store = open(dir, engine).unwrap();
        let nodes = store.scan(b"node/").unwrap();
        assert_eq!(nodes.len(), 5000, "{engine:?}");
        assert!(nodes.is_sorted());
        for (i, (_, stored)) in nodes.into_iter().enumerate() {
            assert_eq!(stored, value(i as u32), "{engine:?}");
        }
        assert!(store.get(b"large").unwrap().unwrap() == large, "{engine:?}");
    });
}

#[test]
fn a_backup_moves_the_state_to_any_engine() {
    each_engine(|from, dir| {
        let mut store = open(&dir.join("from"), from).unwrap();
        put(&mut *store, "node/1", "one");
        put(&mut *store, "node/2", "two");
        let file = dir.join("backup.hg");
        backup(&*store, &file).unwrap();
        for to in built() {
            let target = dir.join(to.name());
            restore(&file, &target, to).unwrap();
            assert_eq!(open(&target, to).unwrap().scan(b"node/").unwrap(), store.scan(b"node/").unwrap());
            assert!(restore(&file, &target, to).is_err(), "a second restore must not overwrite");
        }
        let mut streamed = Vec::new();
        write_backup(&*store, &mut streamed).unwrap();
        assert_eq!(streamed, fs::read(&file).unwrap(), "{from:?}");
    });
}

#[test]
fn any_damage_to_a_backup_is_found_before_the_folder_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir.path().join("from"), EngineKind::default()).unwrap();
    put(&mut *store, "node/1", "one");
    let file = dir.path().join("backup.hg");
    backup(&*store, &file).unwrap();
    let good = fs::read(&file).unwrap();
    let bad = dir.path().join("bad.hg");
    let target = dir.path().join("to");
    for at in 0..good.len() {
        for damage in [1u8, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= damage;
            fs::write(&bad, &bytes).unwrap();
            assert!(
                matches!(restore(&bad, &target, EngineKind::default()), Err(StoreError::Corrupt { .. })),
                "byte {at}"
            );
        }
        fs::write(&bad, &good[..at]).unwrap();
        assert!(matches!(read_backup(&bad), Err(StoreError::Corrupt { .. })), "cut at {at}");
    }
    fs::write(&bad, [&good[..], b"x"].concat()).unwrap();
    assert!(read_backup(&bad).is_err());
    assert!(!target.exists());
    assert_eq!(read_backup(&file).unwrap(), store.scan(b"").unwrap());
}

#[test]
fn a_state_larger_than_a_batch_is_backed_up_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir.path().join("from"), EngineKind::default()).unwrap();
    for i in 0..6u8 {
        let mut batch = Batch::new();
        batch.put(&[b'k', i], &vec![i; VALUE_MAX]);
        store.commit(batch).unwrap();
    }
    assert!(6 * VALUE_MAX > BATCH_MAX);
    let file = dir.path().join("backup.hg");
    backup(&*store, &file).unwrap();
    restore(&file, &dir.path().join("to"), EngineKind::default()).unwrap();
    assert!(
        open(&dir.path().join("to"), EngineKind::default()).unwrap().scan(b"").unwrap() == store.scan(b"").unwrap()
    );
}

#[test]
fn a_newer_schema_is_refused_with_a_remedy() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        put(&mut *store, "meta/schema", "99");
        drop(store);
        let Err(e) = open(dir, engine) else { panic!("{engine:?} opened a newer schema") };
        assert!(e.to_string().contains("newer hearthgate (schema 99"), "{e}");
    });
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, Option<Vec<u8>>)>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let op = (0u8..20, proptest::option::of(vec(any::<u8>(), 0..40)));
    vec(prop_oneof![8 => vec(op, 1..6).prop_map(Step::Commit), 1 => Just(Step::Reopen)], 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_engine_behaves_like_a_sorted_map(steps in steps()) {
        for engine in built() {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Some(open(dir.path(), engine).unwrap());
            let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for step in &steps {
                match step {
                    Step::Commit(ops) => {
                        let mut batch = Batch::new();
                        for (key, value) in ops {
                            let key = vec![b'k', *key];
                            match value {
                                Some(v) => { batch.put(&key, v); model.insert(key, v.clone()); }
                                None => { batch.delete(&key); model.remove(&key); }
                            }
                        }
                        store.as_mut().unwrap().commit(batch).unwrap();
                    }
                    Step::Reopen => {
                        drop(store.take());
                        store = Some(open(dir.path(), engine).unwrap());
                    }
                }
                let got: BTreeMap<_, _> = store.as_ref().unwrap().scan(b"k").unwrap().into_iter().collect();
                prop_assert_eq!(&got, &model);
            }
        }
    }
}

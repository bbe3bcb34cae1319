//! What every engine has to do, run on all of them.

use hearthgate_store::{Batch, EngineKind, Store, StoreError, backup, open, restore};
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, path::Path};

fn each_engine(check: impl Fn(EngineKind, &Path)) {
    for engine in EngineKind::ALL {
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
        let keys = |s: &dyn Store| s.scan(b"n/").unwrap().into_iter().map(|(k, _)| String::from_utf8(k).unwrap()).collect::<Vec<_>>();
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
fn a_folder_has_one_user_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    each_engine(|engine, dir| {
        let dir = &dir.join("state");
        let store = open(dir, engine).unwrap();
        assert!(matches!(open(dir, engine), Err(StoreError::Locked(_))), "{engine:?}");
        drop(store);
        assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
        open(dir, engine).unwrap();
    });
}

#[test]
fn thousands_of_records_and_large_values() {
    each_engine(|engine, dir| {
        let mut store = open(dir, engine).unwrap();
        let value = vec![7u8; 1000];
        for chunk in 0..10 {
            let mut batch = Batch::new();
            for i in 0..300 {
                batch.put(format!("node/{:08}", chunk * 300 + i).as_bytes(), &value);
            }
            store.commit(batch).unwrap();
        }
        let mut batch = Batch::new();
        batch.put(b"large", &vec![1u8; 1_000_000]);
        store.commit(batch).unwrap();
        drop(store);
        let store = open(dir, engine).unwrap();
        assert_eq!(store.scan(b"node/").unwrap().len(), 3000, "{engine:?}");
        assert_eq!(store.get(b"large").unwrap().unwrap().len(), 1_000_000);
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
        for to in EngineKind::ALL {
            let target = dir.join(to.name());
            restore(&file, &target, to).unwrap();
            assert_eq!(open(&target, to).unwrap().scan(b"node/").unwrap(), store.scan(b"node/").unwrap());
            assert!(restore(&file, &target, to).is_err(), "a second restore must not overwrite");
        }
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.pop();
        std::fs::write(&file, &bytes).unwrap();
        assert!(restore(&file, &dir.join("cut"), from).is_err(), "a cut backup must be refused");
    });
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
        for engine in EngineKind::ALL {
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

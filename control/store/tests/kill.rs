//! `kill -9` at random moments: whatever a child process acknowledged is there afterwards, for every engine.

use hearthgate_store::{Batch, EngineKind, open};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const CHILD_DIR: &str = "HEARTHGATE_TEST_KILL_DIR";
const CHILD_ENGINE: &str = "HEARTHGATE_TEST_KILL_ENGINE";
const ROUNDS: u64 = 15;

/// Not a test of its own: the process that gets killed. It commits for ever and prints each acknowledged number.
#[test]
fn child() {
    let (Ok(dir), Ok(engine)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_ENGINE)) else { return };
    let mut store = open(Path::new(&dir), engine.parse().unwrap()).unwrap();
    let start = store.get(b"a").unwrap().map_or(0, |v| u64::from_be_bytes(v.try_into().unwrap()));
    for i in start + 1.. {
        let mut batch = Batch::new();
        batch
            .put(b"a", &i.to_be_bytes())
            .put(format!("k/{i:09}").as_bytes(), &[i as u8; 500])
            .put(b"z", &i.to_be_bytes());
        store.commit(batch).unwrap();
        println!("acknowledged {i}");
    }
}

#[test]
fn acknowledged_changes_survive_kill_9() {
    for engine in EngineKind::ALL.into_iter().filter(|e| e.built()) {
        let dir = tempfile::tempdir().unwrap();
        let mut last = 0;
        for round in 0..ROUNDS {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["child", "--exact", "--nocapture"])
                .env(CHILD_DIR, dir.path())
                .env(CHILD_ENGINE, engine.name())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let number = |l: &str| l.split("acknowledged ").nth(1).and_then(|n| n.parse::<u64>().ok());
            // At least one commit, so that every round proves something; then a moment that differs each time.
            last = lines
                .by_ref()
                .map_while(Result::ok)
                .find_map(|l| number(&l))
                .unwrap_or_else(|| panic!("{engine:?} committed nothing"));
            std::thread::sleep(Duration::from_millis(7 * round % 40));
            child.kill().unwrap();
            child.wait().unwrap();
            last = lines.map_while(Result::ok).filter_map(|l| number(&l)).last().unwrap_or(last);
            let store = open(dir.path(), engine).unwrap();
            let get = |k: &[u8]| u64::from_be_bytes(store.get(k).unwrap().unwrap().try_into().unwrap());
            assert_eq!(get(b"a"), get(b"z"), "{engine:?}: half a batch");
            assert!(get(b"a") >= last, "{engine:?}: {} after {last} was acknowledged", get(b"a"));
            assert_eq!(store.scan(b"k/").unwrap().len() as u64, get(b"a"));
        }
        assert!(last > ROUNDS);
    }
}

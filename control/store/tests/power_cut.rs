//! The log engine on a simulated disk, in trouble at every step.
#![cfg(feature = "engine-log")]

mod simulated;

use hearthgate_store::{Batch, LogStore, Store, StoreError};
use simulated::{Simulated, Trouble};

const LOG: &str = "state.log";
/// Salt of the files, so that a seed means the same bytes every time.
const SALT: u64 = 7;
/// Commits of a run: enough for the file to be rewritten twice.
const COMMITS: u32 = 32;

/// Commit `i` writes two keys that must agree, and enough bytes to make rewriting the file happen.
fn batch(i: u32) -> Batch {
    let mut b = Batch::new();
    let filler = vec![i as u8; 20_000];
    b.put(b"first", &i.to_be_bytes()).put(b"filler", &filler).put(b"second", &i.to_be_bytes());
    b
}

fn number(store: &LogStore<Simulated>, key: &[u8]) -> u32 {
    store.get(key).unwrap().map_or(0, |v| u32::from_be_bytes(v.try_into().unwrap()))
}

/// Opens and commits until something fails; the last number acknowledged, and how often the file was rewritten.
fn run(disk: &Simulated) -> (u32, usize) {
    let Ok(mut store) = LogStore::open_salted(disk.clone(), SALT) else { return (0, 0) };
    let (mut acknowledged, mut rewritten) = (0, 0);
    for i in 1..=COMMITS {
        let before = disk.medium().len(LOG);
        match store.commit(batch(i)) {
            Ok(_) => acknowledged = i,
            Err(_) => break,
        }
        rewritten += usize::from(disk.medium().len(LOG) < before);
    }
    (acknowledged, rewritten)
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_cut_at_any_step() {
    let untroubled = Simulated::new(usize::MAX, Trouble::PowerCut, 1);
    let (all, rewritten) = run(&untroubled);
    assert_eq!(all, COMMITS);
    assert!(rewritten >= 2, "the file was rewritten only {rewritten} times");
    let mut runs_with_losses = 0;
    for seed in 1..=12u64 {
        // Two changes a commit, and those of opening and rewriting.
        for fuse in 0..(2 * COMMITS as usize + 24) {
            let disk = Simulated::new(fuse, Trouble::PowerCut, seed * 7919 + fuse as u64);
            let (acknowledged, _) = run(&disk);
            disk.medium().cut_power();
            runs_with_losses += usize::from(disk.medium().lost > 0);
            let mut store = match LogStore::open_salted(disk.clone(), SALT) {
                Ok(store) => store,
                Err(e) => panic!("seed {seed} fuse {fuse}: {e}"),
            };
            let (first, second) = (number(&store, b"first"), number(&store, b"second"));
            assert_eq!(first, second, "seed {seed} fuse {fuse}: half a batch");
            // The batch that was under way may have made it or not; nothing older may be missing.
            assert!(
                first == acknowledged || first == acknowledged + 1,
                "seed {seed} fuse {fuse}: {first} after {acknowledged}"
            );
            // What was shown after the restart stays: a second cut changes nothing.
            drop(store);
            disk.medium().cut_power();
            store = LogStore::open_salted(disk.clone(), SALT).unwrap();
            assert_eq!(number(&store, b"first"), first, "seed {seed} fuse {fuse}: shown, then lost");
            store.commit(batch(1000)).unwrap();
            disk.medium().cut_power();
            let reread = LogStore::open_salted(disk, SALT).unwrap();
            assert_eq!(number(&reread, b"second"), 1000);
        }
    }
    assert!(runs_with_losses > 200, "the simulation lost something in only {runs_with_losses} runs");
}

#[test]
fn what_is_shown_after_a_kill_survives_a_cut() {
    let mut unfinished = 0;
    for seed in 1..=6u64 {
        for fuse in 4..(2 * COMMITS as usize + 24) {
            let disk = Simulated::new(fuse, Trouble::PowerCut, seed * 31 + fuse as u64);
            let (acknowledged, _) = run(&disk);
            disk.medium().kill();
            let store = LogStore::open_salted(disk.clone(), SALT).unwrap();
            let shown = number(&store, b"first");
            unfinished += usize::from(shown > acknowledged);
            drop(store);
            disk.medium().cut_power();
            let store = LogStore::open_salted(disk, SALT).unwrap();
            assert_eq!(number(&store, b"first"), shown, "seed {seed} fuse {fuse}: shown, then lost");
        }
    }
    assert!(unfinished > 20, "only {unfinished} kills hit a batch that was written and not synced");
}

#[test]
fn an_error_of_the_disk_loses_nothing_and_invents_nothing() {
    let mut refused = 0;
    for seed in 1..=4u64 {
        for fuse in 4..(2 * COMMITS as usize + 24) {
            let disk = Simulated::new(fuse, Trouble::OneError, seed * 104_729 + fuse as u64);
            let Ok(mut store) = LogStore::open_salted(disk.clone(), SALT) else { continue };
            let mut acknowledged = 0;
            for i in 1..=COMMITS {
                match store.commit(batch(i)) {
                    Ok(_) => acknowledged = i,
                    Err(_) => refused += 1,
                }
                assert_eq!(number(&store, b"first"), acknowledged, "seed {seed} fuse {fuse}: what memory shows");
            }
            disk.medium().cut_power();
            let store = LogStore::open_salted(disk, SALT).unwrap();
            assert_eq!(number(&store, b"second"), acknowledged, "seed {seed} fuse {fuse}: what the disk holds");
        }
    }
    assert!(refused > 20, "only {refused} commits met the error");
}

#[test]
fn damage_before_the_end_is_reported_not_skipped() {
    let disk = Simulated::new(usize::MAX, Trouble::PowerCut, 1);
    let mut store = LogStore::open_salted(disk.clone(), SALT).unwrap();
    store.commit(batch(1)).unwrap();
    let first_ends = disk.medium().len(LOG);
    store.commit(batch(2)).unwrap();
    drop(store);
    // Every byte of the header and of the first batch's header, and a sample of its body.
    for at in (0..64).chain((64..first_ends).step_by(997)) {
        disk.medium().damage(LOG, at, 1);
        let opened = LogStore::open_salted(disk.clone(), SALT);
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "damage at byte {at} passed");
        disk.medium().damage(LOG, at, 1);
    }
    assert_eq!(number(&LogStore::open_salted(disk, SALT).unwrap(), b"first"), 2);
}

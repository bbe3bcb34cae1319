//! The log engine on a disk that loses, tears and reorders what was not synced, cut at every step.

use hearthgate_store::{Batch, Disk, LogStore, Result, Store, StoreError};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// What survives, and what is still in flight.
#[derive(Default)]
struct Medium {
    durable: Vec<u8>,
    /// Appends since the last sync, by position.
    in_flight: Vec<(usize, Vec<u8>)>,
    len: usize,
    /// Operations until the power goes.
    fuse: usize,
    seed: u64,
}

impl Medium {
    fn random(&mut self) -> u64 {
        // xorshift: all that is needed is the same sequence for the same seed.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// One step; at the end of the fuse everything fails.
    fn step(&mut self) -> Result<()> {
        if self.fuse == 0 {
            return Err(StoreError::Poisoned);
        }
        self.fuse -= 1;
        Ok(())
    }

    /// What is found after the power came back: any subset of the in-flight sectors, torn anywhere, with the file
    /// length as it was or shorter.
    fn after_cut(&mut self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let in_flight = std::mem::take(&mut self.in_flight);
        for (at, data) in in_flight {
            let torn = match self.random() % 4 {
                0 => 0,
                1 => data.len(),
                _ => (self.random() as usize) % (data.len() + 1),
            };
            let hole = self.random().is_multiple_of(3);
            let end = at + torn;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if !hole {
                bytes[at..end].copy_from_slice(&data[..torn]);
            }
        }
        bytes
    }
}

#[derive(Clone)]
struct Flaky(Arc<Mutex<Medium>>);

impl Disk for Flaky {
    fn read(&mut self) -> Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().durable.clone())
    }
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut m = self.0.lock().unwrap();
        let at = m.len;
        // The bytes are on their way even if the power goes during this very call.
        m.in_flight.push((at, bytes.to_vec()));
        m.step()?;
        m.len += bytes.len();
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        let mut m = self.0.lock().unwrap();
        m.step()?;
        for (at, data) in std::mem::take(&mut m.in_flight) {
            m.durable.truncate(at);
            m.durable.extend(data);
        }
        Ok(())
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        let mut m = self.0.lock().unwrap();
        m.step()?;
        m.in_flight.clear();
        m.durable.truncate(len as usize);
        m.len = len as usize;
        Ok(())
    }
    fn replace(&mut self, bytes: &[u8]) -> Result<()> {
        let mut m = self.0.lock().unwrap();
        m.step()?;
        m.in_flight.clear();
        m.durable = bytes.to_vec();
        m.len = bytes.len();
        Ok(())
    }
    fn path(&self) -> PathBuf {
        "simulated".into()
    }
}

/// Commit `i` writes two keys that must agree, and enough bytes to make rewriting the file happen.
fn batch(i: u32) -> Batch {
    let mut b = Batch::new();
    let filler = vec![i as u8; 20_000];
    b.put(b"first", &i.to_be_bytes()).put(b"filler", &filler).put(b"second", &i.to_be_bytes());
    b
}

fn number(store: &LogStore<Flaky>, key: &[u8]) -> u32 {
    store.get(key).unwrap().map_or(0, |v| u32::from_be_bytes(v.try_into().unwrap()))
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_cut_at_any_step() {
    let mut torn_tails = 0;
    for seed in 1..=8u64 {
        for fuse in 0..90 {
            let medium = Arc::new(Mutex::new(Medium { fuse, seed: seed * 7919 + fuse as u64, ..Medium::default() }));
            let mut acknowledged = 0;
            if let Ok(mut store) = LogStore::open(Flaky(medium.clone())) {
                for i in 1..60 {
                    match store.commit(batch(i)) {
                        Ok(_) => acknowledged = i,
                        Err(_) => break,
                    }
                }
            }
            let survived = {
                let mut m = medium.lock().unwrap();
                m.after_cut()
            };
            let len = survived.len();
            let again = Arc::new(Mutex::new(Medium { durable: survived, len, fuse: usize::MAX, seed: 1, ..Medium::default() }));
            let mut store = match LogStore::open(Flaky(again.clone())) {
                Ok(store) => store,
                Err(e) => panic!("seed {seed} fuse {fuse}: {e}"),
            };
            torn_tails += usize::from(again.lock().unwrap().durable.len() < len);
            let (first, second) = (number(&store, b"first"), number(&store, b"second"));
            assert_eq!(first, second, "seed {seed} fuse {fuse}: half a batch");
            // The batch that was under way may have made it or not; nothing older may be missing.
            assert!(first == acknowledged || first == acknowledged + 1, "seed {seed} fuse {fuse}: {first} after {acknowledged}");
            store.commit(batch(1000)).unwrap();
            let reread = LogStore::open(Flaky(again)).unwrap();
            assert_eq!(number(&reread, b"second"), 1000);
        }
    }
    assert!(torn_tails > 20, "the simulation tore only {torn_tails} tails");
}

#[test]
fn damage_before_the_end_is_reported_not_skipped() {
    let medium = Arc::new(Mutex::new(Medium { fuse: usize::MAX, seed: 1, ..Medium::default() }));
    let mut store = LogStore::open(Flaky(medium.clone())).unwrap();
    store.commit(batch(1)).unwrap();
    store.commit(batch(2)).unwrap();
    medium.lock().unwrap().durable[100] ^= 1;
    assert!(matches!(LogStore::open(Flaky(medium)), Err(StoreError::Corrupt(..))));
}

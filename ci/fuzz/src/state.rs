//! What is read from the flash: it may be damaged, or somebody else's.

use crate::Target;
use hearthgate_store::{Batch, Disk, LogStore, Result, Store, StoreError, parse_backup, write_backup};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const LOG_FILE: &str = "state.log";

/// A folder in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.entry(name.into()).or_default()
    }
}

impl Disk for Memory {
    fn len(&mut self, name: &str) -> Result<Option<u64>> {
        Ok(self.0.get(name).map(|f| f.len() as u64))
    }
    fn read_at(&mut self, name: &str, at: u64, out: &mut [u8]) -> Result<usize> {
        let rest = self.file(name).get(at as usize..).unwrap_or_default();
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.file(name).extend_from_slice(bytes);
        Ok(())
    }
    fn truncate(&mut self, name: &str, len: u64) -> Result<()> {
        self.file(name).truncate(len as usize);
        Ok(())
    }
    fn sync(&mut self, _name: &str) -> Result<()> {
        Ok(())
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let file = self.0.remove(from).ok_or(StoreError::Poisoned)?;
        self.0.insert(to.into(), file);
        Ok(())
    }
    fn remove(&mut self, name: &str) -> Result<()> {
        self.0.remove(name);
        Ok(())
    }
    fn sync_names(&mut self) -> Result<()> {
        Ok(())
    }
    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}

/// Bytes of a log with three batches.
fn log() -> Vec<u8> {
    let mut store = LogStore::open_salted(Memory::default(), 1).expect("memory");
    for i in 0..3u8 {
        let mut batch = Batch::new();
        batch.put(&[b'k', i], &[i; 20]).delete(b"old");
        store.commit(batch).expect("memory");
    }
    std::mem::take(store.into_disk().file(LOG_FILE))
}

pub(crate) const LOG: Target = Target {
    name: "log",
    run: |data| {
        let mut disk = Memory::default();
        disk.file(LOG_FILE).extend_from_slice(data);
        let Ok(store) = LogStore::open_salted(disk, 1) else { return };
        // What was read once is read the same again, and can be added to.
        let records = store.scan(b"").expect("memory");
        let mut store = LogStore::open_salted(store.into_disk(), 1).expect("it was read before");
        assert_eq!(store.scan(b"").expect("memory"), records);
        let mut batch = Batch::new();
        batch.put(b"added", b"1");
        store.commit(batch).expect("memory");
        let store = LogStore::open_salted(store.into_disk(), 1).expect("it was whole");
        assert_eq!(store.get(b"added").expect("memory").as_deref(), Some(&b"1"[..]));
    },
    seeds: || {
        let whole = log();
        let mut torn = whole.clone();
        torn.truncate(whole.len() - 7);
        let mut damaged = whole.clone();
        damaged[50] ^= 8;
        vec![whole, torn, damaged]
    },
};

pub(crate) const BACKUP: Target = Target {
    name: "backup",
    run: |data| {
        let Ok(records) = parse_backup(&mut &data[..], Path::new("fuzz")) else { return };
        let bytes: usize = records.iter().map(|(k, v)| k.len() + v.len()).sum();
        assert!(bytes <= data.len(), "more came out than went in");
    },
    seeds: || {
        let mut disk = Memory::default();
        disk.file(LOG_FILE).extend(log());
        let store = LogStore::open_salted(disk, 1).expect("memory");
        let mut whole = Vec::new();
        write_backup(&store, &mut whole).expect("memory");
        let mut torn = whole.clone();
        torn.truncate(whole.len() - 3);
        vec![whole, torn]
    },
};

pub(crate) const CONFIGURATION: Target = Target {
    name: "configuration",
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let loaded = hearthgate_config::load(Some(("fuzz.toml", text)), &[]);
        for problem in &loaded.problems {
            assert!(!problem.to_string().is_empty());
        }
    },
    seeds: || {
        let example = include_str!("../../../docs/config.toml");
        let small = "server_url = \"https://a.example\"\n[derp.server]\nenabled = 3\n[dns]\nbase_domain = \"\"\nextra_records = [{name=1}]\n";
        vec![
            example.into(),
            small.into(),
            b"server_url = \"x\"\nunix_socket = 1\noidc = true\n".to_vec(),
            b"[a\n".to_vec(),
        ]
    },
};

pub(crate) const RECORDS: Target = Target {
    name: "stored-records",
    run: |data| {
        // Key, a line feed, value.
        let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
        let Ok(key) = std::str::from_utf8(&data[..at]) else { return };
        let _ = hearthgate_core::Stored::default().add(key, &data[at + 1..]);
    },
    seeds: || {
        let user = b"user/1\n{\"id\":1,\"name\":\"anna\",\"created\":\"2026-01-01T00:00:00Z\"}".to_vec();
        vec![
            user,
            b"node/1\n{\"id\":1,\"given_name\":\"box\"}".to_vec(),
            b"meta/next-id\n7".to_vec(),
            b"apikey/x\n{}".to_vec(),
        ]
    },
};

//! A folder on a disk that loses, tears and reorders what was not synced.
//!
//! Contents are durable after `sync` of the file, names after `sync_names`. After a power cut any part of the other
//! writes may have happened, each torn anywhere or left as a hole of zeros; of the name changes a beginning has.

use hearthgate_sorted::SortedMap;
use hearthgate_store::{Disk, Result, StoreError};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

/// A change of a file that is not durable yet.
#[derive(Clone)]
enum Write {
    Bytes(usize, Vec<u8>),
    Cut(usize),
}

/// A change of a name that is not durable yet.
#[derive(Clone)]
enum Naming {
    Make(String, usize),
    Rename(String, String),
    Remove(String),
}

/// A file: what is on the medium, what is on its way, what a reader sees.
#[derive(Default, Clone)]
struct Inode {
    durable: Vec<u8>,
    on_their_way: Vec<Write>,
    seen: Vec<u8>,
}

type Names = SortedMap<String, usize>;

fn rename(names: &mut Names, change: &Naming) {
    match change {
        Naming::Make(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Naming::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Naming::Remove(name) => {
            names.remove(name);
        }
    }
}

/// What happens to the operation that the fuse ends at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It and everything after it fail.
    PowerCut,
    /// It fails after having been done in part; the next ones succeed.
    OneError,
}

/// The medium, and what is on its way to it.
pub struct Medium {
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    namings: Vec<Naming>,
    /// Changes until the trouble.
    fuse: usize,
    trouble: Trouble,
    random: u64,
    /// Name changes and bytes lost by [`Medium::cut_power`], so that a test can tell that it tested something.
    pub lost: usize,
}

/// A handle that the store and the test share.
#[derive(Clone)]
pub struct Simulated(Arc<Mutex<Medium>>);

impl Simulated {
    /// An empty folder; trouble after `fuse` changes.
    pub fn new(fuse: usize, trouble: Trouble, seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (inodes, namings) = (Vec::new(), Vec::new());
        let (names, durable_names) = (Names::new(), Names::new());
        Self(Arc::new(Mutex::new(Medium { inodes, names, durable_names, namings, fuse, trouble, random, lost: 0 })))
    }

    pub fn medium(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap()
    }
}

impl Medium {
    fn random(&mut self, below: usize) -> usize {
        // xorshift: all that is needed is the same sequence for the same seed.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as usize % below
    }

    /// Counts a change down.
    fn step(&mut self) -> Result<()> {
        match (self.fuse, self.trouble) {
            (0, Trouble::OneError) => {
                self.fuse = usize::MAX;
                Err(StoreError::Poisoned)
            }
            (0, Trouble::PowerCut) => Err(StoreError::Poisoned),
            _ => {
                self.fuse -= 1;
                Ok(())
            }
        }
    }

    /// The power goes and comes back: the folder is what the medium kept. No more trouble from now on.
    pub fn cut_power(&mut self) {
        for i in 0..self.inodes.len() {
            let mut bytes = std::mem::take(&mut self.inodes[i].durable);
            for write in std::mem::take(&mut self.inodes[i].on_their_way) {
                match write {
                    Write::Cut(len) if self.random(2) == 0 => bytes.truncate(len),
                    Write::Cut(_) => self.lost += 1,
                    Write::Bytes(at, data) => {
                        let torn = match self.random(4) {
                            0 => 0,
                            1 => data.len(),
                            _ => self.random(data.len() + 1),
                        };
                        let hole = self.random(3) == 0;
                        let end = at + torn;
                        self.lost += usize::from(hole) + data.len() - torn;
                        if bytes.len() < end {
                            bytes.resize(end, 0);
                        }
                        if !hole {
                            bytes[at..end].copy_from_slice(&data[..torn]);
                        }
                    }
                }
            }
            self.inodes[i] = Inode { seen: bytes.clone(), durable: bytes, on_their_way: Vec::new() };
        }
        let namings = std::mem::take(&mut self.namings);
        let kept = self.random(namings.len() + 1);
        self.lost += namings.len() - kept;
        for change in &namings[..kept] {
            rename(&mut self.durable_names, change);
        }
        self.names = self.durable_names.clone();
        self.fuse = usize::MAX;
    }

    /// The process was killed, the kernel lives: what was written is there, durable or not. No more trouble from now on.
    pub fn kill(&mut self) {
        self.fuse = usize::MAX;
    }

    /// Changes the bits of `mask` in one byte on the medium.
    pub fn damage(&mut self, name: &str, at: usize, mask: u8) {
        let inode = &mut self.inodes[self.names[name]];
        inode.durable[at] ^= mask;
        inode.seen = inode.durable.clone();
    }

    /// Length of a file.
    pub fn len(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, |i| self.inodes[*i].seen.len())
    }

    fn name(&mut self, change: Naming) -> Result<()> {
        let trouble = self.step();
        if trouble.is_ok() || self.trouble == Trouble::PowerCut {
            rename(&mut self.names, &change);
            self.namings.push(change);
        }
        trouble
    }

    fn write(&mut self, inode: usize, write: Write) -> Result<()> {
        let trouble = self.step();
        let write = match write {
            // An append that fails may have added a part.
            Write::Bytes(at, mut data) if trouble.is_err() => {
                let part = self.random(data.len() + 1);
                data.truncate(part);
                Write::Bytes(at, data)
            }
            Write::Cut(_) if trouble.is_err() => return trouble,
            write => write,
        };
        let file = &mut self.inodes[inode];
        match &write {
            Write::Bytes(at, data) => {
                file.seen.truncate(*at);
                file.seen.extend_from_slice(data);
            }
            Write::Cut(len) => file.seen.truncate(*len),
        }
        file.on_their_way.push(write);
        trouble
    }
}

impl Disk for Simulated {
    fn len(&mut self, name: &str) -> Result<Option<u64>> {
        let m = self.medium();
        Ok(m.names.get(name).map(|i| m.inodes[*i].seen.len() as u64))
    }

    fn read_at(&mut self, name: &str, at: u64, out: &mut [u8]) -> Result<usize> {
        let m = self.medium();
        let bytes = &m.inodes[m.names[name]].seen;
        let from = bytes.len().min(at as usize);
        let n = out.len().min(bytes.len() - from);
        out[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut m = self.medium();
        let inode = match m.names.get(name) {
            Some(inode) => *inode,
            None => {
                m.inodes.push(Inode::default());
                let inode = m.inodes.len() - 1;
                m.name(Naming::Make(name.into(), inode))?;
                inode
            }
        };
        let at = m.inodes[inode].seen.len();
        m.write(inode, Write::Bytes(at, bytes.to_vec()))
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<()> {
        let mut m = self.medium();
        let inode = m.names[name];
        m.write(inode, Write::Cut(len as usize))
    }

    fn sync(&mut self, name: &str) -> Result<()> {
        let mut m = self.medium();
        m.step()?;
        let inode = m.names[name];
        let file = &mut m.inodes[inode];
        file.durable = file.seen.clone();
        file.on_their_way.clear();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.medium().name(Naming::Rename(from.into(), to.into()))
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let mut m = self.medium();
        match m.names.contains_key(name) {
            true => m.name(Naming::Remove(name.into())),
            false => Ok(()),
        }
    }

    fn sync_names(&mut self) -> Result<()> {
        let mut m = self.medium();
        m.step()?;
        m.durable_names = m.names.clone();
        m.namings.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("simulated").join(name)
    }
}

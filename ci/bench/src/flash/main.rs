//! What a network writes to flash: the server's own state machine and store, with time that is simulated and a disk
//! that counts. `hearthgate-flash [--devices N] [--days N] [--limit BYTES]` prints bytes a day for two networks, and
//! fails when the idle one is over the limit:
//!
//! * idle: devices stay where they are, keep their map streams, and look for their endpoints as clients do;
//! * lively: besides, every device changes its network six times a day and starts anew once, and a person changes
//!   something once.
//!
//! Counted twice: the bytes of the files, and whole pages of 4 KiB with one more page of the file system for each
//! flush, which is nearer to what a flash chip sees. Nothing else of the program writes to its state folder while it
//! runs: what this leaves out are the log (RAM) and upgrades.

use hearthgate_core::{AllowAll, NewPreAuthKey, NewUser, NodeId, Now, Registration, Settings, Stored, World};
use hearthgate_keys::{DiscoPublic, MachinePublic, NodePublic, Secret};
use hearthgate_store::{Batch, Disk, FileDisk, LogStore, Store, StoreError};
use hearthgate_tailcfg::{DerpMap, Hostinfo, MapRequest, NetInfo, RegisterRequest, RegisterResponseAuth};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Step of the simulated time.
const STEP_S: u64 = 15;
/// How often a client says where it is, as official ones do while nothing changes (their network check).
const REPORT_S: u64 = 25 * 60;
const DAY_S: u64 = 24 * 3600;
const PAGE: usize = 4096;

type Failure = Box<dyn std::error::Error>;

/// What was written.
#[derive(Default)]
struct Counters {
    bytes: AtomicUsize,
    pages: AtomicUsize,
    flushes: AtomicUsize,
}

/// A folder that counts.
struct CountingDisk {
    inner: FileDisk,
    unsynced: usize,
    counters: Arc<Counters>,
}

impl Disk for CountingDisk {
    fn len(&mut self, name: &str) -> Result<Option<u64>, StoreError> {
        self.inner.len(name)
    }
    fn read_at(&mut self, name: &str, at: u64, out: &mut [u8]) -> Result<usize, StoreError> {
        self.inner.read_at(name, at, out)
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.unsynced += bytes.len();
        self.counters.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        self.inner.append(name, bytes)
    }
    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StoreError> {
        self.inner.truncate(name, len)
    }
    fn sync(&mut self, name: &str) -> Result<(), StoreError> {
        // The file's pages, the last of which is written again, and one of the file system's own.
        self.counters.pages.fetch_add(std::mem::take(&mut self.unsynced) / PAGE + 2, Ordering::Relaxed);
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.inner.sync(name)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), StoreError> {
        self.inner.rename(from, to)
    }
    fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.inner.remove(name)
    }
    fn sync_names(&mut self) -> Result<(), StoreError> {
        self.counters.pages.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_names()
    }
    fn path(&self, name: &str) -> PathBuf {
        self.inner.path(name)
    }
}

/// A network and its store.
struct Network {
    world: World,
    store: LogStore<CountingDisk>,
    now: Now,
    seed: u64,
    devices: Vec<NodeId>,
    started: Vec<u32>,
}

fn key(kind: u8, device: usize, number: u32) -> [u8; 32] {
    let mut bytes = [kind; 32];
    for (to, from) in bytes.iter_mut().zip([device.to_le_bytes(), (number as usize).to_le_bytes()].concat()) {
        *to = from;
    }
    bytes
}

fn hostinfo(device: usize, home: i32) -> Hostinfo {
    Hostinfo {
        hostname: format!("device-{device}"),
        os: "linux".into(),
        net_info: Some(NetInfo { preferred_derp: home, ..NetInfo::default() }),
        ..Hostinfo::default()
    }
}

impl Network {
    fn new(dir: &std::path::Path, devices: usize, counters: &Arc<Counters>) -> Result<Self, Failure> {
        let disk = CountingDisk { inner: FileDisk::new(dir), unsynced: 0, counters: counters.clone() };
        let now = Now { wall: "2026-01-01T00:00:00Z".parse::<Timestamp>()?, mono_ms: 1000 };
        let world = World::load(Stored::default(), Settings::default(), Arc::new(AllowAll), DerpMap::default(), now);
        let mut network = Self {
            world,
            store: LogStore::open_salted(disk, 1)?,
            now,
            seed: 1,
            devices: Vec::new(),
            started: vec![0; devices],
        };
        let user = network.world.create_user(NewUser { name: "home".into(), ..NewUser::default() }, now)?.id;
        let new = NewPreAuthKey { user: Some(user), reusable: true, ..NewPreAuthKey::default() };
        let (_, minted) = network.world.create_preauth_key(new, now, &mut |b: &mut [u8]| b.fill(7))?;
        for device in 0..devices {
            let request = RegisterRequest {
                version: 148,
                node_key: NodePublic::from_bytes(key(2, device, 0)),
                auth: Some(RegisterResponseAuth { auth_key: Secret::new(minted.text.reveal().to_owned()) }),
                hostinfo: Some(hostinfo(device, 0)),
                ..RegisterRequest::default()
            };
            network.seed += 1;
            let seed = network.seed;
            let mut random =
                |b: &mut [u8]| b.iter_mut().zip(seed.to_le_bytes().iter().cycle()).for_each(|(to, from)| *to = *from);
            let machine = MachinePublic::from_bytes(key(1, device, 0));
            match network.world.register(machine, &request, now, &mut random) {
                Registration::Respond(answer) if answer.error.is_empty() => {}
                _ => return Err(format!("device {device} does not join").into()),
            }
            let id = network.world.nodes().find(|n| n.node_key == request.node_key).ok_or("no node")?.id;
            network.devices.push(id);
            network.report(device, 0)?;
            network.world.stream_opened(id);
        }
        network.store_it()?;
        Ok(network)
    }

    /// A client says where it is: the port of its router's NAT is a new one each time.
    fn report(&mut self, device: usize, network: u64) -> Result<(), Failure> {
        let port = 1024 + (self.now.mono_ms / 1000 % 60_000) as u16;
        let lan = format!("192.168.{}.{}:41641", network % 250, device % 250 + 1).parse()?;
        let wan = format!("203.0.113.{}:{port}", network % 250).parse()?;
        let request = MapRequest {
            version: 148,
            node_key: NodePublic::from_bytes(key(2, device, 0)),
            disco_key: DiscoPublic::from_bytes(key(3, device, self.started.get(device).copied().unwrap_or(0))),
            omit_peers: true,
            endpoints: vec![lan, wan],
            endpoint_types: vec![1, 2],
            hostinfo: Some(hostinfo(device, 900 + (network % 3) as i32)),
            ..MapRequest::default()
        };
        self.world.report(MachinePublic::from_bytes(key(1, device, 0)), &request)?;
        Ok(())
    }

    /// As the server's writer does it after each batch.
    fn store_it(&mut self) -> Result<(), Failure> {
        let writes = self.world.take_batch().writes;
        if !writes.is_empty() {
            let mut batch = Batch::new();
            for write in &writes {
                match &write.value {
                    Some(value) => batch.put(write.key.as_bytes(), value),
                    None => batch.delete(write.key.as_bytes()),
                };
            }
            self.store.commit(batch)?;
        }
        self.world.publish();
        Ok(())
    }

    fn step(&mut self, second: u64, lively: bool) -> Result<(), Failure> {
        self.now.mono_ms += STEP_S * 1000;
        self.now.wall = self.now.wall.checked_add(SignedDuration::from_secs(STEP_S.try_into()?))?;
        self.world.handle_timeout(self.now);
        for device in 0..self.devices.len() {
            // Spread over the time, so that each is a batch of its own.
            let at = second + device as u64 * 60;
            let Some(&id) = self.devices.get(device) else { continue };
            let due = |every: u64| at / STEP_S % (every / STEP_S) == 0;
            let network = if lively { at / (DAY_S / 6) } else { 0 };
            if lively && due(DAY_S / 6) {
                self.world.stream_closed(id, self.now);
                if due(DAY_S) {
                    // A start of the program: it has another disco key.
                    if let Some(count) = self.started.get_mut(device) {
                        *count += 1;
                    }
                }
                self.report(device, network)?;
                self.world.stream_opened(id);
                self.store_it()?;
            } else if due(REPORT_S) {
                self.report(device, network)?;
                self.store_it()?;
            }
        }
        if lively && second % DAY_S == 0 {
            let name = format!("renamed-{}", second / DAY_S);
            if let Some(&id) = self.devices.first() {
                self.world.rename_node(id, &name)?;
            }
        }
        self.store_it()
    }
}

fn measure(devices: usize, days: u64, lively: bool) -> Result<Value, Failure> {
    let dir = std::env::temp_dir().join(format!("hearthgate-flash-{}-{lively}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let counters = Arc::new(Counters::default());
    let run = || -> Result<Value, Failure> {
        let mut network = Network::new(&dir, devices, &counters)?;
        let read = || [&counters.bytes, &counters.pages, &counters.flushes].map(|c| c.load(Ordering::Relaxed));
        let before = read();
        for step in 1..=days * DAY_S / STEP_S {
            network.step(step * STEP_S, lively)?;
        }
        let after = read();
        let day = |index: usize| {
            let (b, a) = (before.get(index).copied().unwrap_or(0), after.get(index).copied().unwrap_or(0));
            (a - b) as f64 / days as f64
        };
        let size = std::fs::read_dir(&dir)?.flatten().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum::<u64>();
        Ok(json!({
            "bytes_a_day": day(0).round(),
            "bytes_a_day_in_whole_pages": (day(1) * PAGE as f64).round(),
            "flushes_a_day": (day(2) * 10.0).round() / 10.0,
            "size_of_the_state": size,
        }))
    };
    let result = run();
    // A leftover in the temporary folder is no reason to hide the figures.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn run() -> Result<(), Failure> {
    let (mut devices, mut days, mut limit) = (20, 30, f64::INFINITY);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().unwrap_or_default();
        match arg.as_str() {
            "--devices" => devices = value.parse()?,
            "--days" => days = value.parse()?,
            "--limit" => limit = value.parse()?,
            other => return Err(format!("unknown flag {other}: --devices N, --days N, --limit BYTES").into()),
        }
    }
    let (idle, lively) = (measure(devices, days, false)?, measure(devices, days, true)?);
    println!("{:#}", json!({ "devices": devices, "days": days, "idle": idle, "lively": lively }));
    let written = idle.get("bytes_a_day_in_whole_pages").and_then(Value::as_f64).ok_or("no figure")?;
    if written > limit { Err(format!("{written} bytes a day are more than {limit}").into()) } else { Ok(()) }
}

fn main() {
    if let Err(error) = run() {
        eprintln!("hearthgate-flash: {error}");
        std::process::exit(1);
    }
}

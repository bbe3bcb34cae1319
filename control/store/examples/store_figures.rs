//! What each engine costs: memory, time and bytes written. Prints one JSON line an engine and a table.
//!
//! `cargo run -p hearthgate-store --example store_figures [RECORDS [COMMITS]]` fills a store with records of
//! the size of a node, then commits changes to one of them at a time. Each engine has a process of its own, so that one
//! does not inherit the memory of another. Bytes written are what the kernel sent to the file system for this process
//! (`/proc/self/io`); on a RAM disk that count is zero, so the folder is made beside the executable.

use hearthgate_store::{Batch, EngineKind, open};
use std::{
    fs,
    path::Path,
    process::{Command, exit},
    time::Instant,
};

/// Bytes of a stored node with its keys, addresses and host information.
const NODE_BYTES: usize = 700;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [run, engine, records, commits] = &args[..]
        && run == "--one"
    {
        return one(engine.parse().expect("an engine"), number(records), number(commits));
    }
    let records = args.first().map_or(20, |n| number(n));
    let commits = args.get(1).map_or(1000, |n| number(n));
    let me = std::env::current_exe().expect("the path of this program");
    println!("{records} records of {NODE_BYTES} bytes, then {commits} commits of one record\n");
    println!(
        "| engine | opened, RSS | after, RSS | time a commit | written a commit | on disk |\n|---|---|---|---|---|---|"
    );
    for engine in EngineKind::ALL.into_iter().filter(|e| e.built()) {
        let arguments = ["--one", engine.name(), &records.to_string(), &commits.to_string()];
        if !Command::new(&me).args(arguments).status().expect("this program starts again").success() {
            exit(1);
        }
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn one(engine: EngineKind, records: usize, commits: usize) {
    let exe = std::env::current_exe().expect("the path of this program");
    let dir = exe.with_file_name(format!("store-figures-{engine}"));
    let _ = fs::remove_dir_all(&dir);
    let before = memory_kb();
    let mut store = open(&dir, engine).expect("the store opens");
    let mut fill = Batch::new();
    for i in 0..records {
        fill.put(format!("node/{i:06}").as_bytes(), &vec![i as u8; NODE_BYTES]);
    }
    store.commit(fill).expect("the store fills");
    store.close().expect("the store closes");
    let mut store = open(&dir, engine).expect("the store opens again");
    let opened = memory_kb() - before;
    let (written, started) = (written_bytes(), Instant::now());
    for i in 0..commits {
        let mut batch = Batch::new();
        batch.put(format!("node/{:06}", i % records).as_bytes(), &vec![(i >> 8) as u8; NODE_BYTES]);
        store.commit(batch).expect("a commit");
    }
    let each = started.elapsed().as_micros() / commits as u128;
    let written = (written_bytes() - written) / commits as u64;
    println!(
        "| {engine} | {opened} KB | {} KB | {each} µs | {written} B | {} KB |",
        memory_kb() - before,
        size(&dir) / 1024
    );
    drop(store);
    fs::remove_dir_all(&dir).expect("the folder goes");
}

/// Resident memory of this process in KB.
fn memory_kb() -> u64 {
    field("/proc/self/status", "VmRSS:")
}

/// Bytes that this process caused to be written to the disk.
fn written_bytes() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

fn field(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).expect("a file of /proc");
    let line = text.lines().find_map(|l| l.strip_prefix(name)).expect("the field");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

fn size(dir: &Path) -> u64 {
    fs::read_dir(dir).expect("the folder").flatten().fold(0, |sum, entry| {
        let meta = entry.metadata().expect("metadata");
        sum + if meta.is_dir() { size(&entry.path()) } else { meta.len() }
    })
}

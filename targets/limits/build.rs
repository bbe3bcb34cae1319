//! Makes constants of the `[limits]` of the target file whose triple is built for, and of its names.
//!
//! A machine without a file of its own (somebody's desk) gets the limits and names of the same processor, else the smallest
//! limits and no names: nothing is packed for it.

use std::{collections::BTreeMap, env, fs, path::Path};

/// Every limit, in the order of the constants.
const LIMITS: [&str; 5] = ["worker_threads", "blocking_threads", "relay_connections", "cached_pages", "handshakes"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=..");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let triple = env::var("TARGET").expect("cargo sets it");
    let arch = triple.split('-').next().unwrap_or_default();
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the folder of targets").flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let read = |p: &std::path::PathBuf| {
        let name = p.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(p).expect("a target file"))
    };
    let texts: Vec<(String, String)> = files.iter().map(read).collect();
    let exact = texts.iter().find(|(_, t)| word(t, "triple") == triple);
    let near = || texts.iter().find(|(_, t)| word(t, "triple").split('-').next() == Some(arch));
    let of_processor = exact.or_else(near);
    let connections = |text: &str| value(text, "relay_connections").and_then(|v| v.parse::<u64>().ok());
    let small = || texts.iter().min_by_key(|(_, t)| connections(t));
    let (_, text) = of_processor.or_else(small).expect("a target file");
    let found: BTreeMap<&str, u32> = LIMITS.iter().map(|name| (*name, number(text, name))).collect();
    let constant = |(name, n): (&&str, &u32)| format!("pub(crate) const {}: u32 = {n};\n", name.to_uppercase());
    let mut code: String = found.iter().map(constant).collect();
    let (name, debian) = of_processor.map(|(name, text)| (name.as_str(), word(text, "debian"))).unwrap_or_default();
    code.push_str(&format!("pub(crate) const TARGET: &str = {name:?};\npub(crate) const DEBIAN: &str = {debian:?};\n"));
    let out = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("limits.rs"), code).expect("the output folder");
}

/// The value of a `key = value` line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('=').map(str::trim))
}

/// The text of a `key = "text"` line; empty without one.
fn word<'a>(text: &'a str, key: &str) -> &'a str {
    value(text, key).unwrap_or_default().trim_matches('"')
}

/// A limit; a target file without it is a mistake.
fn number(text: &str, key: &str) -> u32 {
    let n = value(text, key).unwrap_or_else(|| panic!("no {key} in the target file {text}"));
    match n.replace('_', "").parse() {
        Ok(n) if n > 0 => n,
        _ => panic!("{key} = {n} is no number above 0"),
    }
}

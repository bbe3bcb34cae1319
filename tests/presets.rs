//! What each preset must not link, by cargo's own resolution for every target of `targets/`.
//!
//! A preset that drags in what it was made to leave out is larger than its budget, and says nothing about why.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// No build has these: they need another C library, a compiler that MIPS has not, or much room.
const NOWHERE: [&str; 5] = ["openssl-sys", "aws-lc-sys", "native-tls", "regex", "rusqlite"];
/// The control server and what only it needs.
const CONTROL: [&str; 10] = [
    "hearthgate-server",
    "hearthgate-store",
    "hearthgate-core",
    "hearthgate-policy",
    "hearthgate-web",
    "hearthgate-oidc",
    "hearthgate-import",
    "redb",
    "sled",
    "maud",
];
/// The router and what only it needs.
const ROUTER: [&str; 8] = [
    "hearthgate-client",
    "hearthgate-paths",
    "hearthgate-disco",
    "hearthgate-plane",
    "netlink-packet-wireguard",
    "netlink-sys",
    "tun-rs",
    "rtnetlink",
];

/// The `key = "value"` of a target file.
fn field(text: &str, key: &str) -> String {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.trim().strip_prefix("= \"")?.strip_suffix('"'));
    value.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}

/// Short name, triple and features of each target.
fn targets() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("targets").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = fs::read_to_string(&path).expect("a target file");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            found.push((name, field(&text, "triple"), field(&text, "features")));
        }
    }
    found
}

/// Names of the crates in the binary.
fn linked(preset: &str, triple: &str, features: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "tree",
            "--locked",
            "--package",
            "hearthgate",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .args(["--no-default-features", "--features", &format!("{preset},{features}"), "--target", triple])
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn leaves_out(preset: &str, forbidden: &[&[&str]]) {
    let targets = targets();
    assert!(targets.len() >= 5, "{targets:?}");
    for (name, triple, features) in targets {
        let crates = linked(preset, &triple, &features);
        assert!(crates.contains("hearthgate-cli"), "{crates:?}");
        let wrong: Vec<_> =
            forbidden.iter().copied().flatten().chain(&NOWHERE).filter(|c| crates.contains(**c)).collect();
        assert!(wrong.is_empty(), "{preset} on {name} links {wrong:?}");
        if name.starts_with("mips") {
            assert!(!crates.contains("sled"), "sled does not run on 32-bit MIPS");
        }
    }
}

#[test]
fn full_has_nothing_that_no_router_takes() {
    leaves_out("full", &[]);
}

#[test]
fn control_only_has_no_router() {
    leaves_out("control-only", &[&ROUTER]);
}

#[test]
fn relay_only_has_neither_control_server_nor_router() {
    leaves_out("relay-only", &[&CONTROL, &ROUTER]);
}

#[test]
fn router_only_has_neither_control_server_nor_its_stores() {
    leaves_out("router-only", &[&CONTROL]);
}

#[test]
fn cross_knows_every_target() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cross.toml")).expect("Cross.toml");
    for (name, triple, _) in targets() {
        let section =
            text.split_once(&format!("[target.{triple}]\n")).map(|(_, rest)| rest.split("\n[").next().unwrap_or(rest));
        let section = section.unwrap_or_else(|| panic!("no {triple} in Cross.toml"));
        assert!(section.contains(&format!("build-std = {}", name.starts_with("mips"))), "{section}");
    }
}

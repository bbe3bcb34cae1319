//! `hearthgate import headscale`: takes over another installation, so that its clients go on without a new login.

use crate::{Failure, args::Args, setup};
use hearthgate_core::Write;
use hearthgate_import::headscale::{self, Found};
use hearthgate_keys::{MachinePrivate, NodePrivate};
use hearthgate_store::{Batch, open};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Largest database that is read, in bytes: a tailnet of some ten thousand nodes.
const DATABASE_MAX: u64 = 256 * 1024 * 1024;
/// Largest key file.
const KEY_MAX: u64 = 4096;

/// `hearthgate import headscale …`.
pub(crate) fn run(args: &Args, rest: &[&str]) -> Result<(), Failure> {
    if rest != ["headscale"] {
        return Err(Failure::Usage(
            "say what to import: hearthgate import headscale --db /var/lib/headscale/db.sqlite".into(),
        ));
    }
    let db = args
        .value("db")
        .ok_or_else(|| Failure::Usage("name Headscale's database: --db /var/lib/headscale/db.sqlite".into()))?;
    let db = Path::new(db);
    let beside = |name: &str| db.with_file_name(name);
    let noise = args.value("noise-key").map_or_else(|| beside("noise_private.key"), PathBuf::from);
    let derp = args.value("derp-key").map_or_else(|| beside("derp_server_private.key"), PathBuf::from);

    let file = read(db, DATABASE_MAX)?;
    let mut wal = db.as_os_str().to_owned();
    wal.push("-wal");
    let wal = Path::new(&wal).exists().then(|| read(Path::new(&wal), DATABASE_MAX)).transpose()?;
    let mut found = headscale::read(&file, wal.as_deref(), jiff::Timestamp::now())
        .map_err(|e| Failure::Failed(format!("{}: {e}", db.display())))?;
    let noise_key = key_text(&noise)?;
    MachinePrivate::parse(&noise_key).map_err(|e| {
        Failure::Failed(format!(
            "{}: {e}: without Headscale's Noise key every client has to log in again; name it with --noise-key",
            noise.display()
        ))
    })?;
    let derp_key = match key_text(&derp) {
        Ok(text) if NodePrivate::parse(&text).is_ok() => Some(text),
        _ => {
            found.remarks.push(format!(
                "there is no relay key in {}: a new one will be made, which clients do not mind",
                derp.display()
            ));
            None
        }
    };
    report(&found);
    if args.has("dry-run") {
        println!("\nNothing was changed: this was a dry run.");
        return Ok(());
    }
    let config = setup::usable(args)?;
    let state = setup::state_dir(&config);
    take_over(&found, &state, config.store.engine.parse()?, &noise_key, derp_key.as_deref())?;
    println!("\nThis is now in {}. Before you start hearthgate there:", state.display());
    println!("  - stop Headscale for good: both would answer the same clients;");
    println!("  - give hearthgate the same server_url, prefixes and dns.base_domain as Headscale had.");
    if found.policy.is_some() {
        println!("  - the policy lies in {}.", state.join(POLICY).display());
    }
    Ok(())
}

/// Where a policy from the database is put.
const POLICY: &str = "imported-policy.hujson";

fn report(found: &Found) {
    println!("{} user(s):", found.users.len());
    for user in &found.users {
        println!("  {} {}{}", user.id, user.name, if user.provider.is_empty() { "" } else { " (OpenID)" });
    }
    println!("{} node(s):", found.nodes.len());
    for node in &found.nodes {
        let addresses: Vec<String> =
            node.ipv4.iter().map(ToString::to_string).chain(node.ipv6.iter().map(ToString::to_string)).collect();
        let owner = if node.tags.is_empty() { format!("user {}", node.user) } else { node.tags.join(",") };
        println!("  {} {} {} of {owner}", node.id, node.given_name, addresses.join(" "));
    }
    if found.policy.is_some() {
        println!("the policy in force");
    }
    for remark in &found.remarks {
        println!("note: {remark}");
    }
}

fn take_over(
    found: &Found,
    state: &Path,
    engine: hearthgate_store::EngineKind,
    noise_key: &str,
    derp_key: Option<&str>,
) -> Result<(), Failure> {
    let mut store = open(&state.join("store"), engine)?;
    if hearthgate_core::Stored::PREFIXES.iter().any(|p| store.scan(p.as_bytes()).is_ok_and(|r| !r.is_empty())) {
        return Err(Failure::Failed(format!(
            "{} already holds a tailnet: import into an empty state folder (--config or HEARTHGATE_STATE_DIR)",
            state.display()
        )));
    }
    // Keys first: if this is cut off, the folder holds no tailnet yet and the import can be repeated.
    write_private(&state.join("noise_private.key"), noise_key)?;
    if let Some(key) = derp_key {
        write_private(&state.join("derp_server_private.key"), key)?;
    }
    if let Some(policy) = &found.policy {
        write_private(&state.join(POLICY), policy)?;
    }
    let mut batch = Batch::new();
    for write in Write::taken_over(&found.users, &found.nodes) {
        if let Some(value) = &write.value {
            batch.put(write.key.as_bytes(), value);
        }
    }
    store.commit(batch)?;
    Ok(store.close()?)
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::Failed(format!("{} cannot be read: {why}", path.display()));
    let len = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if len > max {
        return Err(failed(format!("it has {len} bytes, more than {max}")));
    }
    fs::read(path).map_err(|e| failed(e.to_string()))
}

fn key_text(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&read(path, KEY_MAX)?).trim().to_owned())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    Ok(hearthgate_durable_file::replace(path, text.as_bytes())?)
}

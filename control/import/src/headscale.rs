//! Users and nodes of a Headscale installation (its tables as of 0.26 to 0.29, `hscontrol/types` of v0.29.2).

use crate::sqlite::{Database, Row, SqliteError, Value};
use hearthgate_core::{NodeId, NodeRecord, RegisterMethod, TAGGED_DEVICES, User, UserId};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::Hostinfo;
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::from_slice;
use std::{str::FromStr, sync::Arc};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Users, with their numbers.
    pub users: Vec<User>,
    /// Nodes, with their numbers, keys, names and addresses.
    pub nodes: Vec<NodeRecord>,
    /// The policy that was in force, if it was kept in the database.
    pub policy: Option<String>,
    /// What is not taken over, and what to do about it; for a person to read.
    pub remarks: Vec<String>,
}

/// Why nothing is taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// It is a SQLite file of something else.
    #[error("there is no table {0:?} in it: is it Headscale's database?")]
    NoTable(&'static str),
    /// Too old.
    #[error(
        "it was written by a Headscale before 0.26: upgrade Headscale to 0.26 or later first, step by step, then import"
    )]
    TooOld,
    /// A row that would be lost.
    #[error("{table} {id}: {what} cannot be read ({value:?})")]
    Row {
        /// Its table.
        table: &'static str,
        /// Its number.
        id: i64,
        /// The column.
        what: &'static str,
        /// What stands there.
        value: String,
    },
}

/// Reads a Headscale database; `wal` is the `-wal` file beside it, `now` the present time.
///
/// # Errors
/// It is not one, is too old, is damaged, or holds a node whose keys cannot be read: nothing is taken over by halves.
pub fn read(file: &[u8], wal: Option<&[u8]>, now: Timestamp) -> Result<Found, ImportError> {
    let database = Database::open(file, wal)?;
    let table = |name| database.table(name)?.ok_or(ImportError::NoTable(name));
    let mut found = Found::default();
    for row in table("users")?.iter().filter(|r| !deleted(r)) {
        found.users.push(user(row, now));
    }
    let nodes = table("nodes")?;
    if nodes.iter().any(|r| !r.contains_key("approved_routes")) {
        return Err(ImportError::TooOld);
    }
    for row in nodes.iter().filter(|r| !deleted(r)) {
        found.nodes.push(node(row, now)?);
    }
    unique_names(&mut found);
    orphans(&mut found);
    let keys = database.table("pre_auth_keys")?.unwrap_or_default();
    let usable = |r: &&Row| time(r, "expiration").is_none_or(|e| e > now) && (flag(r, "reusable") || !flag(r, "used"));
    match keys.iter().filter(usable).count() {
        0 => {}
        n => found.remarks.push(format!(
            "{n} pre-auth key(s) that still work are not taken over, because Headscale kept only a hash of a kind that is too slow for a router: make new ones with `hearthgate preauthkeys create`"
        )),
    }
    if !database.table("api_keys")?.unwrap_or_default().is_empty() {
        found.remarks.push("API keys are not taken over: make new ones with `hearthgate apikeys create`".into());
    }
    let policies = database.table("policies")?.unwrap_or_default();
    let newest = policies.iter().filter(|r| !deleted(r)).max_by_key(|r| int(r, "id"));
    found.policy = newest.and_then(|r| text(r, "data")).map(str::to_owned).filter(|p| !p.trim().is_empty());
    Ok(found)
}

fn user(row: &Row, now: Timestamp) -> User {
    let get = |name| text(row, name).unwrap_or_default().to_owned();
    User {
        id: UserId(int(row, "id").cast_unsigned()),
        name: get("name"),
        display_name: get("display_name"),
        email: get("email"),
        picture_url: get("profile_pic_url"),
        provider: get("provider"),
        provider_id: get("provider_identifier"),
        groups: Vec::new(),
        role: String::new(),
        created: time(row, "created_at").unwrap_or(now),
    }
}

fn node(row: &Row, now: Timestamp) -> Result<NodeRecord, ImportError> {
    let id = int(row, "id");
    let hostinfo: Hostinfo =
        text(row, "host_info").and_then(|t| Hostinfo::from_json(t.as_bytes()).ok()).unwrap_or_default();
    let given_name = text(row, "given_name").unwrap_or_default().to_ascii_lowercase();
    let hostname = text(row, "hostname").unwrap_or_default().to_ascii_lowercase();
    let mut tags: SortedSet<String> = list(row, "tags").into_iter().collect();
    // Until 0.27 these were a column of their own.
    tags.extend(list(row, "forced_tags"));
    let owner = row.get("user_id").and_then(Value::int).map(|n| UserId(n.cast_unsigned()));
    Ok(NodeRecord {
        id: NodeId(id.cast_unsigned()),
        machine_key: needed(row, id, "machine_key")?,
        node_key: needed(row, id, "node_key")?,
        disco_key: text(row, "disco_key").and_then(|t| t.parse().ok()).unwrap_or_default(),
        user: owner.unwrap_or(TAGGED_DEVICES),
        tags: tags.into_iter().collect(),
        renamed: !given_name.is_empty() && given_name != hostname,
        given_name,
        ipv4: optional(row, id, "ipv4")?,
        ipv6: optional(row, id, "ipv6")?,
        created: time(row, "created_at").unwrap_or(now),
        expiry: time(row, "expiry"),
        method: match text(row, "register_method") {
            Some("authkey") => RegisterMethod::AuthKey,
            Some("oidc") => RegisterMethod::Oidc,
            Some("cli") => RegisterMethod::Cli,
            _ => RegisterMethod::Unspecified,
        },
        preauth_key: None,
        waiting: false,
        ephemeral: false,
        approved_routes: list(row, "approved_routes").iter().filter_map(|r| r.parse::<IpNet>().ok()).collect(),
        attributes: Default::default(),
        hostinfo: Arc::new(hostinfo),
        cap: 0,
        last_seen: time(row, "last_seen"),
    })
}

/// Names are unique here; a name that stands twice, or is none, gets the node's number.
fn unique_names(found: &mut Found) {
    let mut taken = SortedSet::new();
    for node in &mut found.nodes {
        if node.given_name.is_empty() || !taken.insert(node.given_name.clone()) {
            let base = if node.given_name.is_empty() { "node" } else { &node.given_name };
            let name = format!("{base}-{}", node.id);
            found.remarks.push(format!("node {} is now called {name}: its name was {:?}", node.id, node.given_name));
            taken.insert(name.clone());
            node.given_name = name;
            node.renamed = true;
        }
    }
}

/// Nodes whose user is gone and that have no tags belong to nobody.
fn orphans(found: &mut Found) {
    let users: SortedSet<UserId> = found.users.iter().map(|u| u.id).collect();
    let (kept, lost): (Vec<_>, Vec<_>) =
        std::mem::take(&mut found.nodes).into_iter().partition(|n| !n.tags.is_empty() || users.contains(&n.user));
    found.nodes = kept;
    for node in lost {
        found
            .remarks
            .push(format!("node {} ({}) is not taken over: its user does not exist", node.id, node.given_name));
    }
}

fn deleted(row: &Row) -> bool {
    time(row, "deleted_at").is_some()
}

fn text<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name).and_then(Value::text)
}

fn int(row: &Row, name: &str) -> i64 {
    row.get(name).and_then(Value::int).unwrap_or_default()
}

fn flag(row: &Row, name: &str) -> bool {
    int(row, name) != 0
}

/// A time; none for NULL and for Go's zero time.
fn time(row: &Row, name: &str) -> Option<Timestamp> {
    let text = text(row, name)?;
    let time: Timestamp = text.parse().ok()?;
    (!text.starts_with("0001-")).then_some(time)
}

/// JSON text that holds a list.
fn list(row: &Row, name: &str) -> Vec<String> {
    text(row, name).and_then(|t| from_slice::<Option<Vec<String>>>(t.as_bytes()).ok().flatten()).unwrap_or_default()
}

fn needed<T: FromStr>(row: &Row, id: i64, what: &'static str) -> Result<T, ImportError> {
    optional(row, id, what)?.ok_or(ImportError::Row { table: "node", id, what, value: String::new() })
}

fn optional<T: FromStr>(row: &Row, id: i64, what: &'static str) -> Result<Option<T>, ImportError> {
    let Some(value) = text(row, what).filter(|t| !t.is_empty()) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| ImportError::Row { table: "node", id, what, value: value.to_owned() })
}

//! Nodes, and the logins that wait to become one.

use super::Answer;
use super::words::{Query, arg, auth_id, find_user, node_id, read, route_of, time};
use crate::{api_views as views, writer::Context};
use bytes::Bytes;
use hearthgate_core::{CoreError, RegisterMethod, World};
use hearthgate_keys::{MachinePublic, NodePublic};
use hearthgate_read::{json, struct_of};
use hearthgate_tailcfg::{Hostinfo, RegisterRequest};
use ipnet::IpNet;
use serde_json::Value;

#[derive(Default)]
pub(super) struct AuthBody {
    pub(super) user: String,
    pub(super) auth_id: String,
}
struct_of!(AuthBody;
must {}
may { user: "user", auth_id: "authId" }
not {});

#[derive(Default)]
struct ExpireBody {
    expiry: Option<String>,
    disable_expiry: bool,
}
struct_of!(ExpireBody;
must {}
may { expiry: "expiry", disable_expiry: "disableExpiry" }
not {});

pub(super) fn list_nodes(world: &World, query: &Query) -> Value {
    let fits = |n: &&std::sync::Arc<hearthgate_core::Node>| {
        arg(query, "user").is_none_or(|u| {
            !n.is_tagged()
                && world.users().any(|user| user.id == n.user && (user.name == u || user.id.to_string() == u))
        })
    };
    json!({ "nodes": world.nodes().filter(fits).map(|n| views::node(world, n)).collect::<Vec<_>>() })
}

pub(super) fn node(world: &World, id: &str) -> Answer {
    let node = world.node(node_id(id)?)?;
    Ok(json!({ "node": views::node(world, node) }))
}

pub(super) fn expire_node(world: &mut World, c: &mut Context<'_>, id: &str, body: &Bytes) -> Answer {
    let b: ExpireBody = read(body)?;
    let expiry = match (b.disable_expiry, b.expiry.as_deref().filter(|e| !e.is_empty())) {
        (true, _) => None,
        (false, Some(text)) => Some(time(text)?),
        (false, None) => Some(c.now.wall),
    };
    world.set_node_expiry(node_id(id)?, expiry, c.now)?;
    node(world, id)
}

pub(super) fn set_tags(world: &mut World, id: &str, body: &Bytes) -> Answer {
    #[derive(Default)]
    struct Tags {
        tags: Vec<String>,
    }
    struct_of!(Tags;
    must {}
    may { tags: "tags" }
    not {});
    world.set_node_tags(node_id(id)?, read::<Tags>(body)?.tags)?;
    node(world, id)
}

pub(super) fn approve_routes(world: &mut World, id: &str, body: &Bytes) -> Answer {
    #[derive(Default)]
    struct Routes {
        routes: Option<Vec<String>>,
    }
    struct_of!(Routes;
    must {}
    may { routes: "routes" }
    not {});
    let texts = read::<Routes>(body)?.routes.ok_or_else(|| {
        CoreError::Invalid("give the whole set of approved routes; an empty list takes all away".into())
    })?;
    let routes: Result<Vec<IpNet>, CoreError> = texts.iter().filter(|t| !t.is_empty()).map(|t| route_of(t)).collect();
    world.approve_routes(node_id(id)?, &routes?)?;
    node(world, id)
}

pub(super) fn auth_register(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: AuthBody = read(body)?;
    register(world, c, Some(&b.user), Some(&b.auth_id))
}

pub(super) fn register(world: &mut World, c: &mut Context<'_>, user: Option<&str>, key: Option<&str>) -> Answer {
    let (Some(user), Some(key)) = (user, key) else {
        return Err(CoreError::Invalid("name the user and the login to approve".into()));
    };
    let user = find_user(world, user)?;
    let registered = world.approve_login(&auth_id(key)?, user, RegisterMethod::Cli, c.now, c.rng)?;
    node(world, &registered.id.to_string())
}

/// A login that waits, as if a device had asked.
pub(super) fn debug_node(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    #[derive(Default)]
    struct Debug {
        user: String,
        key: String,
        name: String,
        routes: Vec<String>,
    }
    struct_of!(Debug;
    must {}
    may { user: "user", key: "key", name: "name", routes: "routes" }
    not {});
    let b: Debug = read(body)?;
    let user = find_user(world, &b.user)?;
    let id = auth_id(&b.key)?;
    let routes = b.routes.iter().map(|r| route_of(r)).collect::<Result<Vec<_>, _>>()?;
    let (mut machine, mut node) = ([0u8; 32], [0u8; 32]);
    c.rng.fill(&mut machine);
    c.rng.fill(&mut node);
    let (machine, node_key) = (MachinePublic::from_bytes(machine), NodePublic::from_bytes(node));
    let hostinfo = Hostinfo { hostname: b.name.clone(), routable_ips: routes.clone(), ..Hostinfo::default() };
    let request = RegisterRequest { node_key, hostinfo: Some(hostinfo), ..RegisterRequest::default() };
    world.place_login(id, machine, request, c.now);
    Ok(json!({ "node": {
        "id": "0", "machineKey": machine.to_string(), "nodeKey": node_key.to_string(), "ipAddresses": [], "name": b.name, "givenName": b.name,
        "user": views::owner(world, user), "online": false, "availableRoutes": routes,
    } }))
}

pub(super) fn backfill(world: &mut World, c: &mut Context<'_>, query: &Query) -> Answer {
    if arg(query, "confirmed") != Some("true") {
        return Err(CoreError::Invalid("this changes addresses of nodes: confirm it with ?confirmed=true".into()));
    }
    Ok(json!({ "changes": world.backfill_addresses(c.rng)? }))
}

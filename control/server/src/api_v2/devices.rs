//! `tailnet/-/devices` and `device/{id}`.

use super::{Call, Caller, Failure, time, wrong_method};
use crate::{api_attributes, api_v1, writer::Context};
use hearthgate_core::{Node, NodeId, World};
use hearthgate_read::{json, struct_of};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Go's zero time, which stands for "never".
const GO_ZERO: &str = "0001-01-01T00:00:00Z";

/// `tailnet/-/devices`.
pub(super) fn list(world: &World, caller: &Caller, call: &Call) -> Result<Value, Failure> {
    if call.method != http::Method::GET {
        return Err(wrong_method());
    }
    caller.need("devices:core:read")?;
    let all = call.arg("fields") == Some("all");
    Ok(json!({ "devices": world.nodes().map(|n| view(world, n, all)).collect::<Vec<_>>() }))
}

#[derive(Default)]
struct Body {
    name: String,
    tags: Vec<String>,
    routes: Vec<String>,
    authorized: Option<bool>,
    ipv4: String,
    key_expiry_disabled: Option<bool>,
}
struct_of!(Body {
    name: "name",
    tags: "tags",
    routes: "routes",
    authorized: "authorized",
    ipv4: "ipv4",
    key_expiry_disabled: "keyExpiryDisabled",
});

/// `device/{id}` and what is below it. The id is the number, or the stable id that clients show.
pub(super) fn one(
    world: &mut World,
    c: &mut Context<'_>,
    caller: &Caller,
    call: &Call,
    id: &str,
    rest: &[&str],
) -> Result<Value, Failure> {
    let bare = id.strip_prefix('n').unwrap_or(id);
    let found = bare.parse().ok().map(NodeId).and_then(|id| world.node(id).ok().cloned());
    let node = found.ok_or_else(|| Failure::not_found("device"))?;
    let note = |world: &mut World, what: &str| world.audit(&caller.name, what, &node.given_name, c.now);
    let change = |world: &World, scope: &str| {
        caller.need(scope)?;
        // A token changes the devices of its tags only.
        if caller.tags.is_some() { caller.may_tag(world, &node.tags) } else { Ok(()) }
    };
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            caller.need("devices:core:read")?;
            return Ok(view(world, &node, call.arg("fields") == Some("all")));
        }
        ("DELETE", []) => {
            change(world, "devices:core")?;
            world.delete_node(node.id)?;
            note(world, "removed device");
        }
        ("POST", ["name"]) => {
            change(world, "devices:core")?;
            let name = call.read::<Body>()?.name;
            // A whole name is taken as its first label; an empty one gives the name the device has of itself back.
            let label = name.split('.').next().unwrap_or_default();
            if label.is_empty() {
                return Err(Failure::bad("a name is needed"));
            }
            world.rename_node(node.id, label)?;
            note(world, "renamed device");
        }
        ("POST", ["tags"]) => {
            change(world, "devices:core")?;
            let tags = call.read::<Body>()?.tags;
            caller.may_tag(world, &tags)?;
            world.set_node_tags(node.id, tags)?;
            note(world, "tagged device");
        }
        ("POST", ["key"]) => {
            change(world, "devices:core")?;
            let never =
                call.read::<Body>()?.key_expiry_disabled.ok_or_else(|| Failure::bad("keyExpiryDisabled is missing"))?;
            let life = i64::try_from(world.settings().node_expiry_s).unwrap_or(0);
            let expiry = (!never && life > 0)
                .then(|| c.now.wall.checked_add(SignedDuration::from_secs(life)).unwrap_or(Timestamp::MAX));
            world.set_node_expiry(node.id, expiry, c.now)?;
            note(world, "set expiry of device");
        }
        ("POST", ["ip"]) => {
            change(world, "devices:core")?;
            let text = call.read::<Body>()?.ipv4;
            let ip = text.parse().map_err(|_| Failure::bad(format!("ipv4: {text:?} is no IPv4 address")))?;
            world.set_node_ipv4(node.id, ip)?;
            note(world, "gave another address to device");
        }
        ("POST", ["expire"]) => {
            change(world, "devices:core")?;
            world.set_node_expiry(node.id, Some(c.now.wall), c.now)?;
            note(world, "set expiry of device");
        }
        ("POST", ["authorized"]) => {
            change(world, "devices:core")?;
            let yes = call.read::<Body>()?.authorized.ok_or_else(|| Failure::bad("authorized is missing"))?;
            world.set_node_approved(node.id, yes)?;
            note(world, if yes { "approved device" } else { "took approval from device" });
        }
        ("GET", ["routes"]) => {
            caller.need("devices:routes:read")?;
            return Ok(routes(&node));
        }
        ("POST", ["routes"]) => {
            change(world, "devices:routes")?;
            let wanted: Result<Vec<IpNet>, _> =
                call.read::<Body>()?.routes.iter().map(|r| api_v1::route_of(r)).collect();
            world.approve_routes(node.id, &wanted?)?;
            note(world, "approved networks of device");
            return Ok(routes(world.node(node.id)?));
        }
        ("GET", ["attributes"]) => {
            caller.need("devices:posture_attributes:read")?;
            return Ok(api_attributes::view(&node));
        }
        ("POST", ["attributes", name]) => {
            change(world, "devices:posture_attributes")?;
            api_attributes::set(world, c, node.id, name, &call.body)?;
            note(world, "set attribute of device");
        }
        ("DELETE", ["attributes", name]) => {
            change(world, "devices:posture_attributes")?;
            if !node.attributes.contains_key(*name) {
                return Err(Failure::not_found("attribute"));
            }
            world.set_node_attributes(node.id, vec![((*name).to_owned(), None)], c.now)?;
            note(world, "took attribute from device");
        }
        (_, ["attributes", _])
        | (_, [] | ["name" | "tags" | "key" | "expire" | "authorized" | "routes" | "attributes" | "ip"]) => {
            return Err(wrong_method());
        }
        _ => return Err(Failure::not_found("endpoint")),
    }
    Ok(json!({}))
}

fn routes(node: &Node) -> Value {
    json!({ "advertisedRoutes": node.advertised_routes(), "enabledRoutes": node.enabled_routes().collect::<Vec<_>>() })
}

fn view(world: &World, node: &Node, all: bool) -> Value {
    let info = &node.hostinfo;
    let user = world.users().find(|u| u.id == node.user);
    let user = match user {
        _ if node.is_tagged() => "tagged-devices".to_owned(),
        Some(u) => u.login_name(&world.settings().base_domain),
        None => String::new(),
    };
    let online = node.path.online && !node.is_expired(Timestamp::now());
    let mut view = json!({
        "id": node.id.to_string(),
        "nodeId": node.stable_id(),
        "name": format!("{}.{}", node.given_name, world.settings().base_domain),
        "hostname": info.hostname,
        "addresses": node.ips().collect::<Vec<_>>(),
        "user": user,
        "os": info.os,
        "clientVersion": info.ipn_version,
        "updateAvailable": false,
        "created": time(node.created),
        "connectedToControl": online,
        // Nothing while it is connected, as at Tailscale.
        "lastSeen": (!online).then(|| time(node.last_seen.unwrap_or(node.created))),
        "keyExpiryDisabled": node.expiry.is_none(),
        "expires": node.expiry.map_or_else(|| GO_ZERO.into(), time),
        "authorized": !node.waiting,
        "isExternal": false,
        "isEphemeral": node.ephemeral,
        "machineKey": node.machine_key.to_string(),
        "nodeKey": node.node_key.to_string(),
        "blocksIncomingConnections": info.shields_up,
        "tailnetLockKey": "",
        "tailnetLockError": "",
        "tags": node.tags,
    });
    if all {
        let net = info.net_info.as_ref();
        view["advertisedRoutes"] = json!(node.advertised_routes());
        view["enabledRoutes"] = json!(node.enabled_routes().collect::<Vec<_>>());
        view["sshEnabled"] = (!info.ssh_host_keys.is_empty()).into();
        view["distro"] = json!({ "name": info.distro, "version": info.distro_version, "codeName": "" });
        view["clientConnectivity"] = json!({
            "endpoints": node.path.endpoints,
            "mappingVariesByDestIP": net.and_then(|n| n.mapping_varies_by_dest_ip),
            "latency": {},
            "clientSupports": {
                "hairPinning": null, "ipv6": net.and_then(|n| n.working_ipv6), "pcp": null, "pmp": null,
                "udp": net.and_then(|n| n.working_udp), "upnp": null,
            },
        });
    }
    view
}

//! Users, settings and DNS of the tailnet.

use super::{Call, Caller, Failure, time, wrong_method};
use crate::{network, writer::Context};
use hearthgate_core::{User, World};
use hearthgate_read::{json, struct_of};
use hearthgate_sorted::SortedMap;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

const DAY_S: u64 = 24 * 3600;

/// `tailnet/-/users`.
pub(super) fn users(world: &World, caller: &Caller, call: &Call) -> Result<Value, Failure> {
    if call.method != Method::GET {
        return Err(wrong_method());
    }
    caller.need("users:read")?;
    let fits = call.arg("type").is_none_or(|t| t == "member" || t == "all")
        && call.arg("role").is_none_or(|r| r == "member" || r == "all");
    let all: Vec<Value> = world.users().filter(|_| fits).map(|u| view(world, u)).collect();
    Ok(json!({ "users": all }))
}

/// `users/{id}`.
pub(super) fn user(world: &World, caller: &Caller, id: &str) -> Result<Value, Failure> {
    caller.need("users:read")?;
    world.users().find(|u| u.id.to_string() == id).map(|u| view(world, u)).ok_or_else(|| Failure::not_found("user"))
}

fn view(world: &World, user: &User) -> Value {
    let own: Vec<_> = world.nodes().filter(|n| !n.is_tagged() && n.user == user.id).collect();
    let online = own.iter().any(|n| n.path.online);
    json!({
        "id": user.id.to_string(),
        "displayName": user.shown_name(),
        "loginName": user.login_name(&world.settings().base_domain),
        "profilePicUrl": user.picture_url,
        "tailnetId": "1",
        "created": time(user.created),
        "type": "member",
        "role": "member",
        "status": "active",
        "deviceCount": own.len(),
        "lastSeen": time(own.iter().filter_map(|n| n.last_seen).max().unwrap_or(user.created)),
        "currentlyConnected": online,
    })
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    acls_externally_managed_on: Option<bool>,
    acls_external_link: Option<String>,
    users_role_allowed_to_join_external_tailnets: Option<String>,
    devices_key_duration_days: Option<u64>,
    devices_auto_updates_on: Option<bool>,
    devices_approval_on: Option<bool>,
    users_approval_on: Option<bool>,
    network_flow_logging_on: Option<bool>,
    regional_routing_on: Option<bool>,
    posture_identity_collection_on: Option<bool>,
    https_enabled: Option<bool>,
}

/// `tailnet/-/settings`.
pub(super) fn settings(world: &mut World, c: &Context<'_>, caller: &Caller, call: &Call) -> Result<Value, Failure> {
    match call.method.as_str() {
        "GET" => caller.need("feature_settings:read")?,
        "PATCH" => {
            caller.need("feature_settings")?;
            let new: Settings = call.read()?;
            let absent = [
                ("usersApprovalOn", new.users_approval_on),
                ("networkFlowLoggingOn", new.network_flow_logging_on),
                ("regionalRoutingOn", new.regional_routing_on),
                ("postureIdentityCollectionOn", new.posture_identity_collection_on),
            ];
            if let Some((name, _)) = absent.iter().find(|(_, on)| *on == Some(true)) {
                return Err(Failure::bad(format!("{name} cannot be switched on here")));
            }
            // These say how people work, and nothing here follows from them: only what is so already can be said.
            let words = [
                (
                    "aclsExternallyManagedOn",
                    new.acls_externally_managed_on.is_some_and(|on| on != world.settings().policy_from_file),
                ),
                ("aclsExternalLink", new.acls_external_link.is_some_and(|l| !l.is_empty())),
                (
                    "usersRoleAllowedToJoinExternalTailnets",
                    new.users_role_allowed_to_join_external_tailnets.is_some_and(|r| r != "none"),
                ),
                ("httpsEnabled", new.https_enabled.is_some_and(|on| on != world.settings().certificate_zone.is_some())),
            ];
            if let Some((name, _)) = words.iter().find(|(_, differs)| *differs) {
                return Err(Failure::bad(format!("{name} cannot be changed here")));
            }
            network::choose(world, |choices| {
                choices.key_days = new.devices_key_duration_days.or(choices.key_days);
                choices.device_approval = new.devices_approval_on.or(choices.device_approval);
                choices.auto_update = new.devices_auto_updates_on.or(choices.auto_update);
            })?;
            world.audit(&caller.name, "changed settings", "", c.now);
        }
        _ => return Err(wrong_method()),
    }
    let s = world.settings();
    Ok(json!({
        "aclsExternallyManagedOn": s.policy_from_file,
        "aclsExternalLink": "",
        "devicesApprovalOn": s.device_approval,
        "devicesAutoUpdatesOn": s.auto_update,
        "devicesKeyDurationDays": s.node_expiry_s / DAY_S,
        "usersApprovalOn": false,
        "usersRoleAllowedToJoinExternalTailnets": "none",
        "networkFlowLoggingOn": false,
        "regionalRoutingOn": false,
        "postureIdentityCollectionOn": false,
        "httpsEnabled": s.certificate_zone.is_some(),
    }))
}

#[derive(Default)]
struct Dns {
    dns: Vec<String>,
    magic_dns: Option<bool>,
    search_paths: Vec<String>,
}
struct_of!(Dns { dns: "dns", magic_dns: "magicDNS", search_paths: "searchPaths" });

/// All of the DNS at once.
#[derive(Default)]
struct Whole {
    nameservers: Vec<Resolver>,
    split_dns: SortedMap<String, Vec<Resolver>>,
    search_paths: Vec<String>,
    preferences: Preferences,
}
struct_of!(Whole {
    nameservers: "nameservers",
    split_dns: "splitDNS",
    search_paths: "searchPaths",
    preferences: "preferences",
});

#[derive(Default)]
struct Resolver {
    address: String,
}
struct_of!(Resolver { address: "address" });

#[derive(Default)]
struct Preferences {
    override_local_dns: bool,
    magic_dns: bool,
}
struct_of!(Preferences { override_local_dns: "overrideLocalDNS", magic_dns: "magicDNS" });

/// `tailnet/-/dns/{what}`.
pub(super) fn dns(
    world: &mut World,
    c: &Context<'_>,
    caller: &Caller,
    call: &Call,
    what: &str,
) -> Result<Value, Failure> {
    if !["configuration", "nameservers", "preferences", "searchpaths", "split-dns"].contains(&what) {
        return Err(Failure::not_found("endpoint"));
    }
    if call.method == Method::GET {
        caller.need("dns:read")?;
        return Ok(dns_view(world, what));
    }
    let allowed = if what == "split-dns" { [Method::PUT, Method::PATCH] } else { [Method::POST, Method::PUT] };
    if !allowed.contains(&call.method) {
        return Err(wrong_method());
    }
    caller.need("dns")?;
    if what == "split-dns" {
        // Null or an empty list takes a suffix away.
        let new: SortedMap<String, Option<Vec<String>>> = call.read()?;
        let mut split = if call.method == Method::PUT { SortedMap::new() } else { world.settings().split_dns.clone() };
        for (suffix, to) in new {
            match to.filter(|to| !to.is_empty()) {
                Some(to) => drop(split.insert(suffix, to)),
                None => drop(split.remove(&suffix)),
            }
        }
        network::choose(world, |choices| choices.split = Some(split))?;
    } else if what == "configuration" {
        let new: Whole = call.read()?;
        let bare = |all: Vec<Resolver>| all.into_iter().map(|r| r.address).collect::<Vec<_>>();
        network::choose(world, |choices| {
            choices.resolvers = Some(bare(new.nameservers));
            choices.split =
                Some(new.split_dns.into_iter().map(|(k, v)| (k, bare(v))).filter(|(_, v)| !v.is_empty()).collect());
            choices.search = Some(new.search_paths);
            choices.override_local = Some(new.preferences.override_local_dns);
            choices.magic_dns = Some(new.preferences.magic_dns);
        })?;
    } else {
        let new: Dns = call.read()?;
        network::choose(world, |choices| match what {
            "nameservers" => {
                // Resolvers of the tailnet are used instead of the device's own, as at Tailscale.
                choices.override_local = Some(!new.dns.is_empty());
                choices.resolvers = Some(new.dns);
            }
            "preferences" => choices.magic_dns = new.magic_dns.or(choices.magic_dns),
            _ => choices.search = Some(new.search_paths),
        })?;
    }
    world.audit(&caller.name, "changed DNS", what, c.now);
    let mut view = dns_view(world, what);
    if what == "nameservers" {
        // Told after a change only: clients read the list without it.
        view["magicDNS"] = world.settings().magic_dns.into();
    }
    Ok(view)
}

fn dns_view(world: &World, what: &str) -> Value {
    let s = world.settings();
    let named = |all: &[String]| all.iter().map(|a| json!({ "address": a })).collect::<Vec<_>>();
    match what {
        "configuration" => json!({
            "nameservers": named(&s.resolvers),
            "splitDNS": s.split_dns.iter().map(|(k, v)| (k.clone(), named(v).into())).collect::<Map<_, _>>(),
            "searchPaths": s.search_domains,
            "preferences": { "overrideLocalDNS": s.override_local_dns, "magicDNS": s.magic_dns },
        }),
        "nameservers" => json!({ "dns": s.resolvers }),
        "preferences" => json!({ "magicDNS": s.magic_dns }),
        "searchpaths" => json!({ "searchPaths": s.search_domains }),
        _ => Value::Object(s.split_dns.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>()),
    }
}

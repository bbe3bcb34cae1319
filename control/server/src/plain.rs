//! Devices without a client: their API, and what the router of this process is told of them.

use crate::{
    api_v1::{Answer, read},
    state::App,
    writer::Context,
};
use bytes::Bytes;
use hearthgate_core::{CoreError, Fact, PlainAccess, PlainDevice, PlainSettings, World};
use hearthgate_http::spawn;
use hearthgate_keys::NodePrivate;
use hearthgate_read::json;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{broadcast, watch};

/// Everything that the router needs to serve them.
#[derive(Debug, Clone)]
pub struct PlainNetwork {
    /// What the operator decided.
    pub settings: PlainSettings,
    /// The interface's key.
    pub key: NodePrivate,
    /// The devices.
    pub devices: Vec<PlainDevice>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Changed {
    name: Option<String>,
    access: Option<PlainAccess>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    name: String,
    access: PlainAccess,
}

/// `/wireguard` of API v1; `None` when there is no such endpoint.
pub(crate) fn route(world: &mut World, c: &mut Context<'_>, verb: &str, rest: &[&str], body: &Bytes) -> Option<Answer> {
    Some(match (verb, rest) {
        ("GET", []) => Ok(json!({ "devices": world.plain_devices().iter().map(view).collect::<Vec<_>>() })),
        ("POST", []) => read::<Body>(body).and_then(|b| {
            let (device, text) = world.add_plain_device(&b.name, b.access, c.now, c.rng)?;
            Ok(json!({ "device": view(&device), "configuration": text.reveal() }))
        }),
        ("POST", [id]) => number(id).and_then(|id| {
            let b: Changed = read(body)?;
            let device = world.change_plain_device(id, b.name.as_deref(), b.access)?;
            Ok(json!({ "device": view(&device) }))
        }),
        ("DELETE", [id]) => number(id).and_then(|id| world.remove_plain_device(id)).map(|_| json!({})),
        _ => return None,
    })
}

fn number(id: &str) -> Result<u64, CoreError> {
    id.parse().map_err(|_| CoreError::Invalid(format!("{id:?} is no number of a device")))
}

fn view(device: &PlainDevice) -> Value {
    json!({
        "id": device.id.to_string(),
        "name": device.name,
        "address": device.address,
        "publicKey": device.key.to_string(),
        "access": device.access,
        "createdAt": device.created.to_string(),
    })
}

/// Shows what the router is to serve, now and after each change; nothing while there are no devices.
pub(crate) fn follow(app: &App) -> watch::Receiver<Option<PlainNetwork>> {
    let (shown, watched) = watch::channel(None);
    let (app, mut facts) = (app.clone(), app.facts.subscribe());
    spawn(async move {
        loop {
            let Ok(network) = app.control.call(|world, _| network(world)).await else { return };
            if shown.send(network).is_err() {
                return;
            }
            loop {
                match facts.recv().await {
                    Ok(Fact::PlainDevicesChanged) | Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        }
    });
    watched
}

fn network(world: &World) -> Option<PlainNetwork> {
    let settings = world.plain_settings().ok()?.clone();
    let devices = world.plain_devices();
    let key = match world.plain_key() {
        Ok(key) => key.filter(|_| !devices.is_empty())?,
        Err(e) => {
            tracing::error!(error = %e, "devices without a client are not served");
            return None;
        }
    };
    Some(PlainNetwork { settings, key, devices })
}

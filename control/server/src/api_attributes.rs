//! Values for postures in both APIs. Version 2 is Tailscale's `device/{id}/attributes` (tailscale.com/api); version 1 and
//! the command line use the same reading and change several at once.

use crate::{
    api_v1::{read, time},
    writer::Context,
};
use bytes::Bytes;
use hearthgate_core::{Attribute, CoreError, Node, NodeId, World};
use hearthgate_read::{json, struct_of};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What is known of a node, and which of it ends when.
pub(crate) fn view(node: &Node) -> Value {
    let ends = |(name, a): (&String, &Attribute)| Some((name.clone(), a.expiry?.to_string().into()));
    let expiries: Map<String, Value> = node.attributes.iter().filter_map(ends).collect();
    json!({ "attributes": node.posture(), "expiries": expiries })
}

/// Body of version 1: names and values, null takes one away; one expiry for all that are set.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Several {
    attributes: Map<String, Value>,
    expiry: Option<String>,
}

/// Body of version 2. A comment is taken and not kept: the audit log says who did what.
#[derive(Default)]
struct One {
    value: Value,
    expiry: Option<String>,
}
struct_of!(One;
must {}
may { value: "value", expiry: "expiry" }
not {});

/// Sets and takes away several values of a node.
pub(crate) fn change(world: &mut World, c: &Context<'_>, id: NodeId, body: &Bytes) -> Result<Value, CoreError> {
    let asked: Several = read(body)?;
    let expiry = end(asked.expiry.as_deref())?;
    let attribute = |value: Value| (!value.is_null()).then_some(Attribute { value, expiry });
    let changes = asked.attributes.into_iter().map(|(name, value)| (name, attribute(value))).collect();
    world.set_node_attributes(id, changes, c.now)?;
    Ok(view(world.node(id)?))
}

/// Sets one value of a node.
pub(crate) fn set(world: &mut World, c: &Context<'_>, id: NodeId, name: &str, body: &Bytes) -> Result<(), CoreError> {
    let One { value, expiry } = read(body)?;
    let attribute = Attribute { value, expiry: end(expiry.as_deref())? };
    world.set_node_attributes(id, vec![(name.to_owned(), Some(attribute))], c.now)
}

fn end(text: Option<&str>) -> Result<Option<Timestamp>, CoreError> {
    // Go's zero time stands for "never".
    text.filter(|t| !t.is_empty() && !t.starts_with("0001-01-01T00:00:00")).map(time).transpose()
}

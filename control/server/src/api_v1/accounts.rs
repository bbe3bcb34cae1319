//! Users, pre-auth keys and API keys.

use super::Answer;
use super::words::{Query, arg, find_user, number, parse, read, time};
use crate::{api_views as views, writer::Context};
use bytes::Bytes;
use hearthgate_core::{CoreError, NewPreAuthKey, NewUser, UserId, World};
use hearthgate_read::{json, struct_of};
use serde_json::Value;

/// Lifetime of a pre-auth key whose maker named none: Headscale's hour.
const PREAUTH_DEFAULT_S: i64 = 3600;

#[derive(Default)]
struct UserBody {
    name: String,
    display_name: String,
    email: String,
    picture_url: String,
}
struct_of!(UserBody;
must {}
may { name: "name", display_name: "displayName", email: "email", picture_url: "pictureUrl" }
not {});

#[derive(Default)]
struct PreAuthBody {
    user: Option<Value>,
    reusable: bool,
    ephemeral: bool,
    preauthorized: bool,
    expiration: Option<String>,
    acl_tags: Vec<String>,
}
struct_of!(PreAuthBody;
must {}
may {
    user: "user", reusable: "reusable", ephemeral: "ephemeral", preauthorized: "preauthorized", expiration:
    "expiration", acl_tags: "aclTags",
}
not {});

pub(super) fn list_users(world: &World, query: &Query) -> Answer {
    arg(query, "id").map(|id| parse::<UserId>("user", id)).transpose()?;
    let fits = |u: &&hearthgate_core::User| {
        arg(query, "id").is_none_or(|id| u.id.to_string() == id)
            && arg(query, "name").is_none_or(|n| u.name == n)
            && arg(query, "email").is_none_or(|e| u.email == e)
    };
    Ok(json!({ "users": world.users().filter(fits).map(views::user).collect::<Vec<_>>() }))
}

pub(super) fn create_user(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: UserBody = read(body)?;
    let user = world.create_user(
        NewUser { name: b.name, display_name: b.display_name, email: b.email, picture_url: b.picture_url },
        c.now,
    )?;
    Ok(json!({ "user": views::user(&user) }))
}

pub(super) fn rename_user(world: &mut World, id: &str, name: &str) -> Answer {
    let user = world.rename_user(parse("user", id)?, name)?;
    Ok(json!({ "user": views::user(&user) }))
}

pub(super) fn create_preauth_key(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: PreAuthBody = read(body)?;
    let user = match &b.user {
        None | Some(Value::Null) => None,
        Some(Value::Number(n)) => Some(parse::<UserId>("user", &n.to_string())?),
        Some(Value::String(s)) if s.is_empty() || s == "0" => None,
        Some(Value::String(s)) => Some(find_user(world, s)?),
        Some(other) => return Err(CoreError::Invalid(format!("{other} is not a user id"))),
    };
    let expiration = match b.expiration.as_deref().filter(|e| !e.is_empty()) {
        Some(text) => time(text)?,
        None => c.now.wall.checked_add(jiff::SignedDuration::from_secs(PREAUTH_DEFAULT_S)).unwrap_or(c.now.wall),
    };
    let new = NewPreAuthKey {
        user,
        reusable: b.reusable,
        ephemeral: b.ephemeral,
        preauthorized: b.preauthorized,
        tags: b.acl_tags,
        expiration: Some(expiration),
        ..NewPreAuthKey::default()
    };
    let (key, minted) = world.create_preauth_key(new, c.now, c.rng)?;
    let mut view = views::preauth_key(world, &key);
    view["key"] = minted.text.reveal().into();
    Ok(json!({ "preAuthKey": view }))
}

pub(super) fn create_api_key(world: &mut World, c: &mut Context<'_>, body: &Bytes) -> Answer {
    let b: ExpirationBody = read(body)?;
    let expiration = b.expiration.as_deref().filter(|e| !e.is_empty()).map(time).transpose()?;
    let (_, minted) = world.create_api_key(expiration, c.now, c.rng);
    Ok(json!({ "apiKey": minted.text.reveal() }))
}

#[derive(Default)]
struct ExpirationBody {
    expiration: Option<String>,
}
struct_of!(ExpirationBody;
must {}
may { expiration: "expiration" }
not {});

pub(super) fn api_key_id(world: &World, prefix: Option<&str>, body: &Bytes) -> Result<u64, CoreError> {
    #[derive(Default)]
    struct Which {
        prefix: String,
        id: Option<Value>,
    }
    struct_of!(Which;
    must {}
    may { prefix: "prefix", id: "id" }
    not {});
    let which: Which = read(body)?;
    match (which.id, prefix.unwrap_or(&which.prefix)) {
        (Some(_), p) if !p.is_empty() => {
            Err(CoreError::Invalid("give the prefix or the id of the key, not both".into()))
        }
        (Some(id), _) => number(&id),
        (None, p) => world.api_key_by_prefix(p),
    }
}

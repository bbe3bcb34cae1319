//! Webhooks: other servers hear of events by a signed POST, in Tailscale's form (tailscale.com/kb/1213).
//!
//! A hook is a record of the world; its secret is kept in plain, because signing needs it, and shown once. Addresses of
//! this machine, of private networks and the like are refused unless the hook was made for them: a page must not become
//! a way to reach what the person at it cannot.

mod message;
mod queue;
mod send;
#[cfg(test)]
mod tests;

pub(crate) use message::Provider;
pub(crate) use send::Outcome;
pub use send::{Outcomes, run};

use hearthgate_core::{CoreError, Entropy, EventKind, World, host_of};
use hearthgate_keys::{Secret, encode};
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt, net::IpAddr};

const RECORD: &str = "webhook/";
/// What stands before the digits of a secret.
const SECRET_KIND: &str = "hskey-webhook";
/// Most hooks.
pub(crate) const HOOKS_MAX: usize = 8;
/// Longest URL in bytes.
const URL_MAX: usize = 500;
/// Longest id of a hook in bytes.
const ID_MAX: usize = 32;

/// A webhook as stored.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Hook {
    /// Digits that name it.
    pub id: String,
    /// Where to.
    pub url: String,
    secret: String,
    /// Names of the events it wants.
    pub events: Vec<String>,
    /// It may be on this machine or in a private network.
    pub local: bool,
    /// Who made it.
    pub creator: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Option<Timestamp>,
    /// In which form it wants to hear.
    pub provider: Provider,
}

hearthgate_read::struct_of!(Hook;
must { id: "id", url: "url", secret: "secret", events: "events", creator: "creator", created: "created" }
may { local: "local", modified: "modified", provider: "provider" }
not {});

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("id", &self.id).field("events", &self.events).finish_non_exhaustive()
    }
}

impl Hook {
    /// Whose it is. What else stands in its URL is often what lets one in (chat services), so this is what logs and
    /// everybody but owners are told.
    pub(crate) fn host(&self) -> &str {
        host_of(&self.url)
    }
}

/// What a new hook shall be.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewHook {
    /// Where to.
    pub url: String,
    /// Names of events.
    pub events: Vec<String>,
    /// It may be on this machine or in a private network.
    pub local: bool,
    /// In which form it wants to hear.
    pub provider: Provider,
}

/// All hooks.
pub(crate) fn hooks(world: &World) -> Vec<Hook> {
    world.records(RECORD).collect()
}

/// Makes a hook. The secret in the answer is the only time it is seen.
pub(crate) fn create(
    world: &mut World,
    new: NewHook,
    creator: &str,
    now: Timestamp,
    rng: &mut dyn Entropy,
) -> Result<(Hook, Secret), CoreError> {
    check(&new)?;
    if hooks(world).len() >= HOOKS_MAX {
        return Err(CoreError::Full(format!("there are {HOOKS_MAX} webhooks already")));
    }
    let mut id = [0u8; 6];
    rng.fill(&mut id);
    let secret = new_secret(rng);
    let hook = Hook {
        id: encode(&id),
        url: new.url,
        secret: secret.clone(),
        events: new.events,
        local: new.local,
        creator: creator.to_owned(),
        created: now,
        modified: None,
        provider: new.provider,
    };
    world.put_record(&format!("{RECORD}{}", hook.id), &hook)?;
    Ok((hook, Secret::new(secret)))
}

fn new_secret(rng: &mut dyn Entropy) -> String {
    let mut bytes = [0u8; 32];
    rng.fill(&mut bytes);
    format!("{SECRET_KIND}-{}", encode(&bytes))
}

/// The hook of this id.
pub(crate) fn hook(world: &World, id: &str) -> Result<Hook, CoreError> {
    // Ids are digits: anything else must not become part of a record's name.
    let well = id.len() <= ID_MAX && id.bytes().all(|b| b.is_ascii_hexdigit());
    let found = if well { world.record(&format!("{RECORD}{id}")) } else { None };
    found.ok_or_else(|| CoreError::NotFound("webhook".into()))
}

/// Lets a hook hear of other events.
pub(crate) fn subscribe(world: &mut World, id: &str, events: Vec<String>, now: Timestamp) -> Result<Hook, CoreError> {
    check_events(&events)?;
    let hook = Hook { events, modified: Some(now), ..hook(world, id)? };
    world.put_record(&format!("{RECORD}{}", hook.id), &hook)?;
    Ok(hook)
}

/// Gives a hook another secret; the old one is of no use from now on. It is seen this one time.
pub(crate) fn rotate(
    world: &mut World,
    id: &str,
    now: Timestamp,
    rng: &mut dyn Entropy,
) -> Result<(Hook, Secret), CoreError> {
    let secret = new_secret(rng);
    let hook = Hook { secret: secret.clone(), modified: Some(now), ..hook(world, id)? };
    world.put_record(&format!("{RECORD}{}", hook.id), &hook)?;
    Ok((hook, Secret::new(secret)))
}

/// Forgets a hook; true when it was there.
pub(crate) fn delete(world: &mut World, id: &str) -> bool {
    world.delete_record(&format!("{RECORD}{id}"))
}

fn check(new: &NewHook) -> Result<(), CoreError> {
    let invalid = |text: &str| Err(CoreError::Invalid(text.to_owned()));
    let Some(uri) = new.url.parse::<Uri>().ok().filter(|_| new.url.len() <= URL_MAX) else {
        return invalid("the address of a webhook is a URL like https://example.com/path");
    };
    let authority = uri.authority().map_or("", |a| a.as_str());
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    if host.is_empty() || authority.contains('@') {
        return invalid("the address of a webhook names a host, and nobody to log in as");
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if new.local => {}
        Some("http") => return invalid("a webhook needs https, except on the local network"),
        _ => return invalid("the address of a webhook begins with https://"),
    }
    if !new.local && host.parse::<IpAddr>().is_ok_and(|ip| !hearthgate_addresses::is_public(ip)) {
        return invalid("this address is not on the public internet; say that it may be local to use it all the same");
    }
    check_events(&new.events)
}

fn check_events(events: &[String]) -> Result<(), CoreError> {
    if events.is_empty() {
        return Err(CoreError::Invalid("choose at least one event".into()));
    }
    if let Some(unknown) = events.iter().find(|e| EventKind::parse(e).is_none()) {
        let known = EventKind::ALL.map(EventKind::name).join(", ");
        return Err(CoreError::Invalid(format!("there is no event {unknown:?}; there are {known}")));
    }
    if events.iter().enumerate().any(|(i, e)| events.iter().take(i).any(|before| before == e)) {
        return Err(CoreError::Invalid("an event is named twice".into()));
    }
    Ok(())
}

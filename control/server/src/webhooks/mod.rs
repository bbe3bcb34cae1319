//! Webhooks: other servers hear of events by a signed POST, in Tailscale's form (tailscale.com/kb/1213).
//!
//! A hook is a record of the world; its secret is kept in plain, because signing needs it, and shown once. Addresses of
//! this machine, of private networks and the like are refused unless the hook was made for them: a page must not become
//! a way to reach what the person at it cannot.

mod message;
mod send;

pub use send::{Outcomes, run};

use hearthgate_core::{CoreError, Entropy, EventKind, World};
use hearthgate_keys::{Secret, encode};
use http::Uri;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

const RECORD: &str = "webhook/";
/// What stands before the digits of a secret.
const SECRET_KIND: &str = "hskey-webhook";
/// Most hooks.
pub(crate) const HOOKS_MAX: usize = 8;
/// Longest URL in bytes.
const URL_MAX: usize = 500;

/// A webhook as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    /// Digits that name it.
    pub id: String,
    /// Where to.
    pub url: String,
    secret: String,
    /// Names of the events it wants.
    pub events: Vec<String>,
    /// It may be on this machine or in a private network.
    #[serde(default)]
    pub local: bool,
    /// Who made it.
    pub creator: String,
    /// When it was made.
    pub created: Timestamp,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("id", &self.id).field("events", &self.events).finish_non_exhaustive()
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
    let (mut id, mut bytes) = ([0u8; 6], [0u8; 32]);
    rng.fill(&mut id);
    rng.fill(&mut bytes);
    let secret = format!("{SECRET_KIND}-{}", encode(&bytes));
    let hook = Hook {
        id: encode(&id),
        url: new.url,
        secret: secret.clone(),
        events: new.events,
        local: new.local,
        creator: creator.to_owned(),
        created: now,
    };
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
    if !new.local && host.parse::<IpAddr>().is_ok_and(|ip| !hearthgate_fetch::is_public(&ip)) {
        return invalid("this address is not on the public internet; say that it may be local to use it all the same");
    }
    if new.events.is_empty() {
        return invalid("choose at least one event");
    }
    match new.events.iter().find(|e| EventKind::parse(e).is_none()) {
        Some(unknown) => Err(CoreError::Invalid(format!("there is no event {unknown:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_and_odd_addresses_are_refused_unless_said_so() {
        let try_url =
            |url: &str, local| check(&NewHook { url: url.into(), events: vec!["nodeCreated".into()], local }).is_ok();
        for good in ["https://example.com/hook", "https://example.com:8443/", "https://[2606:4700::1]/x"] {
            assert!(try_url(good, false), "{good}");
        }
        for bad in [
            "http://example.com/",
            "https://127.0.0.1/",
            "https://192.168.1.5/",
            "https://[::1]/",
            "https://[fd00::1]/",
            "https://169.254.169.254/latest",
            "https://user@example.com/",
            "ftp://example.com/",
            "/path",
            "",
        ] {
            assert!(!try_url(bad, false), "{bad}");
        }
        assert!(try_url("http://192.168.1.5:9000/x", true) && try_url("https://127.0.0.1/", true));
        let none = NewHook { url: "https://example.com/".into(), ..NewHook::default() };
        assert!(check(&none).is_err());
        assert!(check(&NewHook { events: vec!["nothing".into()], ..none }).is_err());
    }
}

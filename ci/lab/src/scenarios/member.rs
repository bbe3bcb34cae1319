//! A member of either kind: what scenarios ask of an official client and of our router alike.

use crate::client::{Client, MEET};
use crate::internet::Host;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::status::Status;

/// Two members of each kind on the Internet: official clients `a` and `b`, our routers `r` and `q`.
pub struct Four {
    a: Client,
    b: Client,
    r: Router,
    q: Router,
}

impl Four {
    /// Starts a server and lets them join.
    pub fn join(lab: &mut Lab) -> Outcome<Self> {
        lab.serve()?;
        let key = lab.reusable_key("alice")?;
        let url = lab.server()?.url.clone();
        let (a, b) = (lab.join("a", &key, &[])?, lab.join("b", &key, &[])?);
        let router = |lab: &mut Lab, name| Router::join(lab.internet()?.host(name)?, name, &url, &key, &[]);
        Ok(Self { a, b, r: router(lab, "r")?, q: router(lab, "q")? })
    }

    /// `a`, `b`, `r` and `q`.
    pub fn members(&self) -> [Member<'_>; 4] {
        [Member::Client(&self.a), Member::Client(&self.b), Member::Router(&self.r), Member::Router(&self.q)]
    }
}

/// One of both kinds of member.
pub enum Member<'a> {
    Client(&'a Client),
    Router(&'a Router),
}

impl Member<'_> {
    pub fn name(&self) -> &str {
        match self {
            Self::Client(client) => &client.name,
            Self::Router(router) => &router.name,
        }
    }

    pub fn host(&self) -> &Host {
        match self {
            Self::Client(client) => &client.host,
            Self::Router(router) => &router.host,
        }
    }

    fn status(&self) -> Outcome<Status> {
        match self {
            Self::Client(client) => client.status(),
            Self::Router(router) => router.status(),
        }
    }

    pub fn ip(&self) -> Outcome<String> {
        match self {
            Self::Client(client) => client.ip(),
            Self::Router(router) => router.ip(),
        }
    }

    pub fn relayed_to(&self, peer: &str) -> Outcome {
        match self {
            Self::Client(client) => client.relayed_to(peer, MEET),
            Self::Router(router) => router.pings(peer, "via DERP(", MEET),
        }
    }

    pub fn is_direct_to(&self, peer: &str) -> Outcome<bool> {
        let status = self.status()?;
        Ok(status.peer(peer).is_some_and(|peer| peer["CurAddr"].as_str().is_some_and(|at| !at.is_empty())))
    }

    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Router(_))
    }

    pub fn what(&self) -> &'static str {
        if self.is_ours() { "ours" } else { "official" }
    }
}

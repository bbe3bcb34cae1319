//! What every request handler can reach.

use crate::{
    admin::Admin, api_v2::Tokens, derp_urls::DerpMaps, feed::Feeds, image::Image, maps::Maps, metrics::Metrics,
    oidc::Oidc, own_router::OwnRouter, pings::Pings, visits::Visits, webhooks::Outcomes, writer::Control,
};
use hearthgate_acme::HttpAnswers;
use hearthgate_core::Fact;
use hearthgate_derp::{BootstrapDns, Relay, StunMetrics, TrustedProxies, tls::Certificates};
use hearthgate_keys::MachinePrivate;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::sync::{broadcast, mpsc};

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of a running server.
pub struct Parts {
    /// The way to the writer.
    pub control: Control,
    /// What the writer reports after a batch is durable.
    pub facts: broadcast::Sender<Fact>,
    /// Shared map bytes.
    pub maps: Arc<Maps>,
    /// Places for long bodies of clients.
    pub noise_bodies: crate::bodies::Places,
    /// Control pings.
    pub pings: Arc<Pings>,
    /// The server's Noise key.
    pub noise_key: MachinePrivate,
    /// The relay, when it is on.
    pub relay: Option<Arc<Relay>>,
    /// Number of its region.
    pub relay_region: u16,
    /// What TLS shows.
    pub certificates: Arc<Certificates>,
    /// What an authority that looks for its token is answered.
    pub acme: Arc<HttpAnswers>,
    /// Who writes records for HTTPS certificates of devices.
    pub device_certificates: Arc<crate::certificates::Certificates>,
    /// What the router of this process offers.
    pub sharing: crate::share::Sharing,
    /// Ports that the router in front of this box opens.
    pub portmap: crate::portmap::PortMapping,
    /// The name that follows this box's addresses.
    pub dyndns: crate::dyndns::Dyndns,
    /// How maps of relays are made.
    pub derp_maps: Arc<DerpMaps>,
    /// Who may speak for the addresses of others.
    pub proxies: Arc<TrustedProxies>,
    /// Counters of STUN.
    pub stun: Arc<StunMetrics>,
    /// The pages on the LAN.
    pub admin: Admin,
    /// The front, for a box that nothing reaches.
    #[cfg(feature = "front")]
    pub fronts: crate::front::Fronts,
    /// Devices that came from outside.
    pub visits: Visits,
    /// Backups that are put in place of the state.
    pub(crate) restores: crate::restore::Restores,
    /// The image it runs in, if any.
    pub image: Image,
    /// The feed of new versions.
    pub feeds: Feeds,
    /// The router of this process, and counters for the pages.
    pub own_router: OwnRouter,
    /// How requests to webhooks ended.
    pub hooks: Outcomes,
    /// Webhooks that somebody wants to try.
    pub try_hook: mpsc::Sender<String>,
    /// Counters.
    pub metrics: Metrics,
    /// Tokens of OAuth clients.
    pub tokens: Mutex<Tokens>,
    /// Logins through an OpenID provider.
    pub oidc: Option<Oidc>,
    /// Where keys and store are.
    pub state_dir: PathBuf,
    /// Names and addresses for clients whose DNS is broken.
    pub bootstrap_dns: BootstrapDns,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

//! The network map: whole at first, then changed by messages (`control/controlclient/map.go` of tailscale.com v1.104.5).
//!
//! Absent is "unchanged" nearly everywhere; a list that is there and empty means something of its own. The order of
//! application within a message is the official client's: peers (whole, or removed, changed, seen, online, patched),
//! then the rest.

use crate::ControlError;
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::{
    DerpMap, DisplayMessage, DnsConfig, FilterRule, MapResponse, Node, PeerChange, Time, UserProfile,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most peers that are kept; the rest of a larger network is left out.
const PEERS_MAX: usize = 20_000;
/// Most parts of the packet filter.
const PARTS_MAX: usize = 1024;
/// Most messages for people.
const MESSAGES_MAX: usize = 64;
/// What stood before the number of a home relay.
const LEGACY_DERP: &str = "127.3.3.40:";
/// Part of the filter that the older form of message writes.
const BASE: &str = "base";

/// Inbound rules in named parts.
pub type FilterParts = SortedMap<String, Vec<FilterRule>>;

/// What a message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Our own node.
    pub own: bool,
    /// Peers came, went, or are reached otherwise.
    pub peers: bool,
    /// Relays.
    pub derp: bool,
    /// DNS settings or names.
    pub dns: bool,
    /// Inbound rules.
    pub filter: bool,
    /// Anything else people see.
    pub other: bool,
}

impl Changes {
    /// Whether anything changed at all.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// A network as one of its nodes knows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Netmap {
    /// Ourselves; `None` before the first message.
    pub own: Option<Node>,
    /// The peers by number, each shared with the maps before until a message changes it: a map of a thousand peers is
    /// published again for each that goes offline.
    pub peers: SortedMap<i64, Arc<Node>>,
    /// The relays.
    pub derp: DerpMap,
    /// DNS settings.
    pub dns: DnsConfig,
    /// Name of the tailnet.
    pub domain: String,
    /// Inbound rules in named parts, which add up; `None`: none was ever sent, so everything is blocked.
    /// Shared with the maps before, until a message changes them.
    pub filters: Option<Arc<FilterParts>>,
    /// Owners of nodes.
    pub users: SortedMap<i64, UserProfile>,
    /// What the server wants people to know, by identifier.
    pub messages: SortedMap<String, DisplayMessage>,
    /// False: the server wants no services but the peer API's.
    pub collect_services: Option<bool>,
}

impl Netmap {
    /// Takes a message of the stream; `now` is what "seen just now" becomes.
    ///
    /// # Errors
    /// [`ControlError::NoSelf`]: the stream began with a change instead of a whole map.
    /// [`ControlError::TooManyParts`]: the packet filter would have more than are kept.
    pub fn apply(&mut self, mut message: MapResponse, now: Timestamp) -> Result<Changes, ControlError> {
        let mut changes = Changes::default();
        if message.keep_alive {
            return Ok(changes);
        }
        if self.own.is_none() && message.node.is_none() {
            return Err(ControlError::NoSelf);
        }
        self.apply_peers(&mut message, now, &mut changes);
        if let Some(mut node) = message.node {
            upgrade(&mut node);
            changes.own = self.own.as_ref() != Some(&node);
            self.own = Some(node);
        }
        for profile in message.user_profiles {
            changes.other |= self.users.get(&profile.id) != Some(&profile);
            self.users.insert(profile.id, profile);
        }
        if let Some(derp) = message.derp_map {
            self.apply_derp(derp, &mut changes);
        }
        self.apply_filters(message.packet_filter, message.packet_filters, &mut changes)?;
        if let Some(dns) = message.dns_config {
            changes.dns |= self.dns != dns;
            self.dns = dns;
        }
        if !message.domain.is_empty() {
            changes.other |= self.domain != message.domain;
            self.domain = message.domain;
        }
        if let Some(collect) = message.collect_services {
            self.collect_services = Some(collect);
        }
        self.apply_messages(message.health, message.display_messages, &mut changes);
        // Owners nobody has any more would otherwise pile up over the months of a stream.
        if changes.peers || changes.own || self.users.len() > PEERS_MAX {
            self.forget_users();
        }
        changes.dns |= changes.peers || changes.own;
        Ok(changes)
    }

    /// Inbound rules in the order of their parts; `None` if none was ever sent.
    #[must_use]
    pub fn rules(&self) -> Option<Vec<FilterRule>> {
        self.filters.as_ref().map(|parts| parts.values().flatten().cloned().collect())
    }

    /// Everything after the first label of our own name, without the trailing dot.
    #[must_use]
    pub fn magic_suffix(&self) -> &str {
        let name = self.own.as_ref().map_or("", |node| node.name.trim_end_matches('.'));
        name.split_once('.').map_or(name, |(_, suffix)| suffix)
    }

    /// All peers, by number.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.peers.values().map(Arc::as_ref)
    }

    /// The peer that has this address as its own.
    #[must_use]
    pub fn peer_at(&self, address: std::net::IpAddr) -> Option<&Node> {
        self.nodes().find(|peer| peer.addresses.iter().any(|net| net.addr() == address))
    }

    fn apply_peers(&mut self, message: &mut MapResponse, now: Timestamp, changes: &mut Changes) {
        if !message.peers.is_empty() {
            let mut peers = SortedMap::new();
            for mut node in std::mem::take(&mut message.peers).into_iter().take(PEERS_MAX) {
                upgrade(&mut node);
                peers.insert(node.id, Arc::new(node));
            }
            changes.peers |= self.peers != peers;
            self.peers = peers;
            return;
        }
        for id in &message.peers_removed {
            changes.peers |= self.peers.remove(id).is_some();
        }
        for node in &message.peers_changed {
            if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&node.id) {
                continue;
            }
            let mut node = node.clone();
            upgrade(&mut node);
            changes.peers |= self.peers.get(&node.id).is_none_or(|old| **old != node);
            self.peers.insert(node.id, Arc::new(node));
        }
        for (id, seen) in &message.peer_seen_change {
            if let Some(peer) = self.peers.get_mut(id) {
                Arc::make_mut(peer).last_seen = if *seen { now.into() } else { Time::default() };
                changes.other = true;
            }
        }
        for (id, online) in &message.online_change {
            if let Some(peer) = self.peers.get_mut(id) {
                Arc::make_mut(peer).online = Some(*online);
                changes.other = true;
            }
        }
        for change in &message.peers_changed_patch {
            if let Some(peer) = self.peers.get_mut(&change.node_id) {
                patch(Arc::make_mut(peer), change);
                changes.peers = true;
            }
        }
    }

    fn apply_derp(&mut self, derp: DerpMap, changes: &mut Changes) {
        let before = self.derp.clone();
        // A map without regions changes only the parameters beside them.
        if !derp.regions.is_empty() {
            self.derp.regions = derp.regions;
        }
        if derp.home_params.is_some() {
            self.derp.home_params = derp.home_params;
        }
        changes.derp = self.derp != before;
    }

    fn apply_filters(
        &mut self,
        base: Option<Vec<FilterRule>>,
        parts: Option<SortedMap<String, Option<Vec<FilterRule>>>>,
        changes: &mut Changes,
    ) -> Result<(), ControlError> {
        if base.is_none() && parts.is_none() {
            return Ok(());
        }
        let mut filters = self.filters.as_deref().cloned().unwrap_or_default();
        if let Some(rules) = base {
            filters.insert(BASE.into(), rules);
        }
        let mut parts = parts.unwrap_or_default();
        if matches!(parts.remove("*"), Some(None)) {
            filters.clear();
        }
        for (name, rules) in parts {
            match rules {
                Some(rules) => filters.insert(name, rules),
                None => filters.remove(&name),
            };
        }
        // Half a policy would be another policy.
        if filters.len() > PARTS_MAX {
            return Err(ControlError::TooManyParts(PARTS_MAX));
        }
        changes.filter = self.filters.as_deref() != Some(&filters);
        if changes.filter {
            self.filters = Some(Arc::new(filters));
        }
        Ok(())
    }

    fn apply_messages(
        &mut self,
        health: Option<Vec<String>>,
        display: Option<SortedMap<String, Option<DisplayMessage>>>,
        changes: &mut Changes,
    ) {
        const HEALTH: &str = "health-";
        let before = self.messages.clone();
        if let Some(problems) = health {
            self.messages.retain(|id, _| !id.starts_with(HEALTH));
            for (n, text) in problems.into_iter().enumerate().take(MESSAGES_MAX) {
                let title = "The control server reports a problem".into();
                let message = DisplayMessage { title, text, severity: "medium".into(), ..Default::default() };
                self.messages.insert(format!("{HEALTH}{n}"), message);
            }
        }
        let mut display = display.unwrap_or_default();
        if matches!(display.remove("*"), Some(None)) {
            self.messages.clear();
        }
        for (id, message) in display {
            match message {
                Some(_) if self.messages.len() >= MESSAGES_MAX && !self.messages.contains_key(&id) => continue,
                Some(message) => self.messages.insert(id, message),
                None => self.messages.remove(&id),
            };
        }
        changes.other |= self.messages != before;
    }

    fn forget_users(&mut self) {
        let own = self.own.as_ref().map(|node| node.user);
        let used: hearthgate_sorted::SortedSet<i64> = self.peers.values().map(|peer| peer.user).chain(own).collect();
        self.users.retain(|id, _| used.contains(id));
    }
}

/// Brings older forms into the newest: absent allowed addresses are the node's own, the home relay was an address, and
/// capabilities had no values.
fn upgrade(node: &mut Node) {
    if node.allowed_ips.is_none() {
        node.allowed_ips = Some(node.addresses.clone());
    }
    let derp = std::mem::take(&mut node.legacy_derp);
    if node.home_derp == 0
        && let Some(region) = derp.strip_prefix(LEGACY_DERP)
    {
        node.home_derp = region.parse().unwrap_or(0);
    }
    let capabilities = std::mem::take(&mut node.legacy_capabilities);
    if !capabilities.is_empty() {
        let map = node.cap_map.get_or_insert_default();
        for capability in capabilities {
            map.entry(capability).or_insert(None);
        }
    }
}

fn patch(peer: &mut Node, change: &PeerChange) {
    if change.derp_region != 0 {
        peer.home_derp = change.derp_region;
    }
    if change.cap != 0 {
        peer.cap = change.cap;
    }
    if let Some(caps) = &change.cap_map {
        peer.cap_map = Some(caps.clone());
    }
    if let Some(endpoints) = &change.endpoints {
        peer.endpoints.clone_from(endpoints);
    }
    if let Some(key) = change.key {
        peer.key = key;
    }
    if let Some(key) = change.disco_key {
        peer.disco_key = key;
    }
    if let Some(online) = change.online {
        peer.online = Some(online);
    }
    if !change.last_seen.is_none() {
        peer.last_seen = change.last_seen;
    }
    if let Some(expiry) = change.key_expiry {
        peer.key_expiry = expiry;
    }
}

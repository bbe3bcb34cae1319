//! What streams are told, against what a naive computation per pair of nodes would say.

mod support;

use hearthgate_core::{
    NewPreAuthKey, NodeId, Snapshot,
    map::{self, Delta},
};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::{FilterRule, MapResponse, Node, SshPolicy};
use jiff::Timestamp;
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc};
use support::Lab;

/// A client as the official one behaves: it knows what it was told and nothing else.
struct Client {
    viewer: NodeId,
    cursor: u64,
    own: Option<Node>,
    peers: BTreeMap<i64, Node>,
    owners: Vec<i64>,
    filter: Vec<FilterRule>,
    ssh: Option<SshPolicy>,
}

impl Client {
    fn open(snap: &Snapshot, viewer: NodeId, now: Timestamp) -> Self {
        let mut client = Self {
            viewer,
            cursor: snap.seq,
            own: None,
            peers: BTreeMap::new(),
            owners: Vec::new(),
            filter: Vec::new(),
            ssh: None,
        };
        client.whole(snap, &SortedSet::new(), now);
        client
    }

    fn whole(&mut self, snap: &Snapshot, removed: &SortedSet<NodeId>, now: Timestamp) {
        let mut message = map::head(snap, self.viewer, removed, now).unwrap();
        let class = snap.policy.class_of(snap.node(self.viewer).unwrap());
        for (_, page) in snap.pages() {
            let json = map::peers_of_page(snap, page, class, Some(self.viewer), now).unwrap();
            let peers: Vec<Node> = serde_json::from_str(&format!("[{}]", String::from_utf8(json).unwrap())).unwrap();
            message.peers.extend(peers);
        }
        self.apply(message);
    }

    fn follow(&mut self, snap: &Arc<Snapshot>, now: Timestamp) {
        let node = snap.node(self.viewer).unwrap();
        match Delta::since(snap, self.cursor) {
            Some(delta) if !delta.is_whole_for(self.viewer) => {
                let messages = if delta.is_private_to(self.viewer) {
                    delta.private(snap, node, now)
                } else {
                    delta.shared(snap, snap.policy.class_of(node), now)
                };
                for message in messages {
                    // Over the wire and back: absence has to survive it.
                    self.apply(serde_json::from_slice(&serde_json::to_vec(&message).unwrap()).unwrap());
                }
            }
            Some(delta) => self.whole(snap, delta.removed(), now),
            // As a new stream does.
            None => *self = Self::open(snap, self.viewer, now),
        }
        self.cursor = snap.seq;
    }

    fn apply(&mut self, m: MapResponse) {
        self.owners.extend(m.user_profiles.iter().map(|p| p.id));
        if !m.peers.is_empty() {
            assert!(m.peers.is_sorted_by_key(|p| p.id));
            self.peers = m.peers.into_iter().map(|p| (p.id, p)).collect();
        }
        for id in m.peers_removed {
            self.peers.remove(&id);
        }
        assert!(m.peers_changed.is_sorted_by_key(|p| p.id));
        self.peers.extend(m.peers_changed.into_iter().map(|p| (p.id, p)));
        for change in m.peers_changed_patch {
            // Clients of 1.102 drop all patches of a message when one is about a node that is no peer.
            let peer = self.peers.get_mut(&change.node_id).expect("a patch for a node that is no peer");
            // Clients from 1.86 to 1.98 lose the endpoints then.
            assert!(change.derp_region == 0 || change.endpoints.is_none(), "home relay and endpoints in one patch");
            if let Some(online) = change.online {
                peer.online = Some(online);
                peer.last_seen = change.last_seen;
            }
            peer.endpoints = change.endpoints.unwrap_or(std::mem::take(&mut peer.endpoints));
            if change.derp_region != 0 {
                peer.home_derp = change.derp_region;
            }
            peer.disco_key = change.disco_key.unwrap_or(peer.disco_key);
            if change.cap != 0 {
                peer.cap = change.cap;
            }
        }
        if let Some(own) = m.node {
            self.own = Some(own);
        }
        if let Some(Some(filter)) = m.packet_filters.and_then(|f| f.get("base").cloned()) {
            self.filter = filter;
        }
        self.ssh = m.ssh_policy.or(self.ssh.take());
    }

    fn check(&self, snap: &Snapshot, now: Timestamp) {
        let me = snap.node(self.viewer).unwrap();
        let class = snap.policy.class_of(me);
        let expected: BTreeMap<i64, Node> = snap
            .nodes()
            .filter(|n| n.id != self.viewer && snap.policy.sees(class, n))
            .map(|n| map::peer_node(snap, class, n, now))
            .map(|n| (n.id, serde_json::from_slice(&serde_json::to_vec(&n).unwrap()).unwrap()))
            .collect();
        let mut known = self.peers.clone();
        for (id, peer) in &mut known {
            // A set of endpoints that only shrank is deliberately not told (disco finds out by itself), so a client
            // may know too many; it must never miss one.
            let actual = &expected.get(id).expect("a peer that is gone").endpoints;
            assert!(
                actual.iter().all(|e| peer.endpoints.contains(e)),
                "node {} misses an endpoint of {id}",
                self.viewer
            );
            peer.endpoints.clone_from(actual);
        }
        assert_eq!(known, expected, "what node {} knows", self.viewer);
        assert_eq!(self.filter, snap.policy.filters(me), "the filter of node {}", self.viewer);
        assert_eq!(self.ssh, snap.policy.ssh(me), "the SSH rules of node {}", self.viewer);
        let own = self.own.as_ref().unwrap();
        assert_eq!(own.machine_authorized, !me.waiting);
        assert!(!me.waiting || self.peers.is_empty(), "node {} waits and sees peers", self.viewer);
        assert!(self.peers.keys().all(|id| !snap.node(NodeId(id.cast_unsigned())).unwrap().waiting));
        assert_eq!(own.cap_map, map::self_node(snap, me).cap_map);
        assert_eq!(own.allowed_ips, map::self_node(snap, me).allowed_ips);
        assert_eq!((&own.name, own.key_expiry), (&map::self_node(snap, me).name, map::self_node(snap, me).key_expiry));
        for peer in self.peers.values() {
            assert!(self.owners.contains(&peer.user), "no profile was sent for the owner of {}", peer.name);
        }
    }
}

/// Policies whose rules each depend on something else: tags, owners, routes, capabilities, attributes.
const POLICIES: [&str; 6] = [
    "{}",
    r#"{"acls": []}"#,
    r#"{"tagOwners": {"tag:a": [], "tag:b": []}, "acls": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b:22", "192.168.1.0/24:*"]}],
        "ssh": [{"action": "accept", "src": ["tag:a"], "dst": ["tag:b"], "users": ["root"]}]}"#,
    r#"{"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*", "autogroup:internet:*"]}]}"#,
    r#"{"tagOwners": {"tag:a": [], "tag:b": []}, "grants": [
        {"src": ["alice@"], "dst": ["tag:a"], "ip": ["22"], "app": {"tailscale.com/cap/drive": [{"access": "rw"}]}},
        {"src": ["autogroup:member"], "dst": ["192.168.2.0/24"], "ip": ["*"], "via": ["tag:b"]}],
        "nodeAttrs": [{"target": ["tag:b"], "attr": ["funnel"]}]}"#,
    r#"{"tagOwners": {"tag:a": []}, "acls": [{"action": "accept", "src": ["bob@"], "dst": ["*:80"]},
        {"action": "accept", "src": ["100.64.0.2"], "dst": ["192.168.0.0/16:*"]}]}"#,
];

#[derive(Debug, Clone)]
enum Step {
    Join(u8),
    Update(u8, Vec<u8>, u8),
    Routes(u8, Vec<u8>),
    Approve(u8, Vec<u8>),
    Rename(u8),
    Delete(u8),
    Expire(u8),
    Admit(u8, bool),
    Open(u8),
    Close(u8),
    Pass(u16),
    Policy(usize),
    Tag(u8, bool),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    let n = 1u8..9;
    let list = || proptest::collection::vec(1u8..5, 0..3);
    prop_oneof![
        4 => n.clone().prop_map(Step::Join),
        4 => (n.clone(), list(), 0u8..3).prop_map(|(n, e, d)| Step::Update(n, e, d)),
        2 => (n.clone(), list()).prop_map(|(n, r)| Step::Routes(n, r)),
        2 => (n.clone(), list()).prop_map(|(n, r)| Step::Approve(n, r)),
        1 => n.clone().prop_map(Step::Rename),
        1 => n.clone().prop_map(Step::Delete),
        1 => n.clone().prop_map(Step::Expire),
        2 => (n.clone(), any::<bool>()).prop_map(|(n, yes)| Step::Admit(n, yes)),
        4 => n.clone().prop_map(Step::Open),
        2 => n.prop_map(Step::Close),
        2 => (0u16..20_000).prop_map(Step::Pass),
        1 => (0..POLICIES.len()).prop_map(Step::Policy),
        3 => (1u8..9, any::<bool>()).prop_map(|(n, a)| Step::Tag(n, a)),
        5 => Just(Step::Publish),
    ]
}

fn prefix(n: u8) -> ipnet::IpNet {
    if n == 4 { "0.0.0.0/0".parse().unwrap() } else { format!("192.168.{n}.0/24").parse().unwrap() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_stream_ends_up_knowing_what_a_naive_computation_says(steps in proptest::collection::vec(step(), 1..60)) {
        let mut lab = Lab::new();
        let user = lab.user("alice");
        let (_, key) = lab.key(NewPreAuthKey { user: Some(user), reusable: true, ..Default::default() });
        let other = lab.user("bob");
        let (_, others) = lab.key(NewPreAuthKey { user: Some(other), reusable: true, ..Default::default() });
        let mut streams: BTreeMap<u8, Client> = BTreeMap::new();
        let known = |lab: &Lab, n: u8| lab.world.nodes().any(|x| x.node_key == support::node_key(n));
        for step in steps.into_iter().chain([Step::Publish]) {
            match step {
                Step::Join(n) => {
                    if !known(&lab, n) {
                        lab.join(n, if n % 3 == 0 { &others } else { &key });
                    }
                }
                Step::Update(n, endpoints, derp) if known(&lab, n) => {
                    // Update requests keep the routes that were advertised.
                    let routes = lab.world.node(lab.id(n)).unwrap().advertised_routes().to_vec();
                    lab.update(n, |r| {
                        r.endpoints = endpoints.iter().map(|e| format!("203.0.113.{e}:4164{e}").parse().unwrap()).collect();
                        let h = r.hostinfo.as_mut().unwrap();
                        h.routable_ips = routes;
                        h.net_info = Some(hearthgate_tailcfg::NetInfo { preferred_derp: derp.into(), ..Default::default() });
                    });
                }
                Step::Routes(n, routes) if known(&lab, n) => lab.update(n, |r| {
                    r.hostinfo.as_mut().unwrap().routable_ips = routes.iter().map(|p| prefix(*p)).collect();
                }),
                Step::Approve(n, routes) if known(&lab, n) => {
                    let routes: Vec<_> = routes.iter().map(|p| prefix(*p)).collect();
                    lab.world.approve_routes(lab.id(n), &routes).unwrap();
                }
                Step::Rename(n) if known(&lab, n) => {
                    // A name that is taken is refused, which is fine here.
                    let _ = lab.world.rename_node(lab.id(n), &format!("renamed-{}", n % 3));
                }
                Step::Delete(n) if known(&lab, n) => {
                    streams.remove(&n);
                    lab.world.delete_node(lab.id(n)).unwrap();
                }
                Step::Expire(n) if known(&lab, n) => lab.world.set_node_expiry(lab.id(n), Some(lab.now.wall), lab.now).unwrap(),
                Step::Admit(n, yes) if known(&lab, n) => lab.world.set_node_approved(lab.id(n), yes).unwrap(),
                Step::Open(n) if known(&lab, n) && !streams.contains_key(&n) => {
                    // Readers see the world only between batches.
                    lab.world.take_batch();
                    let id = lab.id(n);
                    streams.insert(n, Client::open(&lab.world.view(), id, lab.now.wall));
                    lab.world.stream_opened(id);
                }
                Step::Close(n) if streams.remove(&n).is_some() => lab.world.stream_closed(lab.id(n), lab.now),
                Step::Pass(ms) => lab.pass(ms.into()),
                Step::Policy(i) => {
                    lab.world.set_policy_text(POLICIES[i], "test", lab.now).unwrap();
                }
                Step::Tag(n, a) if known(&lab, n) => {
                    lab.world.set_node_tags(lab.id(n), vec![if a { "tag:a" } else { "tag:b" }.to_owned()]).unwrap();
                }
                Step::Publish => {
                    lab.world.take_batch();
                    if let Some(snap) = lab.world.publish() {
                        let snap = Arc::new(snap);
                        for client in streams.values_mut() {
                            client.follow(&snap, lab.now.wall);
                        }
                        for client in streams.values() {
                            client.check(&snap, lab.now.wall);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

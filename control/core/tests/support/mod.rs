//! A world for tests: fixed time that moves by hand, random bytes from a counter.
#![allow(dead_code, reason = "each test file uses a part")]

use hearthgate_core::{AllowAll, NewPreAuthKey, NewUser, NodeId, Now, Registration, Settings, Stored, UserId, World};
use hearthgate_keys::{DiscoPublic, MachinePublic, NodePublic, Secret};
use hearthgate_tailcfg::{DerpMap, Hostinfo, MapRequest, RegisterRequest, RegisterResponse, RegisterResponseAuth};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

pub struct Lab {
    pub world: World,
    pub now: Now,
    seed: u8,
}

pub fn machine(n: u8) -> MachinePublic {
    MachinePublic::from_bytes([n; 32])
}

pub fn node_key(n: u8) -> NodePublic {
    NodePublic::from_bytes([n; 32])
}

impl Lab {
    pub fn new() -> Self {
        let now = Now { wall: "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap(), mono_ms: 1000 };
        let world = World::load(Stored::default(), Settings::default(), Arc::new(AllowAll), DerpMap::default(), now);
        Self { world, now, seed: 0 }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall = self.now.wall.checked_add(SignedDuration::from_millis(ms as i64)).unwrap();
        self.world.handle_timeout(self.now);
    }

    pub fn user(&mut self, name: &str) -> UserId {
        self.world.create_user(NewUser { name: name.into(), ..Default::default() }, self.now).unwrap().id
    }

    pub fn key(&mut self, new: NewPreAuthKey) -> (u64, String) {
        self.seed += 1;
        let seed = self.seed;
        let (key, minted) = self.world.create_preauth_key(new, self.now, &mut |b: &mut [u8]| b.fill(seed)).unwrap();
        (key.id, minted.text.reveal().to_owned())
    }

    pub fn send(&mut self, m: u8, req: &RegisterRequest) -> Registration {
        self.seed += 1;
        let seed = self.seed;
        self.world.register(machine(m), req, self.now, &mut |b: &mut [u8]| b.fill(seed))
    }

    pub fn answer(&mut self, m: u8, req: &RegisterRequest) -> RegisterResponse {
        match self.send(m, req) {
            Registration::Respond(r) => *r,
            Registration::Hold(id) => panic!("held for {id}"),
        }
    }

    /// Machine and node key `n` join by `key` under the host name `host<n>`.
    pub fn join(&mut self, n: u8, key: &str) -> NodeId {
        let answer = self.answer(n, &request(n, Some(key)));
        assert_eq!(answer.error, "");
        assert!(answer.machine_authorized && answer.auth_url.is_empty());
        self.id(n)
    }

    pub fn id(&self, n: u8) -> NodeId {
        self.world.nodes().find(|x| x.node_key == node_key(n)).expect("node").id
    }

    pub fn update(&mut self, n: u8, change: impl FnOnce(&mut MapRequest)) {
        let hostinfo = Hostinfo { hostname: format!("host{n}"), os: "linux".into(), ..Default::default() };
        let mut req = MapRequest {
            version: 148,
            node_key: node_key(n),
            disco_key: DiscoPublic::from_bytes([n; 32]),
            omit_peers: true,
            hostinfo: Some(hostinfo),
            ..Default::default()
        };
        change(&mut req);
        self.world.report(machine(n), &req).unwrap();
    }
}

pub fn request(n: u8, key: Option<&str>) -> RegisterRequest {
    RegisterRequest {
        version: 148,
        node_key: node_key(n),
        auth: key.map(|k| RegisterResponseAuth { auth_key: Secret::new(k.into()) }),
        hostinfo: Some(Hostinfo { hostname: format!("host{n}"), os: "linux".into(), ..Default::default() }),
        ..Default::default()
    }
}

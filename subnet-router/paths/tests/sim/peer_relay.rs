//! A peer relay, as far as a test needs one: allocates, binds, forwards.

use hearthgate_disco::{
    Allocated, BindEndpoint, Envelope, Message, RelayEndpoint,
    geneve::{Header, Protocol},
    seal,
};
use hearthgate_keys::{DiscoPrivate, DiscoPublic, NodePublic};
use std::{net::SocketAddr, time::Duration};

#[derive(Debug)]
struct Allocation {
    clients: [DiscoPublic; 2],
    bound: [Option<SocketAddr>; 2],
}

/// The relay. Its number for the n-th pair is 100 + n.
#[derive(Debug)]
pub struct PeerRelay {
    pub node: NodePublic,
    pub disco: DiscoPrivate,
    /// Its relay service has a disco key of its own.
    pub service: DiscoPrivate,
    pub addr: SocketAddr,
    pub forwarded: u64,
    allocations: Vec<Allocation>,
    nonce: u8,
}

const FIRST_VNI: u32 = 100;

impl PeerRelay {
    pub fn new() -> Self {
        Self {
            node: NodePublic::from_bytes([0xee; 32]),
            disco: DiscoPrivate::from_random([0xe1; 32]),
            service: DiscoPrivate::from_random([0xe2; 32]),
            addr: SocketAddr::from(([203, 0, 113, 200], 7777)),
            forwarded: 0,
            allocations: Vec::new(),
            nonce: 0,
        }
    }

    fn seal(&mut self, from: &DiscoPrivate, to: &DiscoPublic, message: &Message) -> Vec<u8> {
        self.nonce = self.nonce.wrapping_add(1);
        seal(&from.public(), &from.shared(to), &[self.nonce; 24], message)
    }

    /// A request over DERP; the answer goes back the same way.
    pub fn relayed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let envelope = Envelope::parse(bytes)?;
        let sender = envelope.sender;
        let Ok(Message::Allocate(Some(request))) = envelope.open(&self.disco.shared(&sender)) else { return None };
        assert!(request.clients.contains(&sender) && request.clients[0] < request.clients[1]);
        let known = self.allocations.iter().position(|a| a.clients == request.clients);
        let n = known.unwrap_or_else(|| {
            self.allocations.push(Allocation { clients: request.clients, bound: [None; 2] });
            self.allocations.len() - 1
        });
        let endpoint = RelayEndpoint {
            server: self.service.public(),
            clients: request.clients,
            lamport: 1 + n as u64,
            vni: FIRST_VNI + n as u32,
            bind_lifetime: Duration::from_secs(30),
            steady_lifetime: Duration::from_secs(300),
            addrs: vec!["192.0.2.77:7777".parse().unwrap(), self.addr],
        };
        let answer = Message::Allocated(Some(Allocated { generation: request.generation, endpoint }));
        Some(self.seal(&self.disco.clone(), &sender, &answer))
    }

    /// A datagram; what it sends in turn.
    pub fn udp(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let (header, inner) = Header::parse(bytes)?;
        let allocation = self.allocations.get_mut(header.vni.checked_sub(FIRST_VNI)? as usize)?;
        if !header.control {
            let side = allocation.bound.iter().position(|bound| *bound == Some(from))?;
            let to = allocation.bound[1 - side]?;
            self.forwarded += 1;
            return Some((to, bytes.to_vec()));
        }
        let envelope = Envelope::parse(inner)?;
        let sender = envelope.sender;
        let side = allocation.clients.iter().position(|client| *client == sender)?;
        assert_eq!(header.protocol, Protocol::Disco);
        match envelope.open(&self.service.shared(&sender)).unwrap() {
            Message::Bind(bind) => {
                assert!(bind.generation != 0 && bind.remote == allocation.clients[1 - side]);
                let challenge = Message::BindChallenge(BindEndpoint { challenge: [0x5a; 32], ..bind });
                let packet = self.seal(&self.service.clone(), &sender, &challenge);
                Some((from, header.wrap(&packet)))
            }
            Message::BindAnswer(bind) => {
                assert_eq!(bind.challenge, [0x5a; 32]);
                allocation.bound[side] = Some(from);
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

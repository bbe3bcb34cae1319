//! Disco, STUN and Geneve beside the kernel's WireGuard on one UDP port.
//!
//! The kernel's socket owns the port, and nobody can share it. So an ordinary socket has another port `U`, and two
//! stateless rules change ports: incoming packets that are not WireGuard's get `U` as destination, packets from `U` get
//! WireGuard's port as source.
//!
//! Places: the incoming rule is the last of the *input* hook. There, routing has decided that the packet is ours (what
//! other hosts send through this router to the same port is not touched), and firewall rules before it have seen
//! WireGuard's port. The outgoing rule is the first of the *output* hook, before connection tracking. So connection
//! tracking and every NAT see one flow with WireGuard's port, whose mapping is WireGuard's own.

use crate::{
    host::{BYPASS_MARK, MARK_MASK},
    nft::{Base, Batch, Chain, Expr, Hook, Verdict, meta},
};

/// After the filters (priority 0) and before the end of connection tracking.
const AFTER_FILTER: i32 = 250;
/// Before connection tracking (-200).
const BEFORE_TRACKING: i32 = -310;
const UDP: u8 = 17;

/// Adds the chains to a transaction.
pub(super) fn rules(batch: &mut Batch, wireguard: u16, side: u16) {
    let to = Chain { kind: "filter", hook: Hook::Input, priority: AFTER_FILTER };
    batch.base_chain("steer_in", to);
    let port = |offset, port: u16| {
        vec![
            Expr::Meta(meta::L4PROTO),
            Expr::Eq(vec![UDP]),
            Expr::Load(Base::Transport, offset, 2),
            Expr::Eq(port.to_be_bytes().to_vec()),
        ]
    };
    let rewrite = |offset, port: u16| [Expr::Counter, Expr::Set(port.to_be_bytes().to_vec()), Expr::WriteUdp(offset)];
    // The payload begins at byte 8 of the transport header. WireGuard's messages are a number below 256 in four bytes,
    // lowest first, and by far the most: they are done after one rule.
    let mut wireguard_message = port(2, wireguard);
    wireguard_message.extend([
        Expr::Load(Base::Transport, 8, 4),
        Expr::And(vec![0, 0xff, 0xff, 0xff]),
        Expr::Eq(vec![0; 4]),
        Expr::Then(Verdict::Accept),
    ]);
    batch.rule("steer_in", &wireguard_message);
    let disco = vec![Expr::Load(Base::Transport, 8, 6), Expr::Eq(b"TS\xf0\x9f\x92\xac".to_vec())];
    let stun = vec![Expr::Load(Base::Transport, 12, 4), Expr::Eq(vec![0x21, 0x12, 0xa4, 0x42])];
    let geneve = |kind: u8| vec![Expr::Load(Base::Transport, 10, 2), Expr::Eq(vec![0x7a, kind])];
    for packet in [disco, stun, geneve(0x11), geneve(0x12)] {
        let mut rule = port(2, wireguard);
        rule.extend(packet);
        rule.extend(rewrite(2, side));
        batch.rule("steer_in", &rule);
    }

    let from = Chain { kind: "filter", hook: Hook::Output, priority: BEFORE_TRACKING };
    batch.base_chain("steer_out", from);
    let mut rule = port(0, side);
    rule.extend([
        Expr::Meta(meta::MARK),
        Expr::And(MARK_MASK.to_ne_bytes().to_vec()),
        Expr::Eq(BYPASS_MARK.to_ne_bytes().to_vec()),
    ]);
    rule.extend(rewrite(0, wireguard));
    batch.rule("steer_out", &rule);
}

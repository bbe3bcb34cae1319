//! Rules: a row of expressions over registers.

use super::{Attrs, Verdict};

/// The verdict register.
const REG_VERDICT: u32 = 0;
/// The first data register of 16 bytes.
const REG_1: u32 = 1;
/// The first data register of 4 bytes; keys of several fields lie in consecutive ones.
const REG32_00: u32 = 8;

/// Bases of payload offsets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Base {
    /// IP header.
    Network = 1,
    /// TCP, UDP or ICMP header.
    Transport = 2,
}

/// One step of a rule. Loads go into register 1, comparisons look there.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// A fact about the packet (`NFT_META_*`).
    Meta(u32),
    /// Bytes of the packet.
    Load(Base, u32, u32),
    /// Registers equal these bytes.
    Eq(Vec<u8>),
    /// Registers differ from these bytes.
    Ne(Vec<u8>),
    /// Registers are masked.
    And(Vec<u8>),
    /// Registers are masked, then bits are set.
    AndOr(Vec<u8>, Vec<u8>),
    /// Registers are in a set, or are not.
    In(String, bool),
    /// Registers' value in a verdict map is the verdict.
    Map(String),
    /// Load into 32-bit register `n`, for keys of several fields.
    MetaAt(u32, u32),
    /// Load packet bytes into 32-bit register `n`.
    LoadAt(u32, Base, u32, u32),
    /// The fields from 32-bit register 0 are in a set.
    InAt0(String),
    /// A fact about the connection (`NFT_CT_*`).
    Ct(u32),
    /// Register 1 gets these bytes.
    Set(Vec<u8>),
    /// Register 1 becomes the packet's mark.
    SetMark,
    /// Register 1 (2 bytes) is written at an offset of the transport header; the UDP checksum follows.
    WriteUdp(u32),
    /// The source becomes the address of the interface the packet leaves by.
    Masquerade,
    /// Register 1: the segment size that the route allows.
    RouteMss,
    /// Register 1 (2 bytes) is put into network order.
    SwapMss,
    /// Register 1 (2 bytes) becomes the TCP segment size option, if that is smaller.
    ClampMss,
    /// Counts packets and bytes.
    Counter,
    /// A verdict.
    Then(Verdict),
}

/// `NFT_META_*`.
pub(crate) mod meta {
    pub(crate) const MARK: u32 = 3;
    pub(crate) const IIF: u32 = 4;
    pub(crate) const OIF: u32 = 5;
    pub(crate) const NFPROTO: u32 = 15;
    pub(crate) const L4PROTO: u32 = 16;
}

/// `NFT_CT_*`.
pub(crate) mod ct {
    pub(crate) const DIRECTION: u32 = 1;
}

/// A rule in a chain.
pub(crate) type Rule = Vec<Expr>;

impl Expr {
    /// Writes one list element.
    pub(super) fn write(&self, list: &mut Attrs) {
        let (name, fill): (&str, Fill<'_>) = match self {
            Self::Meta(key) => ("meta", load_meta(*key, REG_1)),
            Self::MetaAt(at, key) => ("meta", load_meta(*key, REG32_00 + at)),
            Self::SetMark => (
                "meta",
                Box::new(|a| {
                    a.number(2, meta::MARK);
                    a.number(3, REG_1);
                }),
            ),
            Self::Load(base, offset, length) => ("payload", load(REG_1, *base, *offset, *length)),
            Self::LoadAt(at, base, offset, length) => ("payload", load(REG32_00 + at, *base, *offset, *length)),
            Self::WriteUdp(offset) => ("payload", Box::new(move |a| write_udp(a, *offset))),
            Self::Eq(value) => ("cmp", compare(0, value)),
            Self::Ne(value) => ("cmp", compare(1, value)),
            Self::And(mask) => ("bitwise", bits(mask, vec![0; mask.len()])),
            Self::AndOr(mask, set) => ("bitwise", bits(mask, set.clone())),
            Self::In(set, inverted) => ("lookup", look_up(set, REG_1, *inverted)),
            Self::InAt0(set) => ("lookup", look_up(set, REG32_00, false)),
            Self::Map(map) => (
                "lookup",
                Box::new(move |a| {
                    a.text(1, map);
                    a.number(2, REG_1);
                    a.number(3, REG_VERDICT);
                }),
            ),
            Self::Ct(key) => (
                "ct",
                Box::new(move |a| {
                    a.number(1, REG_1);
                    a.number(2, *key);
                }),
            ),
            Self::Set(value) => (
                "immediate",
                Box::new(move |a| {
                    a.number(1, REG_1);
                    a.nest(2, |data| data.bytes(1, value));
                }),
            ),
            Self::Then(verdict) => (
                "immediate",
                Box::new(move |a| {
                    a.number(1, REG_VERDICT);
                    a.nest(2, |data| data.verdict(verdict));
                }),
            ),
            Self::Masquerade => ("masq", Box::new(|_| {})),
            Self::RouteMss => (
                "rt",
                Box::new(|a| {
                    a.number(1, REG_1);
                    a.number(2, 3); // NFT_RT_TCPMSS
                }),
            ),
            Self::SwapMss => (
                "byteorder",
                Box::new(|a| {
                    a.number(1, REG_1);
                    a.number(2, REG_1);
                    a.number(3, 1); // NFT_BYTEORDER_HTON
                    a.number(4, 2);
                    a.number(5, 2);
                }),
            ),
            Self::ClampMss => ("exthdr", Box::new(clamp)),
            Self::Counter => ("counter", Box::new(|_| {})),
        };
        list.nest(1, |element| {
            element.text(1, name);
            element.nest(2, fill);
        });
    }
}

type Fill<'a> = Box<dyn FnOnce(&mut Attrs) + 'a>;

fn load_meta<'a>(key: u32, register: u32) -> Fill<'a> {
    Box::new(move |a| {
        a.number(1, register);
        a.number(2, key);
    })
}

fn load<'a>(register: u32, base: Base, offset: u32, length: u32) -> Fill<'a> {
    Box::new(move |a| {
        a.number(1, register);
        a.number(2, base as u32);
        a.number(3, offset);
        a.number(4, length);
    })
}

fn write_udp(a: &mut Attrs, offset: u32) {
    a.number(2, Base::Transport as u32);
    a.number(3, offset);
    a.number(4, 2);
    a.number(5, REG_1);
    a.number(6, 1); // NFT_PAYLOAD_CSUM_INET
    a.number(7, 6); // where UDP has its checksum
}

fn compare<'a>(operator: u32, value: &'a [u8]) -> Fill<'a> {
    Box::new(move |a| {
        a.number(1, REG_1);
        a.number(2, operator);
        a.nest(3, |data| data.bytes(1, value));
    })
}

fn bits<'a>(mask: &'a [u8], xor: Vec<u8>) -> Fill<'a> {
    Box::new(move |a| {
        a.number(1, REG_1);
        a.number(2, REG_1);
        a.number(3, u32::try_from(mask.len()).unwrap_or(4));
        a.nest(4, |data| data.bytes(1, mask));
        a.nest(5, |data| data.bytes(1, &xor));
    })
}

fn look_up<'a>(set: &'a str, register: u32, inverted: bool) -> Fill<'a> {
    Box::new(move |a| {
        a.text(1, set);
        a.number(2, register);
        if inverted {
            a.number(5, 1);
        }
    })
}

fn clamp(a: &mut Attrs) {
    a.bytes(2, &[2]); // TCP option: maximum segment size
    a.number(3, 2);
    a.number(4, 2);
    a.number(6, 1); // NFT_EXTHDR_OP_TCPOPT
    a.number(7, REG_1);
}

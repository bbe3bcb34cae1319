//! nftables over netlink: tables, chains, rules and sets in one atomic transaction.
//!
//! Source: `linux/netfilter/nf_tables.h` and `linux/netfilter/nfnetlink.h`. `netlink-packet-netfilter` 0.4 has tables,
//! chains and sets, but of the expressions needed here it lacks connection tracking, masquerading, the TCP option for
//! the segment size and writing into packets; with those added by hand little of it would be left.

mod batch;
mod expr;
mod socket;

pub(crate) use batch::{Batch, Chain, Element, Hook, Key, SetKind};
pub(crate) use expr::{Base, Expr, Rule, ct, meta};
pub(crate) use socket::{NftSocket, Watch};

/// Verdicts of chains and rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The packet is lost.
    Drop,
    /// The packet leaves this chain's hook.
    Accept,
    /// Evaluation goes on in another chain and does not come back.
    Goto(String),
}

/// Netlink attributes (RFC 3549 §2.3) in network byte order, as nf_tables has them.
#[derive(Default)]
pub(crate) struct Attrs(Vec<u8>);

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// A netlink attribute cannot be longer; callers split what may be.
const MAX_ATTR: usize = u16::MAX as usize;

impl Attrs {
    /// Raw bytes.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        debug_assert!(value.len() + 4 <= MAX_ATTR, "attribute {kind} is too long");
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A string with its end.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// A number of 32 bits.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Attributes inside an attribute.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NESTED, &inner.0);
    }

    /// A verdict as data.
    pub(crate) fn verdict(&mut self, verdict: &Verdict) {
        self.nest(2, |data| match verdict {
            Verdict::Drop => data.number(1, 0),
            Verdict::Accept => data.number(1, 1),
            Verdict::Goto(chain) => {
                data.number(1, (-4_i32).cast_unsigned());
                data.text(2, chain);
            }
        });
    }
}

//! The kinds of NAT a home router may do, as nftables rules.

/// How a router translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// Keeps the source port, whatever the destination: what is learnt from STUN holds for
    /// peers, and hole punching works.
    Easy,
    /// A new random port for every destination: what STUN says is true for the STUN server
    /// only.
    Hard,
}

/// Drops UDP that comes in from the wire. Input, not output: a dropped output would be an error
/// to the sender, which no firewall on the way is.
pub const UDP_BLOCK: &str = "
table inet lab_udp {
    chain input {
        type filter hook input priority -10;
        iifname \"eth0\" meta l4proto udp drop
    }
}
";

/// Input is filtered too: a peer's packet that comes before our own first one must not leave a
/// connection tracking entry, or our packet would clash with it and get another port.
///
/// The ruleset of a router whose uplink is `eth0` and whose LAN is `br0`. What was not asked for
/// from inside is not let in, as home routers do; what a client on the router itself forwards is.
pub fn ruleset(kind: NatKind) -> String {
    let rule = match kind {
        NatKind::Easy => "masquerade",
        NatKind::Hard => "masquerade random,fully-random",
    };
    format!(
        "
table ip lab_nat {{
    chain input {{
        type filter hook input priority 0;
        iifname \"eth0\" ct state new drop
    }}
    chain forward {{
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname {{ \"br0\", \"tailscale0\", \"tailscale0-via\" }} accept
    }}
    chain postrouting {{
        type nat hook postrouting priority 100;
        oifname \"eth0\" ip saddr 192.168.0.0/16 {rule}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hard_nat_randomises() {
        assert!(ruleset(NatKind::Easy).contains("masquerade\n"));
        assert!(ruleset(NatKind::Hard).contains("fully-random\n"));
    }
}

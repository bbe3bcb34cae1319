//! Capability versions: what a client of a given age understands.
//!
//! Source: the history comment of `tailcfg/tailcfg.go` and the release tags v1.80.0 to v1.104.5.

/// A client's capability version (`tailcfg.CapabilityVersion`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CapabilityVersion(pub u32);

/// Releases and the capability version that each of them brought, oldest first.
pub const RELEASES: [(&str, CapabilityVersion); 13] = [
    ("1.80", CapabilityVersion(113)),
    ("1.82", CapabilityVersion(115)),
    ("1.84", CapabilityVersion(116)),
    ("1.86", CapabilityVersion(123)),
    ("1.88", CapabilityVersion(125)),
    ("1.90", CapabilityVersion(130)),
    ("1.92", CapabilityVersion(131)),
    ("1.94", CapabilityVersion(131)),
    ("1.96", CapabilityVersion(133)),
    ("1.98", CapabilityVersion(138)),
    ("1.100", CapabilityVersion(141)),
    ("1.102", CapabilityVersion(142)),
    ("1.104", CapabilityVersion(148)),
];

impl CapabilityVersion {
    /// Oldest version that is served: Tailscale 1.80.
    pub const OLDEST: Self = Self(113);
    /// Newest version known here.
    pub const NEWEST: Self = Self(148);

    /// Whether clients of this version are served. Newer ones than known are: they ignore what they do not know.
    #[must_use]
    pub fn is_supported(self) -> bool {
        self >= Self::OLDEST
    }

    /// `DisplayMessages` is understood; older clients get `Health`.
    #[must_use]
    pub fn has_display_messages(self) -> bool {
        self.0 >= 117
    }

    /// `CertName: "sha256-raw:…"` pins a relay's certificate; older clients take it for a DNS name.
    #[must_use]
    pub fn can_pin_relay_certificate(self) -> bool {
        self.0 >= 115
    }

    /// The automatic-update default is read from the capability map; older clients want `DefaultAutoUpdate`.
    #[must_use]
    pub fn reads_auto_update_capability(self) -> bool {
        self.0 >= 131
    }

    /// 429 with `Retry-After` is obeyed on register.
    #[must_use]
    pub fn obeys_retry_after_on_register(self) -> bool {
        self.0 >= 137
    }
}

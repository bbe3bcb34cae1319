//! Which names devices may get HTTPS certificates for, and what they may put into DNS for it (RFC 8555 section 8.4;
//! `SetDNSRequest` in `tailcfg/tailcfg.go` of tailscale.com v1.102.5).

use crate::{CoreError, Node, Result, Settings, names};
use hearthgate_tailcfg::SetDnsRequest;
use jiff::Timestamp;

/// What stands before a name in the name of its challenge.
const PREFIX: &str = "_acme-challenge.";
/// Longest name in DNS, written with dots and without the last one.
const NAME_MAX: usize = 253;
/// Length of an answer to a challenge: SHA-256 in base64 without padding.
const ANSWER_LEN: usize = 43;

/// The one name that a node may get a certificate for; `None` when nobody writes records for its network, when the name
/// lies elsewhere, or while the node waits for approval.
#[must_use]
pub fn cert_domain(settings: &Settings, node: &Node) -> Option<String> {
    let zone = settings.certificate_zone.as_deref()?;
    let base = settings.base_domain.to_ascii_lowercase();
    let within = base == zone || base.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    let whole = format!("{}.{}.", node.given_name, settings.base_domain);
    // A name that was cut to fit may be another node's too.
    let told = names::fqdn(&node.given_name, &settings.base_domain);
    let fits = told == whole && PREFIX.len() + told.len() <= NAME_MAX;
    (within && fits && !node.waiting).then(|| told.trim_end_matches('.').to_ascii_lowercase())
}

/// Checks what a node wants in DNS at the time `now`: the name of its own challenge, and an answer to one. Answers with
/// the record's name.
///
/// # Errors
/// Something else is wanted, nothing can be written for this node, or its key has expired.
pub fn challenge_record(settings: &Settings, node: &Node, request: &SetDnsRequest, now: Timestamp) -> Result<String> {
    if node.is_expired(now) {
        return Err(CoreError::denied("the key of this device has expired: log in again first"));
    }
    let Some(domain) = cert_domain(settings, node) else {
        return Err(CoreError::denied(if settings.certificate_zone.is_none() {
            "HTTPS certificates are not set up on this server: its owner has to name a domain (dns.base_domain) and who \
             writes its DNS records (certificates.provider) in the configuration"
        } else {
            "this device has no name in the domain that certificates are set up for"
        }));
    };
    let name = format!("{PREFIX}{domain}");
    if !request.name.trim_end_matches('.').eq_ignore_ascii_case(&name) || request.kind != "TXT" {
        return Err(CoreError::denied(format!("a device may set the TXT record of its own challenge only: {name}")));
    }
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if request.value.len() != ANSWER_LEN || !request.value.bytes().all(base64) {
        return Err(CoreError::invalid("the value is no answer to an ACME challenge"));
    }
    Ok(name)
}

//! What people set on the pages and through the API goes before the configuration file, so that somebody without a
//! shell can set it: the network's name, DNS, how long keys live.

use hearthgate_core::{CoreError, Settings, World, host_of, names};
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::DnsRecord;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

const KEY: &str = "web/network";
const CHOICES: &str = "web/choices";
/// What follows the name: reserved for private use by ICANN, resolution 2024.07.29.06.
pub(crate) const SUFFIX: &str = "internal";
/// Most resolvers, search domains, split suffixes or records.
const LIST_MAX: usize = 64;
/// Longest life of a node key that can be chosen, in days; Tailscale's own limit.
const KEY_DAYS_MAX: u64 = 180;
const DAY_S: u64 = 24 * 3600;

/// What was chosen in place of the configuration; `None` leaves it as it is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Choices {
    /// Names for devices.
    pub magic_dns: Option<bool>,
    /// Global resolvers: addresses, or `https://` URLs.
    pub resolvers: Option<Vec<String>>,
    /// They replace the device's own.
    pub override_local: Option<bool>,
    /// Search domains.
    pub search: Option<Vec<String>>,
    /// Resolvers by suffix.
    pub split: Option<SortedMap<String, Vec<String>>>,
    /// Further names: name, address.
    pub records: Option<Vec<(String, IpAddr)>>,
    /// Life of node keys in days; 0 is for ever.
    pub key_days: Option<u64>,
    /// Clients update themselves unless told otherwise.
    pub auto_update: Option<bool>,
    /// New devices wait for approval.
    pub device_approval: Option<bool>,
}

/// The name that was given, if any.
pub fn name(world: &World) -> Option<String> {
    world.record(KEY)
}

/// What was chosen.
pub(crate) fn choices(world: &World) -> Choices {
    world.record(CHOICES).unwrap_or_default()
}

/// Settings of the configuration, with what was chosen in its place.
pub fn with_choices(world: &World, mut settings: Settings) -> Settings {
    if let Some(name) = name(world) {
        settings.base_domain = format!("{name}.{SUFFIX}");
    }
    let c = choices(world);
    settings.magic_dns = c.magic_dns.unwrap_or(settings.magic_dns);
    settings.override_local_dns = c.override_local.unwrap_or(settings.override_local_dns);
    settings.auto_update = c.auto_update.unwrap_or(settings.auto_update);
    settings.device_approval = c.device_approval.unwrap_or(settings.device_approval);
    settings.node_expiry_s = c.key_days.map_or(settings.node_expiry_s, |d| d * DAY_S);
    settings.resolvers = c.resolvers.unwrap_or(settings.resolvers);
    settings.search_domains = c.search.unwrap_or(settings.search_domains);
    settings.split_dns = c.split.unwrap_or(settings.split_dns);
    if let Some(records) = c.records {
        settings.extra_records = records.into_iter().map(|(name, ip)| record(name, ip)).collect();
    }
    settings
}

fn record(name: String, ip: IpAddr) -> DnsRecord {
    let kind = if ip.is_ipv6() { "AAAA" } else { "A" };
    DnsRecord { name, kind: kind.to_owned(), value: ip.to_string() }
}

/// Changes what was chosen, and puts it in force.
///
/// # Errors
/// A malformed name or resolver, or too many of them: nothing changes.
pub(crate) fn choose(world: &mut World, change: impl FnOnce(&mut Choices)) -> Result<(), CoreError> {
    let mut c = choices(world);
    change(&mut c);
    check(&c)?;
    world.put_record(CHOICES, &c)?;
    let settings = with_choices(world, Settings::clone(world.settings()));
    world.set_settings(settings);
    Ok(())
}

fn check(c: &Choices) -> Result<(), CoreError> {
    let invalid = |text: String| Err(CoreError::Invalid(text));
    let resolvers = c.resolvers.iter().flatten().chain(c.split.iter().flat_map(|s| s.values().flatten()));
    for r in resolvers {
        if r.parse::<IpAddr>().is_err() && r.parse::<std::net::SocketAddr>().is_err() && !is_doh(r) {
            return invalid(format!("{r:?} is no resolver: give an IP address, or an https:// URL"));
        }
    }
    let split = c.split.iter().flat_map(|s| s.keys());
    let records = c.records.iter().flatten().map(|(name, _)| name);
    for d in c.search.iter().flatten().chain(split).chain(records) {
        if !is_domain(d) {
            return invalid(format!("{d:?} is not a domain name"));
        }
    }
    let counts = [
        c.resolvers.as_ref().map_or(0, Vec::len),
        c.search.as_ref().map_or(0, Vec::len),
        c.split.as_ref().map_or(0, |s| s.values().map(|v| v.len().max(1)).sum()),
        c.records.as_ref().map_or(0, Vec::len),
    ];
    if counts.iter().any(|n| *n > LIST_MAX) {
        return Err(CoreError::Full(format!("more than {LIST_MAX} entries in one list")));
    }
    if c.key_days.is_some_and(|d| d > KEY_DAYS_MAX) {
        return invalid(format!("keys can live at most {KEY_DAYS_MAX} days, or for ever (0)"));
    }
    Ok(())
}

fn is_doh(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| is_domain(rest.split('/').next().unwrap_or_default()))
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|l| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                && !l.starts_with('-')
                && !l.ends_with('-')
        })
}

/// Gives the network a name.
///
/// # Errors
/// Not one label, or the server's own name would lie within it.
pub fn rename(world: &mut World, name: &str) -> Result<(), CoreError> {
    if !names::is_label(name) {
        return Err(CoreError::Invalid(format!(
            "{name:?} is not a name for a network: one word of letters, digits and '-'"
        )));
    }
    let domain = format!("{name}.{SUFFIX}");
    let host = host_of(&world.settings().server_url).to_ascii_lowercase();
    if host == domain || host.ends_with(&format!(".{domain}")) {
        return Err(CoreError::Conflict(format!(
            "The name of this box, {host}, lies within {domain}: devices could not find it. Choose another."
        )));
    }
    world.put_record(KEY, &name)?;
    let settings = with_choices(world, Settings::clone(world.settings()));
    world.set_settings(settings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_is_refused() {
        let ok = |c: Choices| check(&c).is_ok();
        let resolvers = |r: &str| Choices { resolvers: Some(vec![r.to_owned()]), ..Choices::default() };
        assert!(
            ok(resolvers("9.9.9.9")) && ok(resolvers("2620:fe::9")) && ok(resolvers("https://dns.example/dns-query"))
        );
        assert!(
            !ok(resolvers("dns.example"))
                && !ok(resolvers("https://"))
                && !ok(resolvers("http://9.9.9.9"))
                && !ok(resolvers(""))
        );
        let search = |d: &str| Choices { search: Some(vec![d.to_owned()]), ..Choices::default() };
        assert!(ok(search("example.com")) && ok(search("_x.internal.")));
        assert!(!ok(search("a b")) && !ok(search("")) && !ok(search("-x.com")) && !ok(search("a..b")));
        assert!(!ok(Choices { search: Some(vec!["a".into(); LIST_MAX + 1]), ..Choices::default() }));
        assert!(!ok(Choices { key_days: Some(KEY_DAYS_MAX + 1), ..Choices::default() }));
    }
}

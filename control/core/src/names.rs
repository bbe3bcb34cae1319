//! Host names to DNS labels, and tags (`util/dnsname`, `tailcfg.CheckTag` of tailscale.com v1.104.5).

/// Longest DNS label in bytes (RFC 1035).
const LABEL_MAX: usize = 63;
/// Longest name with its trailing dot that clients accept.
const FQDN_MAX: usize = 254;
/// Label of a node whose host name holds nothing usable.
const FALLBACK: &str = "node";

/// A host name as a DNS label; empty when nothing of it is usable.
#[must_use]
pub fn sanitize_hostname(hostname: &str) -> String {
    let mut name = hostname;
    for suffix in [".local", ".localdomain", ".lan"] {
        name = name.strip_suffix(suffix).unwrap_or(name);
    }
    sanitize_label(name)
}

/// A text as a DNS label: other characters dropped, separators turned into `-`, lower case.
#[must_use]
pub fn sanitize_label(text: &str) -> String {
    let mut end = text.len().min(LABEL_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .chars()
        .filter_map(|c| match c {
            ' ' | '.' | '@' | '_' => Some('-'),
            '-' => Some('-'),
            c if c.is_ascii_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// Whether `label` is a valid DNS label.
#[must_use]
pub fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = label.as_bytes();
    bytes.len() <= LABEL_MAX && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| inner(*b))
}

/// A free label for a node: the sanitised name, then `name-1`, `name-2`… until `taken` says no.
#[must_use]
pub fn free_label(hostname: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut base = sanitize_hostname(hostname);
    if base.is_empty() {
        base = FALLBACK.into();
    }
    if !taken(&base) {
        return base;
    }
    // One of the first n+1 candidates is free when n names are taken, so this ends.
    for n in 1u64.. {
        let tail = format!("-{n}");
        let keep = base.len().min(LABEL_MAX - tail.len());
        let candidate = format!("{}{tail}", base[..keep].trim_end_matches('-'));
        if !taken(&candidate) {
            return candidate;
        }
    }
    base
}

/// `label.base_domain.` with the trailing dot that clients need, cut so that they accept it.
#[must_use]
pub fn fqdn(label: &str, base_domain: &str) -> String {
    let room = FQDN_MAX.saturating_sub(base_domain.len() + 2);
    format!("{}.{base_domain}.", &label[..label.len().min(room.max(1))])
}

/// Whether `tag` is `tag:` and a letter, then letters, digits and `-`.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let Some(rest) = tag.strip_prefix("tag:") else { return false };
    rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

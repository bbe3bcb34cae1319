//! The early payload: what the server says before HTTP/2 begins (`tailcfg.EarlyNoise`).

/// First bytes of the payload; an HTTP/2 frame cannot begin like this.
pub const EARLY_MAGIC: [u8; 5] = [0xff, 0xff, 0xff, b'T', b'S'];
/// Longest payload we accept; the official server sends about a hundred bytes.
pub const EARLY_MAX: usize = 1024;

/// Magic, length, and the JSON.
#[must_use]
pub fn encode_early(json: &[u8]) -> Vec<u8> {
    let mut out = EARLY_MAGIC.to_vec();
    // A challenge is a hundred bytes; a longer text than 4 GiB cannot be handed in.
    out.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(json);
    out
}

/// Length of the payload that follows these nine bytes; `None` when they are already HTTP/2.
#[must_use]
pub fn parse_early_head(head: &[u8; 9]) -> Option<usize> {
    let (magic, len) = head.split_at(EARLY_MAGIC.len());
    let len: [u8; 4] = len.try_into().ok()?;
    (magic == EARLY_MAGIC).then(|| usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX))
}

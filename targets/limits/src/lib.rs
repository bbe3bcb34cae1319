//! Limits and names of the machine that this build is for, from the target file of its triple (`targets/*.toml`).
//!
//! What a 64 MB router can hold is no matter of taste for the code that keeps the limit, and no matter of
//! configuration either: the person with the router does not know the number.

mod found {
    include!(concat!(env!("OUT_DIR"), "/limits.rs"));
}

/// Name of the target file, as upgrades and tarballs for this machine have it; empty if nothing is made for it.
pub const TARGET: &str = found::TARGET;
/// Debian's name of the architecture; empty where Debian has none.
pub const DEBIAN: &str = found::DEBIAN;
/// Threads that run tasks.
pub const WORKER_THREADS: usize = found::WORKER_THREADS as usize;
/// Most threads for calls that block, such as name lookups.
pub const BLOCKING_THREADS: usize = found::BLOCKING_THREADS as usize;
/// Relay connections at once, unless configured.
pub const RELAY_CONNECTIONS: u64 = found::RELAY_CONNECTIONS as u64;
/// Compressed pages of whole maps that are kept; a page is 64 nodes for one class of viewers, some 10 KB.
pub const CACHED_PAGES: usize = found::CACHED_PAGES as usize;
/// Handshakes of relay clients at once.
pub const HANDSHAKES: u64 = found::HANDSHAKES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_desk_has_the_limits_of_its_own_file() {
        // Two numbers that the file of this processor and the smallest file do not share.
        let text = match std::env::consts::ARCH {
            "x86_64" => include_str!("../../x86_64.toml"),
            "aarch64" => include_str!("../../aarch64.toml"),
            _ => return,
        };
        assert!(text.contains(&format!("relay_connections = {RELAY_CONNECTIONS}\n")), "{RELAY_CONNECTIONS}");
        assert!(text.contains(&format!("cached_pages = {CACHED_PAGES}\n")), "{CACHED_PAGES}");
    }
}

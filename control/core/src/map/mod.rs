//! What a map stream tells its client: the first whole map, then what changed.
//!
//! Nothing here is computed per pair of nodes. Peers are rendered by page and by class of viewer, changes by class
//! and cursor range, and the shell caches the bytes; only what concerns a node itself is private to its stream.

mod delta;
mod dns;
mod node;
mod whole;

pub use delta::Delta;
pub use dns::dns_config;
pub use node::{peer_node, profile_of, self_node};
pub use whole::{head, is_alone, peers_of_page};

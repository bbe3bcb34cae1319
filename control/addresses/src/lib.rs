//! Who can reach an IP address, and whose it can be: what every part that meets addresses of strangers asks.

mod public;
mod scope;

pub use public::{is_documentation, is_public};
pub use scope::{Scope, is_shared, scope};

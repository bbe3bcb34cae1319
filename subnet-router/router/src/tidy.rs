//! Takes away what a process before this one left in the kernel when it was killed: the next one may have another interface
//! name in its configuration, or no router at all.

use hearthgate_client::StateDir;

/// Removes interfaces of earlier that are not among `names`, those to be made now, and notes these.
pub fn tidy(state: &StateDir, names: &[&str]) {
    for old in state.interfaces().iter().filter(|old| !names.contains(&old.as_str())) {
        match hearthgate_plane::clean_left(old) {
            Ok(false) => {}
            Ok(true) => tracing::info!(interface = old, "what a process before left is taken away"),
            Err(error) => tracing::warn!(interface = old, %error, "what a process before left"),
        }
    }
    if let Err(error) = state.store_interfaces(names) {
        tracing::warn!(%error, "the names of the interfaces are not stored");
    }
}

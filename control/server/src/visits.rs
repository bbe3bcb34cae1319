//! The last device that came to this server from outside by itself: not from the LAN, not through a front. That proves
//! that the world reaches this box, where all else is guessing. In memory only.

use crate::state::App;
use hearthgate_core::{NodeId, Snapshot};
use hearthgate_web::{
    outside::{Visit, is_outside},
    reach::{Scope, scope},
};
use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Where the last one is noted.
#[derive(Debug, Default)]
pub struct Visits(Mutex<Option<(NodeId, Instant)>>);

impl Visits {
    /// A node of the network came from `source`; `None` is a front.
    pub(crate) fn note(&self, app: &App, node: NodeId, source: Option<IpAddr>) {
        // Most come from the LAN, and are not worth a look at the interfaces.
        let Some(source) = source.filter(|ip| scope(*ip) == Scope::Global) else { return };
        if is_outside(source, &crate::admin::own_addresses(&app.admin)) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, Instant::now()));
        }
    }

    /// The last one, if it is still there.
    pub(crate) fn last(&self, snap: &Snapshot) -> Option<Visit> {
        let (id, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(Visit { name: snap.node(id)?.given_name.clone(), ago_s: at.elapsed().as_secs() })
    }
}

//! A data plane that is not there: what a router has between the loss of one and the start of the next.

use crate::{DataPlane, Desired, Endpoint, Kind, PeerCounters, PlaneError};
use hearthgate_keys::NodePublic;
use std::{net::SocketAddr, sync::Arc};

struct Gone {
    kind: Kind,
    interface: String,
    port: u16,
}

/// Stops a data plane, lets go of its files and sockets, and gives one of the same name that carries nothing.
#[must_use]
pub fn gone(plane: &dyn DataPlane) -> Arc<dyn DataPlane> {
    plane.stop();
    Arc::new(Gone { kind: plane.kind(), interface: plane.interface().to_owned(), port: plane.port() })
}

impl DataPlane for Gone {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn interface(&self) -> &str {
        &self.interface
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn apply(&self, _: &Desired) -> Result<(), PlaneError> {
        Err(PlaneError::Gone)
    }

    fn set_endpoint(&self, _: &NodePublic, _: Endpoint) -> Result<(), PlaneError> {
        Err(PlaneError::Gone)
    }

    fn send_udp(&self, _: SocketAddr, _: &[u8]) -> Result<(), PlaneError> {
        Err(PlaneError::Gone)
    }

    fn deliver(&self, _: &NodePublic, _: &[u8]) -> Result<(), PlaneError> {
        Err(PlaneError::Gone)
    }

    fn counters(&self) -> Result<Vec<PeerCounters>, PlaneError> {
        Err(PlaneError::Gone)
    }

    fn stop(&self) {}
}

//! The router in front of us: which one it is, and ports that it maps for us. What there is to decide is
//! `hearthgate-portmap`'s; here are sockets.

mod route;
mod shell;

pub use route::default_gateway;
pub use shell::PortMap;

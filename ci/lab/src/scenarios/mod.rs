//! The scenarios, in the order `all` runs them.

mod acme;
mod approval;
mod backup;
mod cert;
mod client_restart;
mod crowd;
mod delete;
mod dns;
mod dyndns;
mod ephemeral;
mod exit_node;
mod expire;
mod failover;
mod front;
mod import_headscale;
mod join_by_key;
mod keys;
mod login_page;
mod logout;
mod member;
mod nat;
mod oidc;
mod path_change;
mod policy;
mod portmap;
mod relay;
mod relay_mesh;
mod relayed;
mod rename;
mod restart;
mod reverse_proxy;
mod router;
mod router_changes;
mod router_dns;
mod router_figures;
mod router_files;
mod router_first_packet;
mod router_greeting;
mod router_headscale;
mod router_kernel;
mod router_memory;
mod router_plain;
mod router_routes;
mod router_switch;
mod router_thousand;
mod router_upgrade;
mod router_userspace;
mod router_via;
mod rust_client;
mod subnet_route;
mod taildrop;
mod upgrade;

use crate::scenario::Scenario;

/// Every scenario.
pub const ALL: &[Scenario] = &[
    join_by_key::SCENARIO,
    relay::TLS,
    relay::HTTP,
    login_page::SCENARIO,
    approval::SCENARIO,
    restart::SCENARIO,
    backup::SCENARIO,
    client_restart::SCENARIO,
    upgrade::SCENARIO,
    crowd::SCENARIO,
    keys::SCENARIO,
    oidc::SCENARIO,
    subnet_route::SCENARIO,
    exit_node::SCENARIO,
    failover::KILL,
    failover::CABLE,
    ephemeral::SCENARIO,
    logout::SCENARIO,
    expire::SCENARIO,
    delete::SCENARIO,
    rename::SCENARIO,
    dns::SCENARIO,
    taildrop::SCENARIO,
    path_change::SCENARIO,
    policy::SCENARIO,
    nat::EASY,
    nat::HARD,
    nat::MIXED,
    relay_mesh::SCENARIO,
    acme::HTTP,
    acme::TLS,
    cert::SCENARIO,
    portmap::SCENARIO,
    dyndns::SCENARIO,
    dyndns::CLIENT,
    reverse_proxy::SCENARIO,
    front::SCENARIO,
    front::ACME,
    router::RELAY,
    router::DIRECT,
    router::UNPLUGGED,
    router::EASY,
    router::HARD,
    router_routes::SUBNET,
    router_routes::EXIT,
    router_routes::BOX,
    failover::OURS,
    router_dns::SCENARIO,
    router_via::SCENARIO,
    router_files::SCENARIO,
    router_kernel::SCENARIO,
    router_changes::ROAMING,
    router_changes::REKEY,
    router_changes::DEVICE,
    router_greeting::SCENARIO,
    router_first_packet::SCENARIO,
    router_switch::SCENARIO,
    router_upgrade::SCENARIO,
    router_thousand::SCENARIO,
    router_plain::KERNEL,
    router_plain::USERSPACE,
    router_figures::SCENARIO,
    router_memory::SCENARIO,
    router_userspace::SCENARIO,
    rust_client::SCENARIO,
    import_headscale::SCENARIO,
    router_headscale::SCENARIO,
];

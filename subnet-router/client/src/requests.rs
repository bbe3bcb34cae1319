//! Bodies of the requests we make.

use crate::{CAPABILITY_VERSION, Prefs, Report};
use hearthgate_keys::{NodePublic, Secret};
use hearthgate_tailcfg::{Hostinfo, MapRequest, RegisterRequest, RegisterResponseAuth, Time};
use jiff::Timestamp;

/// The expiry that means "log out": long past, and not zero (`control/controlclient/direct.go`).
const LOGOUT_S: i64 = 123;

/// What a registration is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Registration<'a> {
    /// Key to retire.
    pub old_key: Option<NodePublic>,
    /// Pre-auth key.
    pub auth_key: Option<&'a Secret>,
    /// The login whose end is awaited.
    pub followup: Option<&'a str>,
    /// Leaves the network.
    pub logout: bool,
}

/// A registration of `key`.
#[must_use]
pub fn register(key: NodePublic, report: &Report, what: Registration<'_>) -> RegisterRequest {
    RegisterRequest {
        version: CAPABILITY_VERSION.into(),
        node_key: key,
        old_node_key: what.old_key.unwrap_or_default(),
        auth: what.auth_key.map(|key| RegisterResponseAuth { auth_key: key.clone() }),
        expiry: if what.logout { Timestamp::from_second(LOGOUT_S).ok().into() } else { Time::default() },
        followup: what.followup.unwrap_or_default().to_owned(),
        hostinfo: Some(report.hostinfo.clone()),
        ..Default::default()
    }
}

/// A map stream.
#[must_use]
pub fn poll(key: NodePublic, report: &Report) -> MapRequest {
    MapRequest { stream: true, keep_alive: true, ..map(key, report) }
}

/// News about us, without a map in return.
#[must_use]
pub fn update(key: NodePublic, report: &Report) -> MapRequest {
    MapRequest { omit_peers: true, ..map(key, report) }
}

fn map(key: NodePublic, report: &Report) -> MapRequest {
    MapRequest {
        version: CAPABILITY_VERSION.into(),
        compress: "zstd".into(),
        node_key: key,
        disco_key: report.disco,
        hostinfo: Some(report.hostinfo.clone()),
        endpoints: report.endpoints.iter().map(|(addr, _)| *addr).collect(),
        endpoint_types: report.endpoints.iter().map(|(_, kind)| *kind).collect(),
        ..Default::default()
    }
}

/// What we say about ourselves, besides services and what was measured. `machine` is the machine's own host name.
#[must_use]
pub fn hostinfo(prefs: &Prefs, machine: &str, log_id: &str) -> Hostinfo {
    let hostname = if prefs.hostname.is_empty() { machine } else { &prefs.hostname };
    Hostinfo {
        ipn_version: concat!("1.90.0-hearthgate-", env!("CARGO_PKG_VERSION")).into(),
        backend_log_id: log_id.to_owned(),
        os: "linux".into(),
        hostname: hostname.to_owned(),
        shields_up: prefs.shields_up,
        machine: std::env::consts::ARCH.into(),
        go_arch: go_arch(std::env::consts::ARCH).into(),
        routable_ips: prefs.routable(),
        request_tags: prefs.advertise_tags.clone(),
        userspace: Some(false),
        ..Default::default()
    }
}

/// Go's name of an architecture, by which consoles know it.
fn go_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "mips" if cfg!(target_endian = "little") => "mipsle",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logout_is_an_expiry_long_past() {
        let request =
            register(NodePublic::ZERO, &Report::default(), Registration { logout: true, ..Default::default() });
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(json["Expiry"], "1970-01-01T00:02:03Z");
    }

    #[test]
    fn the_two_map_requests_differ_in_what_they_ask_for() {
        let report = Report { endpoints: vec![("192.0.2.1:41641".parse().unwrap(), 2)], ..Default::default() };
        let json = |request| serde_json::to_value::<MapRequest>(request).unwrap();
        let (poll, update) = (json(poll(NodePublic::ZERO, &report)), json(update(NodePublic::ZERO, &report)));
        assert_eq!((&poll["Stream"], &poll["OmitPeers"]), (&true.into(), &serde_json::Value::Null));
        assert_eq!((&update["Stream"], &update["OmitPeers"]), (&serde_json::Value::Null, &true.into()));
        assert_eq!(update["Endpoints"][0], "192.0.2.1:41641");
        assert_eq!(update["EndpointTypes"][0], 2);
    }
}

//! Reads `tailscale status --json`.

use serde_json::Value;

use crate::outcome::{Failure, Outcome};
use crate::server::strings;

/// One answer of the client.
#[derive(Debug)]
pub struct Status(Value);

impl Status {
    /// Reads the command's output.
    pub fn read(text: &str) -> Outcome<Self> {
        let value: Value = serde_json::from_str(text).map_err(|e| Failure(format!("status is not JSON: {e}")))?;
        if value["BackendState"].is_string() {
            Ok(Self(value))
        } else {
            Err(Failure("status without BackendState".into()))
        }
    }

    /// `Running`, `NeedsLogin`, ...
    pub fn backend(&self) -> String {
        self.0["BackendState"].as_str().unwrap_or_default().to_owned()
    }

    /// The page a person is sent to, or empty.
    pub fn auth_url(&self) -> String {
        self.0["AuthURL"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether our router has its control stream; other clients do not say.
    pub fn connected(&self) -> bool {
        self.0["ControlConnected"] == true
    }

    /// A text of the answer's first level.
    pub fn text(&self, name: &str) -> String {
        self.0[name].as_str().unwrap_or_default().to_owned()
    }

    /// The part about the client itself.
    pub fn own(&self) -> &Value {
        &self.0["Self"]
    }

    /// Its own tailnet addresses.
    pub fn own_addresses(&self) -> Vec<String> {
        strings(&self.0["TailscaleIPs"])
    }

    /// The names it may get certificates for.
    pub fn cert_domains(&self) -> Vec<String> {
        strings(&self.0["CertDomains"])
    }

    /// The peer whose MagicDNS name begins with this label.
    pub fn peer(&self, label: &str) -> Option<&Value> {
        self.peers().find(|peer| Self::label(peer) == label)
    }

    /// First labels of all peers.
    pub fn peer_names(&self) -> Vec<String> {
        self.peers().map(Self::label).collect()
    }

    /// First label of the MagicDNS name of a peer, or of the client itself.
    pub fn label(peer: &Value) -> String {
        let name = peer["DNSName"].as_str().unwrap_or_default();
        name.split('.').next().unwrap_or_default().to_owned()
    }

    fn peers(&self) -> impl Iterator<Item = &Value> {
        self.0["Peer"].as_object().into_iter().flat_map(|peers| peers.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_found_by_their_dns_label() {
        let status = Status::read(
            r#"{"BackendState":"Running","TailscaleIPs":["100.64.0.1","fd7a::1"],
                "Peer":{"nodekey:1":{"HostName":"B","DNSName":"b-1.lab.internal.","Online":true}}}"#,
        )
        .unwrap();
        assert!(status.peer("b-1").is_some());
        assert!(status.peer("B").is_none());
        assert_eq!(status.own_addresses(), ["100.64.0.1", "fd7a::1"]);
    }

    #[test]
    fn a_client_without_peers_has_null() {
        let status = Status::read(r#"{"BackendState":"NeedsLogin","Peer":null}"#).unwrap();
        assert!(status.peer_names().is_empty());
    }

    #[test]
    fn other_json_is_refused() {
        assert!(Status::read("{}").is_err());
        assert!(Status::read("not json").is_err());
    }
}

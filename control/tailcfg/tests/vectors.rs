//! Messages of the official code (`vectors/*.json`): read, written again, and compared.

use hearthgate_tailcfg::{
    DerpMap, DnsRecord, EarlyNoise, MapRequest, MapResponse, Node, OverTlsPublicKeyResponse, PingRequest,
    QueryFeatureResponse, RegisterRequest, RegisterResponse, SetDnsRequest, SshAction, VerifyRequest, VerifyResponse,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Fields that this crate has no use for and drops when reading. All others have to come through unchanged.
const DROPPED: &[&str] = &[
    "omitDefaultRegions",
    "PrimaryAction",
    "HavePortMap",
    "LinkType",
    "FirewallMode",
    "UPnP",
    "PMP",
    "PCP",
    "OSHasIPv6",
    "WorkingICMPv4",
    "GoVersion",
    "DistroCodeName",
    "NodeKeySignature",
    "Timestamp",
    "SignatureType",
    "WireIngress",
    "IngressEnabled",
    "AllowsUpdate",
    "TKAInfo",
    "ControlDialPlan",
    "DefaultAutoUpdate",
    "KeySignature",
    "Container",
    "Desktop",
];

/// Zero values and absence mean the same in these messages; what is left must be equal.
fn essential(v: &Value) -> Value {
    match v {
        Value::Object(fields) => fields
            .iter()
            .filter(|(k, _)| !DROPPED.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), essential(v)))
            .filter(|(_, v)| !is_zero(v))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(essential).collect(),
        other => other.clone(),
    }
}

fn is_zero(v: &Value) -> bool {
    match v {
        Value::Null | Value::Bool(false) => true,
        Value::String(s) => {
            s.is_empty() || s == "0001-01-01T00:00:00Z" || (s.contains(':') && s.ends_with(&"0".repeat(64)))
        }
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(true) => false,
    }
}

fn survives<T: DeserializeOwned + Serialize>(name: &str, official: &Value) {
    let read: T = serde_json::from_value(official.clone()).unwrap_or_else(|e| panic!("{name} cannot be read: {e}"));
    let written = serde_json::to_value(&read).unwrap();
    assert_eq!(essential(&written), essential(official), "{name}");
}

fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn official_messages_survive_reading_and_writing() {
    let v = file(include_str!("vectors/messages.json"));
    for name in ["register_request_authkey", "register_request_logout", "zero_register_request"] {
        survives::<RegisterRequest>(name, &v[name]);
    }
    for name in ["register_response_authurl", "register_response_ok"] {
        survives::<RegisterResponse>(name, &v[name]);
    }
    for name in ["map_response_c2n", "map_response_delta", "map_response_full"] {
        survives::<MapResponse>(name, &v[name]);
    }
    survives::<MapRequest>("zero_map_request", &v["zero_map_request"]);
    survives::<VerifyRequest>("derp_admit_request", &v["derp_admit_request"]);
    survives::<VerifyResponse>("derp_admit_response", &v["derp_admit_response"]);
    survives::<EarlyNoise>("early_noise", &v["early_noise"]);
    survives::<QueryFeatureResponse>("feature_query_response", &v["feature_query_response"]);
    survives::<OverTlsPublicKeyResponse>("key_response", &v["key_response"]);
    survives::<SetDnsRequest>("set_dns_request", &v["set_dns_request"]);
    survives::<SshAction>("ssh_action_hold", &v["ssh_action_hold"]);
    assert_eq!(
        serde_json::to_string(&MapResponse { keep_alive: true, ..Default::default() }).unwrap(),
        v["keepalive_json"]
    );
}

#[test]
fn requests_of_real_clients_are_read() {
    let v = file(include_str!("vectors/client-requests.json"));
    let (mut registers, mut maps) = (0, 0);
    for request in v["inner"].as_array().unwrap() {
        match request["path"].as_str().unwrap() {
            "/machine/register" => {
                survives::<RegisterRequest>("register", &request["body"]);
                registers += 1;
            }
            "/machine/map" => {
                survives::<MapRequest>("map", &request["body"]);
                maps += 1;
            }
            _ => {}
        }
    }
    assert!(registers >= 2 && maps >= 2);
}

#[test]
fn absence_emptiness_and_null_are_told_apart() {
    let read = |text: &str| serde_json::from_str::<MapResponse>(text).unwrap();
    assert_eq!(read("{}").packet_filter, None);
    assert_eq!(read(r#"{"PacketFilter":[]}"#).packet_filter, Some(Vec::new()));
    let parts = read(r#"{"PacketFilters":{"*":null,"base":[]}}"#).packet_filters.unwrap();
    assert_eq!((parts["*"].clone(), parts["base"].clone()), (None, Some(Vec::new())));
    let patch = read(r#"{"PeersChangedPatch":[{"NodeID":1,"Endpoints":[],"KeyExpiry":"0001-01-01T00:00:00Z"}]}"#)
        .peers_changed_patch
        .remove(0);
    assert_eq!(patch.endpoints, Some(Vec::new()));
    let written = serde_json::to_value(&patch).unwrap();
    assert_eq!(written["KeyExpiry"], "0001-01-01T00:00:00Z", "lifting an expiry has to be said");
    assert_eq!(written["Endpoints"], serde_json::json!([]));
}

#[test]
fn the_recorded_session_is_understood() {
    let v = file(include_str!("vectors/map-session.json"));
    let mut read = 0;
    for step in v["steps"].as_array().unwrap() {
        let message: Result<MapResponse, _> = serde_json::from_value(step["message"].clone());
        assert!(message.is_ok(), "{}: {:?}", step["note"], message.err());
        read += 1;
    }
    assert!(read >= 15);
}

#[test]
fn auth_keys_do_not_print() {
    let request: RegisterRequest = serde_json::from_str(r#"{"Auth":{"AuthKey":"hskey-auth-secret"}}"#).unwrap();
    assert!(!format!("{request:?}").contains("hskey-auth-secret"));
}

#[test]
fn odd_but_valid_messages_are_read() {
    let read = |text: &str| serde_json::from_slice::<DerpMap>(text.as_bytes()).unwrap();
    // Go sorts keys as texts; a region that is null is none; the last of two with one number counts.
    let map = read(r#"{"Regions":{"10":{"RegionID":10},"9":{"RegionID":9},"8":null,"9":{"RegionID":99}}}"#);
    assert_eq!(map.regions.iter().map(|(n, r)| (*n, r.region_id)).collect::<Vec<_>>(), [(9, 99), (10, 10)]);
    assert_eq!(read(r#"{"Regions":null}"#), DerpMap::default());
    assert!(serde_json::from_slice::<DerpMap>(br#"{"Regions":{"x":{}}}"#).unwrap_err().to_string().contains("\"x\""));
    let record: DnsRecord = serde_json::from_str(r#"{"name":"a.b","type":"A","Value":"192.0.2.1"}"#).unwrap();
    assert_eq!((record.name.as_str(), record.kind.as_str(), record.value.as_str()), ("a.b", "A", "192.0.2.1"));
    let node = serde_json::from_str::<Node>(
        r#"{"KeyExpiry":"0001-01-01T00:00:00Z","Created":"2026-01-02T03:04:05Z","LastSeen":"",
            "CapMap":{"a":null,"b":[1]}}"#,
    )
    .unwrap();
    assert!(node.key_expiry.is_none() && node.last_seen.is_none() && !node.created.is_none());
    let capabilities = node.cap_map.unwrap();
    assert_eq!((capabilities["a"].clone(), capabilities["b"].clone()), (None, Some(vec![1.into()])));
    for wrong in [
        r#"{"Key":"nodekey:12"}"#,
        r#"{"Key":"mkey:0000000000000000000000000000000000000000000000000000000000000000"}"#,
        r#"{"Created":"yesterday"}"#,
        r#"{"Addresses":["100.64.0.1"]}"#,
        r#"{"Name":"a","Name":"b"}"#,
    ] {
        assert!(serde_json::from_str::<Node>(wrong).is_err(), "{wrong}");
    }
    let ping = serde_json::from_str::<PingRequest>(r#"{"Payload":"R0VUIC8="}"#).unwrap();
    assert_eq!(ping.payload.0, b"GET /");
    assert!(serde_json::from_str::<PingRequest>(r#"{"Payload":"R0VUIC8"}"#).is_err());
}

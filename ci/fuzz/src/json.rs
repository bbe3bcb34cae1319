//! JSON bodies of the control protocol, as the server and as a client read them.

use crate::Target;
use hearthgate_tailcfg as tailcfg;
use serde::{Serialize, de::DeserializeOwned};

/// What was read is written and read again: it must come out the same.
fn round_trip<T: DeserializeOwned + Serialize>(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(data) else { return };
    let once = serde_json::to_string(&value).expect("it was read, so it can be written");
    let again: T =
        serde_json::from_str(&once).unwrap_or_else(|e| panic!("what was written cannot be read: {e}: {once}"));
    assert_eq!(serde_json::to_string(&again).expect("written before"), once);
}

/// Messages that the official client sent or was sent, from the vectors of the crate that has the types.
const CLIENT: &str = include_str!("../../../control/tailcfg/tests/vectors/client-requests.json");
const SERVER: &str = include_str!("../../../control/tailcfg/tests/vectors/messages.json");

/// All objects in `text` that have one of these keys, as bytes.
fn objects_with(text: &str, keys: &[&str]) -> Vec<Vec<u8>> {
    fn walk(value: &serde_json::Value, keys: &[&str], out: &mut Vec<Vec<u8>>) {
        if let Some(map) = value.as_object() {
            if keys.iter().any(|k| map.contains_key(*k)) {
                out.push(value.to_string().into_bytes());
            }
            map.values().for_each(|v| walk(v, keys, out));
        }
        value.as_array().into_iter().flatten().for_each(|v| walk(v, keys, out));
    }
    let mut out = Vec::new();
    walk(&serde_json::from_str(text).expect("the vectors are JSON"), keys, &mut out);
    out.sort();
    out.dedup();
    out.truncate(SEEDS_MAX);
    out
}

/// Enough to begin with.
const SEEDS_MAX: usize = 12;

pub(crate) const MAP_REQUEST: Target = Target {
    name: "map-request",
    run: round_trip::<tailcfg::MapRequest>,
    seeds: || {
        let mut seeds = objects_with(CLIENT, &["KeepAlive", "Stream"]);
        seeds.push(
            br#"{"Version":140,"NodeKey":"nodekey:","Endpoints":["1.2.3.4:5","[::]:0","x"],"EndpointTypes":[1,99]}"#
                .to_vec(),
        );
        seeds
    },
};

pub(crate) const MAP_RESPONSE: Target = Target {
    name: "map-response",
    run: round_trip::<tailcfg::MapResponse>,
    seeds: || objects_with(SERVER, &["Peers", "PeersChangedPatch", "DERPMap", "PacketFilters", "Node", "DNSConfig"]),
};

pub(crate) const REGISTER_REQUEST: Target = Target {
    name: "register-request",
    run: |data| {
        round_trip::<tailcfg::RegisterRequest>(data);
        round_trip::<tailcfg::RegisterResponse>(data);
    },
    seeds: || {
        let mut seeds = objects_with(CLIENT, &["OldNodeKey", "Auth", "Followup"]);
        seeds.push(br#"{"Version":140,"Auth":{"AuthKey":"k"},"Expiry":"0001-01-01T00:00:00Z"}"#.to_vec());
        seeds
    },
};

pub(crate) const SMALL_REQUESTS: Target = Target {
    name: "small-requests",
    run: |data| {
        round_trip::<tailcfg::SetDnsRequest>(data);
        round_trip::<tailcfg::QueryFeatureRequest>(data);
        round_trip::<tailcfg::TokenRequest>(data);
        round_trip::<tailcfg::VerifyRequest>(data);
        round_trip::<tailcfg::DerpMap>(data);
        round_trip::<tailcfg::SshPolicy>(data);
        round_trip::<tailcfg::Hostinfo>(data);
    },
    seeds: || {
        let verify = br#"{"NodePublic":"nodekey:0101010101010101010101010101010101010101010101010101010101010101","Source":"192.0.2.1"}"#;
        let mut seeds = objects_with(SERVER, &["Regions", "rules", "OSVersion"]);
        seeds.push(verify.to_vec());
        seeds.push(br#"{"Version":1,"NodeKey":"nodekey:00","Feature":"funnel","Name":"_acme-challenge.a","Type":"TXT","Value":"v"}"#.to_vec());
        seeds
    },
};

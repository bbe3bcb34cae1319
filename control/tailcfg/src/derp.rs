//! The DERP map (`tailcfg.DERPMap`).

use crate::{is_false, is_zero};
use hearthgate_read::struct_of;
use hearthgate_sorted::SortedMap;
use serde::Serialize;

/// Relays that clients may use.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DerpMap {
    /// Scores that bend the choice of the home relay.
    #[serde(rename = "HomeParams", skip_serializing_if = "Option::is_none")]
    pub home_params: Option<DerpHomeParams>,
    /// Regions by number. 900 to 999 are for self-hosters. One that is `null` is left out, as
    /// official clients do.
    #[serde(rename = "Regions")]
    pub regions: SortedMap<i32, DerpRegion>,
}

struct_of!(DerpMap { home_params: "HomeParams", regions: "Regions" });

/// Scores that bend the choice of the home relay.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DerpHomeParams {
    /// Factor on a region's latency, by region number; below 1 makes it likelier.
    #[serde(rename = "RegionScore", skip_serializing_if = "SortedMap::is_empty")]
    pub region_score: SortedMap<i32, f64>,
}

struct_of!(DerpHomeParams { region_score: "RegionScore" });

/// A group of relays that know each other.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DerpRegion {
    /// Number, above 0.
    #[serde(rename = "RegionID")]
    pub region_id: i32,
    /// Short code.
    #[serde(rename = "RegionCode")]
    pub region_code: String,
    /// Name to show.
    #[serde(rename = "RegionName")]
    pub region_name: String,
    /// Degrees north.
    #[serde(rename = "Latitude", skip_serializing_if = "is_zero")]
    pub latitude: f64,
    /// Degrees east.
    #[serde(rename = "Longitude", skip_serializing_if = "is_zero")]
    pub longitude: f64,
    /// Not to be measured nor chosen as home (old form).
    #[serde(rename = "Avoid", skip_serializing_if = "is_false")]
    pub avoid: bool,
    /// Not to be measured nor chosen as home (capability version 115).
    #[serde(rename = "NoMeasureNoHome", skip_serializing_if = "is_false")]
    pub no_measure_no_home: bool,
    /// Relays of the region, in order of preference.
    #[serde(rename = "Nodes")]
    pub nodes: Vec<DerpNode>,
}

struct_of!(DerpRegion {
    region_id: "RegionID",
    region_code: "RegionCode",
    region_name: "RegionName",
    latitude: "Latitude",
    longitude: "Longitude",
    avoid: "Avoid",
    no_measure_no_home: "NoMeasureNoHome",
    nodes: "Nodes",
});

/// One relay.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct DerpNode {
    /// Name, unique over all regions.
    #[serde(rename = "Name")]
    pub name: String,
    /// Region it belongs to.
    #[serde(rename = "RegionID")]
    pub region_id: i32,
    /// Host name for TLS and HTTP.
    #[serde(rename = "HostName")]
    pub host_name: String,
    /// Name expected in the certificate instead, or `sha256-raw:` and the hash of a self-signed one.
    #[serde(rename = "CertName", skip_serializing_if = "String::is_empty")]
    pub cert_name: String,
    /// IPv4 address; empty is "ask DNS", `none` is "has none".
    #[serde(rename = "IPv4", skip_serializing_if = "String::is_empty")]
    pub ipv4: String,
    /// IPv6 address; empty is "ask DNS", `none` is "has none".
    #[serde(rename = "IPv6", skip_serializing_if = "String::is_empty")]
    pub ipv6: String,
    /// UDP port of STUN: 0 is 3478, −1 is none.
    #[serde(rename = "STUNPort", skip_serializing_if = "is_zero")]
    pub stun_port: i32,
    /// STUN only, no relay.
    #[serde(rename = "STUNOnly", skip_serializing_if = "is_false")]
    pub stun_only: bool,
    /// Port of the relay: 0 is 443.
    #[serde(rename = "DERPPort", skip_serializing_if = "is_zero")]
    pub derp_port: i32,
    /// Skip the check of the certificate (and, with a plain port, use plain HTTP).
    #[serde(rename = "InsecureForTests", skip_serializing_if = "is_false")]
    pub insecure_for_tests: bool,
    /// Answers `/generate_204` on port 80.
    #[serde(rename = "CanPort80", skip_serializing_if = "is_false")]
    pub can_port80: bool,
}

struct_of!(DerpNode {
    name: "Name",
    region_id: "RegionID",
    host_name: "HostName",
    cert_name: "CertName",
    ipv4: "IPv4",
    ipv6: "IPv6",
    stun_port: "STUNPort",
    stun_only: "STUNOnly",
    derp_port: "DERPPort",
    insecure_for_tests: "InsecureForTests",
    can_port80: "CanPort80",
});

//! Answers for people.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde_json::Value;
use std::fmt::Write as _;

/// Where to log in, with the address as a QR code: routers have no browser, telephones have.
pub(super) fn login(url: &str) -> String {
    let mut out = format!("\nTo let this machine in, visit:\n\n\t{url}\n\n");
    // A URL too long for a QR code is still a URL.
    if let Ok(code) = QrCode::with_error_correction_level(url, EcLevel::L) {
        out.push_str(&code.render::<Dense1x2>().quiet_zone(true).build());
        out.push('\n');
    }
    out
}

/// The router and its peers, one a line: address, name, owner, system, and how it is reached.
pub(super) fn status(status: &Value) -> String {
    let mut out = String::new();
    let state = text(&status["BackendState"]);
    if state != "Running" {
        out.push_str(&format!("# {state}\n"));
    }
    let own = &status["Self"];
    if own.is_object() {
        row(&mut out, own, status, "-");
    }
    let mut peers: Vec<&Value> = status["Peer"].as_object().into_iter().flat_map(serde_json::Map::values).collect();
    hearthgate_sorted::sort_by_key(&mut peers, |peer| text(&peer["DNSName"]));
    for peer in peers {
        row(&mut out, peer, status, &path(peer));
    }
    let _ = writeln!(out, "\n# data plane: {} on {}", text(&status["DataPlane"]), text(&status["Interface"]));
    if let Some(url) = super::login_url(status) {
        let _ = writeln!(out, "# log in at: {url}");
    }
    for problem in status["Health"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "# health: {}", text(problem));
    }
    out
}

fn row(out: &mut String, node: &Value, status: &Value, path: &str) {
    let address = text(&node["TailscaleIPs"][0]);
    let name = text(&node["DNSName"]);
    let name = name.split('.').next().unwrap_or_default();
    let user = &status["User"][node["UserID"].to_string()]["LoginName"];
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(out, "{address:15} {name:20} {:20} {:7} {path}", text(user), text(&node["OS"]));
}

fn path(peer: &Value) -> String {
    let mut parts = Vec::new();
    if peer["Online"] == false {
        parts.push("offline".to_owned());
    }
    if peer["ExitNode"] == true {
        parts.push("exit node".to_owned());
    } else if peer["ExitNodeOption"] == true {
        parts.push("offers exit node".to_owned());
    }
    let (direct, relay, peer_relay) = (text(&peer["CurAddr"]), text(&peer["Relay"]), text(&peer["PeerRelay"]));
    if peer["Active"] != true {
        parts.push("idle".to_owned());
    } else if !peer_relay.is_empty() {
        parts.push(format!("peer-relay {peer_relay}"));
    } else if !direct.is_empty() {
        parts.push(format!("direct {direct}"));
    } else {
        parts.push(format!("relay \"{relay}\" ({})", text(&peer["WhyRelayed"])));
    }
    let (tx, rx) = (peer["TxBytes"].as_u64().unwrap_or(0), peer["RxBytes"].as_u64().unwrap_or(0));
    if tx + rx > 0 {
        parts.push(format!("tx {tx} rx {rx}"));
    }
    parts.join(", ")
}

/// One answer to a ping, in the official client's words.
pub(super) fn pong(pong: &Value) -> String {
    let relay = text(&pong["relay"]);
    let via = if relay.is_empty() { text(&pong["endpoint"]) } else { format!("DERP({relay})") };
    let latency = pong["latency_ms"].as_f64().unwrap_or(0.0);
    format!("pong from {} ({}) via {via} in {latency:.0}ms\n", text(&pong["name"]), text(&pong["ip"]))
}

/// A network check.
pub(super) fn netcheck(report: &Value) -> String {
    let mut out = String::from("Report:\n");
    let shown = |flag: &str, address: &str| match (report[flag] == true, text(&report[address])) {
        (true, address) => format!("yes, {address}"),
        (false, _) => "no".to_owned(),
    };
    let _ = writeln!(out, "\t* UDP: {}", report["UDP"]);
    let _ = writeln!(out, "\t* IPv4: {}", shown("IPv4", "GlobalV4"));
    let _ = writeln!(out, "\t* IPv6: {}", shown("IPv6", "GlobalV6"));
    let varies = report["MappingVariesByDestIP"].as_bool().map_or("unknown".to_owned(), |varies| varies.to_string());
    let _ = writeln!(out, "\t* MappingVariesByDestIP: {varies}");
    let home = report["PreferredDERP"].to_string();
    let code = |id: &str| text(&report["RegionCodes"][id]);
    let _ = writeln!(out, "\t* Nearest DERP: {}", if home == "0" { "unknown".to_owned() } else { code(&home) });
    let mut regions: Vec<(u64, &String)> = report["RegionLatency"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, nanos)| (nanos.as_u64().unwrap_or(u64::MAX), id))
        .collect();
    regions.sort_unstable();
    let _ = writeln!(out, "\t* DERP latency:");
    for (nanos, id) in regions {
        let _ =
            writeln!(out, "\t\t- {:>6}: {:.1}ms", code(id), std::time::Duration::from_nanos(nanos).as_secs_f64() * 1e3);
    }
    out
}

/// A text without quotes; other values as JSON, `null` as nothing.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pings_read_as_the_official_clients() {
        let relayed = json!({ "name": "b", "ip": "100.64.0.2", "relay": "home", "endpoint": "", "latency_ms": 12.4 });
        assert_eq!(pong(&relayed), "pong from b (100.64.0.2) via DERP(home) in 12ms\n");
        let direct =
            json!({ "name": "b", "ip": "100.64.0.2", "relay": "", "endpoint": "10.0.0.2:41641", "latency_ms": 1.0 });
        assert_eq!(pong(&direct), "pong from b (100.64.0.2) via 10.0.0.2:41641 in 1ms\n");
    }

    #[test]
    fn the_status_says_how_each_peer_is_reached_and_why() {
        let status_ = json!({
            "BackendState": "Running", "DataPlane": "userspace", "Interface": "tailscale0", "Health": ["clock is wrong"],
            "Self": { "TailscaleIPs": ["100.64.0.1"], "DNSName": "gw.t.", "UserID": 1, "OS": "linux" },
            "User": { "1": { "LoginName": "ann@t" } },
            "Peer": { "nodekey:2": {
                "TailscaleIPs": ["100.64.0.2"], "DNSName": "b.t.", "UserID": 1, "OS": "linux", "Online": true, "Active": true,
                "CurAddr": "", "Relay": "home", "WhyRelayed": "UDP does not get out of our network", "TxBytes": 5, "RxBytes": 7,
            } },
        });
        let text = status(&status_);
        assert!(text.contains("relay \"home\" (UDP does not get out of our network), tx 5 rx 7"), "{text}");
        assert!(text.contains("# health: clock is wrong") && text.contains("userspace on tailscale0"), "{text}");
    }

    #[test]
    fn a_login_is_a_url_and_a_picture() {
        let text = login("http://192.168.1.1:8080/register/abc");
        assert!(text.contains("http://192.168.1.1:8080/register/abc") && text.contains('█'));
    }
}

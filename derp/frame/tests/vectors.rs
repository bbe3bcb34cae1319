//! Sessions recorded with the official server and client (`vectors/data-derp.json`).

use hearthgate_derp_frame::*;
use hearthgate_keys::{NodePrivate, NodePublic, Secret, decode_fixed};
use serde_json::Value;

fn hex(v: &Value) -> Vec<u8> {
    let s = v.as_str().unwrap();
    (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/data-derp.json")).unwrap()
}

fn private(v: &Value, name: &str) -> NodePrivate {
    NodePrivate::from_bytes(decode_fixed(v["keys"][name]["private"].as_str().unwrap()).unwrap())
}

#[test]
fn every_recorded_frame_is_understood_and_its_boxes_open() {
    let v = vectors();
    let server = private(&v, "server");
    assert_eq!(hearthgate_keys::encode(server.public().as_bytes()), v["keys"]["server"]["public"]);
    let (mut frames, mut infos, mut presents) = (0, 0, Vec::new());
    for (name, session) in v["sessions"].as_object().unwrap() {
        for f in session.as_array().unwrap() {
            let (Some(_), Some(_)) = (f["hex"].as_str(), f["type"].as_str()) else { continue };
            let bytes = hex(&f["hex"]);
            let (kind, len) = parse_header(&bytes).unwrap().unwrap();
            assert_eq!(format!("{kind:#04x}"), f["type"]);
            assert_eq!(len, bytes.len() - FRAME_HEADER, "{name}: {f}");
            frames += 1;
            let payload = &bytes[FRAME_HEADER..];
            match FrameType::from_u8(kind).unwrap() {
                FrameType::ServerKey => assert_eq!(bytes, server_key_frame(&server.public())),
                FrameType::ClientInfo => {
                    let (key, info) = open_client_info(&server, payload).unwrap();
                    let opened = &f["opened"];
                    assert_eq!(info.version, 2);
                    assert_eq!(info.can_ack_pings, opened["CanAckPings"] == true, "{name}");
                    assert_eq!(info.is_prober, opened["IsProber"] == true, "{name}");
                    assert_eq!(info.app_name, opened["AppName"].as_str().unwrap_or(""), "{name}");
                    assert_eq!(info.mesh_key.as_ref().map(Secret::reveal), opened["meshKey"].as_str(), "{name}");
                    // What we say in the same place opens to the same, and is as long: same fields, same names.
                    let again = seal_client_info(&private(&v, name), &server.public(), &info, [7; 24]);
                    assert_eq!(again.len(), payload.len(), "{name}");
                    assert_eq!(open_client_info(&server, &again).unwrap(), (key, info), "{name}");
                    assert!(
                        v["keys"]
                            .as_object()
                            .unwrap()
                            .values()
                            .any(|k| k["public"] == hearthgate_keys::encode(key.as_bytes()))
                    );
                    infos += 1;
                }
                FrameType::ServerInfo => {
                    let client = private(&v, name);
                    assert_eq!(open_server_info(&client, &server.public(), payload).unwrap().version, 2);
                    infos += 1;
                }
                FrameType::PeerPresent => {
                    let p = parse_peer_present(payload).unwrap();
                    assert_eq!(p.addr, Some("192.0.2.10:4242".parse().unwrap()));
                    assert_eq!(peer_present_frame(&p.key, p.addr, p.flags, &p.app_name), bytes);
                    presents.push((p.key, p.flags, p.app_name));
                }
                FrameType::PeerGone => {
                    let (key, reason) = parse_peer_gone(payload).unwrap();
                    let reason = if reason == 0 { GoneReason::Disconnected } else { GoneReason::NotHere };
                    assert_eq!(peer_gone_frame(&key, reason), bytes);
                }
                FrameType::SendPacket | FrameType::RecvPacket => {
                    let key = NodePublic::from_bytes(payload[..32].try_into().unwrap());
                    let ours = if kind == 4 {
                        send_packet_frame(&key, &payload[32..])
                    } else {
                        recv_packet_frame(&key, &payload[32..])
                    };
                    assert_eq!(ours, bytes);
                }
                FrameType::ForwardPacket => {
                    let from = NodePublic::from_bytes(payload[..32].try_into().unwrap());
                    let to = NodePublic::from_bytes(payload[32..64].try_into().unwrap());
                    assert_eq!(forward_packet_frame(&from, &to, &payload[64..]), bytes);
                }
                _ => {}
            }
        }
    }
    let key = |name: &str| private(&v, name).public();
    assert!(presents.contains(&(key("a"), PresentFlags::of(false, false, false), "vector".into())));
    assert!(presents.contains(&(key("mesh_peer"), PresentFlags::of(true, false, false), String::new())));
    assert!(presents.contains(&(key("prober"), PresentFlags::of(false, true, false), String::new())));
    assert!(frames > 10 && infos >= 2, "{frames} frames, {infos} boxes");
    assert_eq!(KEEP_ALIVE_FRAME.to_vec(), hex(&v["static_frames"]["keepalive"]));
}

#[test]
fn frames_longer_than_any_are_refused_before_they_are_read() {
    assert!(parse_header(&[0x04, 0x7f, 0xff, 0xff, 0xff]).is_err());
    assert!(parse_header(&[0x99, 0x00, 0x01, 0x00, 0x21]).is_err());
    assert!(parse_header(&[0x99, 0x00, 0x01, 0x00, 0x20]).is_ok());
    assert_eq!(parse_header(&[0x04, 0, 0]).unwrap(), None);
}

#[test]
fn frames_without_a_key_are_byte_for_byte_those_of_the_official_code() {
    let v = vectors();
    for (name, ours) in [
        ("health_clear", health_frame("")),
        ("health_set", health_frame("duplicate connection")),
        ("note_preferred_false", note_preferred_frame(false)),
        ("note_preferred_true", note_preferred_frame(true)),
        ("ping", frame(FrameType::Ping, &[1, 2, 3, 4, 5, 6, 7, 8])),
        ("pong", frame(FrameType::Pong, &[1, 2, 3, 4, 5, 6, 7, 8])),
        ("restarting_reconnect_1500ms_try_4000ms", restarting_frame(1500, 4000)),
        ("watch_conns", frame(FrameType::WatchConns, &[])),
    ] {
        assert_eq!(ours, hex(&v["static_frames"][name]), "{name}");
    }
}

#[test]
fn peer_present_of_every_age_is_understood() {
    let key = NodePublic::from_bytes([9; 32]);
    let whole = peer_present_frame(&key, Some("[2001:db8::1]:99".parse().unwrap()), PresentFlags::PROBER, "app");
    let payload = &whole[FRAME_HEADER..];
    assert_eq!(parse_peer_present(&payload[..31]), None);
    assert_eq!(parse_peer_present(&payload[..32]).unwrap().addr, None);
    assert_eq!(parse_peer_present(&payload[..50]).unwrap().flags, PresentFlags(0));
    assert_eq!(parse_peer_present(&payload[..51]).unwrap().flags, PresentFlags::PROBER);
    assert_eq!(parse_peer_present(&payload[..54]).unwrap().app_name, "");
    assert_eq!(parse_peer_present(payload).unwrap().app_name, "app");
}

#[test]
fn application_names_are_short_and_printable() {
    assert!(is_app_name("") && is_app_name("my app/1.2"));
    assert!(!is_app_name("tab\there") && !is_app_name("é") && !is_app_name(&"x".repeat(33)));
}

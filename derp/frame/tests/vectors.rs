//! Sessions recorded with the official server and client (`vectors/data-derp.json`).

use hearthgate_derp_frame::{FRAME_HEADER, FrameType, KEEP_ALIVE_FRAME, open_client_info, open_server_info, parse_header, server_key_frame};
use hearthgate_keys::{NodePrivate, decode_fixed};
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
    let (mut frames, mut infos) = (0, 0);
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
                    assert_eq!(info.version, 2);
                    assert!(v["keys"].as_object().unwrap().values().any(|k| k["public"] == hearthgate_keys::encode(key.as_bytes())));
                    infos += 1;
                }
                FrameType::ServerInfo => {
                    let client = private(&v, name);
                    assert_eq!(open_server_info(&client, &server.public(), payload).unwrap().version, 2);
                    infos += 1;
                }
                _ => {}
            }
        }
    }
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

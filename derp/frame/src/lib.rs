//! DERP frames and the two boxed JSON bodies (`derp/derp.go`, `derp/derpserver` of tailscale.com v1.104.5).
//!
//! ```text
//! frame   u8 type | u32 length (big-endian, without these five bytes) | payload
//! ```
//! This crate only reads and writes bytes; queues, connections and admission are the server's.

mod boxes;
mod frame;
mod messages;
mod present;

pub use boxes::{
    ClientInfo, ServerInfo, is_app_name, open_client_info, open_server_info, seal_client_info, seal_server_info,
};
pub use frame::{
    DISCO_MAGIC, FRAME_HEADER, FrameError, FrameType, GoneReason, KEEP_ALIVE_FRAME, MAGIC, MAX_CLIENT_INFO, MAX_PACKET,
    PROTOCOL_VERSION, is_disco, parse_header, put_header, server_key_frame,
};
pub use messages::{
    forward_packet_frame, frame, health_frame, note_preferred_frame, put_send_packet, recv_packet_frame,
    restarting_frame, send_packet_frame,
};
pub use present::{
    MAX_APP_NAME, PeerPresent, PresentFlags, parse_peer_gone, parse_peer_present, peer_gone_frame, peer_present_frame,
};

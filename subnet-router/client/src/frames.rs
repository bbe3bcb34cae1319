//! Messages of a map stream: a little-endian length, then so many bytes of compressed JSON
//! (`control/controlclient/direct.go` of tailscale.com v1.104.5).

use crate::ControlError;
use hearthgate_tailcfg::MapResponse;
use std::io::Read;

/// Largest message in bytes, compressed or not: some tens of thousands of nodes, and no more than a small router has.
pub const MESSAGE_MAX: usize = 32 * 1024 * 1024;
/// Bytes of the length.
const HEAD: usize = 4;
/// Memory a compressed message may ask for its window: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// Cuts what comes in into messages.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Takes more of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is here.
    ///
    /// # Errors
    /// It is larger than [`MESSAGE_MAX`], does not decompress, or is not what the protocol has.
    pub fn next(&mut self) -> Result<Option<MapResponse>, ControlError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MESSAGE_MAX {
            return Err(ControlError::TooLarge(len));
        }
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let message = decode(body)?;
        self.buffer.drain(..HEAD + len);
        // A whole map is much larger than the changes after it.
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        Ok(Some(message))
    }
}

fn decode(body: &[u8]) -> Result<MapResponse, ControlError> {
    let mut decoder = zstd::stream::read::Decoder::new(body).map_err(ControlError::Zstd)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(ControlError::Zstd)?;
    let mut json = Vec::new();
    decoder.take(MESSAGE_MAX as u64 + 1).read_to_end(&mut json).map_err(ControlError::Zstd)?;
    if json.len() > MESSAGE_MAX {
        return Err(ControlError::TooLarge(json.len()));
    }
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the official server writes it: stored, not compressed.
    const KEEP_ALIVE: &[u8] = b"\x28\xb5\x2f\xfd\xa0\x12\x00\x00\x00\x91\x00\x00{\"KeepAlive\":true}";

    fn framed(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
    }

    #[test]
    fn messages_come_out_whole_whatever_the_pieces() {
        let bytes = [framed(KEEP_ALIVE), framed(KEEP_ALIVE)].concat();
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut got = 0;
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.next().unwrap() {
                    assert!(message.keep_alive);
                    got += 1;
                }
            }
            assert_eq!(got, 2);
        }
    }

    #[test]
    fn concatenated_frames_are_one_message() {
        let body = [zstd::bulk::compress(b"{\"KeepAl", 1).unwrap(), zstd::bulk::compress(b"ive\":true}", 1).unwrap()];
        let mut frames = Frames::default();
        frames.push(&framed(&body.concat()));
        assert!(frames.next().unwrap().unwrap().keep_alive);
    }

    #[test]
    fn what_is_too_large_or_nonsense_is_refused() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert!(matches!(frames.next(), Err(ControlError::TooLarge(_))));
        let mut frames = Frames::default();
        frames.push(&framed(b"{\"KeepAlive\":true}"));
        assert!(matches!(frames.next(), Err(ControlError::Zstd(_))));
        // A bomb: few bytes that become very many.
        let bomb = zstd::stream::encode_all(std::io::repeat(b' ').take(MESSAGE_MAX as u64 + 10), 1).unwrap();
        let mut frames = Frames::default();
        frames.push(&framed(&bomb));
        assert!(matches!(frames.next(), Err(ControlError::TooLarge(_))));
    }
}

//! Frames as a client writes and reads them, made by hand from RFC 6455 §5.2 and not by the code under test.

use tokio::io::{AsyncRead, AsyncReadExt};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as clients send it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ ..126 => out.push(0x80 | n as u8),
        n @ ..65536 => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Reads one frame of the server: its first byte and payload.
pub async fn frame<R: AsyncRead + Unpin>(io: &mut R) -> std::io::Result<(u8, Vec<u8>)> {
    let first = io.read_u8().await?;
    let len = match io.read_u8().await? {
        short @ ..126 => usize::from(short),
        126 => usize::from(io.read_u16().await?),
        _ => panic!("the server masks, or writes longer messages than it says"),
    };
    let mut payload = vec![0; len];
    io.read_exact(&mut payload).await?;
    Ok((first, payload))
}

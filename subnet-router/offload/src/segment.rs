//! Cutting what the kernel handed over as one packet.

use super::{
    VnetHeader, checksum,
    headers::{CWR, FIN, Headers, PSH, TCP, UDP, put_u16, put_u32, u16_at, u32_at},
    vnet::Gso,
};

/// The packets that one read of the device stands for.
#[derive(Debug)]
pub struct Segments<'a> {
    packet: &'a [u8],
    /// How to cut; `None`: the packet goes as it is.
    cut: Option<(Headers, usize)>,
    /// Bytes of payload already given out.
    done: usize,
    number: u16,
    ended: bool,
}

impl<'a> Segments<'a> {
    /// Takes a packet with its header. A missing checksum of a packet that is not cut is written into it. `None`: the
    /// header does not fit the packet.
    #[must_use]
    pub fn new(header: VnetHeader, packet: &'a mut [u8]) -> Option<Self> {
        let cut = match header.gso {
            Gso::None => {
                if header.needs_checksum {
                    complete(packet, header.csum_start.into(), header.csum_offset.into())?;
                }
                None
            }
            kind => {
                let headers = Headers::read(packet)?;
                let fits = headers.protocol == if kind == Gso::Tcp { TCP } else { UDP };
                if !fits || header.gso_size == 0 {
                    return None;
                }
                Some((headers, usize::from(header.gso_size)))
            }
        };
        Some(Self { packet, cut, done: 0, number: 0, ended: false })
    }

    /// Writes the next packet to the beginning of `out` and tells its length; `None` when there is none, or no room.
    pub fn write_next(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.ended {
            return None;
        }
        let Some((headers, size)) = self.cut else {
            self.ended = true;
            out.get_mut(..self.packet.len())?.copy_from_slice(self.packet);
            return Some(self.packet.len());
        };
        let (head, payload) = self.packet.split_at_checked(headers.payload)?;
        let rest = payload.get(self.done..)?;
        let piece = rest.get(..size).unwrap_or(rest);
        let length = head.len() + piece.len();
        let out = out.get_mut(..length)?;
        let (to_head, to_piece) = out.split_at_mut_checked(head.len())?;
        to_head.copy_from_slice(head);
        to_piece.copy_from_slice(piece);
        let (first, last) = (self.done == 0, piece.len() == rest.len());
        if !headers.v6 {
            put_u16(out, 4, u16_at(head, 4)?.wrapping_add(self.number));
        }
        headers.set_len(out, length);
        if headers.protocol == TCP {
            // What went before is below 2^16.
            put_u32(out, headers.sequence_at(), u32_at(head, headers.sequence_at())?.wrapping_add(self.done as u32));
            let mut not_here = 0;
            if !first {
                not_here |= CWR;
            }
            if !last {
                not_here |= FIN | PSH;
            }
            *out.get_mut(headers.flags_at())? &= !not_here;
        } else {
            put_u16(out, headers.transport + 4, u16::try_from(length - headers.transport).ok()?);
        }
        put_u16(out, headers.checksum_at(), 0);
        let sum = !headers.transport_sum(out);
        // In UDP, zero means that there is no checksum.
        put_u16(out, headers.checksum_at(), if sum == 0 && headers.protocol == UDP { u16::MAX } else { sum });
        self.done += piece.len();
        self.number = self.number.wrapping_add(1);
        self.ended = last;
        Some(length)
    }
}

/// Writes a checksum whose place holds the sum of the pseudo header.
fn complete(packet: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let body = packet.get_mut(start..)?;
    let sum = !checksum::sum(body);
    body.get(offset..offset + 2)?;
    let zero_is_none = offset == super::headers::UDP_CHECKSUM;
    put_u16(body, offset, if sum == 0 && zero_is_none { u16::MAX } else { sum });
    Some(())
}

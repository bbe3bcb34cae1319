//! Bytes of map messages, each made once and shared by all streams that need the same.

use crate::encode::{Compression, Encoder, Piece, framed, with_length};
use bytes::Bytes;
use hearthgate_core::{
    ClassId, Node, NodeId, Snapshot,
    map::{self, Delta},
};
use hearthgate_sorted::SortedSet;
use hearthgate_tailcfg::MapResponse;
use jiff::Timestamp;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

/// Messages for ranges of sequence numbers that are kept: streams rarely differ by more than a few.
const SHARED_MAX: usize = 32;
/// Compressed pages kept; a page holds up to 64 nodes and is some kilobytes.
const PAGES_CACHED_MAX: usize = hearthgate_limits::CACHED_PAGES;

/// Why a map could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The node is gone.
    #[error("node not found")]
    NodeGone,
    /// What the stream's client still knows is no longer known here.
    #[error("the stream is too far behind")]
    Behind,
    /// The compressor failed.
    #[error("compressing a map failed: {0}")]
    Compress(#[from] std::io::Error),
    /// Serialising failed.
    #[error("writing a map as JSON failed: {0}")]
    Json(#[from] serde_json::Error),
}

type PageKey = (u64, ClassId, Compression);
type RangeKey = (u64, u64, ClassId, Compression);

/// Makes map messages and keeps what can be shared.
pub struct Maps {
    encoder: Encoder,
    keep_alive: [Bytes; 2],
    comma: [Piece; 2],
    close: [Piece; 2],
    pages: Mutex<HashMap<PageKey, (u64, Piece)>>,
    ranges: Mutex<VecDeque<(RangeKey, Option<Bytes>)>>,
}

impl Maps {
    /// A new cache.
    ///
    /// # Errors
    /// The compressor could not be set up.
    pub fn new() -> std::io::Result<Self> {
        let encoder = Encoder::new()?;
        let both = |json: &[u8]| -> std::io::Result<[Piece; 2]> {
            Ok([encoder.piece(json, Compression::None)?, encoder.piece(json, Compression::Zstd)?])
        };
        let keep_alive = both(br#"{"KeepAlive":true}"#)?.map(|p| framed(&[p]));
        let (comma, close) = (both(b",")?, both(b"]}")?);
        Ok(Self { keep_alive, comma, close, encoder, pages: Mutex::default(), ranges: Mutex::default() })
    }

    /// The keep-alive message: the same bytes each time, which clients recognise without decoding.
    #[must_use]
    pub fn keep_alive(&self, how: Compression) -> Bytes {
        self.keep_alive[how as usize].clone()
    }

    /// The whole map for `viewer`, in pieces to be sent one after the other: most of them are shared with other
    /// streams, so putting them together would copy the tailnet for each. `removed` are nodes that are gone since the
    /// stream's last message; none for a new stream.
    ///
    /// # Errors
    /// The node is gone, or encoding failed.
    pub fn whole(
        &self,
        snap: &Snapshot,
        viewer: NodeId,
        removed: &SortedSet<NodeId>,
        how: Compression,
    ) -> Result<Vec<Bytes>, MapError> {
        let now = Timestamp::now();
        let node = snap.node(viewer).ok_or(MapError::NodeGone)?;
        let class = snap.policy.class_of(node);
        let head = map::head(snap, viewer, removed, now).ok_or(MapError::NodeGone)?;
        let mut json = serde_json::to_vec(&head)?;
        let mut peers = Vec::new();
        for (number, page) in snap.pages() {
            let own = page.get(viewer).is_some();
            let piece = if own {
                let json = map::peers_of_page(snap, page, class, Some(viewer), now)?;
                if json.is_empty() { Piece::new() } else { self.encoder.piece(&json, how)? }
            } else {
                self.page(snap, number, page, class, how, now)?
            };
            if !piece.is_empty() {
                if !peers.is_empty() {
                    peers.push(self.comma[how as usize].clone());
                }
                peers.push(piece);
            }
        }
        // An empty list would mean "unchanged", so it is left out.
        if peers.is_empty() {
            return Ok(vec![self.encoder.message(&json, how)?]);
        }
        json.pop();
        json.extend_from_slice(br#","Peers":["#);
        let mut pieces = vec![self.encoder.piece(&json, how)?];
        pieces.append(&mut peers);
        pieces.push(self.close[how as usize].clone());
        let len = pieces.iter().map(Bytes::len).sum();
        let head = with_length(len, &pieces[0]);
        pieces[0] = head;
        Ok(pieces)
    }

    /// What `viewer` has to be told of a delta between `from` and the snapshot; `None` when that is nothing.
    ///
    /// # Errors
    /// Encoding failed.
    pub fn delta(
        &self,
        snap: &Arc<Snapshot>,
        from: u64,
        delta: &Delta,
        viewer: &Node,
        how: Compression,
    ) -> Result<Option<Bytes>, MapError> {
        let now = Timestamp::now();
        if delta.is_private_to(viewer.id) {
            return self.in_one(&delta.private(snap, viewer, now), how);
        }
        let class = snap.policy.class_of(viewer);
        let key = (from, snap.seq, class, how);
        // The lock is held while the bytes are made: the other streams want the same ones, so they had better wait.
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = ranges.iter().find(|(k, _)| *k == key) {
            return Ok(bytes.clone());
        }
        let bytes = self.in_one(&delta.shared(snap, class, now), how)?;
        if ranges.len() >= SHARED_MAX {
            ranges.pop_front();
        }
        ranges.push_back((key, bytes.clone()));
        Ok(bytes)
    }

    /// The bytes of some messages, one after the other.
    fn in_one(&self, messages: &[MapResponse], how: Compression) -> Result<Option<Bytes>, MapError> {
        let mut all = Vec::new();
        for message in messages {
            all.push(self.single(message, how)?);
        }
        Ok(match all.len() {
            0 | 1 => all.pop(),
            _ => Some(all.concat().into()),
        })
    }

    /// A message made for one stream.
    ///
    /// # Errors
    /// Encoding failed.
    pub fn single(&self, message: &MapResponse, how: Compression) -> Result<Bytes, MapError> {
        Ok(self.encoder.message(&serde_json::to_vec(message)?, how)?)
    }

    fn page(
        &self,
        snap: &Snapshot,
        number: u64,
        page: &hearthgate_core::Page,
        class: ClassId,
        how: Compression,
        now: Timestamp,
    ) -> Result<Piece, MapError> {
        let key = (number, class, how);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, piece)) = pages.get(&key)
            && *revision == page.revision
        {
            return Ok(piece.clone());
        }
        let json = map::peers_of_page(snap, page, class, None, now)?;
        let piece = if json.is_empty() { Piece::new() } else { self.encoder.piece(&json, how)? };
        if pages.len() >= PAGES_CACHED_MAX {
            pages.clear();
        }
        pages.insert(key, (page.revision, piece.clone()));
        Ok(piece)
    }
}

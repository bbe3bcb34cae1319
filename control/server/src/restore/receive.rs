//! A backup that comes in a request: as it comes it goes to a file, within what the disk has room for.

use super::{CHECKED, PART, offer, swap};
use crate::{image::data, state::App};
use bytes::Bytes;
use hearthgate_store::StoreError;
use hearthgate_web::{restore::Summary, traffic};
use http_body::Body;
use std::{fmt::Display, fs, io, path::Path, time::Duration};
use tokio::{io::AsyncWriteExt as _, time::timeout};

/// Largest backup, in bytes: what some ten thousand devices take. All of it is in memory while it is checked.
const BACKUP_MAX: u64 = 16 * 1024 * 1024;
/// Longest time for one to arrive.
const WITHIN: Duration = Duration::from_secs(900);
/// Bytes that the disk keeps free for what the server writes meanwhile.
const SPARE: u64 = 256 * 1024;

/// Why a backup was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// One at a time.
    #[error("another backup is being received or put in place")]
    Busy,
    /// Longer than any.
    #[error("the file is larger than a backup can be")]
    TooLarge,
    /// The disk is small.
    #[error("there is no room on this box: putting it in place takes {} free, and {} are", traffic::bytes(*.needed), traffic::bytes(*.free))]
    NoRoom {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Too long for one.
    #[error("the file took too long to arrive")]
    Slow,
    /// The connection broke off, or something like it.
    #[error("{0}")]
    Broken(String),
    /// A record that this version cannot read.
    #[error("its record {0:?} cannot be read")]
    Record(String),
    /// Damaged, too new, or the disk failed.
    #[error("{}", told(.0))]
    Store(#[from] StoreError),
}

/// What a store says of a file that somebody has sent, without the remedies for a store of one's own.
fn told(e: &StoreError) -> String {
    match e {
        StoreError::Corrupt { why, .. } => format!("the file is damaged, or is no backup: {why}"),
        StoreError::NewerSchema { .. } => {
            "the backup is of a newer version of hearthgate: upgrade this one first".into()
        }
        other => other.to_string(),
    }
}

/// Receives a backup: `first`, then the rest of `body`, which ends with `tail` when it is a form's last part. It then
/// waits for a confirmation. `length` is what the request says of its length.
///
/// # Errors
/// See [`Refusal`]; nothing is left behind then, and what waited before waits no more.
pub(crate) async fn receive<B>(
    app: &App,
    first: Bytes,
    body: B,
    length: Option<u64>,
    tail: &[u8],
) -> Result<Summary, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let _one = app.restores.one.try_acquire().map_err(|_| Refusal::Busy)?;
    app.restores.set(None);
    let (part, checked) = (app.state_dir.join(PART), app.state_dir.join(CHECKED));
    let room = async {
        swap::remove(&checked)?;
        if length.is_some_and(|n| n > BACKUP_MAX) {
            return Err(Refusal::TooLarge);
        }
        room_for(&app.state_dir, length.unwrap_or(0), 0)?;
        let bytes = timeout(WITHIN, write_all(&part, first, body, tail)).await.map_err(|_| Refusal::Slow)??;
        // What the request said may be wrong, or missing.
        room_for(&app.state_dir, bytes, bytes)?;
        swap::rename(&part, &checked)?;
        offer(app, checked.clone()).await
    };
    let received = room.await;
    if received.is_err() {
        for file in [part, checked] {
            // It may not be there at all.
            let _ = fs::remove_file(file);
        }
    }
    received
}

/// Whether the disk has room for a backup of this length, of which `written` bytes are there, for a copy of the present
/// state, and for the store that is made of it in place of the present one.
///
/// # Errors
/// It has not, or the disk failed.
pub(super) fn room_for(state_dir: &Path, length: u64, written: u64) -> Result<(), Refusal> {
    let store = state_dir.join("store");
    let present = size_of(&store).map_err(swap::failed("reading", &store))?;
    let needed = needed(length, written, present);
    let free = free(state_dir).map_err(swap::failed("looking for room in", state_dir))?;
    if needed > free { Err(Refusal::NoRoom { needed, free }) } else { Ok(()) }
}

fn needed(length: u64, written: u64, present: u64) -> u64 {
    let grown = length.saturating_sub(present);
    (length.saturating_sub(written)).saturating_add(present).saturating_add(grown).saturating_add(SPARE)
}

/// Bytes of the files in a folder and in those below it, of which there are a few; none if it is not there.
fn size_of(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut total = 0u64;
    for entry in entries {
        let entry = entry?;
        // Of the entry itself: links are not followed, so this ends.
        let meta = entry.metadata()?;
        let bytes = if meta.is_dir() { size_of(&entry.path())? } else { meta.len() };
        total = total.saturating_add(bytes);
    }
    Ok(total)
}

/// Bytes that are free for us where a folder lies.
#[allow(clippy::useless_conversion, reason = "32 bits on some targets")]
fn free(folder: &Path) -> io::Result<u64> {
    let disk = nix::sys::statvfs::statvfs(folder)?;
    Ok(u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size())))
}

/// Writes everything but `tail` to a new file of mode 0600; gives the number of bytes.
async fn write_all<B>(part: &Path, first: Bytes, mut body: B, tail: &[u8]) -> Result<u64, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let disk = |e: io::Error| Refusal::Store(swap::failed("writing", part)(e));
    let options = tokio::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).to_owned();
    let mut file = options.open(part).await.map_err(disk)?;
    let (mut length, mut last, mut next) = (0u64, Vec::new(), Some(first));
    while let Some(bytes) = next {
        length = length.saturating_add(bytes.len() as u64);
        if length > BACKUP_MAX {
            return Err(Refusal::TooLarge);
        }
        file.write_all(&bytes).await.map_err(disk)?;
        last.extend_from_slice(bytes.get(bytes.len().saturating_sub(tail.len())..).unwrap_or_default());
        last.drain(..last.len().saturating_sub(tail.len()));
        next = data(&mut body).await.map_err(|e| Refusal::Broken(e.to_string()))?;
    }
    if last != tail {
        return Err(Refusal::Broken("the file did not arrive whole".into()));
    }
    length = length.saturating_sub(tail.len() as u64);
    file.set_len(length).await.map_err(disk)?;
    file.sync_all().await.map_err(disk)?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn the_end_of_a_form_is_no_part_of_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let part = dir.path().join(PART);
        for split in 0..=14 {
            let whole = b"backup\r\n--b--\r\n";
            let (first, rest) = whole.split_at(split);
            let (first, rest) = (Bytes::from_static(first), Full::new(Bytes::from_static(rest)));
            let length = write_all(&part, first, rest, b"\r\n--b--\r\n").await.expect("a file");
            assert_eq!((length, fs::read(&part).expect("a file").as_slice()), (6, &b"backup"[..]), "{split}");
        }
        let cut = write_all(&part, Bytes::from_static(b"backup\r\n--b"), Full::new(Bytes::new()), b"\r\n--b--\r\n");
        assert!(matches!(cut.await, Err(Refusal::Broken(_))));
        let alone = write_all(&part, Bytes::from_static(b"bytes"), Full::new(Bytes::new()), b"").await;
        assert_eq!(alone.expect("a file"), 5);
        let long = Full::new(Bytes::from(vec![0; usize::try_from(BACKUP_MAX).expect("it fits") + 1]));
        assert!(matches!(write_all(&part, Bytes::new(), long, b"").await, Err(Refusal::TooLarge)));
    }

    #[test]
    fn room_is_asked_for_what_comes_and_for_what_is_there() {
        assert_eq!(needed(1000, 0, 400), 1000 + 400 + 600 + SPARE);
        assert_eq!(needed(1000, 1000, 400), 400 + 600 + SPARE, "it is there already");
        assert_eq!(needed(100, 0, 400), 100 + 400 + SPARE, "the old store makes room for the new one");
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("store")).expect("room");
        assert!(free(dir.path()).expect("a disk") > 0);
        assert!(matches!(room_for(dir.path(), u64::MAX / 4, 0), Err(Refusal::NoRoom { .. })));
        assert!(room_for(dir.path(), 1, 0).is_ok());
        let below = dir.path().join("store/state.sled/blobs");
        fs::create_dir_all(&below).expect("room");
        fs::write(dir.path().join("store/lock"), "12345").expect("room");
        fs::write(below.join("1"), "123").expect("room");
        assert_eq!(size_of(&dir.path().join("store")).expect("a disk"), 8, "engines have folders in theirs");
        assert_eq!(size_of(&dir.path().join("none")).expect("a disk"), 0);
    }
}

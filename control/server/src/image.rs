//! Upgrades of a box that runs one of our images: the file is received into a folder, and the image's init does the
//! rest. Nothing of it is believed here: init checks the signature before it writes anything (`image/README.md`).

use crate::options::ImageOptions;
use bytes::Bytes;
use hearthgate_web::page::image::ImageStatus;
use http_body::Body;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use std::{fmt::Display, io, path::Path, time::Duration};
use tokio::{fs, io::AsyncWriteExt as _, sync::Semaphore, time::timeout};

/// Largest upgrade, in bytes: two slots' worth.
const UPGRADE_MAX: u64 = 64 * 1024 * 1024;
/// What an upgrade file begins with.
const MAGIC: &[u8] = b"HGUPGRD1";
/// Longest time for one to arrive: ten megabytes at 6 kB a second.
const WITHIN: Duration = Duration::from_secs(1800);
/// Largest status file, in bytes.
const STATUS_MAX: u64 = 4096;
/// Name that the image's init looks for.
const NAME: &str = "upgrade.hgu";
/// What is being received lies beside it under this name.
const PART: &str = "upgrade.part";

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// No image.
    #[error("this box does not run one of our images: upgrade it with its package manager")]
    NoImage,
    /// One at a time.
    #[error("another upgrade is being received")]
    Busy,
    /// Something else.
    #[error("this is not an upgrade file (its name ends in .hgu)")]
    NotAnUpgrade,
    /// Longer than any slot.
    #[error("the file is larger than an upgrade can be")]
    TooLarge,
    /// It has another length or sum than the feed says.
    #[error("the file is not the one that the feed names")]
    NotExpected,
    /// Too long for one.
    #[error("the file took too long to arrive")]
    Slow,
    /// The connection broke off.
    #[error("the file did not arrive whole: {0}")]
    Broken(String),
    /// The disk.
    #[error("it could not be written: {0}")]
    Disk(#[from] io::Error),
}

/// What a feed says of a file.
pub(crate) struct Expected<'a> {
    /// Bytes.
    pub(crate) length: u64,
    /// Of all of it.
    pub(crate) sha256: [u8; 32],
    /// Is called when the file is there, before it is handed over; a failure leaves nothing.
    pub(crate) ready: Box<dyn FnOnce() -> io::Result<()> + Send + 'a>,
}

/// What the server knows of the image it runs in.
pub struct Image {
    options: ImageOptions,
    one: Semaphore,
}

impl Image {
    /// With the folders of the configuration.
    #[must_use]
    pub fn new(options: ImageOptions) -> Self {
        Self { options, one: Semaphore::new(1) }
    }

    /// Whether this box upgrades itself by files.
    #[must_use]
    pub fn takes_upgrades(&self) -> bool {
        self.options.upgrade_dir.is_some()
    }

    /// What the image's init last wrote down.
    pub async fn status(&self) -> Option<ImageStatus> {
        let file = self.options.status_file.as_ref()?;
        if fs::metadata(file).await.ok()?.len() > STATUS_MAX {
            return None;
        }
        serde_json::from_slice(&fs::read(file).await.ok()?).ok()
    }

    /// Receives an upgrade: `first`, then the rest of `body`. What follows the file in a form does no harm, since init
    /// reads as many bytes as the signed head says; of a file that is `expected`, every byte counts.
    ///
    /// # Errors
    /// See [`ReceiveError`]; nothing is left behind then.
    pub(crate) async fn receive<B>(
        &self,
        first: Bytes,
        body: B,
        expected: Option<Expected<'_>>,
    ) -> Result<u64, ReceiveError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let folder = self.options.upgrade_dir.as_ref().ok_or(ReceiveError::NoImage)?;
        let _one = self.one.try_acquire().map_err(|_| ReceiveError::Busy)?;
        fs::create_dir_all(folder).await?;
        let part = folder.join(PART);
        let most = expected.as_ref().map_or(UPGRADE_MAX, |e| e.length.min(UPGRADE_MAX));
        let received = match timeout(WITHIN, write_all(&part, first, body, most)).await {
            Ok(Ok((bytes, sum))) => match expected {
                Some(e) if e.length != bytes || e.sha256 != sum => Err(ReceiveError::NotExpected),
                Some(e) => (e.ready)().map(|()| bytes).map_err(ReceiveError::Disk),
                None => Ok(bytes),
            },
            Ok(Err(e)) => Err(e),
            Err(_) => Err(ReceiveError::Slow),
        };
        let handed_over = match received {
            Ok(bytes) => fs::rename(&part, folder.join(NAME)).await.map(|()| bytes).map_err(ReceiveError::Disk),
            Err(e) => Err(e),
        };
        if handed_over.is_ok() {
            // What was noted before is on the disk; so should this be. It is handed over either way.
            let synced = async { fs::File::open(folder).await?.sync_all().await };
            if let Err(error) = synced.await {
                tracing::warn!(%error, "the upgrade is handed over, but would not outlive a power cut");
            }
        } else {
            // It may not be there at all.
            let _ = fs::remove_file(&part).await;
        }
        handed_over
    }
}

/// Writes up to `most` bytes to a new file; gives their number and SHA-256.
async fn write_all<B>(part: &Path, first: Bytes, mut body: B, most: u64) -> Result<(u64, [u8; 32]), ReceiveError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut file = fs::File::create(part).await?;
    let (mut head, mut length, mut next, mut sum) = (Vec::new(), 0u64, Some(first), Sha256::new());
    while let Some(bytes) = next {
        if head.len() < MAGIC.len() {
            head.extend(bytes.iter().take(MAGIC.len() - head.len()));
            if !MAGIC.starts_with(&head) {
                return Err(ReceiveError::NotAnUpgrade);
            }
        }
        length = length.saturating_add(bytes.len() as u64);
        if length > most {
            return Err(ReceiveError::TooLarge);
        }
        sum.update(&bytes);
        file.write_all(&bytes).await?;
        next = data(&mut body).await?;
    }
    if head.len() < MAGIC.len() {
        return Err(ReceiveError::NotAnUpgrade);
    }
    file.sync_all().await?;
    Ok((length, sum.finalize().into()))
}

/// The next bytes of a body; `None` at its end.
pub(crate) async fn data<B>(body: &mut B) -> Result<Option<Bytes>, ReceiveError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(e)) => return Err(ReceiveError::Broken(e.to_string())),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    fn image(folder: &Path) -> Image {
        Image::new(ImageOptions {
            upgrade_dir: Some(folder.join("new/upgrade")),
            status_file: Some(folder.join("status")),
        })
    }

    #[tokio::test]
    async fn an_upgrade_is_there_under_its_name_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        // The first bytes come one by one.
        let got = image
            .receive(Bytes::from_static(b"HGU"), Full::new(Bytes::from_static(b"PGRD1 and so on")), None)
            .await
            .unwrap();
        assert_eq!(got, 18);
        let folder = dir.path().join("new/upgrade");
        assert_eq!(std::fs::read(folder.join(NAME)).unwrap(), b"HGUPGRD1 and so on");
        std::fs::remove_file(folder.join(NAME)).unwrap();

        let refused = image.receive(Bytes::from_static(b"HGUPGRD2"), Full::default(), None).await;
        assert!(matches!(refused, Err(ReceiveError::NotAnUpgrade)));
        let refused = image.receive(Bytes::from_static(b"HGUP"), Full::default(), None).await;
        assert!(matches!(refused, Err(ReceiveError::NotAnUpgrade)));
        let megabyte = Bytes::from(vec![0; 1 << 20]);
        let frames = (0..65).map(move |_| Ok::<_, io::Error>(http_body::Frame::data(megabyte.clone())));
        let refused =
            image.receive(Bytes::from_static(MAGIC), StreamBody::new(futures_util::stream::iter(frames)), None).await;
        assert!(matches!(refused, Err(ReceiveError::TooLarge)));
        let broken = [Ok(http_body::Frame::data(Bytes::from_static(b"x"))), Err(io::Error::other("gone"))];
        let refused =
            image.receive(Bytes::from_static(MAGIC), StreamBody::new(futures_util::stream::iter(broken)), None).await;
        assert!(matches!(refused, Err(ReceiveError::Broken(_))));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
        let none = Image::new(ImageOptions::default());
        assert!(matches!(
            none.receive(Bytes::from_static(MAGIC), Full::default(), None).await,
            Err(ReceiveError::NoImage)
        ));
    }

    #[tokio::test]
    async fn the_status_is_what_init_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        assert_eq!(image.status().await, None);
        std::fs::write(dir.path().join("status"), r#"{"slot":"B","outcome":"no upgrade yet","refused":"why"}"#)
            .unwrap();
        let status = image.status().await.unwrap();
        assert_eq!((status.slot.as_str(), status.refused.as_str()), ("B", "why"));
        std::fs::write(dir.path().join("status"), "x".repeat(5000)).unwrap();
        assert_eq!(image.status().await, None);
    }
}

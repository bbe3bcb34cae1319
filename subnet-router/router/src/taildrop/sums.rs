//! What a sender asks before it goes on with a file: which ones are not whole, and what is there of one.

use super::{BLOCK, DropError, Place, disk};
use hearthgate_keys::encode;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{fs::OpenOptions, io};

/// Blocks that are compared; what is beyond them is sent again.
const BLOCKS: usize = 4096;

/// The sum of a block, as the sender reads it.
#[derive(Serialize)]
struct Block {
    checksum: String,
    algo: &'static str,
    size: usize,
}

impl Place {
    /// Names in the folder that end so.
    pub(super) fn partials(&self, end: &str) -> Result<Vec<String>, DropError> {
        let names = self.inbox.dir.read_dir()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.ends_with(end)).collect())
    }

    /// The sums of the file of this place, one JSON object a line.
    pub(super) fn sums(&self) -> Result<Vec<u8>, DropError> {
        let mut lines = Vec::new();
        let mut file = match disk::open(&self.inbox.dir.join(&self.partial), OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
            Err(error) => return Err(error.into()),
        };
        let mut block = vec![0; BLOCK];
        for _ in 0..BLOCKS {
            let size = disk::fill(&mut file, &mut block)?;
            let bytes = block.get(..size).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let line = Block { checksum: encode(&Sha256::digest(bytes)), algo: "sha256", size };
            serde_json::to_writer(&mut lines, &line).map_err(io::Error::from)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

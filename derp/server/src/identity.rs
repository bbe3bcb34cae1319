//! Files that are made once with mode 0600 and kept for ever: keys, and the relay's own certificate.
//!
//! Both programs that hold a relay use them: the control server and the relay by itself.

use crate::tls::{self, PemPair};
use hearthgate_keys::{KeyParseError, NodePrivate};
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Why a file of ours is of no use.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk failed, or may not be used.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// What it says is no key.
    #[error("{}: this is not a private key ({source}): restore it from a backup; a new one would make every client log in again", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyParseError,
    },
    /// No certificate could be made.
    #[error(transparent)]
    Certificate(#[from] tls::TlsError),
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_path_buf();
    move |source| IdentityError::Io { doing, path, source }
}

/// The relay's key in this folder, made when it is missing.
///
/// # Errors
/// It cannot be read or written, or is no key.
pub fn relay_key(state_dir: &Path) -> Result<NodePrivate, IdentityError> {
    load_or_make(&state_dir.join("derp_server_private.key"), NodePrivate::parse, |random| {
        NodePrivate::from_random(random).reveal()
    })
}

/// The self-signed certificate in this folder, made when it is missing or for another host.
///
/// # Errors
/// It cannot be read or written, or the host is no name that can stand in one.
pub fn own_certificate(state_dir: &Path, host: &str) -> Result<PemPair, IdentityError> {
    let (cert_path, key_path) = (state_dir.join("relay_cert.pem"), state_dir.join("relay_key.pem"));
    // A certificate for another host would be refused by clients that dial by name.
    let marker = state_dir.join("relay_cert.host");
    let fits = fs::read_to_string(&marker).is_ok_and(|h| h == host);
    if !fits || !cert_path.exists() || !key_path.exists() {
        let pair = tls::self_signed(vec![host.to_owned(), "localhost".into()])?;
        write_private(&key_path, &pair.key)?;
        write_private(&cert_path, &pair.certificate)?;
        write_private(&marker, host)?;
        return Ok(pair);
    }
    let read = |p: &Path| fs::read_to_string(p).map_err(at("reading", p));
    Ok(PemPair { certificate: read(&cert_path)?, key: read(&key_path)? })
}

/// The key in a file; a missing one is made from 32 random bytes by `make`.
///
/// # Errors
/// It cannot be read or written, or is no key.
pub fn load_or_make<T>(
    path: &Path,
    parse: impl Fn(&str) -> Result<T, KeyParseError>,
    make: impl FnOnce([u8; 32]) -> String,
) -> Result<T, IdentityError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut random = [0u8; 32];
            getrandom::fill(&mut random).map_err(|e| at("making", path)(io::Error::other(e.to_string())))?;
            let text = make(random);
            write_private(path, &text)?;
            text
        }
        Err(e) => return Err(at("reading", path)(e)),
    };
    parse(&text).map_err(|source| IdentityError::NoKey { path: path.to_path_buf(), source })
}

/// Writes a private file, so that a power cut leaves the old or the new one.
///
/// # Errors
/// The disk failed, or may not be used.
pub fn write_private(path: &Path, text: &str) -> Result<(), IdentityError> {
    hearthgate_durable_file::replace(path, text.as_bytes()).map_err(|e| at("writing", path)(e.into()))
}

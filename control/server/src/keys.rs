//! Key files: made once with mode 0600, kept for ever.

use crate::{Options, StartError, writer::fill_random};
use hearthgate_derp::tls::{self, PemPair};
use hearthgate_keys::{KeyParseError, MachinePrivate, NodePrivate};
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The server's Noise key. If it is lost, every client has to log in again.
pub(crate) fn machine(path: &Path) -> Result<MachinePrivate, StartError> {
    load_or_make(path, MachinePrivate::parse, || MachinePrivate::from_random(random()).reveal())
}

/// The relay's key in this folder, made when it is missing.
///
/// # Errors
/// It cannot be read or written, or is no key.
pub fn relay_key(state_dir: &Path) -> Result<NodePrivate, StartError> {
    load_or_make(&state_dir.join("derp_server_private.key"), NodePrivate::parse, || NodePrivate::from_random(random()).reveal())
}

/// The certificate for TLS: the operator's, or one of our own for the host in the server's URL.
pub(crate) fn certificate(options: &Options) -> Result<PemPair, StartError> {
    if let Some(pair) = &options.certificate {
        return Ok(pair.clone());
    }
    let url = &options.settings.server_url;
    let host = url.split("://").last().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(h, p)| if p.bytes().all(|b| b.is_ascii_digit()) { h } else { host });
    own_certificate(&options.state_dir, host.trim_matches(['[', ']']))
}

/// The self-signed certificate in this folder, made when it is missing or for another host.
///
/// # Errors
/// It cannot be read or written, or the host is no name that can stand in one.
pub fn own_certificate(state_dir: &Path, host: &str) -> Result<PemPair, StartError> {
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
    let read = |p: &Path| fs::read_to_string(p).map_err(StartError::io("reading", p.display().to_string()));
    Ok(PemPair { certificate: read(&cert_path)?, key: read(&key_path)? })
}

fn random() -> [u8; 32] {
    let mut bytes = [0u8; 32];
    fill_random(&mut bytes);
    bytes
}

fn load_or_make<T>(path: &Path, parse: impl Fn(&str) -> Result<T, KeyParseError>, make: impl FnOnce() -> String) -> Result<T, StartError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let text = make();
            write_private(path, &text)?;
            text
        }
        Err(e) => return Err(StartError::io("reading", path.display().to_string())(e)),
    };
    parse(&text).map_err(|e| StartError::File {
        path: path.to_path_buf(),
        message: format!("this is not a private key ({e}): restore it from a backup; a new one would make every client log in again"),
    })
}

/// Writes a file of mode 0600 through another name, so that a power cut leaves the old or the new one.
fn write_private(path: &Path, text: &str) -> Result<(), StartError> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let written = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all()))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| path.parent().map_or(Ok(()), |dir| fs::File::open(dir).and_then(|d| d.sync_all())));
    written.map_err(StartError::io("writing", path.display().to_string()))
}

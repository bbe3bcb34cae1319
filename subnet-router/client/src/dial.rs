//! From the login server's URL to a Noise connection, over plain TCP or TLS.
//!
//! The Noise session authenticates the server once its key is known; over `https:` the key itself is asked for with
//! the certificate checked, over `http:` the network is trusted that far, as with the official client.

use crate::{CAPABILITY_VERSION, ControlError};
use hearthgate_fetch::Fetch;
use hearthgate_keys::MachinePrivate;
use hearthgate_tailcfg::OverTlsPublicKeyResponse;
use hearthgate_transport::{CONNECT_TIMEOUT, ClientError, ClientStream, HANDSHAKE_TIMEOUT, connect, dial};
use http::Uri;
use std::io;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Any byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection, ready for HTTP/2.
pub type Connection = Box<dyn Stream>;

/// A login server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Scheme, host and port; no slash at the end.
    pub url: String,
    /// Host and port, for the `Host` header and HTTP/2's authority.
    pub authority: String,
    tls: bool,
}

impl Server {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// It is no `http:` or `https:` URL of a server.
    pub fn parse(url: &str) -> Result<Self, ControlError> {
        let wrong = || ControlError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.as_str().to_owned();
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        if uri.path() != "/" || uri.query().is_some() || authority.contains('@') {
            return Err(wrong());
        }
        Ok(Self { url: url.trim_end_matches('/').to_owned(), authority, tls })
    }

    /// Connects.
    ///
    /// # Errors
    /// The server cannot be reached, shows a certificate we do not trust, or is no control server.
    pub async fn connect(&self, fetch: &Fetch, machine: &MachinePrivate) -> Result<Connection, ControlError> {
        if !self.tls {
            let tcp = |host: String, port| async move { fetch.tcp(&host, port).await.map_err(io::Error::other) };
            return Ok(Box::new(dial(&self.url, machine, CAPABILITY_VERSION, tcp).await?));
        }
        let answer = fetch.get(&format!("{}/key?v={CAPABILITY_VERSION}", self.url)).await?;
        if answer.status != 200 {
            return Err(ClientError::Http(format!("GET /key answered {}", answer.status)).into());
        }
        let key: OverTlsPublicKeyResponse = serde_json::from_slice(&answer.body)?;
        let uri: Uri = self.url.parse().map_err(|_| ControlError::Url(self.url.clone()))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let tcp = timeout(CONNECT_TIMEOUT, fetch.tcp(&host, port)).await.map_err(|_| late())??;
        tcp.set_nodelay(true)?;
        let name = rustls::pki_types::ServerName::try_from(host).map_err(|_| ControlError::Url(self.url.clone()))?;
        let tls = TlsConnector::from(fetch.tls()?).connect(name, tcp);
        let tls = timeout(HANDSHAKE_TIMEOUT, tls).await.map_err(|_| late())??;
        let noise = connect(tls, &self.authority, machine, &key.public_key, CAPABILITY_VERSION);
        let stream = timeout(HANDSHAKE_TIMEOUT, noise).await.map_err(|_| late())??;
        Ok(Box::new(ClientStream::new(stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let server = Server::parse("https://control.example/").unwrap();
        assert_eq!((server.url.as_str(), server.authority.as_str()), ("https://control.example", "control.example"));
        assert_eq!(Server::parse("http://192.168.1.1:8080").unwrap().authority, "192.168.1.1:8080");
        for bad in ["", "control.example", "ftp://x", "https://u:p@x", "https://x/path"] {
            assert!(Server::parse(bad).is_err(), "{bad}");
        }
    }
}

//! From a server's URL to a stream that is ready for HTTP/2.
//!
//! Only `http:` URLs: the Noise session inside authenticates the server once its key is known, and the key is asked for
//! over the same network. Whoever needs more than that has to bring its own TLS stream to [`fetch_key`] and [`connect`].

use crate::{ClientError, ClientStream, connect, fetch_key};
use hearthgate_keys::MachinePrivate;
use http::Uri;
use std::{io, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// How long a TCP connection may take, as with the official client.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer to `/key`, or upgrade and handshake together, may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Port of a URL without one.
const HTTP_PORT: u16 = 80;

/// Asks `url` (`http://host[:port]`) for its key and connects with it, as a client of capability version `version`;
/// `tcp` makes a connection to a host and port.
///
/// # Errors
/// The URL is none of these, the network failed, the server took longer than [`CONNECT_TIMEOUT`] or
/// [`HANDSHAKE_TIMEOUT`], or it is not a control server.
pub async fn dial<F>(
    url: &str,
    key: &MachinePrivate,
    version: u16,
    tcp: impl Fn(String, u16) -> F,
) -> Result<ClientStream<TcpStream>, ClientError>
where
    F: Future<Output = io::Result<TcpStream>>,
{
    dial_within(url, key, version, (tcp, HANDSHAKE_TIMEOUT)).await
}

async fn dial_within<F>(
    url: &str,
    key: &MachinePrivate,
    version: u16,
    (tcp, handshake): (impl Fn(String, u16) -> F, Duration),
) -> Result<ClientStream<TcpStream>, ClientError>
where
    F: Future<Output = io::Result<TcpStream>>,
{
    let (address, port, host) =
        parts(url).ok_or_else(|| ClientError::Http(format!("{url:?} is not like http://host:port")))?;
    let tcp = || limited(CONNECT_TIMEOUT, async { Ok(tcp(address.clone(), port).await?) });
    let server = limited(handshake, fetch_key(tcp().await?, &host, version)).await?;
    let io = tcp().await?;
    io.set_nodelay(true)?;
    let stream = limited(handshake, connect(io, &host, key, &server, version)).await?;
    Ok(ClientStream::new(stream))
}

async fn limited<T>(limit: Duration, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// Host and port to connect to, and the `Host` header.
fn parts(url: &str) -> Option<(String, u16, String)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    let plain = uri.scheme_str() == Some("http")
        && uri.path() == "/"
        && uri.query().is_none()
        && !authority.as_str().contains('@');
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (plain && !address.is_empty())
        .then(|| (address.to_owned(), authority.port_u16().unwrap_or(HTTP_PORT), authority.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn urls_are_taken_apart() {
        let got = |url: &str| parts(url).map(|(address, port, host)| format!("{address} {port} {host}"));
        assert_eq!(got("http://192.168.1.1:8080").unwrap(), "192.168.1.1 8080 192.168.1.1:8080");
        assert_eq!(got("http://router.lan/").unwrap(), "router.lan 80 router.lan");
        assert_eq!(got("http://[fd00::1]:8080").unwrap(), "fd00::1 8080 [fd00::1]:8080");
        for bad in [
            "https://router.lan",
            "router.lan:8080",
            "http://",
            "http://u:p@router.lan",
            "http://router.lan/path",
            "http://router.lan/?q",
            "",
        ] {
            assert_eq!(got(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = MachinePrivate::from_random([7; 32]);
        let tcp = |host: String, port| async move { TcpStream::connect((host, port)).await };
        match dial_within(&url, &key, 148, (tcp, Duration::from_millis(50))).await {
            Err(ClientError::Io(e)) => assert_eq!(e.kind(), io::ErrorKind::TimedOut),
            other => panic!("{other:?}"),
        }
    }
}

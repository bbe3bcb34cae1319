//! Admission by another server: whoever runs the tailnet answers who belongs to it (`derp/derpserver` of
//! tailscale.com v1.104.5, "verify client URL"; Headscale answers it at `/verify`).

use crate::relay::Admission;
use hearthgate_keys::NodePublic;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::{Value, json};
use std::{future::Future, io, net::IpAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Longest time for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of the answer that are read, head and body.
const ANSWER_MAX: u64 = 16 * 1024;
/// Header lines of an answer.
const HEADERS_MAX: usize = 64;

/// Why a URL cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}: an admission URL looks like https://host/verify")]
pub struct UrlError(String);

/// Asks a URL who may use the relay.
#[derive(Debug, Clone)]
pub struct UrlCheck {
    host: String,
    port: u16,
    path: String,
    tls: Option<Arc<ClientConfig>>,
    fail_open: bool,
}

impl UrlCheck {
    /// Asks `url`, `http://` or `https://`; `tls` says how the certificate of the latter is checked, and may be missing for the former. With `fail_open`
    /// clients are let in when the URL cannot be reached.
    ///
    /// # Errors
    /// It is no such URL.
    pub fn new(url: &str, tls: Option<Arc<ClientConfig>>, fail_open: bool) -> Result<Self, UrlError> {
        let wrong = || UrlError(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let (port, tls) = match uri.scheme_str() {
            Some("http") => (80, None),
            Some("https") if tls.is_some() => (443, tls),
            _ => return Err(wrong()),
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(port), path, tls, fail_open })
    }

    async fn ask(&self, key: NodePublic, source: Option<IpAddr>) -> io::Result<bool> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let body = json!({"NodePublic": key.to_string(), "Source": source.map(|s| s.to_string()).unwrap_or_default()})
            .to_string();
        match &self.tls {
            None => self.exchange(tcp, &body).await,
            Some(config) => {
                let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
                self.exchange(TlsConnector::from(config.clone()).connect(name, tcp).await?, &body).await
            }
        }
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(&self, mut io: S, body: &str) -> io::Result<bool> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        // HTTP/1.0: the answer is neither chunked nor followed by another.
        let head = format!(
            "POST {} HTTP/1.0\r\nHost: {host}:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.path,
            self.port,
            body.len()
        );
        io.write_all(head.as_bytes()).await?;
        io.write_all(body.as_bytes()).await?;
        io.flush().await?;
        let mut answer = Vec::new();
        match io.take(ANSWER_MAX).read_to_end(&mut answer).await {
            // Servers that leave out the end of TLS.
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => Err(e),
            _ => allows(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What an HTTP answer says; `None` when it is no answer. Anything but a clear yes is a no.
fn allows(answer: &[u8]) -> Option<bool> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer).ok()? else { return None };
    let body: Option<Value> = serde_json::from_slice(answer.get(head..)?).ok();
    Some(response.code == Some(200) && body.is_some_and(|b| b.get("Allow") == Some(&Value::Bool(true))))
}

impl Admission for UrlCheck {
    fn may_connect(&self, _key: &NodePublic, _source: Option<IpAddr>) -> bool {
        true
    }

    fn confirm<'a>(
        &'a self,
        key: &NodePublic,
        source: Option<IpAddr>,
    ) -> Option<Pin<Box<dyn Future<Output = bool> + Send + 'a>>> {
        let key = *key;
        Some(Box::pin(async move {
            match timeout(ANSWER_WITHIN, self.ask(key, source)).await {
                Ok(Ok(answer)) => answer,
                _ => self.fail_open,
            }
        }))
    }
}

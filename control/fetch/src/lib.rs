//! Small HTTP requests to other servers: OpenID providers, webhooks, lists of relays.
//!
//! One request a connection, HTTP/1.1, no redirects, everything bounded: a server on the other side cannot make this
//! one wait or remember more than the constants say. Certificates are checked against the system's own authorities
//! (`ca-certificates`, `ca-bundle`, or the file that `SSL_CERT_FILE` names), which are read once, on the first request
//! that needs them: a router that never asks anybody needs none.

mod download;
mod pin;
mod suites;
mod way;

pub use download::Download;
pub use pin::pinned;
pub use suites::{MAX_FRAGMENT, has_aes, provider};

use bytes::Bytes;
use hearthgate_http::{Stream, begin1};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// Longest time for a connection, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longest time from request to the end of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Largest answer in bytes.
pub const ANSWER_MAX: usize = 1024 * 1024;

type Asked = Result<Response<Bytes>, FetchError>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It is no URL that can be asked.
    #[error("{0:?} is no http or https URL")]
    Url(String),
    /// No certificate authority is known.
    #[error(
        "no certificate authorities are installed ({0}): install the package ca-certificates (OpenWrt: ca-bundle), or name a file with SSL_CERT_FILE"
    )]
    NoAuthorities(String),
    /// The server cannot be reached, or broke off.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Whom we asked.
        host: String,
        /// In the words of the system.
        why: String,
    },
    /// Its answer is longer than is read.
    #[error("{host} answers with more than is read")]
    TooLong {
        /// Whom we asked.
        host: String,
        /// HTTP status of the answer.
        status: u16,
    },
    /// It leads to this machine or to a private network, and only public addresses are wanted.
    #[error("{0} is not on the public internet")]
    NotPublic(String),
    /// It took too long.
    #[error("{0} took too long to answer")]
    Slow(String),
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All of the body.
    pub body: Bytes,
}

/// What to send, besides the URL.
#[derive(Debug, Clone, Default)]
pub struct Send<'a> {
    /// Body and its media type; none makes it a GET.
    pub body: Option<(Bytes, &'static str)>,
    /// Value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// Asks other servers.
#[derive(Default)]
pub struct Fetch {
    tls: OnceLock<Arc<ClientConfig>>,
    answer_max: Option<usize>,
    public_only: bool,
    way: way::Way,
}

impl Fetch {
    /// One that reads the system's authorities when it first needs them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that trusts what `tls` trusts.
    #[must_use]
    pub fn with_tls(tls: Arc<ClientConfig>) -> Self {
        Self { tls: OnceLock::from(tls), ..Self::default() }
    }

    /// Takes answers of up to so many bytes, in place of [`ANSWER_MAX`].
    #[must_use]
    pub fn up_to(self, bytes: usize) -> Self {
        Self { answer_max: Some(bytes), ..self }
    }

    /// Connects to addresses of the public internet only, whatever a name leads to.
    #[must_use]
    pub fn public_only(self) -> Self {
        Self { public_only: true, ..self }
    }

    /// Gives its connections a firewall mark (`SO_MARK`), by which they go past a tunnel, and remembers where names led:
    /// the way to whom a tunnel depends on must not depend on the tunnel. A process that may not set marks goes without.
    #[must_use]
    pub fn marked(self, mark: u32) -> Self {
        Self { way: way::Way::marked(mark), ..self }
    }

    /// Fetches a URL.
    ///
    /// # Errors
    /// There is no whole answer. An answer with an error status is an answer.
    pub async fn get(&self, url: &str) -> Result<Answer, FetchError> {
        self.send(url, Send::default()).await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn send(&self, url: &str, what: Send<'_>) -> Result<Answer, FetchError> {
        let wrong = || FetchError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let answer = self.request(request(&uri, what).map_err(|_| wrong())?).await?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.into_body() })
    }

    /// Sends a request whose URI is a whole URL, and answers with headers too.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn request(&self, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        self.asked(request).await
    }

    /// Behind a pointer: compiled here, and not in each crate that asks.
    fn asked(&self, request: Request<Bytes>) -> Pin<Box<dyn Future<Output = Asked> + std::marker::Send + '_>> {
        Box::pin(self.ask(request))
    }

    async fn ask(&self, request: Request<Bytes>) -> Asked {
        let (stream, request, host) = self.dial(request).await?;
        exchange(stream, request, &host, self.answer_max.unwrap_or(ANSWER_MAX)).await
    }

    /// Connects to whom the request's URL names; gives the request as that server expects it, and its name.
    async fn dial(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<(Box<dyn Stream>, Request<Full<Bytes>>, String), FetchError> {
        let uri = request.uri().clone();
        let wrong = || FetchError::Url(uri.to_string());
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(self.tls()?),
            _ => return Err(wrong()),
        };
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let unreachable =
            |e: &dyn std::fmt::Display| FetchError::Unreachable { host: host.clone(), why: e.to_string() };
        let slow = |_| FetchError::Slow(host.clone());
        let tcp = self.tcp(&host, port).await?;
        // Servers expect the path alone, and the name in a header.
        *request.uri_mut() = uri.path_and_query().map_or("/", |p| p.as_str()).parse().map_err(|_| wrong())?;
        let authority = uri.authority().map_or("", |a| a.as_str());
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority).map_err(|_| wrong())?);
        let request = request.map(Full::new);
        let Some(tls) = tls else { return Ok((Box::new(tcp), request, host)) };
        let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
        let stream = timeout(CONNECT_WITHIN, TlsConnector::from(tls).connect(name, tcp)).await.map_err(slow)?;
        let stream = stream.map_err(|e| unreachable(&e))?;
        Ok((Box::new(stream), request, host))
    }

    /// Connects to a host, as requests do.
    ///
    /// # Errors
    /// It cannot be reached, or may not be.
    pub async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, FetchError> {
        let unreachable = |e: io::Error| FetchError::Unreachable { host: host.to_owned(), why: e.to_string() };
        let slow = |_| FetchError::Slow(host.to_owned());
        let found = timeout(CONNECT_WITHIN, self.way.look_up(host, port)).await.map_err(slow)?;
        // What is connected to is what was looked at: a name cannot lead elsewhere in between.
        let found = found.map_err(unreachable)?;
        let fit = |a: &SocketAddr| !self.public_only || hearthgate_addresses::is_public(a.ip());
        let addresses: Vec<SocketAddr> = found.iter().copied().filter(fit).collect();
        if addresses.is_empty() && !found.is_empty() {
            return Err(FetchError::NotPublic(host.to_owned()));
        }
        timeout(CONNECT_WITHIN, self.way.connect(&addresses)).await.map_err(slow)?.map_err(unreachable)
    }

    /// Connects to the first of these addresses that answers, as requests do. The last one has all the time there is.
    ///
    /// # Errors
    /// None can be reached.
    pub async fn tcp_to(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        self.way.connect(addresses).await
    }

    /// The TLS configuration: what is trusted, for connections that are more than one request.
    ///
    /// # Errors
    /// No certificate authority is known.
    pub fn tls(&self) -> Result<Arc<ClientConfig>, FetchError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = found.errors.first().map_or_else(|| "none found".into(), ToString::to_string);
            return Err(FetchError::NoAuthorities(why));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider(has_aes())))
            .with_safe_default_protocol_versions()
            .map_err(|e| FetchError::NoAuthorities(e.to_string()))?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.max_fragment_size = Some(MAX_FRAGMENT);
        let tls = Arc::new(tls);
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

fn request(uri: &Uri, what: Send<'_>) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::builder()
        .uri(uri)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("hearthgate/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = what.authorization {
        let mut value = HeaderValue::from_str(authorization)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    match what.body {
        None => request.method(Method::GET).body(Bytes::new()),
        Some((body, media)) => request.method(Method::POST).header(header::CONTENT_TYPE, media).body(body),
    }
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    host: &str,
    max: usize,
) -> Result<Response<Bytes>, FetchError> {
    let unreachable = |e: &dyn std::fmt::Display| FetchError::Unreachable { host: host.to_owned(), why: e.to_string() };
    let whole = async {
        let (mut sender, connection) = begin1(stream).await.map_err(|e| unreachable(&e))?;
        let asking = async {
            let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, max).collect().await.map_err(|e| {
                if e.is::<LengthLimitError>() {
                    return FetchError::TooLong { host: host.to_owned(), status: head.status.as_u16() };
                }
                unreachable(&e)
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            // The connection may end with the answer's last byte; the answer is then there all the same.
            _ = connection => asking.await,
        }
    };
    timeout(ANSWER_WITHIN, whole).await.map_err(|_| FetchError::Slow(host.to_owned()))?
}

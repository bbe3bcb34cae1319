//! A running mapper: its socket and its HTTP requests.

use crate::default_gateway;
use bytes::Bytes;
use hearthgate_http::{begin1, spawn};
use hearthgate_portmap::{Gateway, Mapper, MapperAction, MapperEvent, Status, Wanted, upnp};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use socket2::SockRef;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, UdpSocket},
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};

/// Largest datagram read.
const DATAGRAM_MAX: usize = 2048;
/// Longest time for one HTTP request; the mapper waits a little longer.
const HTTP: Duration = Duration::from_secs(4);
/// Longest time for giving the mapping back at the end.
const RELEASE: Duration = Duration::from_secs(1);

/// A running mapper; it stops when this is dropped.
#[derive(Debug)]
pub struct PortMap {
    wish: watch::Sender<Wish>,
    status: watch::Receiver<Status>,
    task: AbortHandle,
}

/// What the mapper shall do.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// Map the port in this router; without one, wait for one.
    Map(Option<Gateway>),
    /// Give back what is mapped, and end.
    End,
}

impl Drop for PortMap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PortMap {
    /// Starts one for this port; what is mapped comes out of the queue, if somebody keeps its end. `mark` is put on
    /// what it sends, so that it goes past the tunnel.
    ///
    /// # Errors
    /// No random numbers, or no socket.
    pub fn start(wanted: Wanted, mark: Option<u32>) -> io::Result<(Self, mpsc::Receiver<Option<SocketAddr>>)> {
        let mut nonce = [0; _];
        getrandom::fill(&mut nonce).map_err(|e| io::Error::other(e.to_string()))?;
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        set_mark(&socket, mark);
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let (sender, mapped) = mpsc::channel(1);
        let mapper = Mapper::new(wanted, nonce);
        let (wish, wishes) = watch::channel(Wish::Map(None));
        let (tell, status) = watch::channel(Status::default());
        let shell = Shell { socket, mark, mapped: sender, status: tell };
        let task = spawn(run(mapper, shell, wishes)).abort_handle();
        Ok((Self { wish, status, task }, mapped))
    }

    /// As [`Self::start`]; where that fails there is no mapping.
    #[must_use]
    pub fn or_none(wanted: Wanted, mark: Option<u32>) -> (Option<Self>, mpsc::Receiver<Option<SocketAddr>>) {
        match Self::start(wanted, mark) {
            Ok((map, mapped)) => (Some(map), mapped),
            Err(error) => {
                tracing::info!(%error, "no port mapping");
                (None, mpsc::channel(1).1)
            }
        }
    }

    /// Looks which router is in front of us and asks it anew, or renews what it has mapped.
    pub fn look(&self) {
        self.ask(default_gateway());
    }

    /// As [`Self::look`], of this one.
    pub fn ask(&self, gateway: Option<Gateway>) {
        self.wish.send_replace(Wish::Map(gateway));
    }

    /// How it is, now and after each change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Asks nobody any more; what is mapped is given back.
    pub async fn stop(self) {
        self.wish.send_replace(Wish::End);
        // The mapper ends after that, or is cut short.
        let _ = timeout(RELEASE, self.wish.closed()).await;
    }
}

/// What a running mapper has of the world.
struct Shell {
    socket: UdpSocket,
    mark: Option<u32>,
    mapped: mpsc::Sender<Option<SocketAddr>>,
    status: watch::Sender<Status>,
}

fn set_mark<'s>(socket: impl Into<SockRef<'s>>, mark: Option<u32>) {
    let socket: SockRef<'s> = socket.into();
    if let Some(Err(error)) = mark.map(|mark| socket.set_mark(mark)) {
        tracing::debug!(%error, "mark of the port mapper's socket");
    }
}

async fn run(mut mapper: Mapper, shell: Shell, mut wanted: watch::Receiver<Wish>) {
    let start = Instant::now();
    let (answers, mut answered) = mpsc::channel(1);
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let timer = mapper.next_timer().map_or_else(|| Instant::now() + HTTP, |at| start + at);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wish = *wanted.borrow_and_update();
                match wish {
                    Wish::Map(gateway) => mapper.handle(start.elapsed(), MapperEvent::Gateway(gateway)),
                    Wish::End => {
                        if let Some(last) = mapper.release() {
                            let asks = matches!(last, MapperAction::Post(_));
                            carry_out(last, &shell, &answers).await;
                            if asks {
                                // An HTTP request is under way for it.
                                let _ = timeout(RELEASE, answered.recv()).await;
                            }
                        }
                        return;
                    }
                }
            }
            Ok((len, from)) = shell.socket.recv_from(&mut buffer) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                mapper.handle(start.elapsed(), MapperEvent::Udp { from, bytes });
            }
            Some(body) = answered.recv() => {
                let body: Option<Bytes> = body;
                mapper.handle(start.elapsed(), MapperEvent::Http(body.as_deref()));
            }
            () = sleep_until(timer) => mapper.handle(start.elapsed(), MapperEvent::Timer),
        }
        while let Some(action) = mapper.poll() {
            carry_out(action, &shell, &answers).await;
        }
        let now = mapper.status();
        shell.status.send_if_modified(|status| std::mem::replace(status, now) != now);
    }
}

async fn carry_out(action: MapperAction, shell: &Shell, answers: &mpsc::Sender<Option<Bytes>>) {
    let request = match action {
        MapperAction::Send { to, bytes } => {
            // A datagram that is lost is sent again.
            let _ = shell.socket.send_to(&bytes, to).await;
            return;
        }
        MapperAction::Mapped(place) => {
            let shown = place.map_or_else(|| "none".to_owned(), |place| place.to_string());
            tracing::info!(place = shown, "port mapping");
            // The router has stopped: then nobody is told.
            let _ = shell.mapped.send(place).await;
            return;
        }
        MapperAction::Get(url) => (url, None),
        MapperAction::Post(command) => (command.url, Some((command.action, command.body))),
    };
    let (answers, mark) = (answers.clone(), shell.mark);
    spawn(async move {
        let (url, command) = request;
        let body = timeout(HTTP, fetch(url, command, mark)).await.ok().and_then(Result::ok);
        // The mapper has ended meanwhile.
        let _ = answers.send(body).await;
    });
}

/// One request to a device of the LAN, whatever the status of its answer.
async fn fetch(url: upnp::Url, command: Option<(String, String)>, mark: Option<u32>) -> io::Result<Bytes> {
    let socket = if url.host.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    set_mark(&socket, mark);
    let stream = socket.connect(url.host).await?;
    let (mut sender, connection) = begin1(stream).await.map_err(io::Error::other)?;
    let connection = spawn(connection);
    let mut request = Request::builder().uri(url.path.as_str()).header(header::HOST, url.host.to_string());
    let mut body = Bytes::new();
    if let Some((action, text)) = command {
        request = request.method(Method::POST).header(header::CONTENT_TYPE, "text/xml; charset=\"utf-8\"");
        request = request.header("SOAPAction", action);
        body = text.into();
    }
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        Limited::new(answer.into_body(), upnp::BODY_LIMIT).collect().await.map_err(io::Error::other)
    };
    let answer = answer.await;
    connection.abort();
    Ok(answer?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_is_asked_over_http_and_its_answer_read() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap();
        let device = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let len = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\n<no/>").await.unwrap();
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        let url = upnp::Url { host, path: "/ctl".into() };
        let body = fetch(url, Some(("\"urn:x#Add\"".into(), "<add/>".into())), None).await.unwrap();
        assert_eq!(body, "<no/>");
        let request = device.await.unwrap().to_ascii_lowercase();
        assert!(request.starts_with("post /ctl ") && request.contains("soapaction: \"urn:x#add\""), "{request}");
    }
}

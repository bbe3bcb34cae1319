//! The shell of the port mapper: its socket, its HTTP requests, and which router is in front of us.

use bytes::Bytes;
use hearthgate_http::{begin1, spawn};
use hearthgate_paths::portmap::{Gateway, Mapper, MapperAction, MapperEvent, upnp};
use hearthgate_plane::BYPASS_MARK;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use nix::ifaddrs::getifaddrs;
use socket2::SockRef;
use std::{
    fs, io,
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
/// The kernel's IPv4 routes.
const ROUTES: &str = "/proc/net/route";
/// A route that is up and leads to a gateway (`RTF_UP`, `RTF_GATEWAY`).
const UP_AND_GATEWAY: u32 = 3;

/// A running mapper; it stops when this is dropped.
#[derive(Debug)]
pub struct PortMap {
    wish: watch::Sender<Wish>,
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
    /// Starts one for WireGuard's port; what is mapped comes out of the queue.
    ///
    /// # Errors
    /// No random numbers, or no socket.
    pub fn start(port: u16) -> io::Result<(Self, mpsc::Receiver<Option<SocketAddr>>)> {
        let mut nonce = [0; _];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        mark(&socket);
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let (sender, mapped) = mpsc::channel(1);
        let (wish, wanted) = watch::channel(Wish::Map(None));
        let task = spawn(run(Mapper::new(port, nonce), socket, wanted, sender)).abort_handle();
        Ok((Self { wish, task }, mapped))
    }

    /// As [`Self::start`]; where that fails there is no mapping.
    pub fn or_none(port: u16) -> (Option<Self>, mpsc::Receiver<Option<SocketAddr>>) {
        match Self::start(port) {
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
    pub(crate) fn ask(&self, gateway: Option<Gateway>) {
        self.wish.send_replace(Wish::Map(gateway));
    }

    /// Asks nobody any more; what is mapped is given back.
    pub async fn stop(self) {
        self.wish.send_replace(Wish::End);
        // The mapper ends after that, or is cut short.
        let _ = timeout(RELEASE, self.wish.closed()).await;
    }
}

fn mark<'s>(socket: impl Into<SockRef<'s>>) {
    let socket: SockRef<'s> = socket.into();
    if let Err(error) = socket.set_mark(BYPASS_MARK) {
        tracing::debug!(%error, "mark of the port mapper's socket");
    }
}

async fn run(
    mut mapper: Mapper,
    socket: UdpSocket,
    mut wanted: watch::Receiver<Wish>,
    mapped: mpsc::Sender<Option<SocketAddr>>,
) {
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
                            carry_out(last, &socket, &mapped, &answers).await;
                            if asks {
                                // An HTTP request is under way for it.
                                let _ = timeout(RELEASE, answered.recv()).await;
                            }
                        }
                        return;
                    }
                }
            }
            Ok((len, from)) = socket.recv_from(&mut buffer) => {
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
            carry_out(action, &socket, &mapped, &answers).await;
        }
    }
}

async fn carry_out(
    action: MapperAction,
    socket: &UdpSocket,
    mapped: &mpsc::Sender<Option<SocketAddr>>,
    answers: &mpsc::Sender<Option<Bytes>>,
) {
    let request = match action {
        MapperAction::Send { to, bytes } => {
            // A datagram that is lost is sent again.
            let _ = socket.send_to(&bytes, to).await;
            return;
        }
        MapperAction::Mapped(place) => {
            let shown = place.map_or_else(|| "none".to_owned(), |place| place.to_string());
            tracing::info!(place = shown, "port mapping");
            // The router has stopped: then nobody is told.
            let _ = mapped.send(place).await;
            return;
        }
        MapperAction::Get(url) => (url, None),
        MapperAction::Post(command) => (command.url, Some((command.action, command.body))),
    };
    let answers = answers.clone();
    spawn(async move {
        let (url, command) = request;
        let body = timeout(HTTP, fetch(url, command)).await.ok().and_then(Result::ok);
        // The mapper has ended meanwhile.
        let _ = answers.send(body).await;
    });
}

/// One request to a device of the LAN, whatever the status of its answer.
async fn fetch(url: upnp::Url, command: Option<(String, String)>) -> io::Result<Bytes> {
    let socket = if url.host.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    mark(&socket);
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

/// The router that the default route leads to, and our address towards it.
fn default_gateway() -> Option<Gateway> {
    let (interface, address) = gateway_of(&fs::read_to_string(ROUTES).ok()?)?;
    let own = getifaddrs().ok()?.filter(|found| found.interface_name == interface).find_map(|found| {
        let net =
            |a: Option<nix::sys::socket::SockaddrStorage>| a.and_then(|a| a.as_sockaddr_in().map(|a| a.ip().to_bits()));
        let (own, mask) = (net(found.address)?, net(found.netmask)?);
        (own & mask == address.to_bits() & mask).then(|| Ipv4Addr::from(own))
    })?;
    Some(Gateway { address, own })
}

/// Interface and gateway of the default route with the least metric, in the kernel's table of routes.
fn gateway_of(table: &str) -> Option<(String, Ipv4Addr)> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else { return None };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let default = number(destination)? == 0 && number(mask)? == 0;
        let usable = number(flags)? & UP_AND_GATEWAY == UP_AND_GATEWAY;
        // Addresses are printed as numbers of the machine, with the bytes in the network's order.
        let gateway = Ipv4Addr::from(number(gateway)?.to_ne_bytes());
        (default && usable).then(|| (metric.parse::<u32>().unwrap_or(u32::MAX), (*interface).to_owned(), gateway))
    });
    routes.min_by_key(|(metric, ..)| *metric).map(|(_, interface, gateway)| (interface, gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_least_metric_counts() {
        let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let table = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             wlan0\t00000000\t{}\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t{}\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t{}\t00000000\t0001\t0\t0\t0\t{}\t0\t0\t0\n",
            hex([10, 0, 0, 1]),
            hex([192, 168, 1, 1]),
            hex([192, 168, 1, 0]),
            hex([255, 255, 255, 0]),
        );
        assert_eq!(gateway_of(&table), Some(("eth0".into(), Ipv4Addr::new(192, 168, 1, 1))));
        assert_eq!(gateway_of("nonsense\n"), None);
    }

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
        let body = fetch(url, Some(("\"urn:x#Add\"".into(), "<add/>".into()))).await.unwrap();
        assert_eq!(body, "<no/>");
        let request = device.await.unwrap().to_ascii_lowercase();
        assert!(request.starts_with("post /ctl ") && request.contains("soapaction: \"urn:x#add\""), "{request}");
    }
}

//! The way to a host: its addresses, and a connection to one of them, past a tunnel if there is one.

use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::timeout,
};

/// Hosts whose addresses are remembered: a control server, and some to spare.
const REMEMBERED: usize = 4;

/// How long an address may take while there are others.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// After how much silence a connection is asked whether it lives, how often, and how many times. One that waits for a person
/// to log in is silent for hours, and whoever held its other end may be switched off.
const KEEP_ALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);

/// How hosts are reached.
#[derive(Default)]
pub(crate) struct Way {
    /// `SO_MARK` of the connections; without one nothing is remembered either.
    mark: Option<u32>,
    /// Where names led last, the newest at the end.
    known: Mutex<Vec<(String, Vec<SocketAddr>)>>,
}

impl Way {
    pub(crate) fn marked(mark: u32) -> Self {
        Self { mark: Some(mark), ..Self::default() }
    }

    /// Where a host is; where it was, if nobody knows any more.
    pub(crate) async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = lookup_host((host, port)).await.map(Iterator::collect);
        self.or_known(host, port, found)
    }

    /// Remembers what was found, or remembers what was found before.
    fn or_known(&self, host: &str, port: u16, found: io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
        if self.mark.is_none() {
            return found;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.iter().position(|(name, _)| name == host).map(|at| known.remove(at).1);
        let now = match (found, before) {
            (Ok(found), before) if !found.is_empty() || before.is_none() => found,
            (_, Some(before)) => before.iter().map(|a| SocketAddr::new(a.ip(), port)).collect(),
            (failed, None) => return failed,
        };
        if known.len() >= REMEMBERED {
            known.remove(0);
        }
        known.push((host.to_owned(), now.clone()));
        Ok(now)
    }

    /// Connects to the first of these that answers. One family alone may lead nowhere, without a word: both are tried in
    /// turn, and none but the last address has all the time.
    pub(crate) async fn connect(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        let in_turn = in_turn(addresses);
        for (n, address) in in_turn.iter().enumerate() {
            let limit = if n + 1 < in_turn.len() { ATTEMPT } else { Duration::MAX };
            match timeout(limit, self.connect_to(*address)).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(failed)) => error = failed,
                Err(_) => error = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(error)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(mark) = self.mark {
            // Not allowed without CAP_NET_ADMIN, as in tests: there is no tunnel to pass either.
            let _ = SockRef::from(&socket).set_mark(mark);
        }
        SockRef::from(&socket).set_tcp_keepalive(&KEEP_ALIVE)?;
        socket.connect(address).await
    }
}

/// The families in turn, that of the first address first.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| a.is_ipv4() == first_is_v4);
    let most = first.len().max(second.len());
    (0..most).flat_map(|n| [first.get(n), second.get(n)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_name_led_is_remembered_while_nobody_answers() {
        let (one, two) = (SocketAddr::from(([192, 0, 2, 1], 443)), SocketAddr::from(([192, 0, 2, 2], 443)));
        let failed = || Err(io::Error::other("no resolver"));
        let way = Way::marked(1);
        assert!(way.or_known("a", 443, failed()).is_err());
        assert_eq!(way.or_known("a", 443, Ok(vec![one])).unwrap(), [one]);
        assert_eq!(way.or_known("a", 443, failed()).unwrap(), [one]);
        assert_eq!(way.or_known("a", 80, Ok(vec![])).unwrap(), [SocketAddr::new(one.ip(), 80)]);
        assert_eq!(way.or_known("a", 443, Ok(vec![two])).unwrap(), [two]);
        for n in 0..REMEMBERED {
            way.or_known(&n.to_string(), 443, Ok(vec![one])).unwrap();
        }
        assert!(way.or_known("a", 443, failed()).is_err(), "the oldest makes room");
        let unmarked = Way::default();
        unmarked.or_known("a", 443, Ok(vec![one])).unwrap();
        assert!(unmarked.or_known("a", 443, failed()).is_err());
    }

    #[test]
    fn families_are_tried_in_turn() {
        let parse = |text: &str| -> Vec<SocketAddr> { text.split(' ').map(|a| a.parse().unwrap()).collect() };
        let cdn = parse("[2001:db8::1]:443 [2001:db8::2]:443 [2001:db8::3]:443 192.0.2.1:443 192.0.2.2:443");
        let order = parse("[2001:db8::1]:443 192.0.2.1:443 [2001:db8::2]:443 192.0.2.2:443 [2001:db8::3]:443");
        assert_eq!(in_turn(&cdn), order);
        assert!(in_turn(&[]).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_holds_up_no_other() {
        // Its queue is full: what comes more is dropped without a word.
        let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let at = silent.local_addr().unwrap().as_socket().unwrap();
        let held: Vec<_> =
            (0..4).map(|_| std::net::TcpStream::connect_timeout(&at, Duration::from_millis(200))).collect();
        assert!(held.iter().any(Result::is_err), "it answers nobody any more");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connected = timeout(2 * ATTEMPT, Way::default().connect(&[at, listener.local_addr().unwrap()])).await;
        assert!(connected.is_ok_and(|tcp| tcp.is_ok()));
    }

    #[tokio::test]
    async fn a_connection_has_the_mark_where_that_is_allowed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let tcp = Way::marked(0x8_0000).connect(&[SocketAddr::from(([127, 0, 0, 1], 1)), to]).await.unwrap();
        let allowed = SockRef::from(&tcp).set_mark(0x8_0000).is_ok();
        assert!(!allowed || SockRef::from(&tcp).mark().unwrap() == 0x8_0000);
        assert!(SockRef::from(&tcp).keepalive().unwrap(), "who is switched off is noticed");
        let plain = Way::default().connect(&[to]).await.unwrap();
        assert_eq!(SockRef::from(&plain).mark().unwrap(), 0);
    }
}

//! Dynamic updates to a name server: a datagram, sent again when it is lost, then a connection (RFC 2136 section 6.2).

use crate::options::Rfc2136Options;
use hearthgate_dns_update::{ANSWER_MAX, AnswerError, Change, Key, Name, Sent, Update};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket, lookup_host},
    time::timeout,
};

/// How long an answer over UDP may take, by tries.
const UDP_TRIES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];
/// How long a connection, with its answer, may take.
const TCP_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to find the name server.
const LOOKUP_WITHIN: Duration = Duration::from_secs(5);
/// Most datagrams of others that are read while waiting for an answer.
const FOREIGN_MAX: usize = 16;
/// The usual port.
const PORT: u16 = 53;

/// Why a change was not made.
#[derive(Debug)]
pub(crate) struct Unmade {
    /// In words.
    pub why: String,
    /// It is refused again until somebody changes something.
    pub stays: bool,
}

/// Makes one change and waits until the name server says that it is made.
pub(crate) async fn change(server: &Rfc2136Options, name: &str, change: Change<'_>) -> Result<(), Unmade> {
    let text = |e: &dyn std::fmt::Display| Unmade { why: e.to_string(), stays: false };
    let zone = Name::parse(&server.zone).map_err(|e| text(&e))?;
    let name = Name::parse(name).map_err(|e| text(&e))?;
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|e| text(&e))?;
    let update = Update { zone: &zone, name: &name, change };
    let sent =
        update.encode(u16::from_be_bytes(id), &server.key, now()).ok_or_else(|| text(&"the record is too long"))?;
    let address = find(&server.server).await.map_err(|e| text(&format!("{}: {e}", server.server)))?;
    let answer = match over_udp(address, &sent, &server.key).await {
        // Lost, or cut, or said by whoever guessed the number of the message: doing it twice is the same as once.
        Err(Failed::Io(_) | Failed::Answer(AnswerError::Truncated | AnswerError::Unsigned(_))) => {
            over_tcp(address, &sent, &server.key).await
        }
        other => other,
    };
    answer.map_err(|e| {
        let stays = matches!(&e, Failed::Answer(e) if e.stays());
        Unmade { why: format!("{}: {e}", server.server), stays }
    })
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it cannot be reached: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

async fn find(server: &str) -> io::Result<SocketAddr> {
    let slow = |_| io::Error::from(io::ErrorKind::TimedOut);
    let none = || io::Error::other("it has no address");
    if let Ok(ip) = server.trim_matches(['[', ']']).parse() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    let with_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if with_port { server.to_owned() } else { format!("{server}:{PORT}") };
    timeout(LOOKUP_WITHIN, lookup_host(full)).await.map_err(slow)??.next().ok_or_else(none)
}

async fn over_udp(to: SocketAddr, sent: &Sent, key: &Key) -> Result<(), Failed> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    let mut buffer = vec![0; ANSWER_MAX];
    for patience in UDP_TRIES {
        socket.send(&sent.bytes).await?;
        let answer = async {
            for _ in 0..FOREIGN_MAX {
                let count = socket.recv(&mut buffer).await?;
                match sent.accepts(buffer.get(..count).unwrap_or_default(), key, now()) {
                    // Whoever cannot sign could only keep the true answer away.
                    Err(AnswerError::Foreign) => {}
                    verdict => return Ok(verdict?),
                }
            }
            Err(Failed::Io(io::ErrorKind::InvalidData.into()))
        };
        if let Ok(verdict) = timeout(patience, answer).await {
            return verdict;
        }
    }
    Err(Failed::Io(io::ErrorKind::TimedOut.into()))
}

async fn over_tcp(to: SocketAddr, sent: &Sent, key: &Key) -> Result<(), Failed> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        let length = u16::try_from(sent.bytes.len()).map_err(io::Error::other)?;
        let mut out = length.to_be_bytes().to_vec();
        out.extend(&sent.bytes);
        stream.write_all(&out).await?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > ANSWER_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let slow = |_| io::Error::from(io::ErrorKind::TimedOut);
    let answer = timeout(TCP_WITHIN, exchange).await.map_err(slow)??;
    Ok(sent.accepts(&answer, key, now())?)
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_server_is_an_address_or_a_name_with_or_without_a_port() {
        for (text, want) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:54", "[2001:db8::1]:54"),
        ] {
            assert_eq!(find(text).await.expect("an address").to_string(), want);
        }
    }
}

//! TCP options of relay connections.

use std::time::Duration;

/// TCP_USER_TIMEOUT: unacknowledged data for so long ends a connection.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
/// TCP keep-alive.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(600);
/// Bytes that may wait unsent in the kernel. What waits there can no longer be dropped for something newer, and is
/// memory; the queues of the relay are the better place.
const NOT_SENT_LOW_WATER: u32 = 32 * 1024;

/// Sets what a relay wants of a TCP connection: no delay, dead peers found in 15 s, little waiting in the kernel.
pub fn tune_tcp(stream: &tokio::net::TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // None of these is worth refusing a client for.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(TCP_KEEP_ALIVE));
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
    let _ = socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn the_kernel_takes_all_of_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune_tcp(&stream);
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), TCP_KEEP_ALIVE);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT_LOW_WATER);
    }
}

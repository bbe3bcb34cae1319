//! A web server that tells each caller the address it came from.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::argument;
use crate::outcome::Outcome;

/// Role name: `__http ADDRESS:PORT`.
pub const COMMAND: &str = "__http";

/// Answers one request after another.
pub fn serve(arguments: &[String]) -> Outcome {
    let listener = TcpListener::bind(argument(arguments, 0)?)?;
    for stream in listener.incoming() {
        // A caller that hangs up is its own problem.
        let _ = stream.and_then(answer);
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = [0_u8; 2048];
    let _ = stream.read(&mut head)?;
    let body = format!("from={}\n", stream.peer_addr()?.ip());
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

//! `hearthgate upgrade FILE`: sends an upgrade to a box that runs one of our images, which checks it, tries it once and
//! goes back if it is not well. To the server on this machine, or with `HEARTHGATE_CLI_ADDRESS=http://hearthgate.local:8080`
//! and an API key in `HEARTHGATE_CLI_API_KEY` to one elsewhere on the LAN.

use crate::{Failure, args::Args, client, setup, upgrade_feed};
use std::{
    fs::File,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::Duration,
};

/// Longest wait for the box to take the next bytes, or to answer: it writes to a card meanwhile.
const WAIT: Duration = Duration::from_secs(120);
/// Largest answer in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// Carries out the command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.has("check") || args.has("feed") { upgrade_feed::run(args) } else { send(args) }
}

fn send(args: &Args) -> Result<(), Failure> {
    let [_, file] = args.words.as_slice() else {
        return Err(Failure::Usage("name the file: hearthgate upgrade FILE, or use --check or --feed".into()));
    };
    let config = setup::usable(args)?;
    let file = File::open(file).map_err(|e| Failure::Failed(format!("{file}: {e}")))?;
    let length = file.metadata()?.len();
    let (address, key) = (config.cli.address.as_str(), config.cli.api_key.as_str());
    if address.is_empty() {
        let socket = setup::socket(&config);
        let stream = UnixStream::connect(&socket).map_err(|e| {
            Failure::Failed(format!(
                "no server answers on {} ({e}); for another machine set HEARTHGATE_CLI_ADDRESS",
                socket.display()
            ))
        })?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        put(stream, "local", "", file, length)?;
    } else {
        let host = address.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).ok_or_else(|| {
            Failure::Failed("HEARTHGATE_CLI_ADDRESS has to be an http:// address on the LAN here".into())
        })?;
        let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let stream = TcpStream::connect(&with_port).map_err(|e| Failure::Failed(format!("{with_port}: {e}")))?;
        stream.set_read_timeout(Some(WAIT))?;
        stream.set_write_timeout(Some(WAIT))?;
        put(stream, host, key, file, length)?;
    }
    println!("{length} bytes were sent. The box checks them and restarts; its System page says how it went.");
    Ok(())
}

/// The request and its answer.
fn put(mut stream: impl Read + Write, host: &str, key: &str, file: File, length: u64) -> Result<(), Failure> {
    let bearer = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
    let head = format!(
        "PUT /api/v1/image/upgrade HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{bearer}\
         Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    // A refusal comes before all is sent, and closes the connection: the answer says more than the broken pipe.
    let sent = io::copy(&mut file.take(length), &mut stream);
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_MAX).read_to_end(&mut answer);
    if answer.is_empty() {
        sent?;
        read?;
    }
    client::take_apart(answer).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve_once(answer: &'static str) -> (std::net::SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"the file") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                got.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            got
        });
        (at, serving)
    }

    #[test]
    fn the_file_follows_the_key_and_a_refusal_is_told_in_the_servers_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.hgu");
        std::fs::write(&path, "the file").unwrap();
        let open = || File::open(&path).unwrap();
        let (at, serving) = serve_once("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"bytes\":8}");
        put(TcpStream::connect(at).unwrap(), "box", "hskey-api-x", open(), 8).unwrap();
        let got = String::from_utf8(serving.join().unwrap()).unwrap();
        assert!(got.starts_with("PUT /api/v1/image/upgrade HTTP/1.1\r\n"), "{got}");
        assert!(
            got.contains("Authorization: Bearer hskey-api-x\r\n") && got.contains("Content-Length: 8\r\n"),
            "{got}"
        );
        let (at, serving) =
            serve_once("HTTP/1.1 400 Bad Request\r\ncontent-length: 23\r\n\r\n{\"detail\":\"not a file\"}");
        let refused = put(TcpStream::connect(at).unwrap(), "box", "", open(), 8).unwrap_err();
        serving.join().unwrap();
        assert!(refused.to_string().contains("not a file"), "{refused}");
    }
}

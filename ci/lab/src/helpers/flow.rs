//! A stream of numbered datagrams at an even pace, and its receiver, which notes when each was sent and when it came.
//!
//! What `ping` and `iperf3` do not say: which packets are missing, and whether one overtook another.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::argument;
use crate::clock::since_1970;
use crate::outcome::{Failure, Outcome};

/// Role name: `__flow-send ADDRESS:PORT PER_SECOND BYTES SECONDS`.
pub const SEND: &str = "__flow-send";
/// Role name: `__flow-receive ADDRESS:PORT FILE`; ends with the stream.
pub const RECEIVE: &str = "__flow-receive";

/// What goes out together when the sender wakes up, as time slices allow.
const TICK: Duration = Duration::from_millis(1);
/// The receiver's room: what comes while a busy machine does something else must not be lost here.
const ROOM: usize = 16 << 20;
/// Numbers of packets are below; this one says how many there were.
const END: u64 = u64::MAX;
/// How often the end is told, and how long between two.
const ENDS: u32 = 40;
const ENDS_EACH: Duration = Duration::from_millis(50);
/// Beginning of each packet: number, and the sender's clock or, at the end, the count.
const HEAD: usize = 16;

/// Sends, and prints what the kernel did not take.
pub fn send(arguments: &[String]) -> Outcome {
    let number = |at: usize| -> Outcome<u64> {
        argument(arguments, at)?.parse().map_err(|e| Failure(format!("argument {at}: {e}")))
    };
    let (per_second, bytes, seconds) = (number(1)?, number(2)?, number(3)?);
    let target = argument(arguments, 0)?;
    let socket = UdpSocket::bind(if target.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.connect(target)?;
    let mut packet = vec![0; usize::try_from(bytes).unwrap_or(HEAD).max(HEAD)];
    let begin = Instant::now();
    let (mut sent, total) = (0, per_second * seconds);
    while sent < total {
        let due = (begin.elapsed().as_micros() as u64 * per_second / 1_000_000).min(total);
        while sent < due {
            head(&mut packet, sent, micros()?);
            // Lost, and counted as such.
            if let Err(error) = socket.send(&packet) {
                eprintln!("packet {sent}: {error}");
            }
            sent += 1;
        }
        std::thread::sleep(TICK);
    }
    for _ in 0..ENDS {
        head(&mut packet, END, total);
        let _ = socket.send(&packet);
        std::thread::sleep(ENDS_EACH);
    }
    Ok(())
}

/// Writes a line for each packet, in the order they came: number, when sent, when received, in µs since 1970; at the
/// end, how many were sent.
pub fn receive(arguments: &[String]) -> Outcome {
    let socket = UdpSocket::bind(argument(arguments, 0)?)?;
    setsockopt(&socket, sockopt::RcvBufForce, &ROOM).map_err(|e| Failure(format!("receive buffer: {e}")))?;
    let mut file = BufWriter::new(File::create(argument(arguments, 1)?)?);
    let mut buffer = [0; 2048];
    loop {
        let (count, _) = socket.recv_from(&mut buffer)?;
        let field = |at: usize| buffer.get(..count)?.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        let Some((number, second)) = field(0).zip(field(8)) else { continue };
        if number == END {
            writeln!(file, "{second}")?;
            return Ok(file.flush()?);
        }
        writeln!(file, "{number} {second} {}", micros()?)?;
    }
}

fn head(packet: &mut [u8], number: u64, second: u64) {
    for (place, value) in packet.chunks_exact_mut(8).zip([number, second]) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// The clock, in µs since 1970.
fn micros() -> Outcome<u64> {
    Ok(since_1970()?.as_micros() as u64)
}

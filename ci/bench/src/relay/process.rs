//! A relay under test, as a process.

use crate::Fault;
use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longest time until a relay listens.
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// Whose relay it is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Ours: `hearthgate derp`.
    Hearthgate,
    /// `cmd/derper` of tailscale.com.
    Derper,
}

/// A running relay.
pub struct Relay {
    child: Child,
    dir: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it listens for STUN.
    pub stun: SocketAddr,
}

impl Relay {
    /// Starts one on a free port.
    pub async fn start(kind: Kind, binary: &Path, tls: bool) -> Result<Self, Fault> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let stun = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let dir = std::env::temp_dir().join(format!("hearthgate-relay-bench-{}-{}", std::process::id(), addr.port()));
        fs::create_dir_all(&dir)?;
        let mut command = Command::new(binary);
        match kind {
            Kind::Hearthgate => {
                command.args(["derp", "--listen-addr", &addr.to_string(), "--stun-listen-addr", &stun.to_string()]);
                command.arg("--state-dir").arg(&dir);
            }
            Kind::Derper => {
                command.args(["-a", &addr.to_string(), "-http-port", "-1", "-stun-port", &stun.port().to_string()]);
                command.args(["-hostname", "127.0.0.1", "-c"]).arg(dir.join("derper.key"));
                if tls {
                    // It makes a certificate of its own for an address.
                    command.args(["-certmode", "manual", "-certdir"]).arg(&dir);
                }
            }
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|e| format!("{}: {e}", binary.display()))?;
        let relay = Self { child, dir, addr, stun };
        let until = Instant::now() + STARTED_WITHIN;
        // An address that can be bound is nobody's yet; under an emulator STUN comes noticeably later.
        while tokio::net::TcpStream::connect(addr).await.is_err() || UdpSocket::bind(stun).is_ok() {
            if Instant::now() > until {
                return Err(format!("{} does not listen", binary.display()).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(relay)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// User and system time a process has used, in seconds.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    /// Ticks a second; the kernel's interface to user space has been 100 for ever.
    const HZ: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / HZ)
}

/// Resident memory, in KiB.
pub fn memory_kib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.trim().split(' ').next()?.parse().ok()
}

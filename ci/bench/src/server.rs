//! The server under test, as a process.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is measured: a binary, and what runs it if this machine cannot.
#[derive(Clone)]
pub struct Program {
    /// The binary.
    pub binary: PathBuf,
    /// A program of qemu-user, such as `qemu-mipsel-static`.
    pub emulator: Option<String>,
}

impl Program {
    fn command(&self) -> Command {
        let Some(emulator) = &self.emulator else { return Command::new(&self.binary) };
        let mut command = Command::new(emulator);
        command.arg(&self.binary);
        command
    }
}

/// A running `hearthgate serve`.
pub struct Server {
    child: Child,
    program: Program,
    dir: PathBuf,
    addr: SocketAddr,
}

impl Server {
    /// Starts with a fresh state folder; also answers how long the first answer took.
    pub async fn start(program: &Program, dir: &Path) -> Result<(Self, Duration), Failure> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let started = Instant::now();
        let child = spawn(program, dir, addr)?;
        let server = Self { child, program: program.clone(), dir: dir.into(), addr };
        server.wait().await?;
        Ok((server, started.elapsed()))
    }

    /// Kills it and starts it on the same state.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.stop();
        self.child = spawn(&self.program, &self.dir, self.addr)?;
        self.wait().await
    }

    /// Ends it as a service manager would, so that it stores what it knows.
    pub fn end(mut self) -> Result<(), Failure> {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into()?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the server did not end well: {status}").into()) }
    }

    /// Kills it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn wait(&self) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(mut tcp) = tokio::net::TcpStream::connect(self.addr).await {
                tcp.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
                let mut answer = Vec::new();
                tcp.read_to_end(&mut answer).await?;
                if answer.starts_with(b"HTTP/1.1 200") {
                    return Ok(());
                }
            }
            if Instant::now() > until {
                return Err("the server does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Runs a command of the program against the server.
    pub fn run(&self, args: &[&str]) -> Result<String, Failure> {
        let out = self.program.command().args(args).env("HEARTHGATE_STATE_DIR", &self.dir).output()?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned().into());
        }
        Ok(String::from_utf8(out.stdout)?.trim().to_owned())
    }

    /// A user, and a reusable key of theirs.
    pub fn preauth_key(&self) -> Result<String, Failure> {
        self.run(&["users", "create", "bench"])?;
        self.run(&["preauthkeys", "create", "--user", "bench", "--reusable"])
    }

    /// The number of some node.
    pub fn a_node(&self) -> Result<String, Failure> {
        let nodes: serde_json::Value = serde_json::from_str(&self.run(&["nodes", "list", "-o", "json"])?)?;
        Ok(nodes[0]["id"].as_str().ok_or("no nodes")?.to_owned())
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Highest resident memory in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        text.lines().find_map(|l| l.strip_prefix(field)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Processor time used, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        /// Ticks a second; the kernel's interface to user space has been 100 for ever.
        const HZ: f64 = 100.0;
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<f64> =
            text.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
        fields.get(11).zip(fields.get(12)).map_or(0.0, |(user, system)| (user + system) / HZ)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(program: &Program, dir: &Path, addr: SocketAddr) -> std::io::Result<Child> {
    program
        .command()
        .arg("serve")
        .env("HEARTHGATE_STATE_DIR", dir)
        .env("HEARTHGATE_LISTEN_ADDR", addr.to_string())
        .env("HEARTHGATE_SERVER_URL", format!("http://{addr}"))
        .env("HEARTHGATE_DERP_SERVER_STUN_LISTEN_ADDR", "127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
}

//! One network namespace, and running programs as if on a machine of its own.
//!
//! `ip netns exec` gives the program a network and a mount namespace. In the latter a private
//! `/etc` is put over the machine's: a Tailscale client replaces `/etc/resolv.conf` and leaves a
//! backup beside it, and neither may reach the machine that runs the lab, nor another client.
//! The system bus is hidden for the same reason: through it a client would configure the
//! machine's own resolver.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use crate::command::Output;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::outcome::{Failure, Outcome};

/// Limit for configuration commands.
const STEP: Duration = Duration::from_secs(15);
/// `$0` of the wrapper's shell; lets the log show the wrapped command alone.
pub const WRAPPER_MARK: &str = "lab-mounts";
/// Puts the private folders in place, then becomes the program.
const WRAPPER: &str = r#"etc=$1 empty=$2; shift 2
mount --bind "$etc" /etc || exit 125
for bus in /run/dbus /run/systemd; do [ ! -d $bus ] || mount --bind "$empty" $bus || exit 125; done
exec "$@""#;
/// Files of the machine's `/etc` that programs need to start.
const COPIED: &[&str] = &["ld.so.cache", "services", "protocols", "localtime", "mime.types"];

/// A namespace of this run.
pub struct Namespace {
    /// Full name, as in `ip netns list`.
    pub name: String,
    /// Its role in the scenario, e.g. `a`.
    pub role: String,
    etc: PathBuf,
    empty: PathBuf,
    context: Rc<Context>,
}

impl Namespace {
    /// Makes it, with loopback up and a private `/etc`.
    pub fn new(context: &Rc<Context>, role: &str) -> Outcome<Self> {
        let name = format!("{}-{role}", context.prefix);
        context.janitor.remember_namespace(&name)?;
        let etc = context.folder(&format!("{role}/etc"))?;
        let empty = context.folder(&format!("{role}/empty"))?;
        write_etc(&etc, role)?;
        let namespace = Self { name, role: role.to_owned(), etc, empty, context: context.clone() };
        context.run(Command::new("ip").args(["netns", "add", &namespace.name]), STEP)?.ok()?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Runs `ip` on this namespace; words are separated by spaces.
    pub fn ip(&self, words: &str) -> Outcome<Output> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(words.split_whitespace());
        self.context.run(&mut command, STEP)?.ok()
    }

    /// Loads an nftables ruleset into this namespace.
    pub fn nft(&self, ruleset: &str) -> Outcome {
        let file = self.context.folder(&self.role)?.join("rules.nft");
        fs::write(&file, ruleset)?;
        self.run(&["nft", "-f", &file.to_string_lossy()], STEP)?.ok().map(drop)
    }

    /// Sets a kernel parameter of this namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Outcome {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.run(&["sh", "-c", "echo \"$1\" > \"$0\"", &path, value], STEP)?.ok().map(drop)
    }

    /// A command that will run `program` inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, "sh", "-c", WRAPPER, WRAPPER_MARK])
            .arg(&self.etc)
            .arg(&self.empty)
            .arg(program);
        command
    }

    /// Runs a program inside to its end.
    pub fn run(&self, words: &[&str], limit: Duration) -> Outcome<Output> {
        let (program, arguments) = words.split_first().ok_or_else(|| Failure("an empty command".into()))?;
        self.context.run(self.command(program).args(arguments), limit)
    }

    /// Starts a program inside that goes on running; its output goes to `NAME.log`.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Outcome<Daemon> {
        let path = self.context.dir.join(format!("{name}.log"));
        let log = fs::File::options().create(true).append(true).open(&path)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the lab, which then ends what it started in order.
            .process_group(0)
            .spawn()
            .map_err(|e| Failure(format!("start of {name}: {e}")))?;
        self.context.note(&format!("start {name}: pid {}", child.id()));
        Ok(Daemon::new(name, child, path))
    }

    /// Starts this very program inside, in one of its helper roles.
    pub fn helper(&self, name: &str, words: &[&str]) -> Outcome<Daemon> {
        let program = std::env::current_exe()?;
        self.spawn(name, self.command(program).args(words))
    }

    /// Sets the resolver file a program inside sees.
    pub fn resolver(&self, text: &str) -> Outcome {
        Ok(fs::write(self.etc.join("resolv.conf"), text)?)
    }

    /// Adds a line to the hosts file a program inside sees.
    pub fn hosts_line(&self, line: &str) -> Outcome {
        let path = self.etc.join("hosts");
        let text = fs::read_to_string(&path)?;
        Ok(fs::write(&path, format!("{text}{line}\n"))?)
    }

    /// Makes programs inside trust the certificates in `file` (PEM), and no others.
    pub fn trust(&self, file: &Path) -> Outcome {
        let folder = self.etc.join("ssl/certs");
        fs::create_dir_all(&folder)?;
        fs::copy(file, folder.join("ca-certificates.crt"))?;
        Ok(())
    }

    /// Has a name of the machine's hosts file lead to this address and no other.
    pub fn hosts_move(&self, name: &str, address: &str) -> Outcome {
        let path = self.etc.join("hosts");
        let text = fs::read_to_string(&path)?;
        let others = text.lines().filter(|l| l.split_whitespace().nth(1) != Some(name)).collect::<Vec<_>>().join("\n");
        Ok(fs::write(&path, format!("{others}\n{address} {name}\n"))?)
    }

    /// What is shared with the rest of the scenario.
    pub fn context(&self) -> &Rc<Context> {
        &self.context
    }

    /// Is there anything but IPv4 on this machine's kernel?
    pub fn has_ipv6() -> bool {
        Path::new("/proc/net/if_inet6").exists()
    }
}

fn write_etc(etc: &Path, role: &str) -> Outcome {
    for name in COPIED {
        let from = Path::new("/etc").join(name);
        if from.exists() {
            fs::copy(&from, etc.join(name))?;
        }
    }
    fs::write(etc.join("hostname"), format!("{role}\n"))?;
    fs::write(etc.join("hosts"), format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {role}\n"))?;
    fs::write(etc.join("resolv.conf"), "")?;
    fs::write(etc.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    fs::write(etc.join("passwd"), format!("root:x:0:0:root:/root:/bin/sh\n{nobody}"))?;
    fs::write(etc.join("group"), "root:x:0:\nnogroup:x:65534:\n")?;
    Ok(())
}

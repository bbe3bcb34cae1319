//! What our router's peer API does for others: it takes files, and wakes machines on its LAN.
//!
//! ```text
//!        internet
//!    ____|____|____|________
//!   |        |    |         |
//! server     a    b         r (our router, alice's; later tagged)
//!         (alice)(bob)      |
//!                        sleeper
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::client::{Client, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-files",
    summary: "official clients send our router files and let it wake a LAN host, where owner or policy allow it",
    limit: Duration::from_secs(240),
    programs: &["curl"],
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
const COPY: Duration = Duration::from_secs(30);
/// Larger than any buffer on the way.
const SIZE: usize = 5_000_000;

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let (alice, bob) = (lab.reusable_key("alice")?, lab.reusable_key("bob")?);
    let url = lab.server()?.url.clone();
    let mut home = lab.internet()?.router("r", NatKind::Easy)?;
    let sleeper = home.host("sleeper")?;
    let inbox = lab.context.folder("inbox")?;
    let outside = lab.context.folder("outside")?.join("secret");
    fs::write(&outside, "mine")?;
    let mut r = Router::join(home.into_host(), "r", &url, &alice, &[])?;
    let (a, b) = (lab.join("a", &alice, &[])?, lab.join("b", &bob, &[])?);
    a.sees("r", MEET)?;
    let file = lab.context.folder("files")?.join("holiday.bin");
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    fs::write(&file, &content)?;
    let file = file.to_string_lossy().into_owned();
    let copy = |client: &Client| client.tailscale(&["file", "cp", &file, "r:"], COPY);
    // The official client asks for targets, and finds the router among them.
    let targets = a.tailscale(&["file", "cp", "--targets"], SOON)?.ok()?.stdout;
    ensure!(targets.contains("\tr"), "r is no target: {targets}");
    ensure!(!copy(&a)?.success(), "files are taken although there is no folder for them");

    let folder = inbox.to_string_lossy().into_owned();
    r.hearthgate(&["router", "up", "--taildrop-dir", &folder], SOON)?.ok()?;
    copy(&a)?.ok()?;
    ensure!(fs::read(inbox.join("holiday.bin"))? == content, "another file arrived");
    // Another one of the name, and a link that leads out.
    fs::write(&file, content.get(..SIZE / 2).unwrap_or_default())?;
    copy(&a)?.ok()?;
    ensure!(fs::read(inbox.join("holiday (1).bin"))?.len() == SIZE / 2, "the second file has no name of its own");
    fs::remove_file(inbox.join("holiday (1).bin"))?;
    symlink(&outside, inbox.join("holiday (1).bin"))?;
    copy(&a)?.ok()?;
    ensure!(fs::read(&outside)? == b"mine", "a link was followed");
    ensure!(fs::read(inbox.join("holiday (2).bin"))?.len() == SIZE / 2, "no third file");
    let mut names: Vec<_> =
        fs::read_dir(&inbox)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    ensure!(names.len() == 3, "left behind: {names:?}");

    // Straight at the peer API: half a file, then the rest; and names that lead elsewhere.
    let api = peer_api(&a, &r.ip()?)?;
    let put = |client: &Client, name: &str, words: &[&str]| {
        let page = format!("{api}/v0/put/{name}");
        client.run(
            &[&["curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}"], words, &[&page]].concat(),
            SOON,
        )
    };
    let half = put(&a, "half", &["-X", "PUT", "-H", "Content-Length: 10", "-d", "12345"])?;
    ensure!(half.stdout.trim() != "200", "half a file was taken for a whole one");
    let rest = put(&a, "half", &["-X", "PUT", "-H", "Range: bytes=5-", "-d", "67890"])?.ok()?;
    ensure!(rest.stdout.trim() == "200", "the rest: {}", rest.stdout);
    ensure!(fs::read(inbox.join("half"))? == b"1234567890", "not the two halves");
    for name in ["..%2foutside%2fsecret", "%2e%2e", "a%00b"] {
        let answer = put(&a, name, &["-X", "PUT", "-d", "x"])?.ok()?.stdout;
        ensure!(answer.trim() == "400", "{name}: {answer}");
    }
    // Another user's device may not, nor wake anybody.
    b.sees("r", MEET)?;
    ensure!(!copy(&b)?.success(), "another user's file was taken");
    let wake = |client: &Client| {
        let page = format!("{api}/v0/wol?mac=02:00:00:00:00:77");
        client.run(&["curl", "-fsS", "-m", "5", "-X", "POST", &page], SOON)
    };
    ensure!(!wake(&b)?.success(), "another user may wake machines");

    let mut listening = sleeper.ns.helper("sleeper", &["__udp", "0.0.0.0:9"])?;
    let context = lab.context.clone();
    let log = context.dir.join("sleeper.log");
    let woken = |client: &Client, times: usize| {
        context.eventually("the LAN host hears the magic packet", SOON, || {
            let sent = wake(client)?.ok()?.stdout;
            ensure!(sent.contains("\"br0\""), "{sent}");
            heard(&log, times)
        })
    };
    woken(&a, 1)?;
    listening.check()?;

    // A router with a tag is nobody's own: then the policy says who may.
    let policy = lab.server()?.file("policy.json");
    let grant = |from: &str, to: &str, what: &str| {
        format!(r#"{{"src":["{from}"],"dst":["{to}"],"app":{{"hearthgate.internal/cap/{what}":[{{}}]}}}}"#)
    };
    let grants = [
        r#"{"src":["*"],"dst":["*"],"ip":["*"]}"#.to_owned(),
        grant("bob@", &r.ip()?, "file-send"),
        grant("bob@", &r.ip()?, "wake-on-lan"),
    ];
    fs::write(&policy, format!(r#"{{"grants":[{}]}}"#, grants.join(",")))?;
    lab.server()?.command(&["policy", "set", "--policy", &policy])?.ok()?;
    fs::write(&file, &content)?;
    lab.context.eventually("bob's file is taken", COPY, || copy(&b)?.ok().map(drop))?;
    // More than before: each try may have been one.
    let before = packets(&log);
    woken(&b, before + 1)?;
    r.check()
}

/// The LAN host has heard so many packets.
fn heard(log: &std::path::Path, times: usize) -> Outcome {
    ensure!(packets(log) >= times, "heard {} packets", packets(log));
    Ok(())
}

fn packets(log: &std::path::Path) -> usize {
    let heard = fs::read_to_string(log).unwrap_or_default();
    heard.lines().filter(|line| line.starts_with("102 bytes")).count()
}

/// Where a client knows the router's peer API.
fn peer_api(client: &Client, address: &str) -> Outcome<String> {
    let status = client.status()?;
    let peer = status.peer("r").ok_or("no peer r")?;
    let urls = peer["PeerAPIURL"].as_array().ok_or("no peer API")?;
    let url = urls.iter().filter_map(|url| url.as_str()).find(|url| url.contains(address));
    Ok(url.ok_or("no peer API over IPv4")?.to_owned())
}

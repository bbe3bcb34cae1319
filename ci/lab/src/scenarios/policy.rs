//! A policy is enforced by official clients: what it allows works, what it does not allow is not even visible, and
//! SSH logins are let in, held for a check, or refused.
//!
//! ```text
//!        internet
//!    ____|____|____________
//!   |        |      |      |
//! server     a      b      s  (tag:server; web on 80 and 81, Tailscale SSH)
//!         (alice) (bob)
//! ```

use std::time::Duration;

use crate::client::{Client, MEET};
use crate::daemon::Daemon;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::server::{list, strings};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "policy",
    summary: "a policy allows and denies ports, hides nodes, lets SSH in, holds it for a check; it is changed and rolled back",
    limit: Duration::from_secs(240),
    programs: &["ssh"],
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);

const ALICE_ONLY: &str = r#"{
    "tagOwners": {"tag:server": ["alice@"]},
    "acls": [{"action": "accept", "src": ["alice@"], "dst": ["tag:server:22,80"]}],
    "ssh": [{"action": "accept", "src": ["alice@"], "dst": ["tag:server"], "users": ["root"]}],
    "tests": [{"src": "alice@", "accept": ["tag:server:80"], "deny": ["tag:server:81"]}],
}"#;

/// Bob gets in as well, but has to confirm.
const BOB_CHECKED: &str = r#"{
    "tagOwners": {"tag:server": ["alice@"]},
    "acls": [{"action": "accept", "src": ["alice@", "bob@"], "dst": ["tag:server:22,80"]}],
    "ssh": [{"action": "check", "src": ["bob@"], "dst": ["tag:server"], "users": ["root"]}],
}"#;

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let server = lab.server()?;
    let (alice, bob) = (server.user("alice")?, server.user("bob")?);
    let keys = [server.key(&alice, &[])?, server.key(&bob, &[])?, server.key(&alice, &["--tags", "tag:server"])?];
    let s = lab.join("s", &keys[2], &["--ssh"])?;
    let _webs =
        [s.host.ns.helper("web80", &["__http", "0.0.0.0:80"])?, s.host.ns.helper("web81", &["__http", "0.0.0.0:81"])?];
    let a = lab.join("a", &keys[0], &[])?;
    let b = lab.join("b", &keys[1], &[])?;
    let target = s.ip()?;
    // Without a policy everybody reaches everybody.
    a.sees("b", MEET)?;
    opens(&b, &target, 81)?;

    set(lab, ALICE_ONLY)?;
    b.forgets("s", SOON)?;
    a.forgets("b", SOON)?;
    opens(&a, &target, 80)?;
    stays_shut(&a, &target, 81)?;
    stays_shut(&b, &target, 80)?;
    let hello = ssh(&a, &target, "root")?.ok()?;
    ensure!(hello.stdout.trim() == "hello", "{}", hello.stdout);
    ensure!(!ssh(&a, &target, "daemon")?.success(), "a login that no rule names was let in");

    // A policy whose own tests fail changes nothing.
    let failing = ALICE_ONLY.replace("\"deny\": [", "\"deny\": [\"tag:server:22\", ");
    ensure!(!put(lab, &failing)?, "a policy whose tests fail was taken");
    opens(&a, &target, 80)?;

    set(lab, BOB_CHECKED)?;
    b.sees("s", SOON)?;
    opens(&b, &target, 80)?;
    let held = ssh_background(&b, &target)?;
    let id = lab.context.eventually("the check waits", SOON, || {
        let waiting = lab.running()?.json(&["auth", "checks"])?;
        let check = list(&waiting).first().cloned().ok_or_else(|| format!("none in {waiting}"))?;
        ensure!(check["from"] == "b" && check["to"] == "s" && check["login"] == "root", "{check}");
        Ok(check["authId"].as_str().unwrap_or_default().to_owned())
    })?;
    ensure!(!held.output().contains("hello"), "b was let in before the check");
    lab.running()?.command(&["auth", "approve", "--auth-id", &id])?.ok()?;
    lab.context.eventually("b is let in", SOON, || {
        ensure!(held.output().lines().any(|l| l.trim() == "hello"), "{}", held.output());
        Ok(())
    })?;
    ensure!(held.output().contains("/ssh-check/"), "no link was shown: {}", held.output());
    // The approval holds for a while.
    ssh(&b, &target, "root")?.ok()?;

    let versions = lab.running()?.json(&["policy", "versions"])?;
    ensure!(list(&versions["versions"]).len() == 2, "{versions}");
    lab.running()?.command(&["policy", "rollback", "--version-id", "1"])?.ok()?;
    b.forgets("s", SOON)?;
    let why = lab.running()?.json(&["policy", "who-can", "--to", "s:80"])?;
    let who: Vec<_> = list(&why["explanations"]).iter().filter_map(|e| e["from"].as_str()).collect();
    ensure!(who == ["a"], "{why}");
    ensure!(
        strings(&s.status()?.peer("a").map_or_else(Default::default, |p| p["TailscaleIPs"].clone())).len() == 2,
        "s does not know a"
    );
    Ok(())
}

/// Sets a policy from a file beside the server's state; whether it was taken.
fn put(lab: &Lab, policy: &str) -> Outcome<bool> {
    let file = lab.running()?.file("policy.hujson");
    std::fs::write(&file, policy)?;
    Ok(lab.running()?.command(&["policy", "set", "--policy", &file])?.success())
}

fn set(lab: &Lab, policy: &str) -> Outcome {
    ensure!(put(lab, policy)?, "the policy was refused");
    Ok(())
}

fn opens(client: &Client, target: &str, port: u16) -> Outcome {
    let page = format!("http://{target}:{port}/");
    client.context().eventually(&format!("{} opens {page}", client.name), SOON, || {
        client.run(&["curl", "-fsS", "-m", "3", &page], SOON)?.ok().map(drop)
    })
}

fn stays_shut(client: &Client, target: &str, port: u16) -> Outcome {
    let page = format!("http://{target}:{port}/");
    let output = client.run(&["curl", "-fsS", "-m", "3", &page], SOON)?;
    ensure!(!output.success(), "{} still opens {page}", client.name);
    Ok(())
}

const SSH: [&str; 9] = [
    "ssh",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "BatchMode=yes",
];

fn words<'a>(login: &'a str) -> Vec<&'a str> {
    SSH.into_iter().chain([login, "echo hello"]).collect()
}

fn ssh(client: &Client, target: &str, login: &str) -> Outcome<crate::command::Output> {
    client.run(&words(&format!("{login}@{target}")), SOON)
}

fn ssh_background(client: &Client, target: &str) -> Outcome<Daemon> {
    let login = format!("root@{target}");
    let words = words(&login);
    let mut command = client.host.ns.command(words[0]);
    command.args(&words[1..]);
    client.host.ns.spawn("ssh-of-b", &mut command)
}

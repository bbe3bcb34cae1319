//! Devices without a client: plain WireGuard, set by hand from the configuration that the box gives.
//!
//! ```text
//!   web 198.51.100.10
//!        internet
//!    ____|____|____
//!   |        |     |
//! server     a     tv (the kernel's WireGuard, no client)
//!   | 192.168.77.1
//! printer
//! ```

use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::internet::{self, Host, SERVER, WEB};
use crate::lab::Lab;
use crate::netns::Namespace;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::server_config;

pub(super) const KERNEL: Scenario = Scenario {
    name: "router-plain",
    summary: "a device without a client, with plain WireGuard: it reaches what was ticked for it and nothing else",
    usual: false,
    programs: &["wg"],
    run: |lab| run(lab, "auto"),
    ..Scenario::BASE
};

pub(super) const USERSPACE: Scenario = Scenario {
    name: "router-plain-userspace",
    summary: "the same, and the box has WireGuard in user space",
    usual: false,
    programs: &["wg"],
    run: |lab| run(lab, "userspace"),
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
const LAN: &str = "192.168.77.0/24";
const PRINTER: &str = "192.168.77.9";
/// The interface of devices without a client.
const INTERFACE: &str = "hearthgate0";

/// What a device reaches: a page on the printer, one on the Internet, and an answer of the member `a`.
const PLACES: [&str; 3] = ["LAN", "Internet", "network"];

fn run(lab: &mut Lab, plane: &str) -> Outcome {
    let _web = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let host = lab.internet()?.server()?;
    internet::bridge(&host.ns, "192.168.77.1/24")?;
    let printer = Namespace::new(&lab.context, "printer")?;
    internet::plug(&host.ns, &printer, "eth0", &format!("{PRINTER}/24"), Some("192.168.77.1"))?;
    let _printer = printer.helper("printer-web", &["__http", "0.0.0.0:80"])?;
    let socket = lab.context.folder("box")?.join("r.sock");
    let section = format!(
        "\n[router]\nenabled = true\nhostname = \"box\"\nadvertise_routes = [\"{LAN}\"]\ndata_plane = \"{plane}\"\n\
         socket = {socket:?}\n[router.wireguard]\nenabled = true\nendpoint = \"{SERVER}\"\n"
    );
    lab.serve_in(host, &format!("{}{section}", server_config::PLAIN), &server_config::url(), Vec::new())?;
    lab.server()?.wait_online("box", true, MEET)?;
    let key = lab.reusable_key("alice")?;
    let a = lab.join("a", &key, &[])?;
    a.sees("box", MEET)?;
    let member = a.ip()?;
    let tv = lab.internet()?.host("tv")?;

    let mut first = String::new();
    for (name, flags, reached) in [
        ("tv", [].as_slice(), [true, false, false]),
        ("old-phone", &["--no-lan", "--internet"], [false, true, false]),
        ("tablet", &["--no-lan", "--tailnet"], [false, false, true]),
        ("console", &["--internet", "--tailnet"], [true, true, true]),
    ] {
        let made = lab.server()?.json(&[&["wireguard", "add", name], flags].concat())?;
        let text = made["configuration"].as_str().unwrap_or_default();
        ensure!(text.contains("PrivateKey"), "{made}");
        connect(&tv, text)?;
        // What is reached comes first: a tunnel that is not there yet would refuse the rest as well.
        for (place, _) in PLACES.iter().zip(reached).filter(|(_, ticked)| *ticked) {
            lab.context.eventually(&format!("{name} reaches the {place}"), SOON, || reaches(&tv, place, &member))?;
        }
        for (place, _) in PLACES.iter().zip(reached).filter(|(_, ticked)| !ticked) {
            ensure!(reaches(&tv, place, &member).is_err(), "{name} reaches the {place}, which was not ticked");
        }
        println!("  {name}: reaches what was ticked, and not the rest");
        if first.is_empty() {
            text.clone_into(&mut first);
            for own in ["10.213.77.1", "192.168.77.1", SERVER] {
                ensure!(reaches(&tv, own, &member).is_err(), "{name} reaches the box's own pages at {own}");
            }
        }
    }

    // The first again, then removed while it is connected.
    connect(&tv, &first)?;
    lab.context.eventually("the first is back", SOON, || reaches(&tv, "LAN", &member))?;
    let devices = lab.server()?.json(&["wireguard", "list"])?;
    ensure!(!devices.to_string().contains("rivate"), "a private key is in the list: {devices}");
    let id = devices[0]["id"].as_str().ok_or_else(|| Failure(devices.to_string()))?.to_owned();
    lab.server()?.command(&["wireguard", "remove", "-i", &id])?.ok()?;
    lab.context.eventually("the removed one is out", SOON, || {
        ensure!(reaches(&tv, "LAN", &member).is_err(), "it still gets the page");
        Ok(())
    })?;
    println!("  a removed device is out at once");

    // The others outlive a restart of the box, and nothing stays when it stops.
    lab.server()?.stop()?;
    let left = lab.server()?.host.ns.run(&["sh", "-c", "ip link; nft list tables"], SOON)?.ok()?.stdout;
    ensure!(!left.contains(INTERFACE), "something is left: {left}");
    lab.server()?.launch()?;
    let made = lab.server()?.json(&["wireguard", "add", "after"])?;
    connect(&tv, made["configuration"].as_str().unwrap_or_default())?;
    lab.context.eventually("a device reaches the LAN after a restart", SOON, || reaches(&tv, "LAN", &member))?;
    let count = lab.server()?.json(&["wireguard", "list"])?.as_array().map(Vec::len);
    ensure!(count == Some(4), "{count:?} devices after a restart");
    a.reaches(&lab.server()?.addresses("box")?.into_iter().next().unwrap_or_default(), MEET)
}

/// What `wg-quick` does, without it: everything but the way to the box goes into the tunnel.
fn connect(device: &Host, configuration: &str) -> Outcome {
    let value = |name: &str| -> Outcome<String> {
        let found = configuration.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        found.map(|value| value.trim().to_owned()).ok_or_else(|| Failure(format!("no {name}")))
    };
    let words = format!(
        "ip link del wg0 2>/dev/null; ip link add wg0 mtu 1420 type wireguard && umask 077 && f=$(mktemp) && \
         echo {} > $f && wg set wg0 private-key $f peer {} allowed-ips 0.0.0.0/0,::/0 endpoint {} && rm $f && \
         for a in {}; do ip addr add $a dev wg0 || exit; done && ip link set wg0 up && \
         for net in {LAN} 100.64.0.0/10 {WEB}/32 10.213.77.0/24; do ip route replace $net dev wg0; done",
        value("PrivateKey")?,
        value("PublicKey")?,
        value("Endpoint")?,
        value("Address")?.replace(',', ""),
    );
    device.ns.run(&["sh", "-c", &words], SOON)?.ok().map(drop)
}

/// One try, with whatever routes the device likes: what it may is the box's business.
fn reaches(device: &Host, place: &str, member: &str) -> Outcome {
    let page = |url: &str, from: &str| -> Outcome {
        let answer = device.ns.run(&["curl", "-fsS", "-m", "3", url], SOON)?.ok()?.stdout;
        ensure!(answer.trim() == format!("from={from}"), "{answer}");
        Ok(())
    };
    match place {
        "LAN" => page(&format!("http://{PRINTER}/"), "192.168.77.1"),
        "Internet" => page(&format!("http://{WEB}/"), SERVER),
        "network" => device.ns.run(&["ping", "-n", "-c", "1", "-W", "2", member], SOON)?.ok().map(drop),
        // The box's own pages: not by the tunnel, whatever the address.
        own => {
            let page = format!("http://{own}:8080/health");
            device.ns.run(&["curl", "-sS", "-m", "3", "--interface", "wg0", &page], SOON)?.ok().map(drop)
        }
    }
}

//! What hearthgate's own router carries for others: its LAN, the Internet, and the LAN's way out.
//!
//! ```text
//!   web 198.51.100.10
//!        internet
//!    ____|____|________________
//!   |        |        |        |
//! server    ra       gw        x
//!            |        |
//!            a     printer
//! ```
//!
//! `gw` is the home router with hearthgate on it; `a` is an official client behind hard NAT.

use std::time::Duration;

use crate::client::{BACK, Client, MEET, Relay};
use crate::ensure;
use crate::internet::{GATEWAY, Host, WEB};
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::netns::Namespace;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server_config::{self, EXTRA_RECORD};

pub(super) const SUBNET: Scenario = Scenario {
    name: "router-subnet",
    summary: "a client behind hard NAT reaches our router's LAN by name and the Internet through it, direct and relayed",
    limit: Duration::from_secs(240),
    run: run_subnet,
    ..Scenario::BASE
};

pub(super) const EXIT: Scenario = Scenario {
    name: "router-exit",
    summary: "our router as exit node of an official client; an official exit node for our router's whole LAN",
    limit: Duration::from_secs(240),
    run: run_exit,
    ..Scenario::BASE
};

pub(super) const BOX: Scenario = Scenario {
    name: "router-box",
    summary: "the server's own machine joins by itself: it is reached, carries a client's traffic, comes back",
    limit: Duration::from_secs(240),
    run: run_box,
    ..Scenario::BASE
};

pub(super) const SOON: Duration = Duration::from_secs(20);
/// A web server that only IPv6 leads to.
const WEB6: &str = "2001:db8:5::10";
/// The router's firewall lets WireGuard's port in, as the packages' does.
pub(super) const OPEN_PORT: &str = "insert rule ip lab_nat input udp dport 41641 accept\n";

fn run_subnet(lab: &mut Lab) -> Outcome {
    let mut home = lab.internet()?.router("gw", NatKind::Easy)?;
    home.ns.nft(OPEN_PORT)?;
    let printer = home.host("printer")?;
    let _web = printer.ns.helper("printer-web", &["__http", "0.0.0.0:80"])?;
    let _other = printer.ns.helper("printer-other", &["__http", "0.0.0.0:81"])?;
    let lan = home.lan.clone();
    lab.serve_with(&server_config::DNS.replace(EXTRA_RECORD.1, &printer.address), &server_config::url())?;
    let (url, key) = (lab.url()?, lab.reusable_key("alice")?);
    let host = lab.internet()?.router("ra", NatKind::Hard)?.host("a")?;
    host.ns.resolver(&format!("nameserver {GATEWAY}\n"))?;
    let mut a = Client::install(host, "a", Relay::Tls)?;
    a.launch()?;
    a.up(&url, &key, &["--accept-routes"])?;
    let flags = ["--advertise-routes", &lan, "--advertise-exit-node"];
    let mut gw = Router::join(home.into_host(), "gw", &url, &key, &flags)?;
    a.sees("gw", MEET)?;
    a.does_not_reach(&printer.address)?;
    lab.server()?.approve("gw", &format!("{lan},0.0.0.0/0,::/0"))?;
    a.reaches(&printer.address, MEET)?;
    printer_sees(&a, "192.168.1.1")?;
    a.direct_to("gw", MEET)?;
    let output = a.run(&["ping", "-c", "50", "-i", "0.02", "-s", "1200", &printer.address], SOON)?.ok()?;
    ensure!(output.stdout.contains(" 0% packet loss"), "{}", output.stdout.trim());

    // Rules of the network hold for what is behind the router.
    let closed = format!("http://{}:81/", printer.address);
    a.run(&["curl", "-fsS", "-m", "5", &closed], SOON)?.ok()?;
    let file = lab.server()?.file("policy.json");
    let to = format!(r#""{}:80","100.64.0.0/10:*","autogroup:internet:*""#, printer.address);
    std::fs::write(&file, format!(r#"{{"acls":[{{"action":"accept","src":["*"],"dst":[{to}]}}]}}"#))?;
    lab.server()?.command(&["policy", "set", "--policy", &file])?.ok()?;
    a.context().eventually("the other port is closed", SOON, || {
        let output = a.run(&["curl", "-fsS", "-m", "2", &closed], SOON)?;
        ensure!(!output.success(), "{}", output.stdout);
        Ok(())
    })?;
    printer_sees(&a, "192.168.1.1")?;

    gw.host.block_udp()?;
    a.relayed_to("gw", MEET)?;
    printer_sees(&a, "192.168.1.1")?;

    // The same way to the Internet, relayed and then direct; what is closed stays so.
    let _internet = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let exit = format!("--exit-node={}", gw.ip()?);
    a.context().eventually("gw is chosen", SOON, || a.tailscale(&["set", &exit], SOON)?.ok().map(drop))?;
    web_sees(&a.host, &gw.host.address)?;
    printer_sees(&a, "192.168.1.1")?;
    let output = a.run(&["curl", "-fsS", "-m", "2", &closed], SOON)?;
    ensure!(!output.success(), "{}", output.stdout);
    gw.host.unblock_udp()?;
    a.direct_to("gw", MEET)?;
    web_sees(&a.host, &gw.host.address)?;
    printer_sees(&a, "192.168.1.1")?;
    a.tailscale(&["set", "--exit-node="], SOON)?.ok()?;

    // A reload of somebody else's firewall takes our rules along; they come back.
    gw.run(&["nft", "delete", "table", "inet", "hearthgate-tailscale0"], SOON)?.ok()?;
    printer_sees(&a, "192.168.1.1")?;

    gw.hearthgate(&["router", "up", "--advertise-routes="], SOON)?.ok()?;
    a.context().eventually("the route is gone", SOON, || a.does_not_reach(&printer.address))?;
    a.reaches(&gw.ip()?, SOON)?;
    gw.stop()?;
    let left = gw.run(&["nft", "list", "tables"], SOON)?.ok()?.stdout;
    ensure!(!left.contains("hearthgate"), "left behind: {left}");
    let left = gw.run(&["ip", "rule"], SOON)?.ok()?.stdout;
    ensure!(!left.contains("5270"), "left behind: {left}");
    Ok(())
}

fn run_exit(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let (url, key) = (lab.url()?, lab.reusable_key("alice")?);
    let _web = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let host = lab.internet()?.host("x")?;
    let mut x = Router::join(host, "x", &url, &key, &["--advertise-exit-node"])?;
    let a = lab.join("a", &key, &[])?;
    a.sees("x", MEET)?;
    web_sees(&a.host, &a.host.address)?;
    lab.server()?.approve("x", "0.0.0.0/0,::/0")?;
    let (x_ip, own) = (x.ip()?, a.host.address.clone());
    a.context().eventually("x is chosen", SOON, || {
        a.tailscale(&["set", &format!("--exit-node={x_ip}")], SOON)?.ok().map(drop)
    })?;
    web_sees(&a.host, &x.host.address)?;
    // Its provider gave it one IPv6 address, and its users have none that anybody knows the way to.
    if Namespace::has_ipv6() {
        let internet = &lab.internet()?.ns;
        internet.ip(&format!("addr add {WEB6}/128 dev lo nodad"))?;
        let _web6 = internet.helper("web6", &["__http", &format!("[{WEB6}]:80")])?;
        x.host.ns.ip("-6 route add default via fd77::1")?;
        let page = format!("http://[{WEB6}]/");
        let fetch = || a.run(&["curl", "-fsS", "-m", "3", &page], SOON);
        ensure!(!fetch()?.success(), "an address of the network was answered from outside");
        x.hearthgate(&["router", "up", "--nat66"], SOON)?.ok()?;
        a.context().eventually("the web sees a as x, over IPv6", SOON, || {
            let answer = fetch()?.ok()?.stdout;
            let outside = x.host.address.replace("10.77.0.", "fd77::");
            ensure!(answer.trim() == format!("from={outside}"), "{answer}");
            Ok(())
        })?;
    } else {
        println!("  no IPv6 here: nat66 is not tried");
    }
    a.tailscale(&["set", "--exit-node="], SOON)?.ok()?;
    web_sees(&a.host, &own)?;
    x.check()?;

    // The other way round: the whole LAN behind our router leaves through an official exit node.
    let mut home = lab.internet()?.router("gw", NatKind::Easy)?;
    let printer = home.host("printer")?;
    let host = lab.internet()?.host("y")?;
    for family in ["ipv4.ip_forward", "ipv6.conf.all.forwarding"] {
        host.ns.sysctl(&format!("net.{family}"), "1")?;
    }
    let y = lab.join_on(host, "y", &key, &["--advertise-exit-node"])?;
    lab.server()?.approve("y", "0.0.0.0/0,::/0")?;
    let mut gw = Router::join(home.into_host(), "gw", &url, &key, &[])?;
    gw.sees("y", MEET)?;
    web_sees(&printer, &gw.host.address)?;
    gw.hearthgate(&["router", "up", "--exit-node", "y", "--exit-node-allow-lan-access"], SOON)?.ok()?;
    web_sees(&gw.host, &y.host.address)?;
    web_sees(&printer, &y.host.address)?;
    printer.ns.run(&["ping", "-c", "1", "-W", "2", "192.168.1.1"], SOON)?.ok()?;
    lab.server()?.wait_online("gw", true, SOON)?;
    // The exit node is gone: what was to leave through it does not leave beside it.
    let id = lab.server()?.node_id("y")?;
    lab.server()?.command(&["nodes", "delete", "-i", &id])?.ok()?;
    let page = format!("http://{WEB}/");
    lab.context.eventually("nothing leaves any more", SOON, || {
        for _ in 0..3 {
            let output = printer.ns.run(&["curl", "-fsS", "-m", "2", &page], SOON)?;
            ensure!(!output.success(), "{}", output.stdout);
        }
        Ok(())
    })?;
    lab.server()?.wait_online("gw", true, SOON)?;
    // Nor is its own way to the control server lost, not even after a restart: from there comes who else is an exit node.
    gw.hearthgate(&["router", "up", "--exit-node-allow-lan-access=false"], SOON)?.ok()?;
    gw.kill()?;
    gw.launch(&[])?;
    gw.hearthgate(&["router", "up", "--exit-node="], SOON)?.ok()?;
    web_sees(&printer, &gw.host.address)?;
    gw.check()
}

fn run_box(lab: &mut Lab) -> Outcome {
    let _web = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let socket = lab.context.folder("box")?.join("r.sock");
    let section =
        format!("\n[router]\nenabled = true\nhostname = \"box\"\nadvertise_exit_node = true\nsocket = {socket:?}\n");
    lab.serve_with(&format!("{}{section}", server_config::PLAIN), &server_config::url())?;
    lab.server()?.wait_online("box", true, MEET)?;
    let address = lab.server()?.addresses("box")?.into_iter().next().ok_or("no address")?;
    let key = lab.reusable_key("alice")?;
    let a = lab.join("a", &key, &[])?;
    a.sees("box", MEET)?;
    a.direct_to("box", MEET)?;
    a.reaches(&address, MEET)?;
    a.context().eventually("the box is chosen as exit node", SOON, || {
        a.tailscale(&["set", &format!("--exit-node={address}")], SOON)?.ok().map(drop)
    })?;
    web_sees(&a.host, &lab.server()?.host.address)?;
    a.tailscale(&["set", "--exit-node="], SOON)?.ok()?;

    // Its pages say how it reaches the client.
    page_shows(lab, &["this box", "direct", &a.host.address])?;

    // More than once: what the box tells of itself races with its own map stream.
    for _ in 0..3 {
        lab.server()?.stop()?;
        let left = lab.server()?.host.ns.run(&["ip", "link", "show", "tailscale0"], SOON)?;
        ensure!(!left.success(), "the interface is still there");
        lab.server()?.launch()?;
        lab.server()?.wait_online("box", true, MEET)?;
        ensure!(lab.server()?.addresses("box")?.first() == Some(&address), "another address");
        ensure!(lab.server()?.nodes()?.len() == 2, "the box is there twice");
        a.reaches(&address, BACK)?;
    }
    Ok(())
}

/// Somebody claims the box, and the page of its own device shows all of this.
fn page_shows(lab: &mut Lab, wanted: &[&str]) -> Outcome {
    let jar = lab.context.folder("pages")?.join("cookies").display().to_string();
    let server = lab.server()?;
    let claim = server.command(&["admin", "setup-code", "-o", "json"])?.ok()?.stdout;
    let code = claim.split('"').find(|word| word.len() == 14 && word.matches('-').count() == 2).unwrap_or_default();
    let (code, id) = (format!("code={code}"), server.node_id("box")?);
    let base = "http://127.0.0.1:8080/admin";
    let (claim, list, device) = (format!("{base}/claim"), format!("{base}/"), format!("{base}/device/{id}"));
    let form = ["-d", &code, "-d", "name=anna", "-d", "password=correct horse battery", &claim];
    server.host.ns.run(&[&["curl", "-fsS", "-c", &jar], &form[..]].concat(), SOON)?.ok()?;
    lab.context.eventually("the pages show the path", SOON, || {
        let page = |url: &str| lab.running()?.host.ns.run(&["curl", "-fsS", "-b", &jar, url], SOON)?.ok();
        let shown = page(&list)?.stdout + &page(&device)?.stdout;
        // The path may be the one by IPv6, if that is faster.
        let other = |w: &str| w.strip_prefix("10.77.0.").map(|host| format!("[fd77::{host}]"));
        let there = |w: &str| shown.contains(w) || other(w).is_some_and(|other| shown.contains(&other));
        let missing: Vec<&&str> = wanted.iter().filter(|w| !there(w)).collect();
        ensure!(missing.is_empty(), "{missing:?} is not in {shown}");
        Ok(())
    })
}

/// The client gets the printer's page by its name; the printer sees this address.
fn printer_sees(a: &Client, address: &str) -> Outcome {
    let page = format!("http://{}/", EXTRA_RECORD.0);
    a.context().eventually("a gets the printer's page by name", MEET, || {
        let answer = a.run(&["curl", "-fsS", "-m", "5", &page], SOON)?.ok()?.stdout;
        ensure!(answer.trim() == format!("from={address}"), "{answer}");
        Ok(())
    })
}

pub(super) fn web_sees(host: &Host, address: &str) -> Outcome {
    let what = format!("the web sees {} as {address}", host.ns.role);
    host.ns.context().eventually(&what, SOON, || {
        let page = format!("http://{WEB}/");
        let answer = host.ns.run(&["curl", "-fsS", "-m", "3", &page], SOON)?.ok()?.stdout;
        ensure!(answer.trim() == format!("from={address}"), "{answer}");
        Ok(())
    })
}

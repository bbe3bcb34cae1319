//! Our router in a tailnet whose control server and relay are Headscale's.
//!
//! ```text
//!        internet
//!    ____|____|_________
//!   |        |          |
//! server     ra (hard)  gw
//! (Headscale) |         |
//!             a      printer
//! ```
//! Needs Headscale itself (ci/clients/headscale), so it is not among `all`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::ensure;
use crate::headscale::Headscale;
use crate::internet::{Host, SERVER};
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server_config::PORT;

use super::acme::NAME;
use super::router_routes::{OPEN_PORT, SOON, web_sees};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-headscale",
    summary: "our router in a Headscale's tailnet: direct, relayed, its LAN, exit node, restarts of either",
    limit: Duration::from_secs(300),
    programs: &["openssl"],
    usual: false,
    run,
    ..Scenario::BASE
};

fn run(lab: &mut Lab) -> Outcome {
    let folder = lab.context.folder("headscale")?;
    let (cert, key_file) = certificate(lab, &folder)?;
    let server = lab.internet()?.server()?;
    let url = format!("https://{NAME}:{PORT}");
    let place = folder.to_string_lossy().into_owned();
    let mut headscale = Headscale::start(&server, &place, &url, Some((&cert, &key_file)))?;
    let key = headscale.user_with_key("anna", "anna@home.example")?;
    let knows = |host: &Host| -> Outcome {
        host.ns.trust(&cert)?;
        host.ns.hosts_line(&format!("{SERVER} {NAME}"))
    };

    let host = lab.internet()?.router("ra", NatKind::Hard)?.host("a")?;
    knows(&host)?;
    let mut a = Client::install(host, "a", Relay::Tls)?;
    a.launch()?;
    a.up(&url, &key, &["--accept-routes"])?;
    let mut home = lab.internet()?.router("gw", NatKind::Easy)?;
    home.ns.nft(OPEN_PORT)?;
    let printer = home.host("printer")?;
    let _web = printer.ns.helper("printer-web", &["__http", "0.0.0.0:80"])?;
    let lan = home.lan.clone();
    let inside = printer.address.rsplit_once('.').map_or_else(String::new, |(net, _)| format!("{net}.1"));
    let host = home.into_host();
    knows(&host)?;
    let mut gw = Router::join(host, "gw", &url, &key, &["--advertise-routes", &lan, "--advertise-exit-node"])?;
    a.sees("gw", MEET)?;
    a.direct_to("gw", MEET)?;
    gw.reaches(&a.ip()?, MEET)?;

    a.does_not_reach(&printer.address)?;
    let all = format!("{lan},0.0.0.0/0,::/0");
    headscale.command(&["nodes", "approve-routes", "-i", "2", "-r", &all])?.ok()?;
    let printer_answers = |a: &Client| {
        let page = format!("http://{}/", printer.address);
        a.context().eventually("a gets the printer's page", MEET, || {
            let answer = a.run(&["curl", "-fsS", "-m", "5", &page], SOON)?.ok()?.stdout;
            ensure!(answer.trim() == format!("from={inside}"), "{answer}");
            Ok(())
        })
    };
    printer_answers(&a)?;
    gw.host.block_udp()?;
    a.relayed_to("gw", MEET)?;
    printer_answers(&a)?;
    gw.host.unblock_udp()?;
    a.direct_to("gw", MEET)?;

    let _internet = lab.internet()?.ns.helper("web", &["__http", "0.0.0.0:80"])?;
    let gw_ip = gw.ip()?;
    a.context().eventually("gw is chosen", SOON, || {
        a.tailscale(&["set", &format!("--exit-node={gw_ip}"), "--exit-node-allow-lan-access"], SOON)?.ok().map(drop)
    })?;
    web_sees(&a.host, &gw.host.address)?;
    a.tailscale(&["set", "--exit-node="], SOON)?.ok()?;

    // The server goes and comes; so does the router, which needs no key for it.
    headscale.kill()?;
    a.reaches(&gw_ip, SOON)?;
    headscale.launch(&server)?;
    a.reaches("gw", MEET)?;
    gw.kill()?;
    gw.launch(&[])?;
    ensure!(gw.ip()? == gw_ip, "gw has another address: {}", gw.ip()?);
    a.reaches("gw", MEET)?;
    printer_answers(&a)
}

/// A certificate for [`NAME`], its own authority.
fn certificate(lab: &Lab, folder: &Path) -> Outcome<(PathBuf, PathBuf)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let names = format!("subjectAltName=DNS:{NAME}");
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    openssl.args(["-subj", "/CN=headscale", "-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    lab.context.run(&mut openssl, SOON)?.ok()?;
    Ok((cert, key))
}

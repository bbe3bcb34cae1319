//! Two sites with the same IPv4 network, told apart by 4via6 addresses, behind two of our routers.
//!
//! ```text
//!        internet
//!    ____|____|__________|_________
//!   |        |           |         |
//! server    one         two        a
//!            |           |
//!         printer     scanner
//!       192.168.9.9  192.168.9.9
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::client::MEET;
use crate::ensure;
use crate::internet::Host;
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::scenario::Scenario;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "router-4via6",
    summary: "an official client reaches hosts with one IPv4 address at two sites: echo, TCP, UDP, names, large packets",
    limit: Duration::from_secs(240),
    programs: &["getent", "iperf3"],
    run,
    ..Scenario::BASE
};

const SOON: Duration = Duration::from_secs(20);
/// The address at both sites.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 9, 9);
const LAN: &str = "192.168.9.0/24";

fn run(lab: &mut Lab) -> Outcome {
    lab.serve()?;
    let (url, key) = (lab.server()?.url.clone(), lab.reusable_key("alice")?);
    let a = lab.join("a", &key, &["--accept-routes"])?;
    let route = |site: &str| -> Outcome<String> {
        let output = a.tailscale(&["debug", "via", site, LAN], SOON)?.ok()?;
        Ok(output.stdout.trim().to_owned())
    };
    let (mut one, printer) = site(lab, "one", "printer", &url, &key, &route("1")?)?;
    let (mut two, scanner) = site(lab, "two", "scanner", &url, &key, &route("65535")?)?;
    let _web = [
        printer.ns.helper("printer-web", &["__http", "0.0.0.0:81"])?,
        scanner.ns.helper("scanner-web", &["__http", "0.0.0.0:82"])?,
    ];
    for peer in ["one", "two"] {
        a.sees(peer, MEET)?;
    }
    for (site, port, other, host) in [(1, 81, 82, &printer), (65_535, 82, 81, &scanner)] {
        let address = through(site, HOST);
        a.reaches(&address, MEET)?;
        // Without the network's domain, and with the resolver's search list in between.
        let name = format!("192-168-9-9-via-{site}");
        let found = a.run(&["getent", "ahostsv6", &name], SOON)?.ok()?.stdout;
        ensure!(found.split_whitespace().next() == Some(&address), "{name}: {found}");
        let page = a.run(&["curl", "-fsS", "-m", "5", &format!("http://{name}:{port}/")], SOON)?.ok()?.stdout;
        ensure!(page.trim() == "from=192.168.9.1", "the host sees {page}, not its router");
        // It is not the other site, and an error of the site's comes back as one.
        let closed = a.run(&["curl", "-sS", "-m", "5", &format!("http://{name}:{other}/")], SOON)?;
        ensure!(closed.stderr.contains("(7)"), "not refused: {}", closed.stderr.trim());
        // Streams that fill their packets, and datagrams that need two, in both directions.
        let mut command = host.ns.command("iperf3");
        let server = host.ns.spawn(&format!("iperf3-{site}"), command.args(["-s"]))?;
        for kind in [&[][..], &["-R"], &["-u", "-l", "1400"], &["-u", "-l", "1400", "-R"]] {
            let words = [&["iperf3", "-6", "-t", "1", "-c", &address], kind].concat();
            a.context().eventually("a stream goes through", SOON, || {
                let output = a.run(&words, SOON)?.ok()?;
                let report = output.stdout.lines().find(|line| line.contains("receiver"));
                let report = report.ok_or("no report")?;
                // On the way back the first large one is lost: it tells the host to cut the others.
                let whole = !kind.contains(&"-u") || kind.contains(&"-R") || report.contains("(0%)");
                ensure!(whole, "{report}");
                if kind.len() < 2 {
                    println!("  TCP, {}: {}", kind.first().map_or("to the site", |_| "from the site"), rate(report));
                }
                Ok(())
            })?;
        }
        server.kill()?;
    }
    // What is not a LAN's own: the router's loopback, and other devices of the network.
    for wrong in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(100, 64, 0, 1)] {
        a.does_not_reach(&through(1, wrong))?;
    }
    one.hearthgate(&["router", "up", "--advertise-routes="], SOON)?.ok()?;
    a.context().eventually("the first site is gone", SOON, || a.does_not_reach(&through(1, HOST)))?;
    let left = one.run(&["ip", "link"], SOON)?.ok()?.stdout;
    ensure!(!left.contains("-via"), "the translator's device is still there: {left}");
    a.reaches(&through(65_535, HOST), SOON)?;
    one.check()?;
    two.check()
}

/// A site: a router that offers `route`, and the host behind it.
fn site(lab: &mut Lab, name: &str, host: &str, url: &str, key: &str, route: &str) -> Outcome<(Router, Host)> {
    let mut home = lab.internet()?.router(name, NatKind::Easy)?;
    let host = home.host(host)?;
    // A second network on the same wire, the same at both sites.
    home.ns.ip("addr add 192.168.9.1/24 dev br0")?;
    host.ns.ip(&format!("addr add {HOST}/24 dev eth0"))?;
    let router = Router::join(home.into_host(), name, url, key, &["--advertise-routes", route])?;
    lab.server()?.wait_online(name, true, MEET)?;
    lab.server()?.approve(name, route)?;
    Ok((router, host))
}

/// What iperf3 reports as the throughput.
fn rate(report: &str) -> &str {
    report.split("  ").map(str::trim).find(|column| column.ends_with("bits/sec")).unwrap_or(report)
}

/// The address of a host at a site.
fn through(site: u32, address: Ipv4Addr) -> String {
    let prefix = 0xfd7a_115c_a1e0_0b1a_u128 << 64;
    Ipv6Addr::from(prefix | u128::from(site) << 32 | u128::from(u32::from(address))).to_string()
}

//! Two routers serve the same LAN; when the first one dies the second takes over.
//!
//! ```text
//!        internet
//!    ____|____|________________
//!   |        |     |     |     |
//! server     a    home   r1    r2
//!                  |_____|_____|     LAN 192.168.1.0/24, advertised by r1 and r2
//!                     |
//!                  printer
//! ```
//!
//! `failover` kills the client program, which closes its connections; `failover-cable` cuts the
//! machine off, so that the server has to find out by itself. In `router-failover` r1 and r2 are our
//! own routers, and a router of ours at another site uses the LAN beside the client.

use std::time::Duration;

use crate::client::{Client, MEET};
use crate::ensure;
use crate::internet::Host;
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::{Failure, Outcome};
use crate::router::Router;
use crate::scenario::Scenario;
use crate::server::{field, list};
use crate::stream::Stream;

pub(super) const KILL: Scenario = Scenario {
    name: "failover",
    summary: "two routers for one LAN: the first is killed, the second takes over",
    limit: Duration::from_secs(240),
    run: run_kill,
    ..Scenario::BASE
};

pub(super) const CABLE: Scenario = Scenario {
    name: "failover-cable",
    summary: "two routers for one LAN: the first loses its cable, the second takes over",
    limit: Duration::from_secs(240),
    run: run_cable,
    ..Scenario::BASE
};

pub(super) const OURS: Scenario = Scenario {
    name: "router-failover",
    summary: "two routers of ours for one LAN: the first is killed; a client and another site go on through the second",
    run: run_ours,
    ..Scenario::BASE
};

/// A closed connection plus the server's grace for short absences.
const AFTER_KILL: Duration = Duration::from_secs(20);
/// Time between two pings while a router of ours goes.
const PACE: Duration = Duration::from_millis(100);
/// Nothing is closed: one probe interval, one probe time limit, and the news to travel.
const AFTER_CABLE: Duration = Duration::from_secs(45);

fn run_kill(lab: &mut Lab) -> Outcome {
    fail_over(lab, AFTER_KILL, |router| router.kill())
}

fn run_cable(lab: &mut Lab) -> Outcome {
    fail_over(lab, AFTER_CABLE, |router| router.host.ns.ip("link set eth0 down").map(drop))
}

/// A LAN with a printer and two machines that join it as its routers, one after the other: the first to offer a route is
/// its primary router.
fn home<R>(
    lab: &mut Lab,
    mut join: impl FnMut(&mut Lab, Host, &str, &str) -> Outcome<R>,
) -> Outcome<(String, Host, Vec<R>)> {
    let mut home = lab.internet()?.router("home", NatKind::Easy)?;
    let printer = home.host("printer")?;
    let route = format!("--advertise-routes={}", home.lan);
    let mut routers = Vec::new();
    for name in ["r1", "r2"] {
        let host = lab.internet()?.host(name)?;
        host.join_lan(&mut home)?;
        routers.push(join(lab, host, name, &route)?);
        lab.server()?.wait_online(name, true, MEET)?;
        lab.server()?.approve(name, &home.lan)?;
    }
    Ok((home.lan, printer, routers))
}

fn fail_over(lab: &mut Lab, limit: Duration, break_it: impl FnOnce(&mut Client) -> Outcome) -> Outcome {
    let key = lab.open()?;
    let (lan, printer, mut routers) = home(lab, |lab, host, name, route| {
        host.ns.sysctl("net.ipv4.ip_forward", "1")?;
        lab.join_on(host, name, &key, &[route])
    })?;
    let a = lab.join("a", &key, &["--accept-routes"])?;
    a.reaches(&printer.address, MEET)?;
    ensure!(primaries(lab, &lan)? == ["r1"], "primary is {:?}, not r1", primaries(lab, &lan)?);

    let first = routers.first_mut().ok_or_else(|| Failure("no router".into()))?;
    break_it(first)?;
    lab.context.eventually("r2 is the primary router", limit, || {
        let now = primaries(lab, &lan)?;
        ensure!(now == ["r2"], "{now:?}");
        Ok(())
    })?;
    a.reaches(&printer.address, Duration::from_secs(10))
}

fn run_ours(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let url = lab.url()?;
    let (lan, printer, mut routers) = home(lab, |_, host, name, route| Router::join(host, name, &url, &key, &[route]))?;
    let a = lab.join("a", &key, &["--accept-routes"])?;
    let mut site = Router::join(lab.internet()?.host("site")?, "site", &url, &key, &["--accept-routes"])?;
    a.reaches(&printer.address, MEET)?;
    site.reaches(&printer.address, MEET)?;
    ensure!(primaries(lab, &lan)? == ["r1"], "primary is {:?}, not r1", primaries(lab, &lan)?);

    let pings = Stream::start(&a.host.ns, "stream", &printer.address, PACE, 56)?;
    let context = lab.context.clone();
    let mark = pings.mark(&context, MEET)?;
    routers.first_mut().ok_or_else(|| Failure("no router".into()))?.kill()?;
    let report = pings.since(&context, mark, MEET)?;
    println!("  the primary router was killed: {report}");
    let limit = AFTER_KILL * context.options.patience;
    ensure!(report.gap <= limit.as_secs_f64(), "silent for {:.1} s, more than {limit:?}", report.gap);
    ensure!(primaries(lab, &lan)? == ["r2"], "primary is {:?}, not r2", primaries(lab, &lan)?);
    pings.end()?;
    site.reaches(&printer.address, Duration::from_secs(10))?;
    site.check()?;
    routers.get_mut(1).ok_or_else(|| Failure("no router".into()))?.check()
}

/// Names of the nodes that serve the prefix now.
fn primaries(lab: &Lab, prefix: &str) -> Outcome<Vec<String>> {
    let nodes = lab.running()?.nodes()?;
    let serves = |node: &&serde_json::Value| {
        list(field(node, "subnetRoutes", "subnet_routes")).iter().any(|route| route == prefix)
    };
    let name =
        |node: &serde_json::Value| field(node, "givenName", "given_name").as_str().unwrap_or_default().to_owned();
    Ok(nodes.iter().filter(serves).map(name).collect())
}

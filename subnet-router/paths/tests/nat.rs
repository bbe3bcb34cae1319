//! Two nodes and what lies between them, in virtual time: each kind of NAT, blocked UDP, losses, roaming, restarts.

mod sim;

use hearthgate_paths::{Event, Path};
use sim::{
    World, ms,
    nat::{Kind, Nat},
    peer_relay::PeerRelay,
    s,
};
use std::net::IpAddr;

/// Two hosts, each behind its own NAT, that talk both ways for `seconds`.
fn pair(a: Kind, b: Kind, seconds: u64) -> World {
    let mut w = World::new(7);
    let (na, nb) = (w.nat(a), w.nat(b));
    w.host(na);
    w.host(nb);
    w.start();
    talk(&mut w, seconds);
    w
}

fn talk(w: &mut World, seconds: u64) {
    w.talk(0, 1, ms(20), s(seconds));
    w.talk(1, 0, ms(20), s(seconds));
}

fn nothing_lost(w: &World) {
    for (from, to) in [(0, 1), (1, 0)] {
        let (sent, lost) = w.lost(from, to);
        assert!(sent > 50, "only {sent} pieces were sent");
        assert_eq!(lost, 0, "of {sent} pieces from {from} to {to}");
    }
}

/// The start by relay and the switch lose nothing, and the switch takes less than a second.
#[test]
fn direct_within_a_second_where_the_nats_allow_it() {
    use Kind::{Cone, Easy, Firewall, Hard, Open};
    for (a, b) in [
        (Open, Open),
        (Open, Easy),
        (Open, Hard),
        (Firewall, Firewall),
        (Firewall, Easy),
        (Easy, Easy),
        (Cone, Hard),
        (Cone, Easy),
        (Easy, Open),
        (Hard, Open),
    ] {
        let mut w = pair(a, b, 20);
        assert!(matches!(w.path(0, 1), Path::Relay(Some(_))), "{a:?} {b:?}: known before anything was sent");
        let took = w.until_direct(0, 1, s(10)).unwrap_or_else(|| panic!("{a:?} {b:?}: never direct"));
        assert!(took < s(1), "{a:?} {b:?}: {took:?}");
        w.run(s(22));
        assert!(w.hosts[0].changes.len() <= 4, "{a:?} {b:?}: flaps: {:?}", w.hosts[0].changes);
        nothing_lost(&w);
    }
}

/// Filters by address and port on one side, a mapping per destination on the other: nobody can guess the port.
#[test]
fn hard_nats_stay_on_the_relay_and_lose_nothing() {
    for (a, b) in [(Kind::Hard, Kind::Hard), (Kind::Easy, Kind::Hard), (Kind::Firewall, Kind::Hard)] {
        let mut w = pair(a, b, 90);
        assert_eq!(w.until_direct(0, 1, s(90)), None, "{a:?} {b:?}");
        w.run(s(2));
        nothing_lost(&w);
        // A round of pings each five seconds at most, and two a second, to a handful of endpoints.
        assert!(w.hosts[0].pings_sent < 90 / 5 * 8 + 90 * 2 * 3, "{} pings", w.hosts[0].pings_sent);
    }
}

/// UDP is blocked at one side while data flows, then it is not: both ways are direct within a second, whenever that
/// happens, and whoever sends.
#[test]
fn direct_within_a_second_after_it_was_impossible() {
    use Kind::{Cone, Easy, Firewall, Hard, Open};
    for (a, b) in [(Open, Open), (Firewall, Open), (Open, Easy), (Easy, Easy), (Cone, Hard), (Firewall, Easy)] {
        for (there, back) in [(20, 20), (20, 10_000), (10_000, 20)] {
            for phase in 0..9 {
                let mut w = World::new(7 + phase);
                let (na, nb) = (w.nat(a), w.nat(b));
                w.host(na);
                w.host(nb);
                w.start();
                w.talk(0, 1, ms(there), s(60));
                w.talk(1, 0, ms(back), s(60));
                w.run(s(1));
                w.hosts[0].udp_blocked = true;
                w.run(s(33) + ms(617) * phase as u32);
                assert!(!w.is_direct(0, 1), "{a:?} {b:?}: direct through a wall");
                w.hosts[0].udp_blocked = false;
                let took = w.until_direct(0, 1, s(10));
                let case = format!("{a:?} {b:?}, {there} and {back} ms, phase {phase}");
                assert!(took.is_some_and(|took| took < s(1)), "{case}: {took:?}");
            }
        }
    }
}

/// Nothing is looked for twice a second when nobody talks.
#[test]
fn a_relayed_pair_that_is_silent_is_left_alone() {
    let mut w = pair(Kind::Hard, Kind::Hard, 20);
    w.run(s(23));
    let before = w.hosts[0].pings_sent;
    w.run(s(20));
    // Heartbeats go on for a while, with a round each five seconds.
    assert!(w.hosts[0].pings_sent - before <= 20 / 5 * 8, "{} pings", w.hosts[0].pings_sent - before);
}

/// Two hard NATs, and a node of the tailnet that relays over UDP.
#[test]
fn a_peer_relay_is_used_where_nothing_is_direct() {
    let mut w = World::new(13);
    let (na, nb) = (w.nat(Kind::Hard), w.nat(Kind::Hard));
    w.host(na);
    w.host(nb);
    w.peer_relay = Some(PeerRelay::new());
    w.start();
    talk(&mut w, 120);
    let start = w.now;
    let through = |w: &World| [(0, 1), (1, 0)].iter().all(|&(a, b)| matches!(w.path(a, b), Path::PeerRelay { .. }));
    while !through(&w) && w.now < start + s(10) {
        w.run(ms(10));
    }
    let took = w.now - start;
    assert!(took < s(3), "{took:?}");
    w.run(s(100));
    assert!(through(&w));
    assert!(w.hosts[0].changes.len() <= 4, "flaps: {:?}", w.hosts[0].changes);
    let relay = w.peer_relay.as_ref().unwrap();
    assert!(relay.forwarded > 2 * 90 * 50, "{} forwarded", relay.forwarded);
    // The relay goes away: both come back to DERP.
    w.peer_relay = None;
    w.run(s(15));
    assert!(matches!(w.path(0, 1), Path::Relay(_)), "{:?}", w.path(0, 1));
    let (sent, lost) = w.lost(0, 1);
    assert!(lost <= 6500 / 20 + 10, "{lost} of {sent}");
}

#[test]
fn the_kind_of_nat_is_recognised() {
    let mut w = World::new(3);
    for kind in [Kind::Easy, Kind::Hard] {
        let nat = w.nat(kind);
        w.host(nat);
    }
    w.start();
    let varies = |h: usize| w.hosts[h].paths.report().unwrap().mapping_varies;
    assert_eq!((varies(0), varies(1)), (Some(false), Some(true)));
    assert_eq!(w.hosts[0].paths.home(), Some(1));
}

#[test]
fn blocked_udp_goes_by_relay_and_recovers() {
    let mut w = World::new(11);
    let (na, nb) = (w.nat(Kind::Easy), w.nat(Kind::Easy));
    w.host(na);
    w.host(nb);
    w.hosts[0].udp_blocked = true;
    w.start();
    let report = w.hosts[0].paths.report().unwrap();
    assert!(!report.udp());
    assert_eq!(report.home, Some(1), "the nearer relay over HTTPS");
    talk(&mut w, 120);
    assert_eq!(w.until_direct(0, 1, s(30)), None);
    w.hosts[0].udp_blocked = false;
    w.event(0, Event::CheckNetwork);
    w.run(s(1));
    w.tell_map();
    let took = w.until_direct(0, 1, s(30)).expect("direct after UDP works");
    assert!(took < s(7), "{took:?}");
    w.run(s(100));
    nothing_lost(&w);
}

#[test]
fn neighbours_talk_inside_their_lan() {
    let mut w = World::new(5);
    let nat = w.nat(Kind::Hard);
    w.host(nat);
    w.host(nat);
    w.start();
    talk(&mut w, 10);
    w.until_direct(0, 1, s(5)).expect("direct");
    w.run(s(10));
    let Path::Direct(addr) = w.path(0, 1) else { panic!("{:?}", w.path(0, 1)) };
    assert_eq!(addr.ip(), w.hosts[1].addrs[0]);
    nothing_lost(&w);
}

/// The NAT forgets its mappings (a reboot): both ways go on, first twice, then straight again.
#[test]
fn a_forgotten_mapping_costs_a_moment() {
    let mut w = pair(Kind::Easy, Kind::Easy, 120);
    w.until_direct(0, 1, s(5)).expect("direct");
    w.run(s(30));
    w.nats[0].flush();
    // Everybody from outside is new to this NAT now, and the peer sends to a port that is gone.
    w.nats[0].public = IpAddr::from([203, 0, 113, 99]);
    let at = w.now;
    w.run(s(7));
    let took = w.until_direct(0, 1, s(20)).expect("direct again") + s(7);
    assert!(took < s(8), "{took:?}");
    w.run(at + s(100) - w.now);
    // What went straight into the dead port is lost, as with the official client: up to the trust's end.
    for (from, to) in [(0, 1), (1, 0)] {
        let (_, lost) = w.lost(from, to);
        assert!(lost <= 6500 / 20 + 10, "{lost} lost from {from} to {to}");
    }
}

/// A laptop takes its session from one network to another.
#[test]
fn roaming_is_direct_again_within_seconds() {
    for told in [true, false] {
        let mut w = pair(Kind::Easy, Kind::Easy, 60);
        w.until_direct(0, 1, s(5)).expect("direct");
        w.run(s(10));
        let new = w.nat(Kind::Easy);
        w.hosts[0].nat = new;
        w.hosts[0].addrs = vec![IpAddr::from([10, 1, 1, 5])];
        if told {
            let addrs = w.hosts[0].addrs.clone();
            w.event(0, Event::LocalAddresses(addrs));
            w.event(0, Event::LinkChanged);
        }
        let at = w.now;
        let arrived = |w: &World| match w.path(1, 0) {
            Path::Direct(addr) => addr.ip() == w.nats[new].public && w.is_direct(0, 1),
            _ => false,
        };
        while !arrived(&w) && w.now < at + s(20) {
            w.run(ms(10));
        }
        let took = w.now - at;
        let limit = if told { s(2) } else { s(8) };
        assert!(took < limit, "told: {told}: {took:?}");
        w.run(s(60));
        if told {
            assert_eq!(w.lost(0, 1).1, 0, "the roaming side goes to the relay at once");
        }
    }
}

/// Who moved goes on with its heartbeats, from another address: the other side follows the first of them.
#[test]
fn a_peer_that_pings_from_elsewhere_is_followed() {
    let mut w = pair(Kind::Open, Kind::Open, 60);
    w.until_direct(0, 1, s(5)).expect("direct");
    w.run(s(10));
    let new = w.nat(Kind::Open);
    w.hosts[0].nat = new;
    let (at, public) = (w.now, w.nats[new].public);
    w.hosts[0].addrs = vec![public];
    let followed = |w: &World| matches!(w.path(1, 0), Path::Direct(addr) if addr.ip() == public);
    while !followed(&w) && w.now < at + s(20) {
        w.run(ms(10));
    }
    let took = w.now - at;
    assert!(took < s(4), "{took:?}");
}

#[test]
fn a_restarted_peer_is_found_again() {
    let mut w = pair(Kind::Easy, Kind::Easy, 60);
    w.until_direct(0, 1, s(5)).expect("direct");
    w.run(s(5));
    w.restart(1);
    w.run(s(2));
    w.tell_map();
    let took = w.until_direct(0, 1, s(10)).expect("direct with the new disco key");
    assert!(took < s(2), "{took:?}");
    w.run(s(60));
}

/// One datagram in five is lost: the path may be in doubt now and then, it is never given up for long.
#[test]
fn losses_do_not_drive_a_session_off_its_path() {
    let mut w = World::new(21);
    w.loss = 200;
    let (na, nb) = (w.nat(Kind::Easy), w.nat(Kind::Easy));
    w.host(na);
    w.host(nb);
    w.start();
    talk(&mut w, 300);
    w.until_direct(0, 1, s(20)).expect("direct");
    let mut direct = 0;
    for _ in 0..2700 {
        w.run(ms(100));
        direct += u32::from(w.is_direct(0, 1));
    }
    assert!(direct > 2700 * 8 / 10, "direct in {direct} of 2700 looks");
}

#[test]
fn an_idle_session_is_silent_and_wakes_on_the_relay() {
    let mut w = pair(Kind::Easy, Kind::Easy, 10);
    w.run(s(70));
    let pings = w.hosts[0].pings_sent + w.hosts[1].pings_sent;
    w.run(s(600));
    assert_eq!(w.hosts[0].pings_sent + w.hosts[1].pings_sent, pings, "nothing is sent for ten minutes");
    assert!(matches!(w.path(0, 1), Path::Both { .. } | Path::Relay(_)), "the old path is not trusted");
    talk(&mut w, 10);
    let took = w.until_direct(0, 1, s(10)).expect("direct");
    assert!(took < s(1), "{took:?}");
    w.run(s(12));
    nothing_lost(&w);
}

/// When IPv6 comes up on both sides, the session moves there within the interval of looking for better paths.
#[test]
fn a_better_path_is_taken() {
    let mut w = pair(Kind::Easy, Kind::Easy, 200);
    w.until_direct(0, 1, s(5)).expect("direct");
    for h in 0..2 {
        w.hosts[h].addrs.push(format!("2001:db8::{}", h + 1).parse().unwrap());
        let addrs = w.hosts[h].addrs.clone();
        w.event(h, Event::LocalAddresses(addrs));
    }
    w.tell_map();
    w.run(s(70));
    for (from, to) in [(0, 1), (1, 0)] {
        assert!(matches!(w.path(from, to), Path::Direct(addr) if addr.is_ipv6()), "{:?}", w.path(from, to));
    }
    w.run(s(140));
    nothing_lost(&w);
}

#[test]
fn the_simulated_nats_do_what_they_say() {
    let inside = "192.168.0.10:41641".parse().unwrap();
    let (x, y) = ("198.51.100.1:1".parse().unwrap(), "198.51.100.2:2".parse().unwrap());
    let public = IpAddr::from([203, 0, 113, 1]);
    let mut easy = Nat::new(Kind::Easy, public);
    let mapped = easy.out(inside, x, s(0));
    assert_eq!(easy.out(inside, y, s(1)), mapped);
    assert_eq!(easy.enter(mapped.port(), x, inside, s(2)), Some(inside));
    assert_eq!(easy.enter(mapped.port(), "198.51.100.1:9".parse().unwrap(), inside, s(2)), None);
    assert_eq!(easy.enter(mapped.port(), x, inside, s(40)), None, "too late");
    let mut hard = Nat::new(Kind::Hard, public);
    assert_ne!(hard.out(inside, x, s(0)), hard.out(inside, y, s(0)));
}

//! Who gets in: addresses, names, codes, passwords, sessions, guesses.

use hearthgate_keys::Secret;
use hearthgate_web::{
    Sessions,
    gate::{Asked, Gate, LAN, Refusal},
    password, session,
    throttle::{self, Throttle},
};
use std::net::IpAddr;

fn counting() -> impl FnMut(&mut [u8]) {
    let mut n = 0u64;
    move |out: &mut [u8]| {
        // A number a chunk, so that no two secrets are the same.
        for chunk in out.chunks_mut(8) {
            n += 1;
            chunk.iter_mut().zip(n.to_be_bytes().into_iter().rev()).for_each(|(b, d)| *b = d);
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn gate() -> Gate {
    Gate { networks: LAN.iter().map(|n| n.parse().expect("a network")).collect(), hosts: vec!["box.lan".into()] }
}

#[test]
fn only_the_lan_gets_in() {
    let asked = Asked { host: "192.168.1.1:8080", ..Asked::default() };
    for inside in ["192.168.1.20", "10.1.2.3", "172.31.0.1", "127.0.0.1", "::1", "fd00::5", "fe80::1", "169.254.1.1"] {
        assert_eq!(gate().check(ip(inside), &asked), Ok(()), "{inside}");
    }
    for outside in ["8.8.8.8", "172.32.0.1", "100.64.0.9", "fd7a:115c:a1e0::9", "2001:db8::1", "192.169.0.1"] {
        assert_eq!(gate().check(ip(outside), &asked), Err(Refusal::Source), "{outside}");
    }
    for named in ["fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::9/128", "::/0"] {
        let mut gate = gate();
        gate.networks.push(named.parse().expect("a network"));
        assert_eq!(gate.check(ip("fd7a:115c:a1e0::9"), &asked), Ok(()), "{named} names them");
    }
    let own = Asked { own: true, ..asked };
    assert_eq!(gate().check(ip("203.0.113.7"), &own), Ok(()), "a browser on the machine itself, by its public address");
    assert_eq!(gate().check(ip("203.0.113.7"), &Asked { proxied: true, ..own }), Err(Refusal::Proxy));
    let proxied = Asked { proxied: true, ..asked };
    assert_eq!(gate().check(ip("127.0.0.1"), &proxied), Err(Refusal::Proxy));
}

#[test]
fn a_name_of_somebody_else_is_rebinding() {
    let host = |host| gate().check(ip("192.168.1.20"), &Asked { host, ..Asked::default() });
    for good in ["192.168.1.1", "192.168.1.1:8080", "[fd00::1]:8080", "localhost:8080", "BOX.lan", "box.lan:80"] {
        assert_eq!(host(good), Ok(()), "{good}");
    }
    for bad in
        ["evil.example", "evil.example:8080", "box.lan.evil.example", "192.168.1.1.evil.example", "", "fd00::1.evil"]
    {
        assert_eq!(host(bad), Err(Refusal::Host), "{bad}");
    }
}

#[test]
fn changes_come_from_our_own_pages() {
    let ask = |origin, fetch_site, changes| {
        gate().check(
            ip("192.168.1.20"),
            &Asked { host: "192.168.1.1:8080", origin, fetch_site, changes, ..Asked::default() },
        )
    };
    assert_eq!(ask(Some("http://192.168.1.1:8080"), Some("same-origin"), true), Ok(()));
    assert_eq!(ask(None, None, true), Ok(()));
    assert_eq!(ask(Some("http://evil.example"), None, true), Err(Refusal::Origin));
    assert_eq!(ask(Some("null"), None, true), Err(Refusal::Origin));
    assert_eq!(ask(None, Some("cross-site"), true), Err(Refusal::Origin));
    assert_eq!(ask(None, Some("same-site"), true), Err(Refusal::Origin));
    assert_eq!(ask(Some("http://192.168.1.1:9090"), None, true), Err(Refusal::Origin));
    assert_eq!(ask(Some("http://evil.example"), Some("cross-site"), false), Ok(()));
}

#[test]
fn passwords_are_checked_and_hashed_with_salt() {
    let mut rng = counting();
    let right = Secret::new("correct horse battery".into());
    let hash = password::hash(&right, &mut rng).expect("a hash");
    assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
    assert_ne!(hash, password::hash(&right, &mut rng).expect("a hash"), "the salt differs");
    assert!(password::verify(&right, Some(&hash)));
    assert!(!password::verify(&Secret::new("correct horse batterz".into()), Some(&hash)));
    assert!(!password::verify(&right, None));
    assert!(!password::verify(&right, Some("nonsense")));
    assert_eq!(password::hash(&Secret::new("short".into()), &mut rng), Err(password::PasswordError::Length));
    assert_eq!(password::hash(&Secret::new("x".repeat(300)), &mut rng), Err(password::PasswordError::Length));
}

#[test]
fn the_setup_code_is_typed_by_people() {
    let code = hearthgate_web::claim::new_code(&mut counting());
    let text = code.reveal().to_owned();
    assert_eq!((text.len(), text.matches('-').count()), (14, 2), "{text}");
    let fits = |typed: &str| hearthgate_web::claim::fits(&code, typed);
    assert!(fits(&text) && fits(&text.to_uppercase()) && fits(&format!("  {} ", text.replace('-', ""))));
    assert!(!fits("") && !fits(&text[1..]) && !fits(&format!("{text}x")));
}

#[test]
fn sessions_end_and_are_bounded() {
    let mut rng = counting();
    let mut sessions = Sessions::default();
    let token = sessions.begin("anna", 0, &mut rng);
    assert!(
        sessions
            .find(token.reveal(), 1000)
            .is_some_and(|s| s.account == "anna" && !s.csrf_fits("") && s.csrf_fits(&s.csrf.clone()))
    );
    assert!(sessions.find("another", 1000).is_none());
    assert!(sessions.find(token.reveal(), 1000 + session::IDLE_MS).is_none(), "idle");
    let token = sessions.begin("anna", 0, &mut rng);
    let mut t = 0;
    while t < session::LIFE_MS {
        assert!(sessions.find(token.reveal(), t).is_some());
        t += session::IDLE_MS / 2;
    }
    assert!(sessions.find(token.reveal(), t).is_none(), "too old, though in use");
    let first = sessions.begin("anna", t, &mut rng);
    for i in 1..=session::SESSIONS_MAX as u64 {
        sessions.begin("bert", t + i, &mut rng);
    }
    assert!(sessions.find(first.reveal(), t + 100).is_none(), "the oldest makes room");
    let kept = sessions.begin("anna", t + 200, &mut rng);
    sessions.end_all_of("bert");
    assert!(sessions.find(kept.reveal(), t + 201).is_some());
    sessions.end(kept.reveal());
    assert!(sessions.find(kept.reveal(), t + 202).is_none());
}

#[test]
fn guesses_are_slowed_for_one_and_for_all() {
    let mut throttle = Throttle::default();
    let a = ip("192.168.1.5");
    let tries = (0..100).filter(|_| throttle.take(a, 0)).count();
    assert_eq!(tries, throttle::BURST as usize);
    assert!(throttle.take(ip("192.168.1.6"), 0), "somebody else may");
    assert!(!throttle.take(a, throttle::REFILL_MS - 1) && throttle.take(a, throttle::REFILL_MS + 1));
    // A /64 counts as one.
    let mut throttle = Throttle::default();
    let allowed = (0..100u16).filter(|i| throttle.take(ip(&format!("fd00::{i:x}")), 0)).count();
    assert_eq!(allowed, throttle::BURST as usize);
    // Many networks together.
    let mut throttle = Throttle::default();
    let allowed = (0..1000u16).filter(|i| throttle.take(ip(&format!("fd00:{i:x}::1")), 0)).count();
    assert_eq!(allowed, throttle::BURST_ALL as usize);
}

//! What each service is asked, and which settings are refused.

use hearthgate_dyndns::{Addresses, Mistake, SERVICES, Settings, State, Step, Verdict, judge};
use proptest::prelude::*;

fn both() -> Addresses {
    Addresses { v4: Some([203, 0, 113, 7].into()), v6: Some("2001:db8::7".parse().unwrap()) }
}

fn settings(service: &str, url: &str) -> Settings {
    // DuckDNS keeps names of its own only.
    let name = if service == "duckdns" { "Home.DuckDNS.org." } else { "Home.Example.ORG." };
    Settings {
        service: service.into(),
        name: name.into(),
        user: "me".into(),
        secret: "s3cr&t".into(),
        url: url.into(),
        ..Settings::default()
    }
}

fn url(service: &str, given: &str, addresses: Addresses) -> String {
    settings(service, given).checked().expect("fine").request(&addresses).expect("a request").url
}

#[test]
fn each_service_gets_name_and_addresses_in_its_own_words() {
    let v4 = Addresses { v6: None, ..both() };
    let six = "2001%3Adb8%3A%3A7";
    for (service, wanted) in [
        ("duckdns", format!("https://www.duckdns.org/update?domains=home&token=s3cr%26t&ip=203.0.113.7&ipv6={six}")),
        ("desec", format!("https://update.dedyn.io/?hostname=home.example.org&myipv4=203.0.113.7&myipv6={six}")),
        (
            "noip",
            format!("https://dynupdate.no-ip.com/nic/update?hostname=home.example.org&myip=203.0.113.7&myipv6={six}"),
        ),
        ("dyn", format!("https://members.dyndns.org/v3/update?hostname=home.example.org&myip=203.0.113.7%2C{six}")),
        ("freedns", "https://freedns.afraid.org/dynamic/update.php?s3cr%26t&address=203.0.113.7".into()),
    ] {
        assert_eq!(url(service, "", both()), wanted);
    }
    assert_eq!(
        url("desec", "", v4),
        "https://update.dedyn.io/?hostname=home.example.org&myipv4=203.0.113.7&myipv6=preserve"
    );
    assert_eq!(url("duckdns", "", v4), "https://www.duckdns.org/update?domains=home&token=s3cr%26t&ip=203.0.113.7");
    for given in ["dyn.example.net", "https://dyn.example.net/", "https://dyn.example.net/nic/update"] {
        let wanted = "https://dyn.example.net/nic/update?hostname=home.example.org&myip=203.0.113.7";
        assert_eq!(url("dyndns2", given, v4), wanted);
    }
    let own = "https://x.test/{name}/{user}?k={secret}&t={ttl}&a={ip4}&b={ip6}";
    assert_eq!(url("url", own, v4), "https://x.test/home.example.org/me?k=s3cr%26t&t=60&a=203.0.113.7");
}

#[test]
fn a_service_is_told_only_what_it_has_a_place_for() {
    let (v4, v6, none) = (Addresses { v6: None, ..both() }, Addresses { v4: None, ..both() }, Addresses::default());
    let takes = |service, url, seen| settings(service, url).checked().expect("fine").takes(seen);
    for (service, url) in [("freedns", ""), ("ovh", ""), ("url", "https://x.test/?a={ip4}")] {
        assert_eq!((takes(service, url, both()), takes(service, url, v6)), (v4, none), "{service}");
    }
    assert_eq!(takes("url", "https://x.test/{ip6}", both()), v6);
    for (service, url) in [("duckdns", ""), ("desec", ""), ("strato", ""), ("dyndns2", "x.test"), ("rfc2136", "x.test")]
    {
        assert_eq!((takes(service, url, both()), takes(service, url, v6)), (both(), v6), "{service}");
    }
    // Not now: no mistake of anybody.
    assert_eq!(takes("url", "https://x.test/{ip4}?b={ip6}", v6), none);
    assert_eq!(takes("url", "https://x.test/{ip4}?b={ip6}", v4), v4);
    assert_eq!(takes("url", "https://x.test/{ip4}/{ip6}", v4), none);
    let off = Settings { ipv6: false, ..settings("rfc2136", "x.test") };
    assert_eq!(off.takes(both()), v4);
    let nothing = Settings { ipv4: false, ..settings("ovh", "") };
    assert_eq!(nothing.checked(), Err(Mistake::NoFamily));
}

#[test]
fn an_ipv6_address_is_taken_away_as_each_service_wants_it() {
    let v4 = Addresses { v6: None, ..both() };
    let urls = |service: &str, given: &str| {
        let settings = settings(service, given).checked().expect("fine");
        assert!(settings.tells_gone(), "{service}");
        let all = settings.requests_without_v6(&v4).expect("requests");
        all.into_iter().map(|r| r.url).collect::<Vec<_>>()
    };
    assert_eq!(urls("desec", ""), ["https://update.dedyn.io/?hostname=home.example.org&myipv4=203.0.113.7&myipv6="]);
    let duck = "https://www.duckdns.org/update?domains=home&token=s3cr%26t";
    assert_eq!(urls("duckdns", ""), [format!("{duck}&clear=true"), format!("{duck}&ip=203.0.113.7")]);
    assert_eq!(
        urls("url", "https://x.test/?a={ip4}&b={ip6|none}"),
        ["https://x.test/?a=203.0.113.7&b=none"],
        "the word of the template"
    );
    let tells = |service: &str, given: &str| settings(service, given).checked().expect("fine").tells_gone();
    assert!(tells("rfc2136", "ns.example.org") && !tells("noip", "") && !tells("dyndns2", "x.test"));
    assert!(!tells("url", "https://x.test/?a={ip4}&b={ip6}"), "no word for it");
    let off = Settings { ipv6: false, ..settings("rfc2136", "ns.example.org") };
    assert!(!off.tells_gone(), "it is none of ours");
}

#[test]
fn every_listed_service_can_be_used_and_sends_its_secret_once() {
    for service in SERVICES.iter().filter(|s| !s.is_name_server()) {
        let given = if service.url.is_some() { "https://dyn.example.net/?a={ip4}" } else { "" };
        let given = if service.id == "dyndns2" { "dyn.example.net" } else { given };
        let request = settings(service.id, given).checked().expect(service.id).request(&both()).expect("a request");
        let in_url = request.url.contains("s3cr%26t");
        assert_eq!(in_url, request.login.is_none(), "{}", service.id);
        assert!(request.url.contains("203.0.113.7"), "{}", service.id);
        assert!(!format!("{request:?}{:?}", settings(service.id, given)).contains("s3cr"), "{}", service.id);
    }
    let desec = settings("desec", "");
    let desec = Settings { user: String::new(), ..desec }.checked().unwrap().request(&both()).unwrap();
    assert_eq!(desec.login, Some(("home.example.org".into(), "s3cr&t".into())));
}

#[test]
fn what_cannot_work_is_refused_in_words() {
    let bad = |change: fn(&mut Settings)| {
        let mut s = settings("dyndns2", "dyn.example.net");
        change(&mut s);
        s.checked().unwrap_err()
    };
    assert!(matches!(bad(|s| s.service = "route53".into()), Mistake::Service(..)));
    for name in ["home", "", "a b.example", "-a.example", "203.0.113.7", "x.example/?"] {
        let s = Settings { name: name.into(), ..settings("desec", "") };
        assert!(matches!(s.checked(), Err(Mistake::Name(_))), "{name}");
    }
    let duck = |name: &str| Settings { name: name.into(), ..settings("duckdns", "") }.checked().map(|s| s.name);
    assert_eq!(duck("Home").as_deref(), Ok("home.duckdns.org"), "as people type it there");
    assert_eq!(duck("home.duckdns.org").as_deref(), Ok("home.duckdns.org"));
    for name in ["home.example.org", "duckdns.org", "home.notduckdns.org"] {
        assert!(matches!(duck(name), Err(Mistake::NotUnder(_, "duckdns.org"))), "{name}");
    }
    assert!(matches!(duck(""), Err(Mistake::Name(_))));
    assert_eq!(bad(|s| s.secret.clear()), Mistake::Missing("Password"));
    assert_eq!(bad(|s| s.user.clear()), Mistake::Missing("User name"));
    assert_eq!(bad(|s| s.url.clear()), Mistake::Missing("Address of the server"));
    assert_eq!(bad(|s| s.secret = "a\nb".into()), Mistake::Field("Password"));
    assert_eq!(bad(|s| s.ttl = 1), Mistake::Ttl);
    assert_eq!(bad(|s| (s.ipv4, s.ipv6) = (false, false)), Mistake::NoFamily);
    // In plain text to the world, or with a login that pages and logs would show.
    for url in ["http://dyn.example.net", "http://203.0.113.9", "ftp://x", "https://u:p@dyn.example.net", "https:///x"]
    {
        assert!(matches!(settings("dyndns2", url).checked(), Err(Mistake::Url)), "{url}");
    }
    for url in ["http://192.168.1.9:8245", "http://127.0.0.1:99", "http://[fd00::1]:80"] {
        assert!(settings("dyndns2", url).checked().is_ok(), "{url}");
    }
    assert!(matches!(settings("url", "https://x.test/?q={nothing}&i={ip4}").checked(), Err(Mistake::Template(_))));
    assert!(matches!(settings("url", "https://x.test/").checked(), Err(Mistake::NoAddress)));
    let own = Settings { zone: "other.org".into(), ..settings("rfc2136", "ns1.example.org") };
    assert!(matches!(own.checked(), Err(Mistake::Zone(_))));
    assert_eq!(settings("rfc2136", "ns1.example.org").checked().unwrap().zone(), "example.org");
}

proptest! {
    #[test]
    fn nothing_people_type_or_services_answer_breaks_it(
        url in "\\PC{0,60}", name in "\\PC{0,40}", body: Vec<u8>, status: u16, times: Vec<u64>,
    ) {
        for service in ["url", "dyndns2", "rfc2136", "duckdns"] {
            let _ = Settings { name: name.clone(), ..settings(service, &url) }.checked();
            if let Ok(fine) = settings(service, &url).checked() {
                let _ = fine.request(&both());
            }
        }
        let mut state = State::default();
        for now in times {
            for words in SERVICES.map(|s| s.words) {
                let verdict = judge(words, status, &body);
                if let Step::Tell(what) = state.step(both(), now) {
                    state.note(what, &verdict, now);
                    prop_assert_eq!(state.stopped, matches!(verdict, Verdict::Stop(_)));
                }
            }
        }
    }
}

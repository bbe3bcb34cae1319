//! Which hooks are taken, and that one that does not answer holds up nobody else.

use super::*;

#[test]
fn local_and_odd_addresses_are_refused_unless_said_so() {
    let try_url = |url: &str, local| {
        check(&NewHook { url: url.into(), events: vec!["nodeCreated".into()], local, ..NewHook::default() }).is_ok()
    };
    for good in ["https://example.com/hook", "https://example.com:8443/", "https://[2606:4700::1]/x"] {
        assert!(try_url(good, false), "{good}");
    }
    for bad in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://192.168.1.5/",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://169.254.169.254/latest",
        "https://user@example.com/",
        "ftp://example.com/",
        "/path",
        "",
    ] {
        assert!(!try_url(bad, false), "{bad}");
    }
    assert!(try_url("http://192.168.1.5:9000/x", true) && try_url("https://127.0.0.1/", true));
    let none = NewHook { url: "https://example.com/".into(), ..NewHook::default() };
    assert!(check(&none).is_err());
    assert!(check(&NewHook { events: vec!["nothing".into()], ..none }).is_err());
}

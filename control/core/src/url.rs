//! The one thing that is asked of URLs outside of requests: whose they are.

/// The host of a URL, without login, brackets and port. What is no URL is taken for one without a scheme.
#[must_use]
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    match place.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_login_or_a_port_is_no_host() {
        for (url, host) in [
            ("https://vpn.example.org", "vpn.example.org"),
            ("http://192.168.1.1:8080/x", "192.168.1.1"),
            ("https://[2001:db8::1]:8443/", "2001:db8::1"),
            ("https://localhost:pass@evil.example/", "evil.example"),
            ("https://host.example?token=x", "host.example"),
            ("https://host.example#x@y", "host.example"),
            ("https://one@two@three:4/", "three"),
            ("host.example:80", "host.example"),
            ("", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}

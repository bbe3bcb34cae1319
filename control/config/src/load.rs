//! From file text and environment to a configuration, with all mistakes that were found.

use crate::{
    Config, KEYS, Problem, Severity,
    env::value_of,
    env_name, parse_duration,
    read::{self, Mistake},
};
use hearthgate_tailcfg::{TAILNET_V4, TAILNET_V6};
use std::net::SocketAddr;
use toml::de::DeTable;

/// Keys of Headscale's file that have no meaning here, and what to do instead.
const FOREIGN: &[(&str, &str)] = &[
    ("database", "state is kept in state_dir; choose its engine with store.engine"),
    ("tuning", "the server tunes itself; remove this section"),
    ("noise", "the Noise key lies in state_dir; remove this section"),
    ("grpc_listen_addr", "there is no gRPC; tools use the HTTP API under /api/v1"),
    ("grpc_allow_insecure", "there is no gRPC; tools use the HTTP API under /api/v1"),
    ("acl_policy_path", "Headscale renamed this to policy.path"),
    ("dns_config", "Headscale renamed this to dns"),
    ("ephemeral_node_inactivity_timeout", "write node.ephemeral.inactivity_timeout"),
    ("randomize_client_port", "this belongs into the policy (randomizeClientPort)"),
    ("disable_check_updates", "this server never looks for updates by itself; remove the key"),
];

/// A configuration, and what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What is in force if no problem is an error.
    pub config: Config,
    /// What was found.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// Whether the server can start with it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.problems.iter().all(|p| p.severity != Severity::Error)
    }
}

/// Reads a configuration. `file` is its name and text, `env` the whole environment.
#[must_use]
pub fn load(file: Option<(&str, &str)>, env: &[(String, String)]) -> Loaded {
    let mut problems = Vec::new();
    let (name, text) = file.unwrap_or(("", ""));
    let mut config = Config::default();
    let mut mistakes = Vec::new();
    match DeTable::parse(text) {
        Ok(mut table) => {
            for &(key, advice) in FOREIGN {
                if table.get_mut().remove(key).is_some() {
                    let (line, column) = place_of_key(text, key);
                    problems.push(Problem {
                        place: name.into(),
                        line,
                        column,
                        key: key.into(),
                        message: advice.into(),
                        severity: Severity::Warning,
                    });
                }
            }
            read::entries(&mut config, table.get_ref(), &mut mistakes);
        }
        Err(e) => {
            problems.push(at(name, text, &no_toml(&e)));
            return Loaded { config, problems };
        }
    }
    hearthgate_sorted::sort_by_key(&mut mistakes, |mistake| mistake.span.start);
    problems.extend(mistakes.iter().map(|mistake| at(name, text, mistake)));
    for &(key, kind) in KEYS {
        let variable = env_name(key);
        let Some((_, value)) = env.iter().find(|(n, _)| *n == variable) else { continue };
        if let Err(message) = value_of(kind, value, |given| {
            let mut mistakes = Vec::new();
            match read::at(&mut config, key) {
                Some(field) => field.read(&given, &mut mistakes),
                // `config` is the name of the file, which whoever calls this has read.
                None => {}
            }
            mistakes.pop().map_or(Ok(()), |mistake| Err(mistake.message))
        }) {
            problems.push(Problem {
                place: variable,
                line: 0,
                column: 0,
                key: key.into(),
                message,
                severity: Severity::Error,
            });
        }
    }
    for (variable, _) in env.iter().filter(|(n, _)| n.starts_with("HEARTHGATE_") && !n.starts_with("HEARTHGATE_TEST_"))
    {
        if !KEYS.iter().any(|(key, _)| env_name(key) == *variable) {
            let message = "no key of this name; names are HEARTHGATE_ and the key in capitals, with _ for dots".into();
            problems.push(Problem {
                place: variable.clone(),
                line: 0,
                column: 0,
                key: String::new(),
                message,
                severity: Severity::Warning,
            });
        }
    }
    // Half of a configuration is none: what is related to what is not looked at.
    if problems.iter().any(|p| p.severity == Severity::Error) {
        config = Config::default();
    }
    let errors = relations(&config).into_iter().map(|(key, message)| (key, message, Severity::Error));
    // Without a name the network works, without a server it does not: a mistake there switches off the name alone.
    let warnings = config.dyndns.problems().into_iter().map(|(key, message)| (key, message, Severity::Warning));
    for (key, message, severity) in errors.chain(warnings) {
        let (line, column) = place_of_key(text, key.rsplit('.').next().unwrap_or(key));
        problems.push(Problem { place: name.into(), line, column, key: key.into(), message, severity });
    }
    Loaded { config, problems }
}

/// What is wrong between or within values that have the right type.
fn relations(c: &Config) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut wrong = |key: &'static str, message: String| found.push((key, message));
    if !c.server_url.is_empty() {
        let rest = c.server_url.strip_prefix("http://").or_else(|| c.server_url.strip_prefix("https://"));
        match rest.map(|r| r.trim_end_matches('/')) {
            None | Some("") => wrong(
                "server_url",
                format!(
                    "{:?} is no URL: write it like http://192.168.1.1:8080 or https://vpn.example.org",
                    c.server_url
                ),
            ),
            Some(r) if r.contains('/') => {
                wrong("server_url", "the URL must not have a path: clients put their own paths behind the host".into())
            }
            Some(r) => {
                let host = r.rsplit_once(':').map_or(r, |(h, _)| h);
                if host == c.dns.base_domain || host.ends_with(&format!(".{}", c.dns.base_domain)) {
                    wrong(
                        "dns.base_domain",
                        format!(
                            "the server's own name {host} lies within it, so clients would look it up inside the tailnet and lock themselves out: choose another suffix"
                        ),
                    );
                }
            }
        }
    }
    if listen(&c.listen_addr).is_none() {
        wrong(
            "listen_addr",
            format!("{:?} is no address to listen on: write it like 0.0.0.0:8080 or :8080", c.listen_addr),
        );
    }
    let stun = &c.derp.server.stun_listen_addr;
    if !stun.is_empty() && listen(stun).is_none() {
        wrong(
            "derp.server.stun_listen_addr",
            format!("{stun:?} is no address to listen on: write it like 0.0.0.0:3478, or leave it empty for none"),
        );
    }
    if !(1..=999).contains(&c.derp.server.region_id) {
        wrong("derp.server.region_id", "a region number is 1 to 999; 900 to 999 are for self-hosters".into());
    }
    if c.tls_cert_path.as_os_str().is_empty() != c.tls_key_path.as_os_str().is_empty() {
        wrong(
            "tls_cert_path",
            "certificate and key belong together: set both tls_cert_path and tls_key_path, or none".into(),
        );
    }
    for (key, message) in c.acme().map(|a| a.problems(!c.tls_cert_path.as_os_str().is_empty())).unwrap_or_default() {
        wrong(key, message);
    }
    if !c.metrics_listen_addr.is_empty() && c.metrics_listen().is_none() {
        let value = &c.metrics_listen_addr;
        wrong(
            "metrics_listen_addr",
            format!("{value:?} is no address to listen on: write it like 127.0.0.1:9090, or leave it empty for none"),
        );
    }
    if let Some(bad) = c.derp.urls.iter().find(|u| !u.starts_with("https://") && !u.starts_with("http://")) {
        wrong("derp.urls", format!("{bad:?} is no URL: write it like https://example.org/derp.json"));
    }
    let feed = &c.upgrade.feed_url;
    if !feed.is_empty() && !feed.starts_with("https://") && !feed.starts_with("http://") {
        wrong("upgrade.feed_url", format!("{feed:?} is no URL: write it like https://example.org/hearthgate.feed"));
    }
    // Everybody who looks after the network sees it, and no login is sent.
    if feed.split('/').nth(2).is_some_and(|authority| authority.contains('@')) {
        wrong("upgrade.feed_url", "a feed is asked without a login: leave out what stands before the @".into());
    }
    for (key, message) in c.front.problems(c).into_iter().chain(c.certificates.problems(c)) {
        wrong(key, message);
    }
    if !matches!(c.store.engine.as_str(), "log" | "redb" | "sled") {
        wrong("store.engine", format!("{:?} is no store engine: log, redb or sled", c.store.engine));
    }
    if !matches!(c.prefixes.allocation.as_str(), "sequential" | "random") {
        wrong(
            "prefixes.allocation",
            format!("{:?} is no way to pick addresses: sequential or random", c.prefixes.allocation),
        );
    }
    let outside =
        |all: &dyn std::fmt::Display| format!("clients take only addresses within {all} for their own network");
    if c.prefixes.v4.is_some_and(|p| !TAILNET_V4.contains(&p)) {
        wrong("prefixes.v4", outside(&TAILNET_V4));
    }
    if c.prefixes.v6.is_some_and(|p| !TAILNET_V6.contains(&p)) {
        wrong("prefixes.v6", outside(&TAILNET_V6));
    }
    if c.prefixes.v4.is_none() && c.prefixes.v6.is_none() {
        wrong("prefixes.v4", "nodes need addresses of one family at least".into());
    }
    if u32::from_str_radix(&c.unix_socket_permission, 8).is_err() {
        wrong(
            "unix_socket_permission",
            format!("{:?} is no file mode: write it like \"0770\"", c.unix_socket_permission),
        );
    }
    if !is_domain(&c.dns.base_domain) {
        wrong("dns.base_domain", format!("{:?} is no DNS suffix: write it like tail.example.org", c.dns.base_domain));
    }
    if c.dns.override_local_dns && c.dns.nameservers.global.is_empty() {
        wrong(
            "dns.override_local_dns",
            "clients would be left without DNS: name at least one resolver in dns.nameservers.global".into(),
        );
    }
    if let Some(bad) = c.dns.search_domains.iter().chain(c.dns.nameservers.split.keys()).find(|d| !is_domain(d)) {
        wrong("dns", format!("{bad:?} is no domain"));
    }
    if !c.dns.extra_records.is_empty() && !c.dns.extra_records_path.as_os_str().is_empty() {
        wrong("dns.extra_records_path", "give the records here or in a file, not both".into());
    }
    for (key, value) in [
        ("node.expiry", &c.node.expiry),
        ("derp.update_frequency", &c.derp.update_frequency),
        ("node.ephemeral.inactivity_timeout", &c.node.ephemeral.inactivity_timeout),
        ("node.routes.ha.probe_interval", &c.node.routes.ha.probe_interval),
        ("node.routes.ha.probe_timeout", &c.node.routes.ha.probe_timeout),
    ] {
        if parse_duration(value).is_none() {
            wrong(key, format!("{value:?} is no duration: write it like 30s, 5m, 168h or 0"));
        }
    }
    if let (Some(every), Some(wait)) =
        (parse_duration(&c.node.routes.ha.probe_interval), parse_duration(&c.node.routes.ha.probe_timeout))
        && !every.is_zero()
        && wait >= every
    {
        wrong("node.routes.ha.probe_timeout", "it has to be shorter than probe_interval".into());
    }
    for (key, message) in c.admin.problems() {
        wrong(key, message);
    }
    if !matches!(c.policy.mode.as_str(), "" | "file" | "database") {
        wrong("policy.mode", format!("{:?} is no mode: file or database", c.policy.mode));
    }
    if c.policy.mode == "database" && !c.policy.path.as_os_str().is_empty() {
        wrong("policy.path", "a path is for mode file".into());
    }
    for (key, message) in c.router.problems() {
        wrong(key, message);
    }
    for (key, message) in c.oidc.problems() {
        wrong(key, message);
    }
    if !matches!(c.log.level.as_str(), "trace" | "debug" | "info" | "warn" | "error") {
        wrong("log.level", format!("{:?} is no level: trace, debug, info, warn or error", c.log.level));
    }
    if !matches!(c.log.format.as_str(), "text" | "json") {
        wrong("log.format", format!("{:?} is no format: text or json", c.log.format));
    }
    found
}

impl Config {
    /// Address of the HTTP listener.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        listen(&self.listen_addr)
    }

    /// Address of the metrics listener; `None` for none.
    #[must_use]
    pub fn metrics_listen(&self) -> Option<SocketAddr> {
        listen(&self.metrics_listen_addr)
    }

    /// Address of the STUN socket; `None` for none.
    #[must_use]
    pub fn stun_listen(&self) -> Option<SocketAddr> {
        listen(&self.derp.server.stun_listen_addr)
    }
}

/// `1.2.3.4:80`, `[::]:80`, or `:80` for all IPv4 addresses.
pub(crate) fn listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

fn is_domain(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 200 && text.split('.').all(label)
}

/// What the parser says about a text that is no TOML.
pub(crate) fn no_toml(e: &toml::de::Error) -> Mistake {
    Mistake { span: e.span().unwrap_or_default(), message: e.message().to_owned() }
}

/// A mistake of the file `name`, whose text is given.
pub(crate) fn at(name: &str, text: &str, mistake: &Mistake) -> Problem {
    let (line, column) = line_and_column(text, mistake.span.start);
    let key = text.lines().nth(line.wrapping_sub(1)).and_then(|l| l.split('=').next()).map_or("", str::trim);
    Problem {
        place: name.into(),
        line,
        column,
        key: key.into(),
        message: mistake.message.clone(),
        severity: Severity::Error,
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, str::len) + 1;
    (line, column)
}

pub(crate) fn place_of_key(text: &str, key: &str) -> (usize, usize) {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start().trim_start_matches('[');
        if bare.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', '=', ']', '.'])) {
            return line_and_column(text, offset + (line.len() - line.trim_start().len()));
        }
        offset += line.len();
    }
    (0, 0)
}

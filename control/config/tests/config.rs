//! The example, the environment, and every kind of mistake.

use hearthgate_config::{Config, KEYS, Kind, RelayConfig, Severity, env_name, load};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../docs/config.toml");

fn errors(text: &str) -> Vec<String> {
    load(Some(("f.toml", text)), &[]).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_annotated_example_is_the_default_configuration() {
    let loaded = load(Some(("docs/config.toml", EXAMPLE)), &[]);
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.config, Config::default());
    assert_eq!(load(None, &[]).config, Config::default());
}

#[test]
fn the_example_names_every_key() {
    let table: toml::Table = EXAMPLE.parse().unwrap();
    for (key, _) in KEYS.iter().filter(|(k, _)| !["config", "derp.server.ipv4", "derp.server.ipv6"].contains(k)) {
        let found = key.split('.').try_fold(&toml::Value::Table(table.clone()), |v, part| v.get(part)).is_some();
        assert!(found, "{key} is missing in docs/config.toml");
    }
}

#[test]
fn every_key_can_come_from_the_environment() {
    for (key, kind) in KEYS.iter().filter(|(k, _)| *k != "config") {
        let value = match (kind, *key) {
            (_, "server_url") => "https://vpn.example.org",
            (_, "listen_addr" | "derp.server.stun_listen_addr") => "127.0.0.1:9",
            (_, "prefixes.v4") => "100.64.3.0/24",
            (_, "prefixes.v6") => "fd7a:115c:a1e0:7::/64",
            (_, "prefixes.allocation") => "random",
            (_, "trusted_proxies") => "192.0.2.0/24",
            (_, "derp.server.ipv4") => "192.0.2.1",
            (_, "derp.server.ipv6") => "2001:db8::1",
            (_, "store.engine") => "redb",
            (_, "unix_socket_permission") => "0700",
            (_, "certificates.wait") => "7s",
            (_, "log.level") => "debug",
            (_, "log.format") => "json",
            (_, "admin.networks") => "lan,192.0.2.0/24",
            (_, "cli.api_key") => "hskey-api-x",
            (_, "node.routes.ha.probe_timeout") => "1s",
            (Kind::Text, k) if k.starts_with("node.") => "30s",
            (Kind::Number, _) => "901",
            (
                Kind::Bool,
                "taildrop.enabled" | "dns.magic_dns" | "admin.enabled" | "oidc.only_start_if_oidc_is_available",
            ) => "false",
            (_, "router.advertise_routes") => "192.168.1.0/24",
            (_, "router.tags") => "tag:box",
            (_, "router.data_plane") => "kernel",
            (Kind::Bool, "router.accept_dns" | "router.exit_node_allow_lan_access" | "router.snat_subnet_routes") => {
                "false"
            }
            (Kind::Bool, "dyndns.ipv4" | "dyndns.ipv6") => "false",
            (Kind::Bool, k) if k.starts_with("derp.") || k.starts_with("oidc.email") || k.starts_with("oidc.pkce") => {
                "false"
            }
            (Kind::Bool, _) => "true",
            (Kind::List, _) => "one.example,two.example",
            (Kind::Text, _) => "x.example",
        };
        let loaded = load(None, &[(env_name(key), value.to_owned())]);
        assert_ne!(loaded.config, Config::default(), "{key}={value} changed nothing: {:?}", loaded.problems);
    }
    let wrong = load(None, &[("HEARTHGATE_DERP_SERVER_REGION_ID".into(), "many".into())]);
    assert!(wrong.problems[0].to_string().contains("not a whole number"), "{:?}", wrong.problems);
    let unknown = load(None, &[("HEARTHGATE_NO_SUCH".into(), "1".into())]);
    assert_eq!(unknown.problems[0].severity, Severity::Warning);
}

#[test]
fn mistakes_name_place_key_and_remedy() {
    for (text, place, words) in [
        ("listen_adr = \"x\"", "f.toml:1:1", "unknown key"),
        ("\n[derp.server]\nregion_id = \"x\"", "f.toml:3:13", "invalid type"),
        ("a = = 1", "f.toml:1:5", ""),
        ("server_url = \"vpn.example.org\"", "f.toml:1:1", "write it like http"),
        ("server_url = \"https://a.b/path\"", "f.toml:1:1", "must not have a path"),
        ("\nlisten_addr = \"8080\"", "f.toml:2:1", "write it like"),
        ("[dns]\noverride_local_dns = true", "f.toml:2:1", "at least one resolver"),
        (
            "server_url = \"https://h.t.example\"\n[dns]\nbase_domain = \"t.example\"",
            "f.toml:3:1",
            "lock themselves out",
        ),
        ("[prefixes]\nv4 = \"10.0.0.0/8\"", "f.toml:2:1", "within 100.64.0.0/10"),
        ("[node]\nexpiry = \"5 days\"", "f.toml:2:1", "write it like 30s"),
        ("[node.routes.ha]\nprobe_timeout = \"20s\"", "f.toml:2:1", "shorter than probe_interval"),
        ("[router]\ndata_plane = \"fast\"", "f.toml:2:1", "auto, kernel or userspace"),
        ("[router]\ntags = [\"box\"]", "f.toml:2:1", "tag:router"),
        ("[router]\nadvertise_routes = [\"0.0.0.0/0\"]", "f.toml:2:1", "exit node"),
        ("[router]\nadvertise_routes = [\"100.64.0.0/10\"]", "f.toml:2:1", "no network behind"),
        ("[upgrade]\nfeed_url = \"https://u:p@example.org/f\"", "f.toml:2:1", "without a login"),
        ("[store]\nengine = \"mysql\"", "f.toml:2:1", "log, redb or sled"),
        ("tls_cert_path = \"x\"", "f.toml:1:1", "belong together"),
        ("[log]\nlevel = \"loud\"", "f.toml:2:1", "trace, debug"),
        ("[database]\ntype = \"sqlite\"", "f.toml:1:1", "store.engine"),
    ] {
        let found = errors(text);
        assert!(found.iter().any(|e| e.contains(place) && e.contains(words)), "{text:?} gave {found:?}");
    }
}

#[test]
fn values_of_the_wrong_kind_are_named_in_the_order_of_the_text() {
    for (text, said) in [
        ("listen_addr = 5", "f.toml:1:15: listen_addr: invalid type: integer `5`, expected a string"),
        ("[node]\napproval = \"yes\"", "f.toml:2:12: approval: invalid type: string \"yes\", expected true or false"),
        ("[derp.server]\nregion_id = 70000", "expected a whole number from 0 to 65535"),
        ("[derp.server]\nregion_id = -1", "expected a whole number from 0 to 65535"),
        ("derp = 5", "f.toml:1:8: derp: invalid type: integer `5`, expected a table"),
        ("trusted_proxies = [\"192.0.2.0/24\", \"lan\"]", "f.toml:1:36: trusted_proxies: invalid type: string \"lan\""),
        ("trusted_proxies = \"192.0.2.0/24\"", "expected a list"),
        ("[derp.server]\nipv4 = \"::1\"", "expected an IPv4 address"),
        ("[taildrop]\n", "f.toml:1:1: [taildrop]: missing key `enabled`"),
        ("[taildrop]\nenable = true", "f.toml:2:1: enable: unknown key `enable`, known ones here are `enabled`"),
        ("[[dns.extra_records]]\nname = \"a.b\"", "missing key `value`"),
        ("[dns.nameservers.split]\n\"a.b\" = \"1.1.1.1\"", "f.toml:2:9: \"a.b\": invalid type: string"),
        ("[log]\nlevel = \"info\"\nlevel = \"info\"", "f.toml:3:1: level: duplicate key"),
    ] {
        let found = errors(text);
        assert!(found.iter().any(|e| e.contains(said)), "{text:?} gave {found:?}");
    }
    let found = errors("[log]\nlevel = 1\n[database]\nx = 1\n[dns]\nmagic_dns = 1\n[admin]\nhost = []\n");
    let places = found.iter().map(|e| &e[..9]).collect::<Vec<_>>();
    // What belongs to another program first, then in order.
    assert_eq!(places, ["f.toml:3:", "f.toml:2:", "f.toml:6:", "f.toml:8:"], "{found:?}");
}

#[test]
fn what_is_read_goes_before_defaults_and_the_environment_before_both() {
    let text = "connections_per_address = 0x10\n\
        trusted_proxies = [\"192.0.2.0/24\"]\n[prefixes]\nv4 = \"100.64.5.0/24\"\n\
        [dns]\nextra_records = [{ name = \"a.b\", type = \"A\", value = \"192.0.2.1\" }]\n\
        [dns.nameservers.split]\n\"c.d\" = [\"192.0.2.53\"]\n[oidc.extra_params]\nprompt = \"login\"\n";
    let env = [("HEARTHGATE_TRUSTED_PROXIES".to_owned(), " 10.0.0.0/8 , fd00::/8,".to_owned())];
    let loaded = load(Some(("f.toml", text)), &env);
    assert_eq!(loaded.problems, []);
    let c = loaded.config;
    assert_eq!(c.connections_per_address, 16);
    assert_eq!(c.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    assert_eq!(c.prefixes.v4, "100.64.5.0/24".parse().ok());
    assert_eq!(c.prefixes.v6, Config::default().prefixes.v6);
    assert_eq!((c.dns.extra_records[0].kind.as_str(), c.dns.extra_records[0].name.as_str()), ("A", "a.b"));
    assert_eq!(c.dns.extra_records[0].value, std::net::IpAddr::from([192, 0, 2, 1]));
    assert_eq!(c.dns.nameservers.split.get("c.d").map(Vec::as_slice), Some(&["192.0.2.53".to_owned()][..]));
    assert_eq!(c.oidc.extra_params.get("prompt").map(String::as_str), Some("login"));

    let wrong = load(None, &[("HEARTHGATE_PREFIXES_V4".into(), "lan".into())]);
    assert_eq!(wrong.config, Config::default());
    assert!(wrong.problems[0].to_string().starts_with("HEARTHGATE_PREFIXES_V4: prefixes.v4: invalid type: string"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", value in ".{0,40}") {
        let _ = load(Some(("f", &text)), &[("HEARTHGATE_SERVER_URL".into(), value.clone()), ("HEARTHGATE_PREFIXES_V4".into(), value)]);
    }
}

#[test]
fn the_example_of_the_bare_relay_is_its_default() {
    let example = include_str!("../../../docs/derp.toml");
    let parsed = RelayConfig::parse("docs/derp.toml", example).unwrap();
    // The example is a server's; a small machine's number is its own.
    let mut default = RelayConfig::default();
    default.limits.connections = parsed.limits.connections;
    assert_eq!(parsed, default);
    assert_eq!(parsed.problems("docs/derp.toml", example), []);
    let wrong = RelayConfig::parse("x.toml", "lisen_addr = 1").unwrap_err();
    assert!(wrong.to_string().starts_with("x.toml:1:1: lisen_addr: unknown key"), "{wrong}");
    let text = "listen_addr = \"no\"\n[mesh]\nwith = [\"a\"]\n[limits]\nwrite_timeout = \"soon\"\n";
    let found = RelayConfig::parse("x.toml", text).unwrap().problems("x.toml", text);
    assert_eq!(found.iter().map(|p| p.line).collect::<Vec<_>>(), [1, 3, 5]);
}

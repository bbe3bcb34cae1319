//! The OpenWrt scripts under busybox ash, with stand-ins for OpenWrt's own functions (`tests/stand-ins`), and checked
//! by shellcheck. The configuration they make is read by the program's own reader.

use hearthgate_config::load;
use hearthgate_dyndns::SERVICES;
use hearthgate_pack::tree::{Node, Tree};
use std::path::{Path, PathBuf};
use std::process::Command;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Absolute paths of all shell scripts.
fn scripts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for package in ["hearthgate", "luci-app-hearthgate"] {
        let root = here("../../openwrt").join(package);
        for (path, entry) in Tree::read(&root).unwrap().iter() {
            let Node::File(contents) = &entry.node else { continue };
            if contents.starts_with(b"#!/bin/sh") || path.contains("hotplug.d/") {
                found.push(root.join(path));
            }
        }
    }
    assert!(found.len() >= 6, "{found:?}");
    found
}

#[test]
fn scripts_are_what_ash_reads_and_shellcheck_passes() {
    for script in scripts() {
        let ash = Command::new("busybox").arg("ash").arg("-n").arg(&script).output().expect("ci/test installs busybox");
        assert!(ash.status.success(), "{script:?}: {}", String::from_utf8_lossy(&ash.stderr));
        let mut lint = Command::new("shellcheck");
        // rc.common sets and reads variables of its own; `local` is in every shell OpenWrt has; the sourced files are
        // on the router only.
        lint.args(["-s", "dash", "-e", "SC2034,SC3043,SC2154,SC1008,SC2096,SC1090"]).arg(&script);
        let lint = lint.output().expect("ci/test installs shellcheck");
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    }
}

fn toml_of(uci: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hearthgate"), uci).unwrap();
    let mut command = Command::new("busybox");
    command.arg("ash").arg(here("../../openwrt/hearthgate/usr/libexec/hearthgate/uci-to-toml"));
    command.env("FUNCTIONS", here("tests/stand-ins/functions.sh")).env("UCI_CONFIG_DIR", dir.path());
    let out = command.output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn config_of(uci: &str) -> hearthgate_config::Config {
    let toml = toml_of(uci);
    let loaded = load(Some(("uci", &toml)), &[]);
    assert_eq!(loaded.problems, [], "{toml}");
    loaded.config
}

#[test]
fn the_settings_that_come_with_the_package_are_the_programs_defaults() {
    let shipped = std::fs::read_to_string(here("../../openwrt/hearthgate/etc/config/hearthgate")).unwrap();
    let mut config = config_of(&shipped);
    assert_eq!(config.state_dir, Path::new("/etc/hearthgate"));
    assert_eq!(config.unix_socket, Path::new("/var/run/hearthgate.sock"), "nothing is written to flash at each start");
    config.state_dir = PathBuf::new();
    config.unix_socket = PathBuf::new();
    assert_eq!(config, hearthgate_config::Config::default());
}

#[test]
fn settings_arrive_and_cannot_break_out_of_their_strings() {
    let config = config_of(
        "config hearthgate 'main'\n\
         \toption server_url 'https://vpn.example.org'\n\
         \toption port '8443'\n\
         \toption stun '0'\n\
         \toption relay 'off'\n\
         \toption port_mapping '1'\n\
         \toption base_domain 'home.example'\n\
         \tlist nameserver '192.0.2.53'\n\
         \tlist nameserver '2001:db8::53'\n\
         \tlist split_dns 'corp.example=192.0.2.54'\n\
         \tlist split_dns 'lab.example=192.0.2.55'\n\
         \tlist split_dns 'corp.example=192.0.2.56'\n\
         \tlist split_dns 'nonsense'\n\
         \toption node_expiry '90d'\n\
         \toption approval '1'\n\
         \toption upgrade_feed 'https://example.org/hearthgate.feed'\n\
         \toption log_level 'debug'\n\
         config router 'router'\n\
         \toption enabled '1'\n\
         \tlist advertise_route '192.168.1.0/24'\n\
         \tlist advertise_route '10.0.0.0/8'\n\
         \toption advertise_exit_node '1'\n\
         \toption port '00'\n",
    );
    assert_eq!(config.server_url, "https://vpn.example.org");
    assert_eq!(config.listen_addr, "0.0.0.0:8443");
    assert!(config.port_mapping);
    assert_eq!(config.derp.server.stun_listen_addr, "");
    assert!(!config.derp.server.enabled);
    assert_eq!(config.dns.nameservers.global.len(), 2);
    let split: Vec<(&str, Vec<String>)> = config
        .dns
        .nameservers
        .split
        .iter()
        .map(|(k, v)| (k.as_str(), v.iter().map(ToString::to_string).collect()))
        .collect();
    let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        split,
        [("corp.example", texts(&["192.0.2.54", "192.0.2.56"])), ("lab.example", texts(&["192.0.2.55"]))]
    );
    assert_eq!((config.node.expiry.as_str(), config.node.approval), ("90d", true));
    assert_eq!(config.upgrade.feed_url, "https://example.org/hearthgate.feed");
    assert_eq!((config.router.interface.as_str(), config.router.port), ("ts0", 0));
    assert!(config.router.enabled && config.router.advertise_exit_node && !config.router.accept_routes);
    assert_eq!(config.router.advertise_routes.len(), 2);

    let hostile = "x\"\nlisten_addr = \"0.0.0.0:1\\";
    let toml =
        toml_of(&format!("config hearthgate 'main'\n\toption base_domain '{}'\n", hostile.replace('\n', "\u{1}")));
    let table: toml::Table = toml.parse().unwrap();
    let domain = table.get("dns").and_then(|d| d.get("base_domain")).and_then(|d| d.as_str());
    assert_eq!(domain, Some("x\"listen_addr = \"0.0.0.0:1\\"));
    assert_eq!(table.get("listen_addr").and_then(|v| v.as_str()), Some("0.0.0.0:8080"));
}

#[test]
fn a_dynamic_name_arrives_and_its_secret_stays_in_its_file() {
    let config = config_of(
        "config hearthgate 'main'\n\
         config dyndns 'dyndns'\n\
         \toption service 'rfc2136'\n\
         \toption name 'home.example.org'\n\
         \toption user 'key'\n\
         \toption secret_file '/etc/hearthgate/dyndns.secret'\n\
         \toption secret_changed '1764000000'\n\
         \toption url 'ns.example.org'\n\
         \toption zone 'example.org'\n\
         \toption ttl '300'\n\
         \toption ipv4 '0'\n",
    );
    let dyndns = &config.dyndns;
    assert_eq!(
        (dyndns.service.as_str(), dyndns.name.as_str(), dyndns.user.as_str()),
        ("rfc2136", "home.example.org", "key")
    );
    assert_eq!((dyndns.url.as_str(), dyndns.zone.as_str(), dyndns.ttl), ("ns.example.org", "example.org", 300));
    assert_eq!(dyndns.secret_path, Path::new("/etc/hearthgate/dyndns.secret"));
    assert!(dyndns.secret.is_empty() && !dyndns.ipv4 && dyndns.ipv6);
    let none = toml_of("config hearthgate 'main'\nconfig dyndns 'dyndns'\n\toption name 'home.example.org'\n");
    assert!(!none.contains("dyndns"), "without a service nothing goes before the pages: {none}");
}

#[test]
fn luci_offers_the_services_that_there_are() {
    let form = "../../openwrt/luci-app-hearthgate/www/luci-static/resources/view/hearthgate/settings.js";
    let form = std::fs::read_to_string(here(form)).unwrap();
    let list = form.split("var SERVICES = [").nth(1).and_then(|rest| rest.split("\n];").next()).expect("a list");
    let lines: Vec<&str> = list.lines().filter(|l| l.contains('[')).collect();
    let offered: Vec<&str> = lines.iter().filter_map(|l| l.split('\'').nth(1)).collect();
    assert_eq!(offered, SERVICES.map(|s| s.id));
    for (line, service) in lines.iter().zip(&SERVICES) {
        assert_eq!(line.contains("'user'"), service.user.is_some(), "{}", service.id);
        assert_eq!(line.contains("'url'"), service.url.is_some(), "{}", service.id);
        assert_eq!(line.contains("'zone'"), service.is_name_server(), "{}", service.id);
    }
    // What LuCI writes is what it may write, and nothing else.
    let acl = "../../openwrt/luci-app-hearthgate/usr/share/rpcd/acl.d/luci-app-hearthgate.json";
    let acl: serde_json::Value = serde_json::from_slice(&std::fs::read(here(acl)).unwrap()).unwrap();
    let files = acl["luci-app-hearthgate"]["write"]["file"].as_object().unwrap();
    assert!(files.len() == 1 && acl["luci-app-hearthgate"]["read"]["file"].is_null());
    let (path, rights) = files.iter().next().unwrap();
    assert!(form.contains(&format!("var SECRET = '{path}';")) && *rights == serde_json::json!(["write"]), "{path}");
}

#[test]
fn rpcd_gets_json_whatever_the_program_says() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("hearthgate");
    let call = |script: &str, arguments: &[&str]| {
        std::fs::write(&program, script).unwrap();
        let run = |words: &[&str]| Command::new("busybox").args(words).env("PROG", &program).output().unwrap();
        assert!(run(&["chmod", "+x", program.to_str().unwrap()]).status.success());
        let plugin = here("../../openwrt/luci-app-hearthgate/usr/libexec/rpcd/hearthgate");
        let out = run(&[&["ash", plugin.to_str().unwrap()], arguments].concat());
        assert!(out.status.success(), "{arguments:?}");
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let echo = "#!/bin/sh\necho \"{\\\"said\\\":\\\"$*\\\"}\"\n";
    let methods = call(echo, &["list"]);
    let acl = std::fs::read_to_string(here(
        "../../openwrt/luci-app-hearthgate/usr/share/rpcd/acl.d/luci-app-hearthgate.json",
    ));
    let acl: serde_json::Value = serde_json::from_str(&acl.unwrap()).unwrap();
    let allowed = |right: &str| acl["luci-app-hearthgate"][right]["ubus"]["hearthgate"].as_array().unwrap().clone();
    for method in methods.as_object().unwrap().keys() {
        let rights: Vec<&str> =
            ["read", "write"].into_iter().filter(|r| allowed(r).contains(&method.as_str().into())).collect();
        assert_eq!(rights, [if method == "setup" { "write" } else { "read" }], "{method}");
        let answer = call(echo, &["call", method]);
        assert!(answer.get(method).is_some(), "{method}: {answer}");
    }
    let setup = call(echo, &["call", "setup"]);
    assert_eq!(setup["setup"]["said"], "--config /var/etc/hearthgate.toml admin setup-code --output json-line");
    assert!(call("#!/bin/sh\nexit 1\n", &["call", "nodes"]).get("error").is_some());
}

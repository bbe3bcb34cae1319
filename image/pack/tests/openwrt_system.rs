//! What the OpenWrt scripts do to the rest of a router, with stand-ins for its programs (`tests/stand-ins`): the sections
//! in other packages' settings, what procd is told, what hotplug does.

use std::path::{Path, PathBuf};
use std::process::Command;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A router: settings, notes and what was called, in a folder.
struct Router {
    dir: tempfile::TempDir,
    /// Whether netifd runs.
    runs: bool,
}

/// Zones and dnsmasq as a router has them from the factory.
const FACTORY: &str = "network.lan=interface\nnetwork.lan.proto=static\nnetwork.lan.ipaddr=192.168.1.1/24\n\
    firewall.@zone[0]=zone\nfirewall.@zone[0].name=lan\nfirewall.@zone[1]=zone\nfirewall.@zone[1].name=wan\n\
    dhcp.@dnsmasq[0]=dnsmasq\ndhcp.@dnsmasq[0].server=192.0.2.1\n";

impl Router {
    fn new(settings: &str) -> Self {
        let router = Self { dir: tempfile::tempdir().unwrap(), runs: true };
        std::fs::write(router.at("store"), settings).unwrap();
        std::fs::create_dir(router.at("init.d")).unwrap();
        for service in ["network", "firewall", "dnsmasq"] {
            let script = router.at("init.d").join(service);
            std::fs::write(&script, format!("#!/bin/sh\necho {service} \"$1\" >>\"$UBUS_LOG\"\n")).unwrap();
            let made = Command::new("chmod").arg("+x").arg(&script).status().unwrap();
            assert!(made.success());
        }
        router
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    /// Settings in any order.
    fn settings(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.text("store").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn set(&self, line: &str) {
        let path = line.split('=').next().unwrap();
        let kept: String = self
            .text("store")
            .lines()
            .filter(|l| !l.starts_with(&format!("{path}=")))
            .map(|l| format!("{l}\n"))
            .collect();
        std::fs::write(self.at("store"), format!("{kept}{line}\n")).unwrap();
    }

    /// Under busybox ash, with the stand-ins before all other programs and busybox's own; gives what was printed.
    fn ash(&self, script: &Path, words: &[&str], variables: &[(&str, &str)]) -> String {
        let path = format!("{}:{}", here("tests/stand-ins").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("busybox");
        let first = format!("logger() {{ {} \"$@\"; }}\n", here("tests/stand-ins/logger").display());
        command.args(["ash", "-c", &format!("{first}. \"$0\"")]).arg(script).args(words).env("PATH", path);
        command.env("UCI_STORE", self.at("store")).env("NOTE", self.at("note")).env("INIT", self.at("init.d"));
        command.env("UBUS_LOG", self.at("calls")).env("LOG", self.at("log"));
        command.env("UBUS_RUNS", if self.runs { "yes" } else { "" }).envs(variables.iter().copied());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Gives which services were reloaded.
    fn network(&self, verb: &str) -> Vec<String> {
        let _ = std::fs::remove_file(self.at("calls"));
        self.ash(&here("../../openwrt/hearthgate/usr/libexec/hearthgate/network"), &[verb], &[]);
        let mut reloads: Vec<String> =
            self.text("calls").lines().filter_map(|l| l.strip_suffix(" reload")).map(str::to_owned).collect();
        reloads.sort();
        reloads
    }
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn sections_are_made_once_and_removal_takes_just_them() {
    let before = format!("{FACTORY}hearthgate.network.public=1\n");
    let router = Router::new(&before);
    assert_eq!(router.network("add"), ["dnsmasq", "firewall", "network"]);
    let added = router.text("store");
    for line in [
        "network.tailnet.proto=none\n",
        "network.tailnet.device=ts0\n",
        "firewall.hearthgate_zone.device=ts0\n",
        "firewall.hearthgate_from_lan.dest=tailnet\n",
        "firewall.hearthgate_to_wan.dest=wan\n",
        "firewall.hearthgate_control.dest_port=8080\n",
        "firewall.hearthgate_stun.proto=udp\n",
        "firewall.hearthgate_wireguard.dest_port=41641\n",
        "dhcp.@dnsmasq[0].rebind_domain=hearthgate.internal\n",
    ] {
        assert!(added.contains(line), "{line} not in {added}");
    }
    assert!(!added.contains("100.100.100.100"), "no member, so nobody answers there");
    router.set("firewall.hearthgate_zone.forward=REJECT");
    let changed = router.settings();
    assert!(router.network("add").is_empty(), "an upgrade reloads nothing");
    assert!(router.network("follow").is_empty());
    assert_eq!(router.settings(), changed, "what the user changed stays");
    assert_eq!(router.network("remove"), ["dnsmasq", "firewall", "network"]);
    assert_eq!(router.settings(), sorted(&before));
    assert!(!router.at("note").exists());

    router.set("hearthgate.network.manage=0");
    let all = router.settings();
    assert!(router.network("add").is_empty() && router.settings() == all, "the user does it all alone");
}

#[test]
fn at_the_first_boot_nothing_is_reloaded_that_does_not_run_yet() {
    let mut router = Router::new(FACTORY);
    router.runs = false;
    assert!(router.network("add").is_empty());
    assert!(router.text("store").contains("network.tailnet.device=ts0\n"));
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    for foreign in [
        "network.tailnet=interface\nnetwork.tailnet.proto=none\nnetwork.tailnet.device=tailscale0\n",
        "firewall.@zone[2]=zone\nfirewall.@zone[2].name=tailnet\n",
    ] {
        let router = Router::new(&format!("{FACTORY}{foreign}"));
        let before = router.settings();
        for verb in ["add", "follow", "remove"] {
            assert!(router.network(verb).is_empty() && router.settings() == before, "{verb} {foreign}");
        }
        assert!(router.text("log").contains("is not this package's"));
    }
}

#[test]
fn later_settings_are_followed_and_old_ones_taken_back() {
    let router = Router::new(FACTORY);
    router.network("add");
    router.set("hearthgate.network.public=1");
    router.set("hearthgate.main.port=8443");
    assert_eq!(router.network("follow"), ["firewall"]);
    assert!(router.text("store").contains("firewall.hearthgate_control.dest_port=8443\n"));
    router.set("hearthgate.main.port=8444");
    router.set("firewall.hearthgate_control.src_ip=192.0.2.0/24");
    router.network("follow");
    let now = router.text("store");
    assert!(now.contains("firewall.hearthgate_control.dest_port=8444\n") && now.contains("src_ip=192.0.2.0/24"));
    router.set("hearthgate.network.public=0");
    assert_eq!(router.network("follow"), ["firewall"]);
    assert!(!router.text("store").contains("firewall.hearthgate_control"), "closed again");

    router.set("hearthgate.router.enabled=1");
    assert_eq!(router.network("follow"), ["dnsmasq"]);
    router.set("hearthgate.main.base_domain=home.example");
    assert_eq!(router.network("follow"), ["dnsmasq"]);
    let now = router.text("store");
    assert!(now.contains("rebind_domain=home.example\n") && now.contains("server=/home.example/100.100.100.100\n"));
    assert!(!now.contains("hearthgate.internal") && now.contains("server=192.0.2.1\n"), "{now}");
    router.set("hearthgate.router.enabled=0");
    router.network("follow");
    let now = router.text("store");
    assert!(!now.contains("100.100.100.100"), "{now}");

    router.set("hearthgate.router.enabled=1");
    router.network("follow");
    router.set("hearthgate.network.device=ts7");
    assert_eq!(router.network("follow"), ["firewall", "network"]);
    let now = router.text("store");
    assert!(now.contains("network.tailnet.device=ts7\n") && now.contains("zone.device=ts7\n"), "{now}");
    assert!(now.contains("zone.device=ts7-via\n") && !now.contains("=ts0"), "{now}");
    router.network("remove");
    let left: String =
        router.text("store").lines().filter(|l| !l.starts_with("hearthgate.")).map(|l| format!("{l}\n")).collect();
    assert_eq!(sorted(&left), sorted(FACTORY));
}

#[test]
fn a_new_wan_is_told() {
    let router = Router::new("");
    let script = here("../../openwrt/hearthgate/etc/hotplug.d/iface/95-hearthgate");
    let run = |action: &str, interface: &str| {
        let _ = std::fs::remove_file(router.at("calls"));
        router.ash(&script, &[], &[("ACTION", action), ("INTERFACE", interface)]);
        router.text("calls")
    };
    for wan in ["wan", "wan6", "wanb", "modem"] {
        assert!(run("ifup", wan).contains("\"signal\":1"), "{wan}");
    }
    assert!(run("ifdown", "wan").is_empty() && run("ifup", "lan").is_empty() && run("ifup", "tailnet").is_empty());
}

/// The init script with its paths in the router's folder, run by a stand-in for rc.common.
struct Service {
    router: Router,
}

impl Service {
    fn new(settings: &str) -> Self {
        let router = Router::new(FACTORY);
        for folder in ["libexec/hearthgate", "etc", "sbin", "config"] {
            std::fs::create_dir_all(router.at(folder)).unwrap();
        }
        let service = Self { router };
        for script in ["uci-to-toml", "network"] {
            let from = here("../../openwrt/hearthgate/usr/libexec/hearthgate").join(script);
            std::fs::copy(from, service.router.at("libexec/hearthgate").join(script)).unwrap();
        }
        // Says of a configuration with "wrong" in it that it is.
        service.program("#!/bin/sh\n[ \"$3\" = configtest ] && ! grep wrong \"$2\"\n", "sbin/hearthgate");
        service.program("#!/bin/sh\n", "sbin/ujail");
        std::fs::write(service.router.at("hearthgate.json"), "{}").unwrap();
        service.settings(settings);
        service
    }

    fn program(&self, text: &str, name: &str) {
        std::fs::write(self.router.at(name), text).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(self.router.at(name)).status().unwrap().success());
    }

    fn settings(&self, text: &str) {
        std::fs::write(self.router.at("config/hearthgate"), text).unwrap();
    }

    /// What procd is told by `start`.
    fn start(&self, valid: bool) -> String {
        let root = self.router.dir.path().display().to_string();
        let script = std::fs::read_to_string(here("../../openwrt/hearthgate/etc/init.d/hearthgate")).unwrap();
        let script = script
            .replace("/usr/libexec", &format!("{root}/libexec"))
            .replace("/usr/sbin", &format!("{root}/sbin"))
            .replace("/sbin/ujail", &format!("{root}/sbin/ujail"))
            .replace("/etc/capabilities", &root)
            .replace("/var/etc", &format!("{root}/var"))
            .replace("/etc/hearthgate", &format!("{root}/etc"));
        let file = self.router.at("init");
        let stand_ins = here("tests/stand-ins");
        let run =
            format!(". {}/procd.sh\n{script}\nstart_service || echo failed\nservice_triggers\n", stand_ins.display());
        std::fs::write(&file, run).unwrap();
        let (functions, config) = (stand_ins.join("functions.sh"), self.router.at("config"));
        let variables = [
            ("FUNCTIONS", functions.to_str().unwrap()),
            ("UCI_CONFIG_DIR", config.to_str().unwrap()),
            ("VALID", if valid { "0" } else { "1" }),
        ];
        self.router.ash(&file, &[], &variables).replace(&root, "ROOT")
    }
}

#[test]
fn procd_is_told_what_it_needs_to_restart_and_to_confine_the_service() {
    let service = Service::new("config hearthgate 'main'\n\toption enabled '1'\n");
    let told = service.start(true);
    for line in [
        "procd_set_param command ROOT/sbin/hearthgate serve --config ROOT/var/hearthgate.toml\n",
        // apk upgrades a package without stopping its service.
        "procd_set_param file ROOT/var/hearthgate.toml ROOT/sbin/hearthgate\n",
        // Without a jail procd leaves capabilities and this flag aside.
        "procd_add_jail hearthgate\n",
        "procd_set_param capabilities ROOT/hearthgate.json\n",
        "procd_set_param no_new_privs 1\n",
        "procd_add_reload_trigger hearthgate\n",
        "procd_add_reload_interface_trigger lan\n",
    ] {
        assert!(told.contains(line), "{line} not in {told}");
    }
    // Flags would give it another file system.
    assert!(!told.contains("procd_add_jail hearthgate ") && told.ends_with("validate_dyndns\n"), "{told}");
    // The LAN's address, not that of the way out.
    assert!(service.router.text("var/hearthgate.toml").contains("server_url = \"http://192.168.1.1:8080\"\n"));

    std::fs::remove_file(service.router.at("sbin/ujail")).unwrap();
    let told = service.start(true);
    assert!(told.contains("procd_close_instance") && !told.contains("jail"), "small images have none: {told}");
    service.settings("config hearthgate 'main'\n\toption enabled '0'\n");
    assert!(!service.start(true).contains("procd_open_instance"));
}

#[test]
fn wrong_settings_leave_the_service_that_runs() {
    let good = "config hearthgate 'main'\n\toption enabled '1'\n\toption node_expiry '90d'\n";
    let service = Service::new(good);
    let told = service.start(false);
    assert!(told.contains("failed") && !told.contains("procd_open_instance"), "nothing ran before: {told}");
    let told = service.start(true);
    let toml = service.router.text("var/hearthgate.toml");
    assert!(toml.contains("90d"));
    assert_eq!(service.start(false), told, "the same instance stays");
    service.settings(&good.replace("90d", "wrong"));
    assert_eq!(service.start(true), told);
    assert_eq!(service.router.text("var/hearthgate.toml"), toml);
    assert!(!service.router.at("var/hearthgate.toml.new").exists());
    let log = service.router.text("log");
    assert!(log.contains("validation failed") && log.contains("wrong") && log.contains("stay in force"), "{log}");

    // A start finds a disk missing, say: the program is to try.
    std::fs::remove_file(service.router.at("var/hearthgate.toml")).unwrap();
    assert_eq!(service.start(true), told);
    assert!(service.router.text("var/hearthgate.toml").contains("wrong"));

    // A file of the user's own holds whatever the options are.
    service.settings(&good.replace("node_expiry '90d'", "config_file '/mnt/own.toml'"));
    assert!(service.start(false).contains("serve --config /mnt/own.toml\n"));
}

#[test]
fn the_url_of_a_router_is_its_address_on_the_lan() {
    let service = Service::new("config hearthgate 'main'\n");
    let script = here("../../openwrt/hearthgate/usr/libexec/hearthgate/uci-to-toml");
    let functions = here("tests/stand-ins/functions.sh");
    let last = service.router.at("last.toml");
    let url = |main: &str, network: &str| {
        service.settings(&format!("config hearthgate 'main'\n{main}"));
        std::fs::write(service.router.at("network.sh"), network).unwrap();
        let (config, network) = (service.router.at("config"), service.router.at("network.sh"));
        let variables = [
            ("FUNCTIONS", functions.to_str().unwrap()),
            ("UCI_CONFIG_DIR", config.to_str().unwrap()),
            ("NETWORK", network.to_str().unwrap()),
            ("LAST", last.to_str().unwrap()),
        ];
        let toml = service.router.ash(&script, &[], &variables);
        let loaded = hearthgate_config::load(Some(("uci", &toml)), &[]);
        assert_eq!(loaded.problems, [], "{toml}");
        loaded.config.server_url
    };
    let up = "network_get_ipaddr() { export \"$1=10.11.12.1\"; }\n";
    let v6 = "network_get_ipaddr() { return 1; }\nnetwork_get_ipaddr6() { export \"$1=fd12::1\"; }\n";
    let down = "network_get_ipaddr() { return 1; }\nnetwork_get_ipaddr6() { return 1; }\n";
    assert_eq!(url("", up), "http://10.11.12.1:8080");
    assert_eq!(url("\toption listen '::'\n\toption port '81'\n", v6), "http://[fd12::1]:81");
    assert_eq!(url("", down), "http://192.168.1.1:8080", "what it will have");
    assert_eq!(url("\toption server_url 'https://vpn.example.org'\n", up), "https://vpn.example.org");
    assert_eq!(url("\toption listen '10.0.0.1'\n", up), "", "the program takes that one");
    service.router.set("network.lan.ipaddr=");
    assert_eq!(url("", down), "", "no LAN");
    std::fs::write(&last, "server_url = \"http://10.11.12.1:8080\"\nlisten_addr = \"0.0.0.0:8080\"\n").unwrap();
    assert_eq!(url("", down), "http://10.11.12.1:8080", "it is down for a moment");
    std::fs::write(&last, "server_url = \"https://vpn.example.org\"\n").unwrap();
    assert_eq!(url("", down), "", "that was the user's, who took it away");
}

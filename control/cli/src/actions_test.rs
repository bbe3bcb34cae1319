//! Every command that looks after the network is on the pages and in the API: one table, held against the help text, the
//! API's own description, and the forms of a running server's pages.

use super::commands::HELP;
use hearthgate_core::{PlainSettings, Settings};
use hearthgate_server::{AdminOptions, Options};
use hearthgate_web::gate::{Gate, LAN};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// Where a command is on the pages.
enum Page {
    /// A form that posts there.
    Form(&'static str),
    /// A page that shows it.
    Shows(&'static str),
    /// Nowhere, and why.
    No(&'static str),
}
use Page::{Form, No, Shows};

const CONSOLE: &str = "for the console of the box only: it is what helps when nobody can log in";
const FILES: &str = "works on files of the machine, while no server runs or beside it";

/// Command, endpoint of the API (`v1` by its description; `v2` is asked), place on the pages.
const ACTIONS: &[(&str, &str, Page)] = &[
    ("configtest", "", No(FILES)),
    ("users create", "post /user", Form("user")),
    ("users list", "get /user", Shows("users")),
    ("users rename", "post /user/{id}/rename/{userName}", Form("user/*/rename")),
    ("users role", "post /user/{id}/role", Form("user/*/role")),
    ("users destroy", "delete /user/{id}", Form("user/*/delete")),
    ("preauthkeys create", "post /preauthkey", Form("key")),
    ("preauthkeys list", "get /preauthkey", Shows("keys")),
    ("preauthkeys expire", "post /preauthkey/expire", Form("key/*/expire")),
    ("preauthkeys delete", "delete /preauthkey", Form("key/*/delete")),
    ("nodes list", "get /node", Shows("devices")),
    ("nodes list-routes", "get /node", Shows("routes")),
    ("nodes approve-routes", "post /node/{id}/approve_routes", Form("device/*/routes")),
    ("nodes approve", "post /node/{id}/approve", Form("device/*/approve")),
    ("nodes rename", "post /node/{id}/rename/{nodeName}", Form("device/*/rename")),
    ("nodes expire", "post /node/{id}/expire", Form("device/*/expire")),
    ("nodes delete", "delete /node/{id}", Form("device/*/remove")),
    ("nodes tag", "post /node/{id}/tags", Form("device/*/tags")),
    ("nodes backfillips", "post /node/backfillips", Form("addresses")),
    ("nodes attributes", "post /node/{id}/attributes", Form("device/*/attribute")),
    ("auth list", "get /auth", Shows("devices")),
    ("auth register", "post /auth/register", Form("login/approve")),
    ("auth checks", "get /auth", Shows("devices")),
    ("auth approve", "post /auth/approve", No("while a connection waits for it: page Devices")),
    ("auth reject", "post /auth/reject", Form("login/reject")),
    ("apikeys create", "post /apikey", Form("apikey")),
    ("apikeys list", "get /apikey", Shows("keys")),
    ("apikeys expire", "post /apikey/expire", Form("apikey/*/expire")),
    ("apikeys delete", "delete /apikey/{prefix}", Form("apikey/*/delete")),
    ("oauth-clients create", "v2 POST /tailnet/-/keys", Form("oauth")),
    ("oauth-clients list", "v2 GET /tailnet/-/keys", Shows("keys")),
    ("oauth-clients delete", "v2 DELETE /tailnet/-/keys/x", Form("oauth/*/delete")),
    ("wireguard add", "post /wireguard", Form("wireguard")),
    ("wireguard list", "get /wireguard", Shows("wireguard")),
    ("wireguard set", "post /wireguard/{id}", Form("wireguard/*/change")),
    ("wireguard remove", "delete /wireguard/{id}", Form("wireguard/*/remove")),
    ("dyndns set", "post /dyndns", Form("setup/dyndns")),
    ("dyndns status", "get /dyndns", Shows("setup")),
    ("dyndns update", "post /dyndns/update", Form("setup/dyndns/update")),
    ("dyndns remove", "delete /dyndns", Form("setup/dyndns/remove")),
    ("dyndns services", "get /dyndns/services", Shows("setup")),
    ("portmap on", "post /portmap", Form("setup/portmap")),
    ("portmap off", "post /portmap", Form("setup/portmap")),
    ("portmap status", "get /portmap", Shows("setup")),
    ("portmap configured", "delete /portmap", Form("setup/portmap/configured")),
    ("webhooks create", "v2 POST /tailnet/-/webhooks", Form("webhook")),
    ("webhooks list", "v2 GET /tailnet/-/webhooks", Shows("events")),
    ("webhooks set", "v2 PATCH /webhooks/x", Form("webhook/*/events")),
    ("webhooks rotate", "v2 POST /webhooks/x/rotate", Form("webhook/*/rotate")),
    ("webhooks test", "v2 POST /webhooks/x/test", Form("webhook/*/test")),
    ("webhooks delete", "v2 DELETE /webhooks/x", Form("webhook/*/delete")),
    ("policy get", "get /policy", Shows("policy")),
    ("policy set", "put /policy", Form("policy")),
    ("policy versions", "get /policy/versions", Shows("policy/history")),
    ("policy rollback", "post /policy/rollback", Form("policy/rollback")),
    ("policy check", "post /policy/check", Form("policy")),
    ("policy eval", "", No(FILES)),
    ("policy explain", "get /policy/explain", Shows("policy/reach")),
    ("policy who-can", "get /policy/who-can", Shows("policy/reach")),
    ("policy diff", "post /policy/diff", Form("policy")),
    ("admin setup-code", "", No(CONSOLE)),
    ("admin reset-password", "", No(CONSOLE)),
    ("backup", "get /backup", Form("backup")),
    ("restore", "put /restore", Form("restore")),
    ("upgrade", "put /image/upgrade", No("on boxes with one of our images: page System")),
    ("import headscale", "", No(FILES)),
    ("health", "get /health", Shows("health")),
    ("version", "get /version", Shows("system")),
];

/// What API v2 says of an endpoint that there is not.
const UNKNOWN: &str = "endpoint not found";

/// What is there with a front only.
#[cfg(feature = "front")]
const FRONT: &[(&str, &str, Page)] = &[
    ("front pair", "post /front", Form("setup/front")),
    ("front unpair", "delete /front", No("while it has a front: page Setup, tried in the browser")),
    ("front status", "get /front", Shows("setup")),
    ("front test", "post /front/test", No("while it has a front: page Setup, tried in the browser")),
];
#[cfg(not(feature = "front"))]
const FRONT: &[(&str, &str, Page)] = &[];

/// Groups that do not look after a network: programs of their own, and the router of this machine.
const PROGRAMS: [&str; 5] = ["serve", "derp", "front", "router", "status"];

/// Commands by the help text: its first column, then what stands between bars.
fn by_help() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut group = "";
    for line in HELP.lines().filter(|l| l.starts_with("  ")) {
        let (first, rest) = line.trim_start().split_once(' ').unwrap_or((line.trim(), ""));
        let (own, text) = if line.starts_with("   ") { (false, line.trim()) } else { (true, rest.trim()) };
        if own {
            group = if first.starts_with('-') { "" } else { first };
        }
        if group.is_empty() || PROGRAMS.contains(&group) {
            continue;
        }
        // Flags in brackets have bars of their own.
        let (mut bare, mut depth) = (String::new(), 0);
        for c in text.chars() {
            depth += i32::from(c == '[') - i32::from(c == ']');
            if depth == 0 && c != ']' {
                bare.push(c);
            }
        }
        let words = |piece: &str| piece.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        // Several of these may share a line.
        const ALONE: [&str; 6] = ["backup", "restore", "upgrade", "configtest", "health", "version"];
        if own && ALONE.contains(&group) {
            let others = bare.split('|').filter_map(|p| words(p).first().cloned());
            all.extend(others.filter(|w| ALONE.contains(&w.as_str())).chain([group.to_owned()]));
            continue;
        }
        // A line of prose has neither bars nor flags.
        let of_verb = |piece: &str| words(piece).get(1).is_some_and(|w| w.starts_with('-') || w.to_uppercase() == *w);
        if own || bare.contains('|') || of_verb(text) {
            let verbs = bare.split('|').filter_map(|p| words(p).first().cloned()).filter(|w| is_verb(w));
            all.extend(verbs.map(|verb| format!("{group} {verb}")));
        }
    }
    all
}

fn is_verb(word: &str) -> bool {
    !word.starts_with('-') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

#[test]
fn the_table_has_every_command_of_the_help_and_no_other() {
    let table: BTreeSet<String> = ACTIONS.iter().map(|(command, ..)| (*command).to_owned()).collect();
    assert_eq!(table, by_help());
}

/// What a group says of itself when it is given a word it does not know.
fn verbs_by_refusal(group: &str) -> BTreeSet<String> {
    let args = crate::args::parse([group.into(), "no-such-verb".into()]).expect("words");
    let Err(crate::Failure::Usage(text)) = super::commands::run(args) else { panic!("{group} takes any word") };
    let (_, verbs) = text.split_once(": ").unwrap_or_else(|| panic!("{group}: {text}"));
    let first = |part: &str| part.split_whitespace().next().map(|verb| format!("{group} {verb}"));
    verbs.split(", ").flat_map(|part| part.split(" or ")).filter_map(first).collect()
}

#[test]
fn the_help_has_every_verb_that_a_group_knows() {
    let help = by_help();
    for group in ["users", "preauthkeys", "nodes", "auth", "apikeys", "oauth-clients", "wireguard", "webhooks"] {
        let helped: BTreeSet<_> = help.iter().filter(|c| c.split(' ').next() == Some(group)).cloned().collect();
        assert_eq!(verbs_by_refusal(group), helped);
    }
}

/// A request over a socket of any kind: status, head and body.
async fn send<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    mut stream: S,
    line: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let head = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{headers}");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.expect("a server");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status"), head.to_owned(), body.to_owned())
}

/// Where forms post to, with numbers and names as a star.
fn forms(page: &str) -> BTreeSet<String> {
    let star = |path: &str| {
        let mut before = "";
        let mut parts = Vec::new();
        for part in path.split('/') {
            let varies = ["device", "user", "key", "apikey", "oauth", "webhook", "wireguard"].contains(&before);
            parts.push(if varies { "*" } else { part });
            before = part;
        }
        parts.join("/")
    };
    page.split("action=\"/admin/").skip(1).filter_map(|rest| rest.split('"').next()).map(star).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_in_the_api_and_on_the_pages() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = Options::new(dir.path(), "127.0.0.1:0".parse().expect("an address"));
    let networks = LAN.iter().filter_map(|n| n.parse().ok()).collect();
    options.admin = AdminOptions { enabled: true, gate: Gate { networks, hosts: Vec::new() } };
    let plain = PlainSettings {
        network: "10.213.77.0/24".parse().expect("a network"),
        endpoint: String::new(),
        port: 51820,
        dns: Vec::new(),
        lan: vec!["192.168.1.0/24".parse().expect("a network")],
    };
    options.settings =
        Settings { server_url: "https://home.example.org".into(), plain: Some(plain), ..Settings::default() };
    let socket = options.unix_socket.clone();
    let running = hearthgate_server::start(options).await.expect("a server");
    let at = running.listen;
    let console = async |line: &str, body: &str| {
        send(UnixStream::connect(&socket).await.expect("a socket"), line, "", body).await
    };
    let page = async |line: &str, headers: &str, body: &str| {
        send(TcpStream::connect(at).await.expect("a connection"), line, headers, body).await
    };

    let (_, _, description) = console("GET /api/v1/openapi.json", "").await;
    let described: Value = serde_json::from_str(&description).expect("JSON");
    // How an endpoint is refused that there is not; what is looked for below.
    let (status, _, said) = console("GET /api/v2/tailnet/-/nothing", "").await;
    assert!(status == 404 && said.contains(UNKNOWN), "{said}");
    for (command, endpoint, _) in ACTIONS.iter().chain(FRONT) {
        if let Some(line) = endpoint.strip_prefix("v2 ") {
            let (method, path) = line.split_once(' ').expect("a path");
            let (status, _, body) = console(&format!("{method} /api/v2{path}"), "").await;
            assert!(status != 405 && !body.contains(UNKNOWN), "{command}: {endpoint}: {status} {body}");
        } else if let Some((method, path)) = endpoint.split_once(' ') {
            let path = described["paths"].get(format!("/api/v1{path}")).or_else(|| described["paths"].get(path));
            assert!(path.is_some_and(|p| p.get(method).is_some()), "{command}: {endpoint} is not described");
        }
    }

    // One of everything, so that each form is there.
    let code = running.setup_code().expect("a code").reveal().to_owned();
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let claim = format!("code={code}&name=owner&password=correct+horse+battery");
    let (_, head, _) = page("POST /admin/claim", form, &claim).await;
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = format!("cookie: {}\r\n", cookie.split(';').next().unwrap_or_default());
    let key = |n: &str| format!("hskey-authreq-{}", n.repeat(24));
    for body in [
        ("POST /api/v1/user", r#"{"name":"anna"}"#.to_owned()),
        ("POST /api/v1/preauthkey", r#"{"user":"anna"}"#.to_owned()),
        ("POST /api/v1/apikey", "{}".to_owned()),
        ("POST /api/v1/wireguard", r#"{"name":"printer"}"#.to_owned()),
        ("POST /api/v2/tailnet/-/keys", r#"{"keyType":"client","scopes":["dns"]}"#.to_owned()),
        (
            "POST /api/v2/tailnet/-/webhooks",
            r#"{"endpointUrl":"https://hook.invalid/","subscriptions":["nodeCreated"]}"#.to_owned(),
        ),
        ("POST /api/v1/debug/node", format!(r#"{{"user":"anna","key":"{}","name":"a"}}"#, key("a"))),
        ("POST /api/v1/auth/register", format!(r#"{{"user":"anna","authId":"{}"}}"#, key("a"))),
        ("POST /api/v1/debug/node", format!(r#"{{"user":"anna","key":"{}","name":"w"}}"#, key("b"))),
        ("PUT /api/v1/policy", r#"{"policy":"{}"}"#.to_owned()),
        ("PUT /api/v1/policy", r#"{"policy":"{ }"}"#.to_owned()),
        ("POST /api/v1/portmap", r#"{"on":false}"#.to_owned()),
        (
            "POST /api/v1/dyndns",
            r#"{"service":"dyndns2","name":"home.example.org","user":"u","secret":"s","url":"http://127.0.0.1:1"}"#
                .into(),
        ),
    ] {
        let (status, _, said) = console(body.0, &body.1).await;
        assert!(status < 300, "{}: {said}", body.0);
    }
    let (_, _, nodes) = console("GET /api/v1/node", "").await;
    let nodes: Value = serde_json::from_str(&nodes).expect("JSON");
    let device = format!("device/{}", nodes["nodes"][0]["id"].as_str().expect("a device"));
    let shown =
        ["devices", "users", "keys", "wireguard", "routes", "policy", "policy/history", "policy/reach", "setup"];
    let shown = shown.into_iter().chain(["events", "health", "system", device.as_str()]);
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for path in shown {
        let (status, _, body) = page(&format!("GET /admin/{path}"), &cookie, "").await;
        assert_eq!(status, 200, "{path}");
        found.append(&mut forms(&body));
        seen.insert(path.to_owned());
    }
    // Only while something is there for them: tried in the browser and by the roles' test.
    const AT_TIMES: [&str; 3] = ["device/*/approve", "device/*/routes", "addresses"];
    for (command, _, place) in ACTIONS.iter().chain(FRONT) {
        match place {
            Form(form) if AT_TIMES.contains(form) => {}
            Form(form) => assert!(found.contains(*form), "{command}: no page has a form for {form}: {found:?}"),
            Shows(path) => assert!(seen.contains(*path), "{command}: the page {path}"),
            No(why) => assert!(!why.is_empty(), "{command}"),
        }
    }
    running.stop().await;
}

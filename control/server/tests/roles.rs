//! Every page, form and endpoint, asked by everybody: nobody, a member, an auditor, an administrator, an owner, a token
//! with each scope and one with all others. What a page links to or posts to must stand in the tables here.

mod support;

use hearthgate_server::AdminOptions;
use hearthgate_web::{
    gate::{Gate, LAN},
    text::{CSRF, FORBIDDEN, NOT_FOUND},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::TestServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

const PASSWORD: &str = "correct horse battery";
const ROLES: [&str; 4] = ["member", "auditor", "admin", "owner"];

/// Pages, and the least role that sees them. `MINE` is the member's device, `THEIRS` somebody else's.
const PAGES: &[(&str, usize)] = &[
    ("", 0),
    ("devices", 0),
    ("device/MINE", 0),
    ("account", 0),
    ("device/THEIRS", 1),
    ("users", 1),
    ("keys", 1),
    ("wireguard", 1),
    ("map", 1),
    ("routes", 1),
    ("policy", 1),
    ("policy/history", 1),
    ("policy/reach", 1),
    ("dns", 1),
    ("relays", 1),
    ("health", 1),
    ("events", 1),
    ("system", 1),
    ("setup", 1),
];

/// Who may send a form.
#[derive(Debug, Clone, Copy, PartialEq)]
enum May {
    All,
    /// Everybody but auditors, who change nothing.
    Doers,
    Admins,
    Owners,
}

impl May {
    fn of(self, role: usize) -> bool {
        match self {
            Self::All => true,
            Self::Doers => role != 1,
            Self::Admins => role >= 2,
            Self::Owners => role == 3,
        }
    }
}

/// Forms with fields, so chosen that those who may send them change nothing that matters here.
const FORMS: &[(&str, &str, May)] = &[
    ("password", "old=wrong&password=", May::All),
    ("passkey", "", May::All),
    ("passkey/ask", "", May::All),
    ("passkey/remove", "", May::All),
    ("device/MINE/rename", "name=mine", May::Doers),
    ("join", "user=999", May::Doers),
    ("device/THEIRS/rename", "name=theirs", May::Admins),
    ("device/MINE/expire", "how=never", May::Admins),
    ("device/MINE/expire", "how=days&days=7", May::Admins),
    ("device/THEIRS/expire", "how=never", May::Admins),
    ("device/THEIRS/expire", "how=days&days=7", May::Admins),
    ("device/999/expire", "", May::Admins),
    ("device/999/remove", "", May::Admins),
    ("device/MINE/routes", "", May::Admins),
    ("device/MINE/tags", "tags=", May::Admins),
    ("device/MINE/approve", "", May::Admins),
    ("device/MINE/attribute", "name=custom:x&value=1", May::Admins),
    ("check/approve", "id=x", May::Admins),
    ("check/reject", "id=x", May::Admins),
    ("addresses", "", May::Admins),
    ("login/approve", "id=x&user=1", May::Admins),
    ("login/reject", "id=x", May::Admins),
    ("user", "name=", May::Admins),
    ("user/999/rename", "name=x", May::Admins),
    ("user/999/role", "role=admin", May::Admins),
    ("user/999/delete", "", May::Admins),
    ("key", "user=999&hours=1", May::Admins),
    ("key/999/expire", "", May::Admins),
    ("key/999/delete", "", May::Admins),
    ("policy", "policy={}&do=check", May::Admins),
    ("policy/rollback", "version=999", May::Admins),
    ("dns", "resolvers=what", May::Admins),
    ("approval", "on=0", May::Admins),
    ("wireguard", "name=x", May::Admins),
    ("wireguard/999/change", "name=x&lan=1", May::Admins),
    ("wireguard/999/remove", "", May::Admins),
    ("setup/network", "network=", May::Admins),
    ("setup/share", "more=x", May::Admins),
    ("setup/share/configured", "", May::Admins),
    ("setup/portmap", "on=0", May::Owners),
    ("setup/portmap/configured", "", May::Owners),
    ("setup/dyndns", "service=", May::Admins),
    ("setup/dyndns/update", "", May::Admins),
    ("setup/dyndns/remove", "", May::Admins),
    ("setup/dyndns", "service=url&name=", May::Owners),
    ("setup/dyndns", "service=dyndns2&name=", May::Owners),
    ("setup/dyndns", "service=+rfc2136+&name=", May::Owners),
    ("account", "name=", May::Owners),
    ("account/nobody/role", "role=owner", May::Owners),
    ("account/nobody/delete", "", May::Owners),
    ("apikey", "days=1", May::Owners),
    ("apikey/999/expire", "", May::Owners),
    ("apikey/999/delete", "", May::Owners),
    ("oauth", "scope=", May::Owners),
    ("oauth/999/delete", "", May::Owners),
    ("webhook", "url=", May::Owners),
    ("webhook/999/test", "", May::Owners),
    ("webhook/999/events", "event=nodeCreated", May::Owners),
    ("webhook/999/rotate", "", May::Owners),
    ("webhook/999/delete", "", May::Owners),
    ("upgrade", "", May::Owners),
    ("upgrade/look", "", May::Owners),
    ("upgrade/fetch", "", May::Owners),
    ("backup", "", May::Owners),
    ("restore", "", May::Owners),
    ("restore/previous", "", May::Owners),
    ("restore/confirm", "id=x", May::Owners),
    ("restore/forget", "", May::Owners),
];

/// What is there with a front only.
#[cfg(feature = "front")]
const FRONT: &[(&str, &str, May)] = &[
    ("setup/front", "pairing=x", May::Admins),
    ("setup/front/test", "", May::Admins),
    ("setup/front/leave", "", May::Admins),
];
#[cfg(not(feature = "front"))]
const FRONT: &[(&str, &str, May)] = &[];

/// A request over a socket of any kind: status, head and body.
async fn send<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut stream: S, request: String) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Who closes with something unread resets: what was answered is there all the same.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

/// As the command line asks, with all rights.
async fn console(server: &TestServer, method: &str, path: &str, body: Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let stream = UnixStream::connect(&server.options.unix_socket).await.unwrap();
    let (status, _, answer) = send(stream, request(method, path, "", &body)).await;
    assert_eq!(status, 200, "{method} {path}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

/// As anybody in the network asks.
async fn network(server: &TestServer, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    send(TcpStream::connect(server.addr()).await.unwrap(), request(method, path, headers, body)).await
}

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// Sends a form without a session; the new session's cookie, as a header.
async fn session(server: &TestServer, path: &str, form: &str) -> String {
    let (status, head, body) = network(server, "POST", path, FORM, form).await;
    assert_eq!(status, 303, "{path}: {body}");
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).expect("a cookie");
    format!("cookie: {}\r\n", cookie.split(';').next().unwrap())
}

async fn csrf(server: &TestServer, cookie: &str) -> String {
    let (_, _, page) = network(server, "GET", "/admin/account", cookie, "").await;
    let at = page.find("name=\"csrf\" value=\"").expect("a form") + "name=\"csrf\" value=\"".len();
    page[at..].split('"').next().unwrap().to_owned()
}

async fn device(server: &TestServer, user: &str, key: &str) -> String {
    let id = format!("hskey-authreq-{key}");
    let body = json!({ "user": user, "key": id, "name": format!("of-{user}"), "routes": [] });
    console(server, "POST", "/api/v1/debug/node", body).await;
    let path = format!("/api/v1/node/register?user={user}&key={id}");
    console(server, "POST", &path, Value::Null).await["node"]["id"].as_str().unwrap().to_owned()
}

struct Town {
    server: TestServer,
    /// Cookie and token of each of [`ROLES`].
    people: Vec<(String, String)>,
    mine: String,
    theirs: String,
}

impl Town {
    async fn new() -> Self {
        let server = TestServer::start_with(|o| {
            let networks = LAN.iter().map(|n| n.parse().unwrap()).collect();
            o.admin = AdminOptions { enabled: true, gate: Gate { networks, hosts: Vec::new() } };
        })
        .await;
        let code = server.running.setup_code().expect("a code");
        let password = PASSWORD.replace(' ', "+");
        let form = format!("code={}&name=owner&password={password}", code.reveal());
        let owner = session(&server, "/admin/claim", &form).await;
        let token = csrf(&server, &owner).await;
        let user = console(&server, "POST", "/api/v1/user", json!({ "name": "minna" })).await;
        let user = user["user"]["id"].as_str().unwrap().to_owned();
        let mine = device(&server, "minna", "aaaaaaaaaaaaaaaaaaaaaaaa").await;
        let theirs = device(&server, "owner", "bbbbbbbbbbbbbbbbbbbbbbbb").await;
        let mut people = Vec::new();
        for role in &ROLES[..3] {
            let form = format!("csrf={token}&name={role}&role={role}&user={user}&password={password}");
            let headers = format!("{owner}{FORM}");
            assert_eq!(network(&server, "POST", "/admin/account", &headers, &form).await.0, 303);
            let cookie = session(&server, "/admin/login", &format!("name={role}&password={password}")).await;
            let token = csrf(&server, &cookie).await;
            people.push((cookie, token));
        }
        people.push((owner, token));
        Self { server, people, mine, theirs }
    }

    fn path(&self, path: &str) -> String {
        format!("/admin/{}", path.replace("MINE", &self.mine).replace("THEIRS", &self.theirs))
    }

    async fn get(&self, role: usize, path: &str) -> (u16, String) {
        let (status, _, body) = network(&self.server, "GET", &self.path(path), &self.people[role].0, "").await;
        (status, body)
    }

    async fn post(&self, cookie: &str, path: &str, form: &str) -> (u16, String, String) {
        network(&self.server, "POST", &self.path(path), &format!("{cookie}{FORM}"), form).await
    }
}

fn to_login(status: u16, head: &str) -> bool {
    status == 303 && head.contains("location: /admin/login")
}

/// What pages post to and link to, with numbers and names as a star.
fn named(page: &str, attribute: &str) -> BTreeSet<String> {
    let start = format!("{attribute}=\"/admin/");
    let targets = page.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    targets.map(|t| starred(t.split(['?', '#']).next().unwrap())).collect()
}

fn starred(path: &str) -> String {
    let mut before = "";
    let star = |part: &str, before: &str| {
        let varies = ["device", "user", "key", "apikey", "oauth", "webhook", "wireguard", "account"].contains(&before);
        if varies { "*".to_owned() } else { part.to_owned() }
    };
    let mut parts = Vec::new();
    for part in path.trim_end_matches('/').split('/') {
        parts.push(star(part, before));
        before = part;
    }
    parts.join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_sees_and_does_what_is_its_own() {
    let town = Town::new().await;
    let mut links = BTreeSet::new();
    let mut actions = BTreeSet::new();
    for (path, least) in PAGES {
        let (status, head, _) = network(&town.server, "GET", &town.path(path), "", "").await;
        assert!(to_login(status, &head), "{path:?} without a session: {head}");
        for (role, name) in ROLES.iter().enumerate() {
            let (status, body) = town.get(role, path).await;
            let (wanted, hidden) = (if role >= *least { 200 } else { 404 }, body.contains(NOT_FOUND));
            assert_eq!((status, hidden), (wanted, role < *least), "{path:?} as {name}");
            if role == 3 {
                links.append(&mut named(&body, "href"));
                actions.append(&mut named(&body, "action"));
            }
        }
    }
    let (status, _) = town.get(1, "join").await;
    assert_eq!(status, 404, "auditors add no devices");
    assert_eq!(town.get(0, "join").await.0, 200);
    for (role, own) in [(2, false), (3, true)] {
        let (_, body) = town.get(role, "setup").await;
        assert!(body.contains("value=\"duckdns\"") && body.contains("value=\"rfc2136\"") == own, "{}", ROLES[role]);
    }
    assert_eq!(network(&town.server, "GET", "/admin/live", "", "").await.0, 401);
    let known: BTreeSet<String> = PAGES.iter().map(|(p, _)| starred(p)).collect();
    let others = ["join", "login", "icon.svg", "style.css"].map(str::to_owned).into();
    let unknown: Vec<_> = links.difference(&known).filter(|l| !BTreeSet::contains(&others, *l)).collect();
    assert!(unknown.is_empty(), "pages that nobody was tried on: {unknown:?}");

    let forms = || FORMS.iter().chain(FRONT);
    let known: BTreeSet<String> = forms().map(|(p, ..)| starred(p)).chain(["logout".to_owned()]).collect();
    let unknown: Vec<_> =
        actions.difference(&known).filter(|a| cfg!(feature = "front") || !a.contains("front")).collect();
    assert!(unknown.is_empty(), "forms that nobody was tried on: {unknown:?}");
    for (path, form, may) in forms() {
        let (status, head, _) = town.post("", path, form).await;
        assert!(to_login(status, &head), "{path} without a session: {head}");
        for (role, name) in ROLES.iter().enumerate() {
            let (cookie, token) = &town.people[role];
            if !["upgrade", "restore"].contains(path) {
                let (status, _, body) = town.post(cookie, path, form).await;
                assert!(status == 403 && body.contains(CSRF), "{path} as {name} without the token: {status}");
            }
            let (status, head, body) = town.post(cookie, path, &format!("{form}&csrf={token}")).await;
            assert!(!to_login(status, &head), "{path} as {name}: {head}");
            let refused = status == 403 && body.contains(FORBIDDEN);
            assert_eq!(refused, !may.of(role), "{path} ({form}) as {name}: {status} {body}");
        }
    }
    let log = town.server.audit_log().await;
    for role in ["member", "auditor"] {
        let done: Vec<&str> = log.split('{').filter(|e| e.contains(&format!("\"actor\":\"{role}\""))).collect();
        let own = |e: &&&str| !e.contains("renamed device") && !e.contains("logged in") && !e.contains("made key");
        assert_eq!(done.iter().filter(own).count(), 0, "{done:?}");
    }
    town.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_add_devices_of_their_own_only() {
    let town = Town::new().await;
    let (cookie, token) = &town.people[0];
    let (status, head, _) = town.post(cookie, "join", &format!("csrf={token}&user=owner")).await;
    assert!(status == 303 && head.contains("location: /admin/join/"), "{head}");
    let keys = console(&town.server, "GET", "/api/v1/preauthkey", Value::Null).await;
    let keys = keys["preAuthKeys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["user"]["name"]), (1, &json!("minna")), "{keys:?}");
    // An account that belongs to nobody has no devices to add.
    let (owner, owners) = &town.people[3];
    let password = PASSWORD.replace(' ', "+");
    let form = format!("csrf={owners}&name=ghost&role=member&user=&password={password}");
    assert_eq!(town.post(owner, "account", &form).await.0, 303);
    let ghost = session(&town.server, "/admin/login", &format!("name=ghost&password={password}")).await;
    let token = csrf(&town.server, &ghost).await;
    town.post(&ghost, "join", &format!("csrf={token}&user=owner")).await;
    let keys = console(&town.server, "GET", "/api/v1/preauthkey", Value::Null).await;
    assert_eq!(keys["preAuthKeys"].as_array().unwrap().len(), 1, "a key that is nobody's");
    for path in ["device/MINE", "device/THEIRS"] {
        let (status, _, _) = network(&town.server, "GET", &town.path(path), &ghost, "").await;
        assert_eq!(status, 404, "{path}");
    }
    // One member does not use up the keys of all.
    let (cookie, token) = &town.people[0];
    for _ in 0..40 {
        town.post(cookie, "join", &format!("csrf={token}&user=owner")).await;
    }
    let keys = console(&town.server, "GET", "/api/v1/preauthkey", Value::Null).await;
    assert_eq!(keys["preAuthKeys"].as_array().unwrap().len(), 32);
    let (cookie, token) = &town.people[3];
    let (status, head, _) = town.post(cookie, "join", &format!("csrf={token}&user=1")).await;
    assert!(status == 303 && head.contains("location: /admin/join/"), "{head}");
    town.server.stop().await;
}

/// Endpoints of version 2 and the scope that each needs.
const SCOPED: &[(&str, &str, &str)] = &[
    ("GET", "tailnet/-/devices", "devices:core:read"),
    ("GET", "device/ID", "devices:core:read"),
    ("DELETE", "device/ID", "devices:core"),
    ("POST", "device/ID/name", "devices:core"),
    ("POST", "device/ID/tags", "devices:core"),
    ("POST", "device/ID/key", "devices:core"),
    ("POST", "device/ID/ip", "devices:core"),
    ("POST", "device/ID/expire", "devices:core"),
    ("POST", "device/ID/authorized", "devices:core"),
    ("GET", "device/ID/routes", "devices:routes:read"),
    ("POST", "device/ID/routes", "devices:routes"),
    ("GET", "device/ID/attributes", "devices:posture_attributes:read"),
    ("POST", "device/ID/attributes/custom:x", "devices:posture_attributes"),
    ("DELETE", "device/ID/attributes/custom:x", "devices:posture_attributes"),
    ("GET", "tailnet/-/keys/KEY", "auth_keys:read"),
    ("DELETE", "tailnet/-/keys/KEY", "auth_keys"),
    ("POST", "tailnet/-/keys", "auth_keys"),
    ("GET", "tailnet/-/keys/CLIENT", "oauth_keys:read"),
    ("PUT", "tailnet/-/keys/CLIENT", "oauth_keys"),
    ("DELETE", "tailnet/-/keys/CLIENT", "oauth_keys"),
    ("GET", "tailnet/-/acl", "policy_file:read"),
    ("POST", "tailnet/-/acl", "policy_file"),
    ("POST", "tailnet/-/acl/validate", "policy_file:read"),
    ("GET", "tailnet/-/users", "users:read"),
    ("GET", "users/1", "users:read"),
    ("GET", "tailnet/-/settings", "feature_settings:read"),
    ("PATCH", "tailnet/-/settings", "feature_settings"),
    ("GET", "tailnet/-/dns/configuration", "dns:read"),
    ("GET", "tailnet/-/dns/nameservers", "dns:read"),
    ("GET", "tailnet/-/dns/preferences", "dns:read"),
    ("GET", "tailnet/-/dns/searchpaths", "dns:read"),
    ("GET", "tailnet/-/dns/split-dns", "dns:read"),
    ("POST", "tailnet/-/dns/configuration", "dns"),
    ("POST", "tailnet/-/dns/nameservers", "dns"),
    ("POST", "tailnet/-/dns/preferences", "dns"),
    ("POST", "tailnet/-/dns/searchpaths", "dns"),
    ("PUT", "tailnet/-/dns/split-dns", "dns"),
    ("PATCH", "tailnet/-/dns/split-dns", "dns"),
    ("GET", "tailnet/-/webhooks", "webhooks:read"),
    ("POST", "tailnet/-/webhooks", "webhooks"),
    ("GET", "webhooks/HOOK", "webhooks:read"),
    ("PATCH", "webhooks/HOOK", "webhooks"),
    ("DELETE", "webhooks/HOOK", "webhooks"),
    ("POST", "webhooks/HOOK/rotate", "webhooks"),
    ("POST", "webhooks/HOOK/test", "webhooks"),
];
const SCOPES: [&str; 10] = [
    "auth_keys",
    "oauth_keys",
    "devices:core",
    "devices:routes",
    "devices:posture_attributes",
    "policy_file",
    "feature_settings",
    "users",
    "dns",
    "webhooks",
];

/// A token with these scopes and the tag `tag:x`, as a header; and its client's id.
async fn token(server: &TestServer, scopes: &[String]) -> (String, String) {
    let body = json!({ "keyType": "client", "scopes": scopes, "tags": ["tag:x"] });
    let made = console(server, "POST", "/api/v2/tailnet/-/keys", body).await;
    let form = format!("client_secret={}", made["key"].as_str().unwrap());
    let (_, _, answer) = network(server, "POST", "/api/v2/oauth/token", FORM, &form).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", answer["access_token"].as_str().unwrap());
    (bearer, made["id"].as_str().unwrap().to_owned())
}

/// Things to ask for.
async fn things(server: &TestServer) -> impl Fn(&str) -> String + use<> {
    console(server, "POST", "/api/v1/user", json!({ "name": "anna" })).await;
    let node = device(server, "anna", "cccccccccccccccccccccccc").await;
    let key = json!({ "capabilities": { "devices": { "create": { "tags": ["tag:other"] } } } });
    let key = console(server, "POST", "/api/v2/tailnet/-/keys", key).await["id"].as_str().unwrap().to_owned();
    let (_, client) = token(server, &["all".to_owned()]).await;
    let hook = json!({ "endpointUrl": "https://127.0.0.1:9/", "subscriptions": ["nodeCreated"], "local": true });
    let hook = console(server, "POST", "/api/v2/tailnet/-/webhooks", hook).await;
    let hook = hook["endpointId"].as_str().unwrap().to_owned();
    move |path| {
        let path = path.replace("ID", &node).replace("KEY", &key).replace("CLIENT", &client);
        format!("/api/v2/{}", path.replace("HOOK", &hook))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_of_version_2_wants_its_scope() {
    let server = TestServer::start().await;
    let at = things(&server).await;
    let read = |scope: &str| format!("{}:read", scope.trim_end_matches(":read"));
    let needed: BTreeSet<&str> = SCOPED.iter().map(|(_, _, s)| *s).collect();
    for scope in needed {
        // All there is but this one; what only reads does not write.
        let bare = scope.trim_end_matches(":read");
        let mut others: Vec<String> = SCOPES.iter().filter(|s| **s != bare).map(|s| (*s).to_owned()).collect();
        if scope == bare {
            others.extend([read(bare), "all:read".to_owned()]);
        }
        let (without, one) = token(&server, &others).await;
        let (with, other) = token(&server, &[scope.to_owned()]).await;
        for (method, path, _) in SCOPED.iter().filter(|(_, _, s)| *s == scope) {
            let (status, _, body) = network(&server, method, &at(path), "", "").await;
            assert_eq!(status, 401, "{method} {path} by nobody: {body}");
            let (status, _, body) = network(&server, method, &at(path), &without, "").await;
            assert!(
                status == 403 && body.contains("needs the scope"),
                "{method} {path} without {scope}: {status} {body}"
            );
            let (status, _, body) = network(&server, method, &at(path), &with, "").await;
            assert!(
                status != 401 && !body.contains("needs the scope"),
                "{method} {path} with {scope}: {status} {body}"
            );
            // Nothing here is the token's own: it looks, and changes what belongs to no tag and no machine only.
            let others =
                path.contains("ID") || path.contains("KEY") || path.contains("CLIENT") || path.contains("HOOK");
            if *method != "GET" && others {
                assert_eq!(status, 403, "{method} {path} of others: {body}");
            }
        }
        for client in [one, other] {
            console(&server, "DELETE", &format!("/api/v2/tailnet/-/keys/{client}"), Value::Null).await;
        }
        let (status, _, _) = network(&server, "GET", &at("tailnet/-/devices"), &with, "").await;
        assert_eq!(status, 401, "a token outlives its client");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_is_for_api_keys_only() {
    let server = TestServer::start().await;
    let (all, _) = token(&server, &["all".to_owned()]).await;
    let whole = console(&server, "GET", "/api/v1/openapi.json", Value::Null).await;
    let mut asked = 0;
    for (path, methods) in whole["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().map(|m| m.to_uppercase()) {
            let path = path.replace(['{', '}'], "");
            for headers in ["", all.as_str(), "authorization: Bearer hskey-api-000000000000-00\r\n"] {
                let (status, _, body) = network(&server, &method, &path, headers, "").await;
                assert_eq!(status, 401, "{method} {path}: {body}");
                asked += 1;
            }
        }
    }
    assert!(asked > 90, "only {asked} were asked");
    let key = console(&server, "POST", "/api/v1/apikey", json!({})).await["apiKey"].as_str().unwrap().to_owned();
    let key = format!("authorization: Bearer {key}\r\n");
    assert_eq!(network(&server, "GET", "/api/v1/user", &key, "").await.0, 200);
    for what in ["setup-code", "reset-password"] {
        let (status, _, _) = network(&server, "POST", &format!("/api/v1/admin/{what}"), &key, "").await;
        assert_eq!(status, 403, "{what} is for the console");
    }
    server.stop().await;
}

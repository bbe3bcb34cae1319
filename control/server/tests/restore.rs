//! A backup is restored on a running box, by the API and on the pages, and the state before is put back.

mod support;

use hearthgate_server::{AdminOptions, Options, Running, kept_file, own_as_folder, replace, start, summary};
use hearthgate_web::gate::{Gate, LAN};
use serde_json::{Value, json};
use std::{os::unix::fs::MetadataExt, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Longest wait for a restart.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request over a socket of any kind: status, head and body.
async fn send<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    mut stream: S,
    head: &str,
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let line = format!("{head}host: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(line.as_bytes()).await.unwrap();
    // Who refuses a long body may close before all of it was sent.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let body = answer.split_off(at);
    let head = String::from_utf8_lossy(&answer).into_owned();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, body)
}

struct Box {
    dir: tempfile::TempDir,
    options: Options,
    running: Running,
}

impl Box {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path(), "127.0.0.1:0".parse().unwrap());
        let networks = LAN.iter().map(|n| n.parse().unwrap()).collect();
        options.admin = AdminOptions { enabled: true, gate: Gate { networks, hosts: Vec::new() } };
        let running = start(options.clone()).await.unwrap();
        Self { dir, options, running }
    }

    async fn api(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let (status, _, answer) = self.raw(method, path, body).await;
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    async fn raw(&self, method: &str, path: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let stream = UnixStream::connect(&self.options.unix_socket).await.unwrap();
        send(stream, &format!("{method} /api/v1/{path} HTTP/1.1\r\n"), body).await
    }

    async fn page(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String, String) {
        let stream = TcpStream::connect(self.running.listen).await.unwrap();
        let (status, head, body) = send(stream, &format!("{method} {path} HTTP/1.1\r\n{headers}"), body).await;
        (status, head, String::from_utf8_lossy(&body).into_owned())
    }

    /// Waits for the wish to start anew, and fulfils it.
    async fn anew(self) -> Self {
        timeout(PATIENCE, self.running.restart_wanted()).await.expect("it starts anew");
        self.running.stop().await;
        let running = start(self.options.clone()).await.unwrap();
        Self { running, ..self }
    }

    async fn users(&self) -> Vec<String> {
        let (_, users) = self.api("GET", "user", b"").await;
        users["users"].as_array().unwrap().iter().map(|u| u["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn make(&self, user: &str) {
        let (status, said) = self.api("POST", "user", json!({ "name": user }).to_string().as_bytes()).await;
        assert_eq!(status, 200, "{said}");
    }

    async fn log(&self) -> String {
        self.api("GET", "audit", b"").await.1.to_string()
    }

    fn files(&self) -> Vec<String> {
        names(self.dir.path()).into_iter().filter(|n| n.starts_with("restore.")).collect()
    }
}

fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_the_place_of_the_state_and_the_state_before_can_be_put_back() {
    let server = Box::new().await;
    server.make("anna").await;
    let (_, _, backup) = server.raw("GET", "backup", b"").await;
    let key = std::fs::read(server.dir.path().join("noise_private.key")).unwrap();
    server.make("berta").await;
    let (status, nothing) = server.api("GET", "restore", b"").await;
    assert_eq!((status, &nothing["waiting"], &nothing["previous"]), (200, &Value::Null, &Value::Null));
    assert_eq!(server.api("POST", "restore/previous", b"").await.0, 404, "nothing was restored yet");

    let (status, sent) = server.api("PUT", "restore", &backup).await;
    assert_eq!(status, 200, "{sent}");
    let waiting = &sent["waiting"];
    assert_eq!((&waiting["users"], &waiting["devices"], &waiting["keys"]), (&json!(1), &json!(0), &json!(true)));
    assert_eq!(waiting["bytes"], json!(backup.len()));
    assert!(waiting["made"].as_str().is_some_and(|t| t.starts_with("20")), "{waiting}");
    assert_eq!(server.users().await.len(), 2, "nothing was changed yet");

    let other = json!({ "id": "0123456789abcdef" }).to_string();
    assert_eq!(server.api("POST", "restore/confirm", other.as_bytes()).await.0, 409, "another was shown");
    let this = json!({ "id": waiting["id"] }).to_string();
    assert_eq!(server.api("POST", "restore/confirm", this.as_bytes()).await.0, 200);
    assert_eq!(server.api("POST", "restore/confirm", this.as_bytes()).await.0, 409, "once");
    // What happens until the restart is in the state that is kept.
    server.make("clara").await;
    let server = server.anew().await;
    assert_eq!(server.users().await, ["anna"]);
    assert_eq!(std::fs::read(server.dir.path().join("noise_private.key")).unwrap(), key);
    let log = server.log().await;
    assert!(log.contains("restored a backup") && log.contains("\"actor\":\"console\""), "{log}");
    assert!(server.files().is_empty(), "{:?}", server.files());

    let (status, chosen) = server.api("POST", "restore/previous", b"").await;
    assert_eq!((status, &chosen["waiting"]["users"]), (200, &json!(3)), "{chosen}");
    assert!(chosen["previous"]["bytes"].as_u64().is_some_and(|n| n > 0));
    let this = json!({ "id": chosen["waiting"]["id"] }).to_string();
    assert_eq!(server.api("POST", "restore/confirm", this.as_bytes()).await.0, 200);
    let server = server.anew().await;
    assert_eq!(server.users().await, ["anna", "berta", "clara"]);
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_backup_leaves_nothing_behind() {
    let server = Box::new().await;
    server.make("anna").await;
    let (_, _, backup) = server.raw("GET", "backup", b"").await;
    let mut damaged = backup.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("a picture", b"\x89PNG\r\n\x1a\n"),
        ("half", &backup[..backup.len() / 2]),
        ("damaged", &damaged),
        ("longer", &[backup.as_slice(), b"x"].concat()),
    ] {
        assert_eq!(server.api("PUT", "restore", &backup).await.0, 200);
        let (status, said) = server.api("PUT", "restore", bytes).await;
        assert_eq!(status, 400, "{what}: {said}");
        assert!(said["detail"].as_str().is_some_and(|d| d.contains("damaged")), "{what}: {said}");
        assert_eq!(server.api("GET", "restore", b"").await.1["waiting"], Value::Null, "{what}");
        assert!(server.files().is_empty(), "{what}: {:?}", server.files());
    }
    let long = format!("PUT /api/v1/restore HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 17 * 1024 * 1024);
    let mut stream = UnixStream::connect(&server.options.unix_socket).await.unwrap();
    stream.write_all(long.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413", "what says that it is too long is not waited for");
    assert_eq!(server.api("PUT", "restore", &backup).await.0, 200);
    assert_eq!(server.api("DELETE", "restore", b"").await.0, 200);
    assert_eq!(server.api("GET", "restore", b"").await.1["waiting"], Value::Null);
    assert!(server.files().is_empty());
    assert_eq!(server.users().await, ["anna"]);
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_replaced_while_nobody_has_it_open_and_put_back() {
    let server = Box::new().await;
    server.make("anna").await;
    let file = server.dir.path().join("mine");
    std::fs::write(&file, server.raw("GET", "backup", b"").await.2).unwrap();
    server.make("berta").await;
    let (state, engine) = (server.dir.path().to_owned(), server.options.engine);
    let refused = replace(&file, &state, engine).expect_err("a server has it open").to_string();
    assert!(refused.contains("in use"), "{refused}");
    assert!(server.files().is_empty(), "it would be put in place by the next start: {:?}", server.files());
    assert_eq!(summary(&file).expect("a backup").users, 1);
    let Box { dir, options, running } = server;
    running.stop().await;
    assert_eq!(replace(&file, &state, engine).expect("put in place").users, 1);
    let running = start(options.clone()).await.unwrap();
    let server = Box { dir, options, running };
    assert_eq!(server.users().await, ["anna"]);
    let Box { dir, options, running } = server;
    running.stop().await;
    assert_eq!(replace(&kept_file(&state), &state, engine).expect("put back").users, 2);
    let running = start(options.clone()).await.unwrap();
    let server = Box { dir, options, running };
    assert_eq!(server.users().await, ["anna", "berta"]);
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_gets_the_state_too() {
    let server = Box::new().await;
    server.make("anna").await;
    let file = server.dir.path().join("mine");
    std::fs::write(&file, server.raw("GET", "backup", b"").await.2).unwrap();
    let new = server.dir.path().join("new/machine");
    assert_eq!(replace(&file, &new, server.options.engine).expect("put in place").users, 1);
    assert!(new.join("noise_private.key").exists() && !kept_file(&new).exists(), "nothing was there to keep");
    server.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_backup_leaves_what_was_confirmed() {
    let server = Box::new().await;
    server.make("anna").await;
    let backup = server.raw("GET", "backup", b"").await.2;
    let Box { dir, options, running } = server;
    running.stop().await;
    let state = dir.path();
    std::fs::write(state.join("restore.next"), &backup).unwrap();
    std::fs::write(state.join("none"), "no backup").unwrap();
    assert!(replace(&state.join("none"), state, options.engine).is_err());
    assert!(state.join("restore.next").exists());
    // What was confirmed to be put back has its name again before it is asked for by name.
    std::fs::rename(state.join("restore.next"), state.join("restore.back")).unwrap();
    assert_eq!(replace(&kept_file(state), state, options.engine).expect("put back").users, 1);
    assert!(kept_file(state).exists());
    assert!(names(state).iter().all(|n| !n.starts_with("restore.")), "{:?}", names(state));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_root_has_written_belongs_to_whom_the_folder_belongs() {
    let server = Box::new().await;
    let Box { dir, running, .. } = server;
    running.stop().await;
    let state = dir.path();
    let root = std::fs::metadata(state).unwrap().uid() == 0;
    // Only root can give a folder away; everybody else owns all of it.
    let owner = if root { 12345 } else { std::fs::metadata(state).unwrap().uid() };
    std::os::unix::fs::chown(state, Some(owner), None).unwrap();
    std::fs::write(state.join("others"), "").unwrap();
    std::fs::hard_link(state.join("others"), state.join("store/linked")).unwrap();
    own_as_folder(state).unwrap();
    for name in ["noise_private.key", "store", "store/lock"] {
        assert_eq!(std::fs::metadata(state.join(name)).unwrap().uid(), owner, "{name}");
    }
    let linked = std::fs::metadata(state.join("store/linked")).unwrap().uid();
    assert!(!root || linked == 0, "a file with two names may be anybody's");
}

const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

async fn session(server: &Box, path: &str, form: &str) -> String {
    let (status, head, body) = server.page("POST", path, FORM, form.as_bytes()).await;
    assert_eq!(status, 303, "{path}: {body}");
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).expect("a cookie");
    format!("cookie: {}\r\n", cookie.split(';').next().unwrap())
}

fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let at = page.find(&start).unwrap_or_else(|| panic!("a field {name}: {page}")) + start.len();
    page[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_never_end_their_forms_keep_no_owner_from_uploading() {
    const PASSWORD: &str = "correct+horse+battery";
    let server = Box::new().await;
    let code = server.running.setup_code().expect("a code").reveal().to_owned();
    let owner = session(&server, "/admin/claim", &format!("code={code}&name=eve&password={PASSWORD}")).await;
    let (_, _, own) = server.page("GET", "/admin/account", &owner, b"").await;
    let token = field(&own, "csrf");
    let (_, _, backup) = server.raw("GET", "backup", b"").await;
    let mut held = Vec::new();
    for path in
        ["login", "claim", "login/passkey", "policy", "backup", "upgrade", "restore", "join"].iter().cycle().take(40)
    {
        let mut stream = TcpStream::connect(server.running.listen).await.unwrap();
        let head = format!("POST /admin/{path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 30000\r\n\r\nname=");
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }
    // All of them have been read as far as they come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let long = format!("name={}&password=x", "x".repeat(8000));
    let (status, _, said) = server.page("POST", "/admin/login", FORM, long.as_bytes()).await;
    assert!(status == 503 && said.contains("not logged in"), "no ninth stranger: {status} {said}");
    session(&server, "/admin/login", &format!("name=eve&password={PASSWORD}")).await;
    let form = format!("csrf={token}&do=check&policy={}", "+".repeat(100_000));
    let (status, ..) = server.page("POST", "/admin/policy", &format!("{owner}{FORM}"), form.as_bytes()).await;
    assert_eq!(status, 200, "a large form of an owner");
    let headers = format!("{owner}content-type: multipart/form-data; boundary=bound\r\n");
    let (status, head, said) = server.page("POST", "/admin/restore", &headers, &with_file(&token, &backup)).await;
    assert!(status == 303 && head.contains("location: /admin/restore\r"), "{head}{said}");
    drop(held);
    server.running.stop().await;
}

/// A form with a file, as browsers send it.
fn with_file(token: &str, file: &[u8]) -> Vec<u8> {
    let before = format!(
        "--bound\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{token}\r\n--bound\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"b\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    [before.as_bytes(), file, b"\r\n--bound--\r\n"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_restores_on_the_pages_and_nobody_else_does() {
    const PASSWORD: &str = "correct+horse+battery";
    let server = Box::new().await;
    let code = server.running.setup_code().expect("a code").reveal().to_owned();
    let owner = session(&server, "/admin/claim", &format!("code={code}&name=eve&password={PASSWORD}")).await;
    let (_, _, system) = server.page("GET", "/admin/system", &owner, b"").await;
    let token = field(&system, "csrf");
    assert!(system.contains("action=\"/admin/restore\"") && !system.contains("/admin/restore/previous"));
    let (_, _, backup) = server.raw("GET", "backup", b"").await;
    server.make("berta").await;
    let form = format!("csrf={token}&name=adam&role=admin&user=&password={PASSWORD}");
    assert_eq!(server.page("POST", "/admin/account", &format!("{owner}{FORM}"), form.as_bytes()).await.0, 303);
    let admin = session(&server, "/admin/login", &format!("name=adam&password={PASSWORD}")).await;
    let (_, _, system) = server.page("GET", "/admin/system", &admin, b"").await;
    assert!(!system.contains("/admin/restore"), "not for administrators");
    let (_, _, own) = server.page("GET", "/admin/account", &admin, b"").await;
    let admins_token = field(&own, "csrf");

    let multipart = "content-type: multipart/form-data; boundary=bound\r\n";
    let with = |cookie: &str| format!("{cookie}{multipart}");
    for (cookie, token, wanted) in [("", "", 303), (&admin, &admins_token, 403), (&owner, "wrong", 403)] {
        let (status, ..) = server.page("POST", "/admin/restore", &with(cookie), &with_file(token, &backup)).await;
        assert_eq!(status, wanted);
        assert!(server.files().is_empty(), "{:?}", server.files());
    }
    let (status, head, said) =
        server.page("POST", "/admin/restore", &with(&owner), &with_file(&token, &backup[..99])).await;
    assert!(status == 400 && said.contains("damaged"), "{head}{said}");
    let (status, head, said) = server.page("POST", "/admin/restore", &with(&owner), &with_file(&token, &backup)).await;
    assert!(status == 303 && head.contains("location: /admin/restore\r"), "{head}{said}");
    assert_eq!(server.page("GET", "/admin/restore", &admin, b"").await.0, 404);
    let (status, _, shown) = server.page("GET", "/admin/restore", &owner, b"").await;
    assert!(status == 200 && shown.contains("<strong>eve</strong>"), "{shown}");
    let id = field(&shown, "id");

    let form = format!("csrf={token}&id={id}");
    let (status, _, said) =
        server.page("POST", "/admin/restore/confirm", &format!("{owner}{FORM}"), form.as_bytes()).await;
    assert!(status == 200 && said.contains("starts anew"), "{said}");
    let server = server.anew().await;
    assert_eq!(server.users().await, ["eve"]);
    let log = server.log().await;
    let by = log.split('{').find(|e| e.contains("restored a backup")).expect("an entry");
    assert!(by.contains("\"actor\":\"eve\""), "{by}");
    assert_eq!(server.page("GET", "/admin/system", &owner, b"").await.0, 303, "sessions are over");
    let owner = session(&server, "/admin/login", &format!("name=eve&password={PASSWORD}")).await;
    let (_, _, system) = server.page("GET", "/admin/system", &owner, b"").await;
    assert!(system.contains("/admin/restore/previous"), "the way back");
    let form = format!("csrf={}", field(&system, "csrf"));
    let headers = format!("{owner}{FORM}");
    let (status, head, _) = server.page("POST", "/admin/restore/previous", &headers, form.as_bytes()).await;
    assert!(status == 303 && head.contains("location: /admin/restore\r"), "{head}");
    let (status, head, _) = server.page("POST", "/admin/restore/forget", &headers, form.as_bytes()).await;
    assert!(status == 303 && head.contains("location: /admin/system"), "{head}");
    assert_eq!(server.page("GET", "/admin/restore", &owner, b"").await.0, 303, "nothing waits");
    assert!(names(server.dir.path()).iter().any(|n| n == "before-restore.backup"), "it is kept all the same");
    server.running.stop().await;
}

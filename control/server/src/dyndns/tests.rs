//! A service on this machine: what it gets, and what its words lead to.

use super::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

const TOKEN: &str = "t0ken+&=";

/// Answers every request with `answer`, and tells its head.
async fn service(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut seen, mut buffer) = (String::new(), [0; 4096]);
            while !seen.ends_with("\r\n\r\n") {
                let count = stream.read(&mut buffer).await.expect("a request");
                seen += &String::from_utf8_lossy(&buffer[..count]);
            }
            stream.write_all(answer.as_bytes()).await.expect("an answer");
            tell.send(seen).await.expect("a test");
        }
    });
    (at, told)
}

fn settings(service: &str, url: String) -> Settings {
    let (name, user) = ("home.example.org".into(), "me".into());
    Settings { service: service.into(), name, user, secret: TOKEN.into(), url, ..Settings::default() }
}

fn here() -> Addresses {
    Addresses { v4: Some([203, 0, 113, 7].into()), v6: None }
}

#[tokio::test]
async fn dyndns2_is_asked_with_a_login_and_its_words_count() {
    let (at, mut told) = service("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\ngood 203.0.113.7").await;
    let fetch = Fetch::new();
    assert_eq!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Done);
    let asked = told.recv().await.expect("a request");
    let wanted = "GET /nic/update?hostname=home.example.org&myip=203.0.113.7 HTTP/1.1\r\n";
    assert!(asked.starts_with(wanted), "{asked}");
    // printf 'me:t0ken+&=' | base64
    assert!(asked.to_ascii_lowercase().contains("authorization: basic bwu6ddbrzw4rjj0="), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("user-agent: hearthgate/"), "{asked}");

    let (at, _told) = service("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nbadauth").await;
    assert!(matches!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Stop(_)));
    let (at, _told) = service("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n911").await;
    assert!(matches!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Later(_, 1800)));
    // Nobody follows a service elsewhere with a password.
    let (at, _told) = service("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(send::tell(&fetch, &settings("dyndns2", at), here()).await, Verdict::Later(..)));
}

#[tokio::test]
async fn a_url_has_the_token_and_no_failure_shows_it() {
    let (at, mut told) = service("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await;
    let own = settings("url", format!("{at}/up/{{secret}}?n={{name}}&a={{ip4}}&b={{ip6}}"));
    assert_eq!(send::tell(&Fetch::new(), &own, here()).await, Verdict::Done);
    let asked = told.recv().await.expect("a request");
    assert!(asked.starts_with("GET /up/t0ken%2B%26%3D?n=home.example.org&a=203.0.113.7 HTTP/1.1"), "{asked}");
    // Nobody listens there; and what is no URL at all.
    for url in [
        "http://127.0.0.1:1/{secret}/{ip4}",
        "http://[::1/{secret}/{ip4}",
        "gopher://x/{secret}/{ip4}",
        "http://t0ken.invalid/{ip4}",
    ] {
        let own = Settings { secret: "t0ken".into(), ..settings("url", url.into()) };
        let verdict = send::tell(&Fetch::new(), &own, here()).await;
        assert_ne!(verdict, Verdict::Done);
        let said = format!("{verdict:?}");
        assert!(!said.contains("t0ken"), "{said}");
    }
    let no_key = settings("rfc2136", "127.0.0.1:1".into());
    let said = format!("{:?}", send::tell(&Fetch::new(), &no_key, here()).await);
    assert!(said.starts_with("Stop") && !said.contains("t0ken"), "{said}");
}

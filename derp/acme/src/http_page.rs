//! Port 80: the answer to an authority, and the way to https for everybody else.

use crate::HttpAnswers;
use bytes::Bytes;
use hearthgate_http::{Handler, Http1, spawn};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections at once; each is one short request.
const CONNECTIONS_MAX: usize = 64;
/// Longest life of one.
const CONNECTION: Duration = Duration::from_secs(15);
/// What is put up with on one.
const HTTP: Http1 = Http1 { head_within: CONNECTION, head_max: 8 * 1024, keep_alive: false };
/// Wait after accept fails.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers one request: the token, or a redirection to `https://host`.
#[must_use]
pub fn http_page<B>(answers: &HttpAnswers, host: &str, request: &Request<B>) -> Response<Full<Bytes>> {
    if let Some(answer) = answers.answer(request.uri().path()) {
        return Response::new(Full::from(answer));
    }
    let mut response = Response::new(Full::from("this server speaks https\n"));
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    match HeaderValue::from_str(&format!("https://{host}{path}")) {
        Ok(place) => {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(header::LOCATION, place);
        }
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// Serves [`http_page`] for ever.
pub async fn serve_http(listener: TcpListener, answers: Arc<HttpAnswers>, host: String) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let host: Arc<str> = host.into();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (answers, host) = (answers.clone(), host.clone());
        spawn(async move {
            let handler = Handler::new(move |request| {
                let page = http_page(&answers, &host, &request);
                async move { page }
            });
            // Whoever breaks off, or takes longer, asks again.
            let _ = timeout(CONNECTION, HTTP.serve(stream, handler)).await;
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_told_and_everything_else_moves_to_https() {
        let answers = Arc::new(HttpAnswers::default());
        let _expected = answers.expect("tok", "tok.print");
        let ask = |uri: &str| http_page(&answers, "vpn.example.org", &Request::builder().uri(uri).body(()).unwrap());
        assert_eq!(ask("/.well-known/acme-challenge/tok").status(), StatusCode::OK);
        let moved = ask("/a?b=c");
        assert_eq!(moved.status(), StatusCode::FOUND);
        assert_eq!(moved.headers()[header::LOCATION], "https://vpn.example.org/a?b=c");
        assert_eq!(ask("/.well-known/acme-challenge/other").status(), StatusCode::FOUND);
    }
}

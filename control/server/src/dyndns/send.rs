//! One update, over HTTP or to a name server.

use crate::{certificates::rfc2136, options::Rfc2136Options};
use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_dns_update::{Change, Key};
use hearthgate_dyndns::{Addresses, Request, Settings, Verdict, judge};
use hearthgate_fetch::{Fetch, FetchError, Send};

/// Tells these addresses. The texts hold neither secrets nor anything that a stranger wrote.
pub(super) async fn tell(fetch: &Fetch, settings: &Settings, what: Addresses) -> Verdict {
    let service = match settings.known() {
        Ok(service) => service,
        Err(mistake) => return Verdict::Stop(mistake.to_string()),
    };
    if service.is_name_server() {
        return to_name_server(settings, Change::Addresses(what.v4, what.v6, settings.ttl)).await;
    }
    match settings.request(&what) {
        Ok(request) => ask(fetch, &request).await,
        Err(mistake) => Verdict::Stop(mistake.to_string()),
    }
}

/// Tells that there is this IPv4 address, and no IPv6 address any more.
pub(super) async fn tell_without_v6(fetch: &Fetch, settings: &Settings, what: Addresses) -> Verdict {
    if let (Ok(service), Some(v4)) = (settings.known(), what.v4)
        && service.is_name_server()
    {
        return to_name_server(settings, Change::OnlyIpv4(v4, settings.ttl)).await;
    }
    let requests = match settings.requests_without_v6(&what) {
        Ok(requests) => requests,
        Err(mistake) => return Verdict::Stop(mistake.to_string()),
    };
    let mut verdict = Verdict::Done;
    for request in requests {
        verdict = ask(fetch, &request).await;
        if verdict != Verdict::Done {
            break;
        }
    }
    verdict
}

async fn ask(fetch: &Fetch, request: &Request) -> Verdict {
    let login = request.login.as_ref().map(|(user, secret)| STANDARD.encode(format!("{user}:{secret}")));
    let authorization = login.map(|login| format!("Basic {login}"));
    let what = Send { body: None, authorization: authorization.as_deref() };
    match fetch.send(&request.url, what).await {
        Ok(answer) => judge(request.words, answer.status, &answer.body),
        Err(FetchError::TooLong { status, .. }) => judge(request.words, status, &[]),
        // Their own texts have the URL or the host, which may be made of the secret, and names out of a certificate.
        Err(FetchError::Url(_)) => Verdict::Stop("the URL cannot be asked".into()),
        Err(e) => Verdict::Later(unreachable(&e).into(), 0),
    }
}

fn unreachable(error: &FetchError) -> &'static str {
    match error {
        FetchError::NoAuthorities(_) => {
            "no certificate authorities are installed: install the package ca-certificates (OpenWrt: ca-bundle)"
        }
        FetchError::Slow(_) => "the service took too long to answer",
        _ => "the service cannot be reached, or its certificate is not one to trust",
    }
}

async fn to_name_server(settings: &Settings, change: Change<'_>) -> Verdict {
    let key = match Key::new(&settings.user, &settings.secret) {
        Ok(key) => key,
        Err(e) => return Verdict::Stop(e.to_string()),
    };
    let server = Rfc2136Options { server: settings.url.clone(), zone: settings.zone().to_owned(), key };
    match rfc2136::change(&server, &settings.name, change).await {
        Ok(()) => Verdict::Done,
        Err(e) if e.stays => Verdict::Stop(e.why),
        Err(e) => Verdict::Later(e.why, 0),
    }
}

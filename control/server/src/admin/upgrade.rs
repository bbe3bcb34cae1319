//! The form that brings an upgrade: too large to be read as other forms are, so its token is taken from its first bytes
//! and the file goes to the disk as it comes (RFC 7578).

use super::{
    lock,
    request::{html, look, unavailable, viewer},
    see_other,
};
use crate::{
    image::{ReceiveError, data},
    reply::Reply,
    state::App,
};
use bytes::{Buf as _, Bytes, BytesMut};
use hearthgate_web::{page, text as t};
use http::{Request, StatusCode};
use hyper::body::Incoming;

/// Bytes that the fields before the file may take.
const BEFORE_MAX: usize = 4096;

/// Receives the form.
pub(super) async fn receive(app: &App, cookie: Option<String>, req: Request<Incoming>) -> Reply {
    let world = match look(app).await {
        Ok((world, _)) => world,
        Err(e) => return unavailable(e),
    };
    let Some(viewer) = viewer(&app.admin, &world, cookie.as_deref(), false) else { return see_other("/admin/login") };
    if !viewer.role.is_owner() {
        return html(StatusCode::FORBIDDEN, page::message(Some(&viewer), "Not done", t::FORBIDDEN));
    }
    let mut body = req.into_body();
    let mut start = BytesMut::new();
    let (token, at) = loop {
        if let Some(found) = before_file(&start) {
            break found;
        }
        match data(&mut body).await {
            Ok(Some(bytes)) if start.len() < BEFORE_MAX => start.extend_from_slice(&bytes),
            Ok(_) => break (String::new(), 0),
            Err(e) => return refuse(&viewer, &e),
        }
    };
    let fits = lock(&app.admin.sessions)
        .find(cookie.as_deref().unwrap_or_default(), app.admin.now_ms())
        .is_some_and(|s| s.csrf_fits(&token));
    if !fits {
        return html(StatusCode::FORBIDDEN, page::message(Some(&viewer), "Not done", t::CSRF));
    }
    let mut first: Bytes = start.freeze();
    first.advance(at.min(first.len()));
    match app.image.receive(first, body, None).await {
        Ok(_) => {
            let actor = viewer.name.clone();
            app.control.cast(move |world, c| world.audit(&actor, "sent an upgrade", "", c.now));
            let next = "The file has arrived. The box checks it, and if it is good restarts with it within a minute; \
                        the System page then says how it went.";
            html(StatusCode::OK, page::message(Some(&viewer), "Upgrade", next))
        }
        Err(e) => refuse(&viewer, &e),
    }
}

fn refuse(viewer: &page::Viewer, error: &ReceiveError) -> Reply {
    html(StatusCode::BAD_REQUEST, page::message(Some(viewer), "Not done", &error.to_string()))
}

/// The token, and where the file's bytes begin. `None`: not all of it is there yet.
fn before_file(start: &[u8]) -> Option<(String, usize)> {
    let find = |from: usize, what: &[u8]| {
        let rest = start.get(from..)?;
        rest.windows(what.len()).position(|w| w == what).map(|at| from + at)
    };
    let (mut at, mut token) = (0, String::new());
    loop {
        let end = find(at, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(start.get(at..end)?).into_owned();
        let value = end + 4;
        if head.contains("name=\"file\"") {
            return Some((token, value));
        }
        let close = find(value, b"\r\n--")?;
        if head.contains("name=\"csrf\"") {
            token = String::from_utf8_lossy(start.get(value..close)?).into_owned();
        }
        at = close + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_and_the_start_of_the_file_are_found() {
        let form = b"--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nt0ken\r\n--b\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"x.hgu\"\r\nContent-Type: application/x\r\n\r\nHGU";
        assert_eq!(before_file(form), Some(("t0ken".into(), form.len() - 3)));
        for length in 0..form.len() - 3 {
            assert_eq!(before_file(&form[..length]), None, "{length}");
        }
        let alone = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nHGU";
        assert_eq!(before_file(alone), Some((String::new(), alone.len() - 3)), "no token: not taken");
    }
}

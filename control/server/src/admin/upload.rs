//! Forms that bring a file: too large to be read as other forms are, so the token is taken from the first bytes and the
//! file goes to the disk as it comes (RFC 7578). They are for owners.

use super::{
    lock,
    request::{cookie, html, look, unavailable, viewer},
    see_other,
};
use crate::{image::data, reply::Reply, restore::length_of, state::App};
use bytes::{Buf as _, Bytes, BytesMut};
use hearthgate_web::{
    page::{self, Viewer},
    text as t,
};
use http::{HeaderMap, Request, StatusCode, header};
use hyper::body::Incoming;

/// Bytes that the fields before the file may take.
const BEFORE_MAX: usize = 4096;
/// Longest boundary (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// A form whose token fits, up to its file.
pub(super) struct Upload {
    pub(super) viewer: Viewer,
    /// First bytes of the file.
    pub(super) first: Bytes,
    /// What follows them.
    pub(super) body: Incoming,
    /// What follows the file, when it is the last field.
    pub(super) tail: Vec<u8>,
    /// What the request says of its length.
    pub(super) length: Option<u64>,
}

/// Reads a form up to its file.
///
/// # Errors
/// The answer to give instead: not an owner, or not our form.
pub(super) async fn open(app: &App, req: Request<Incoming>) -> Result<Upload, Box<Reply>> {
    let world = look(app).await.map_err(|e| Box::new(unavailable(e)))?.0;
    let cookie = cookie(req.headers());
    let Some(viewer) = viewer(&app.admin, &world, cookie.as_deref(), false) else {
        return Err(Box::new(see_other("/admin/login")));
    };
    if !viewer.role.is_owner() {
        return Err(Box::new(refuse(&viewer, StatusCode::FORBIDDEN, t::FORBIDDEN)));
    }
    let (tail, length) = (tail(req.headers()), length_of(&req));
    let mut body = req.into_body();
    let mut start = BytesMut::new();
    let (token, at) = loop {
        if let Some(found) = before_file(&start) {
            break found;
        }
        match data(&mut body).await {
            Ok(Some(bytes)) if start.len() < BEFORE_MAX => start.extend_from_slice(&bytes),
            Ok(_) => break (String::new(), 0),
            Err(e) => return Err(Box::new(refuse(&viewer, StatusCode::BAD_REQUEST, &e.to_string()))),
        }
    };
    let fits = lock(&app.admin.sessions)
        .find(cookie.as_deref().unwrap_or_default(), app.admin.now_ms())
        .is_some_and(|s| s.csrf_fits(&token));
    if !fits {
        return Err(Box::new(refuse(&viewer, StatusCode::FORBIDDEN, t::CSRF)));
    }
    let mut first: Bytes = start.freeze();
    first.advance(at.min(first.len()));
    Ok(Upload { viewer, first, body, tail, length })
}

/// A page that says why not.
pub(super) fn refuse(viewer: &Viewer, status: StatusCode, why: &str) -> Reply {
    html(status, page::message(Some(viewer), "Not done", why))
}

/// How a form ends (RFC 2046, section 5.1.1).
fn tail(headers: &HeaderMap) -> Vec<u8> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let boundary = media.split(';').find_map(|p| p.trim().strip_prefix("boundary=")).unwrap_or_default();
    let boundary = boundary.trim_matches('"');
    format!("\r\n--{}--\r\n", boundary.get(..BOUNDARY_MAX).unwrap_or(boundary)).into_bytes()
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

    #[test]
    fn a_form_ends_with_its_boundary() {
        let of = |media: &str| {
            let media = media.parse().expect("a header");
            tail(&[(header::CONTENT_TYPE, media)].into_iter().collect())
        };
        assert_eq!(of("multipart/form-data; boundary=--x1"), b"\r\n----x1--\r\n");
        assert_eq!(of("multipart/form-data; boundary=\"a b\"; charset=utf-8"), b"\r\n--a b--\r\n");
        assert_eq!(of("text/plain"), b"\r\n----\r\n");
        assert!(of(&format!("multipart/form-data; boundary={}", "x".repeat(999))).len() < 80);
    }
}

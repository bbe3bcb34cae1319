//! `/api/v1/restore`: send a backup, see what it holds, confirm it; the same with the state before the last restore.

use super::{Refusal, choose_kept, confirm, forget, kept, receive};
use crate::{
    api_schema,
    api_v1::{problem, status_of},
    reply::{Reply, json, read_json},
    state::App,
};
use bytes::Bytes;
use hearthgate_core::CoreError;
use hearthgate_read::{json, struct_of};
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;

/// Longest body of a confirmation.
const CONFIRM_MAX: usize = 1024;

#[derive(Default)]
struct Confirm {
    id: String,
}
struct_of!(Confirm;
must { id: "id" }
may {}
not {});

/// Answers a request to `/restore` or what is below.
pub(crate) async fn api(app: &App, method: &Method, rest: &str, req: Request<Incoming>, actor: &str) -> Reply {
    match (method, rest) {
        (&Method::GET, "") => json(&json!({ "waiting": app.restores.waiting(), "previous": kept(app) })),
        (&Method::PUT, "") => {
            let length = length_of(&req);
            match receive(app, Bytes::new(), req.into_body(), length, b"").await {
                Ok(summary) => json(&json!({ "waiting": summary, "previous": kept(app) })),
                Err(e) => problem(status(&e), &e.to_string()),
            }
        }
        (&Method::DELETE, "") => match forget(app) {
            Ok(()) => json(&json!({})),
            Err(e) => refused(&e),
        },
        (&Method::POST, "/previous") => match choose_kept(app).await {
            Ok(summary) => json(&json!({ "waiting": summary, "previous": kept(app) })),
            Err(e) => refused(&e),
        },
        (&Method::POST, "/confirm") => {
            let body: Confirm = match read_json(req, CONFIRM_MAX).await {
                Ok(body) => body,
                Err(reply) => return problem(reply.status(), "the body has to be {\"id\": \"…\"}, of what waits"),
            };
            match confirm(app, &body.id, actor).await {
                Ok(()) => json(&json!({})),
                Err(e) => refused(&e),
            }
        }
        (_, "") => api_schema::not_this_method(HeaderValue::from_static("GET, PUT, DELETE")),
        (_, "/previous" | "/confirm") => api_schema::not_this_method(HeaderValue::from_static("POST")),
        _ => problem(StatusCode::NOT_FOUND, "there is no such endpoint"),
    }
}

/// What a request says of the length of its body.
pub(crate) fn length_of(req: &Request<Incoming>) -> Option<u64> {
    req.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn refused(e: &CoreError) -> Reply {
    problem(status_of(e), &e.to_string())
}

fn status(e: &Refusal) -> StatusCode {
    match e {
        Refusal::Busy => StatusCode::CONFLICT,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NoRoom { .. } => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

//! What requests say, as values, and what is said to mistakes.

use crate::reply::{Reply, typed};
use bytes::Bytes;
use hearthgate_core::{AuthId, CoreError, NodeId, UserId, World};
use hearthgate_read::{json, struct_of};
use http::StatusCode;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) type Query = Vec<(String, String)>;

pub(super) fn arg<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
}

pub(crate) fn find_user(world: &World, text: &str) -> Result<UserId, CoreError> {
    let by_name = world.user_by_name(text).map(|u| u.id);
    let by_id = || text.parse().ok().filter(|id| world.users().any(|u| u.id == *id));
    by_name.or_else(by_id).ok_or_else(|| CoreError::NotFound(format!("user {text:?} (see `hearthgate users list`)")))
}

pub(crate) fn read<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, CoreError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|e| CoreError::Invalid(format!("the request body is not as expected: {e}")))
}

pub(super) fn body_id(body: &Bytes) -> Result<u64, CoreError> {
    #[derive(Default)]
    struct Id {
        id: Value,
    }
    struct_of!(Id;
    must { id: "id" }
    may {}
    not {});
    number(&read::<Id>(body)?.id)
}

pub(super) fn query_id(query: &Query) -> Result<u64, CoreError> {
    parse("id", arg(query, "id").unwrap_or_default())
}

pub(super) fn number(value: &Value) -> Result<u64, CoreError> {
    let id = value.as_u64().or_else(|| value.as_str().and_then(|s| s.parse().ok()));
    id.ok_or_else(|| CoreError::Invalid(format!("{value} is not an id")))
}

pub(super) fn node_id(text: &str) -> Result<NodeId, CoreError> {
    parse("node", text)
}

pub(super) fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, CoreError> {
    text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is not a {what} number")))
}

pub(crate) fn route_of(text: &str) -> Result<IpNet, CoreError> {
    text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is not a route: write it like 192.168.1.0/24")))
}

pub(super) fn auth_id(text: &str) -> Result<AuthId, CoreError> {
    AuthId::find_in(text).ok_or_else(|| CoreError::Invalid(format!("{text:?} is not a login id: it starts with hskey-authreq- and stands in the URL that `tailscale up` printed")))
}

pub(crate) fn time(text: &str) -> Result<Timestamp, CoreError> {
    text.parse().map_err(|_| CoreError::Invalid(format!("{text:?} is not a time: write it like 2030-01-31T12:00:00Z")))
}

pub(crate) fn status_of(e: &CoreError) -> StatusCode {
    match e {
        CoreError::NotFound(_) => StatusCode::NOT_FOUND,
        CoreError::Conflict(_) | CoreError::Full(_) => StatusCode::CONFLICT,
        CoreError::Denied(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

pub(crate) fn problem(status: StatusCode, detail: &str) -> Reply {
    let body =
        json!({ "title": status.canonical_reason().unwrap_or("error"), "status": status.as_u16(), "detail": detail });
    typed(status, "application/problem+json", body.to_string())
}

/// The parameters of a URL (WHATWG URL, section 5.1).
pub(super) fn parse_query(query: &str) -> Query {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A part of a path (RFC 3986, section 2.1).
pub(super) fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_parameters_are_decoded() {
        assert_eq!(percent_decode("a%20b+c%2Fd&e=f"), "a b+c/d&e=f");
        assert_eq!(percent_decode(""), "");
        assert_eq!(percent_decode("%zz%"), "%zz%");
        let query = parse_query("name=a+b%26c&id=&email");
        assert_eq!((arg(&query, "name"), arg(&query, "id"), arg(&query, "email")), (Some("a b&c"), None, None));
    }
}

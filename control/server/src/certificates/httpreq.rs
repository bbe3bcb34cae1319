//! Asks a program over HTTP to change a record, in the form that the lego library's provider `httpreq` has given such
//! programs: POST `{"fqdn":"_acme-challenge.host.example.org.","value":"…"}` to `ENDPOINT/present` or `ENDPOINT/cleanup`.

use super::Change;
use crate::options::HttpreqOptions;
use base64::{Engine, engine::general_purpose::STANDARD};
use hearthgate_fetch::{Fetch, Send};
use hearthgate_read::json;

/// Makes one change and waits until the program says that it is made.
pub(super) async fn change(
    fetch: &Fetch,
    program: &HttpreqOptions,
    name: &str,
    value: &str,
    change: Change,
) -> Result<(), String> {
    let path = if change == Change::Set { "present" } else { "cleanup" };
    let url = format!("{}/{path}", program.endpoint.trim_end_matches('/'));
    let login = (!program.username.is_empty())
        .then(|| STANDARD.encode(format!("{}:{}", program.username, program.password.reveal())));
    let authorization = login.map(|login| format!("Basic {login}"));
    let body = json!({ "fqdn": format!("{name}."), "value": value }).to_string();
    let what = Send { body: Some((body.into(), "application/json")), authorization: authorization.as_deref() };
    let answer = fetch.send(&url, what).await.map_err(|e| e.to_string())?;
    match answer.status {
        200..300 => Ok(()),
        status => Err(format!("the program at {} answers {status}", program.endpoint)),
    }
}

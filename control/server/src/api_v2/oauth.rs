//! OAuth clients and their tokens: RFC 6749 §4.4 (client credentials), with the client in the form or in Basic.
//!
//! Clients are records of the world; tokens live in memory for an hour, so that asking for one costs no flash write. A
//! client whose token is gone after a restart hears 401 and asks again, as clients do.

use super::{Failure, scope::Scopes};
use crate::{
    reply::{Reply, json_status},
    state::App,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hearthgate_core::{CoreError, Entropy, World, credentials, names::is_tag};
use hearthgate_keys::{Secret, constant_time_eq, encode};
use hearthgate_read::json;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

const RECORD: &str = "oauth/client/";
const CLIENT_KIND: &str = "hskey-client";
const TOKEN_KIND: &str = "hskey-oauthtok";
/// Most clients.
pub(crate) const CLIENTS_MAX: usize = 64;
/// Most tokens at once; the oldest goes first.
pub(crate) const TOKENS_MAX: usize = 256;
/// Largest form of who asks for a token.
pub(super) const FORM_MAX: usize = 8 * 1024;
/// Life of a token in seconds.
pub(crate) const TOKEN_LIFE_S: i64 = 3600;

/// An OAuth client as stored: its secret is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Client {
    /// Twelve digits: the client id.
    pub id: String,
    /// SHA-256 of the secret.
    pub hash: String,
    /// What its tokens may do.
    pub scopes: Scopes,
    /// Tags that its tokens may hand out.
    pub tags: Vec<String>,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
}

hearthgate_read::struct_of!(Client;
must { id: "id", hash: "hash", scopes: "scopes", tags: "tags", description: "description", created: "created" }
may {}
not {});

/// A token: who it stands for and until when.
#[derive(Debug, Clone)]
struct Token {
    hash: [u8; 32],
    client: String,
    scopes: Scopes,
    tags: Vec<String>,
    until: Timestamp,
}

/// Tokens that were given out.
#[derive(Debug, Default)]
pub struct Tokens(Vec<Token>);

/// What a token's bearer may do.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// The client.
    pub client: String,
    /// Scopes.
    pub scopes: Scopes,
    /// Tags.
    pub tags: Vec<String>,
}

impl Tokens {
    fn give(
        &mut self,
        client: &str,
        scopes: Scopes,
        tags: Vec<String>,
        now: Timestamp,
        rng: &mut dyn Entropy,
    ) -> Secret {
        self.0.retain(|t| t.until > now);
        if self.0.len() >= TOKENS_MAX {
            self.0.remove(0);
        }
        let mut bytes = [0u8; 32];
        rng.fill(&mut bytes);
        let text = format!("{TOKEN_KIND}-{}", encode(&bytes));
        let until = now.checked_add(jiff::SignedDuration::from_secs(TOKEN_LIFE_S)).unwrap_or(now);
        self.0.push(Token { hash: digest(&text), client: client.to_owned(), scopes, tags, until });
        Secret::new(text)
    }

    fn find(&self, text: &str, now: Timestamp) -> Option<Grant> {
        let hash = digest(text);
        let token = self.0.iter().find(|t| constant_time_eq(&t.hash, &hash) && t.until > now)?;
        Some(Grant { client: token.client.clone(), scopes: token.scopes.clone(), tags: token.tags.clone() })
    }

    /// Ends the tokens of a client.
    pub(crate) fn end_all_of(&mut self, client: &str) {
        self.0.retain(|t| t.client != client);
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// What a bearer of `text` may do.
pub(crate) fn grant(app: &App, text: &str) -> Option<Grant> {
    text.starts_with(TOKEN_KIND).then(|| super::tokens(app).find(text, Timestamp::now())).flatten()
}

/// All clients by id.
pub(crate) fn clients(world: &World) -> Vec<Client> {
    world.records(RECORD).collect()
}

/// The client with this id.
pub(crate) fn client(world: &World, id: &str) -> Option<Client> {
    world.record(&format!("{RECORD}{id}"))
}

fn check(scopes: &Scopes, tags: &[String], description: &str) -> Result<(), CoreError> {
    if scopes.0.is_empty() {
        return Err(CoreError::Invalid("an OAuth client needs scopes".into()));
    }
    if let Some(unknown) = scopes.unknown() {
        return Err(CoreError::Invalid(format!("{unknown:?} is no scope")));
    }
    if scopes.need_tags() && tags.is_empty() {
        return Err(CoreError::Invalid("the scopes devices:core and auth_keys need tags".into()));
    }
    if let Some(bad) = tags.iter().find(|t| !is_tag(t)) {
        return Err(CoreError::Invalid(format!("{bad:?} is not a tag")));
    }
    if description.len() > 200 {
        return Err(CoreError::Invalid("a description has at most 200 bytes".into()));
    }
    Ok(())
}

/// Gives a client other scopes, tags and description; its secret stays.
pub(crate) fn replace(world: &mut World, client: Client) -> Result<(), CoreError> {
    check(&client.scopes, &client.tags, &client.description)?;
    world.put_record(&format!("{RECORD}{}", client.id), &client)
}

/// Makes a client. The text in the answer is the only time its secret is seen.
pub(crate) fn create(
    world: &mut World,
    scopes: Scopes,
    tags: Vec<String>,
    description: String,
    now: Timestamp,
    rng: &mut dyn Entropy,
) -> Result<(Client, Secret), CoreError> {
    check(&scopes, &tags, &description)?;
    if clients(world).len() >= CLIENTS_MAX {
        return Err(CoreError::Full(format!("there are {CLIENTS_MAX} OAuth clients already")));
    }
    let minted = credentials::mint(CLIENT_KIND, rng);
    let client = Client { id: minted.prefix, hash: minted.hash, scopes, tags, description, created: now };
    world.put_record(&format!("{RECORD}{}", client.id), &client)?;
    Ok((client, minted.text))
}

/// Forgets a client; true when it was there.
pub(crate) fn delete(world: &mut World, id: &str) -> bool {
    world.delete_record(&format!("{RECORD}{id}"))
}

/// An OAuth error (RFC 6749 §5.2).
fn refuse(status: StatusCode, error: &str, description: &str) -> Reply {
    let mut reply = json_status(status, &json!({ "error": error, "error_description": description }));
    if status == StatusCode::UNAUTHORIZED {
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hearthgate\""));
    }
    reply
}

/// `POST /api/v2/oauth/token`.
pub(crate) async fn token(app: &App, headers: &HeaderMap, body: &[u8]) -> Result<Reply, Failure> {
    let form: Vec<(String, String)> =
        form_urlencoded::parse(body).take(32).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let get = |name: &str| form.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty());
    if get("grant_type").is_some_and(|g| g != "client_credentials") {
        return Ok(refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials"));
    }
    let basic = basic(headers);
    let secret = match (&basic, get("client_secret")) {
        (Some((_, secret)), _) => secret.as_str(),
        (None, Some(secret)) => secret,
        (None, None) => {
            return Ok(refuse(StatusCode::UNAUTHORIZED, "invalid_client", "the client's secret is missing"));
        }
    };
    let named = basic.as_ref().map(|b| b.0.as_str()).or(get("client_id")).unwrap_or_default().to_owned();
    let wrong = || refuse(StatusCode::UNAUTHORIZED, "invalid_client", "no such client, or a wrong secret");
    let Some((id, rest)) = credentials::split(CLIENT_KIND, secret) else { return Ok(wrong()) };
    let (id, rest) = (id.to_owned(), Secret::new(rest.to_owned()));
    let found = app.control.call(move |world, c| (client(world, &id), c.now)).await?;
    let (Some(client), now) = found else { return Ok(wrong()) };
    if !credentials::matches(rest.reveal(), &client.hash) || (!named.is_empty() && named != client.id) {
        return Ok(wrong());
    }
    let words = |name: &str| {
        get(name).map(|v| v.split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    };
    let scopes = words("scope").map_or_else(|| client.scopes.clone(), Scopes);
    if let Some(scope) = scopes.0.iter().find(|s| !client.scopes.include(s)) {
        return Ok(refuse(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            &format!("the client does not have the scope {scope:?}"),
        ));
    }
    let tags = words("tags").unwrap_or_else(|| client.tags.clone());
    if let Some(tag) = tags.iter().find(|t| !client.tags.contains(t)) {
        return Ok(refuse(
            StatusCode::BAD_REQUEST,
            "invalid_target",
            &format!("the client does not have the tag {tag:?}"),
        ));
    }
    let scope = scopes.0.join(" ");
    let mut rng = |out: &mut [u8]| crate::writer::fill_random(out);
    let token = super::tokens(app).give(&client.id, scopes, tags, now.wall, &mut rng);
    let answer =
        json!({ "access_token": token.reveal(), "token_type": "Bearer", "expires_in": TOKEN_LIFE_S, "scope": scope });
    let mut reply = json_status(StatusCode::OK, &answer);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// User name and password of Basic (RFC 7617).
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (name, password) = pair.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_and_are_bounded() {
        let mut n = 0u64;
        let mut rng = |out: &mut [u8]| {
            n += 1;
            out.iter_mut().zip(n.to_le_bytes()).for_each(|(o, b)| *o = b);
        };
        let now = Timestamp::UNIX_EPOCH;
        let later = |s: i64| now + jiff::SignedDuration::from_secs(s);
        let mut tokens = Tokens::default();
        let first = tokens.give("a", Scopes::all(), vec![], now, &mut rng);
        assert_eq!(tokens.find(first.reveal(), later(TOKEN_LIFE_S - 1)).expect("it works").client, "a");
        assert!(tokens.find(first.reveal(), later(TOKEN_LIFE_S)).is_none(), "an hour is over");
        assert!(tokens.find("hskey-oauthtok-00", now).is_none());
        for _ in 0..TOKENS_MAX {
            tokens.give("b", Scopes::all(), vec![], now, &mut rng);
        }
        assert!(tokens.find(first.reveal(), now).is_none(), "the oldest makes room");
        tokens.end_all_of("b");
        assert!(tokens.0.is_empty());
    }
}

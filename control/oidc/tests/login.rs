//! A whole login with a provider's keys made here, and every way in which it must fail.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hearthgate_oidc::{
    Claims, Client, Flow, Keys, Metadata, OidcError, PkceMethod, RANDOM_BYTES, Rules, Tokens, discovery_url, verify,
};
use hearthgate_sorted::SortedMap;
use ring::{rand::SystemRandom, signature};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example";
const NOW: i64 = 1_800_000_000;

fn metadata() -> Metadata {
    let document = json!({
        "issuer": ISSUER, "authorization_endpoint": "https://id.example/auth", "token_endpoint": "https://id.example/token",
        "jwks_uri": "https://id.example/keys", "userinfo_endpoint": "https://id.example/me",
    });
    Metadata::parse(document.to_string().as_bytes(), ISSUER).unwrap()
}

fn client() -> Client {
    Client {
        id: "hearthgate".into(),
        secret: "s&cret".into(),
        redirect_uri: "https://home.example/oidc/callback".into(),
        scope: vec!["openid".into(), "email".into()],
        extra: SortedMap::from([("prompt".into(), "login".into())]),
        pkce: Some(PkceMethod::S256),
    }
}

fn begin() -> (String, Flow) {
    client().begin(&metadata(), &std::array::from_fn::<u8, RANDOM_BYTES, _>(|i| i as u8))
}

/// A provider with an Ed25519 and a P-256 key.
struct Provider {
    ed: signature::Ed25519KeyPair,
    ec: signature::EcdsaKeyPair,
}

impl Provider {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = signature::EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        Self {
            ed: signature::Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(),
            ec: signature::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap(),
        }
    }

    fn keys(&self) -> Keys {
        use signature::KeyPair;
        let point = self.ec.public_key().as_ref();
        let text = |b: &[u8]| URL_SAFE_NO_PAD.encode(b);
        let set = json!({ "keys": [
            { "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "unknown" },
            { "kty": "OKP", "crv": "Ed25519", "x": text(self.ed.public_key().as_ref()), "kid": "ed", "alg": "EdDSA" },
            { "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]), "kid": "ec" },
        ]});
        Keys::parse(set.to_string().as_bytes()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let message = format!("{}.{}", text(header), text(claims));
        let signature = match header["alg"].as_str() {
            Some("EdDSA") => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            Some("ES256") => self.ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Some("HS256") => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, client().secret.as_bytes());
                ring::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "248289761001", "aud": ["hearthgate"], "exp": NOW + 600, "iat": NOW, "nonce": begin().1.nonce,
        "email": "anna@home.example", "email_verified": "true", "preferred_username": "anna", "groups": ["family"],
    })
}

fn check(header: &Value, claims: &Value) -> Result<Claims, OidcError> {
    let provider = Provider::new();
    let token = provider.sign(header, claims);
    verify(&provider.keys(), &token, &metadata(), &client(), &begin().1, NOW)
}

#[test]
fn the_browser_is_sent_with_everything_the_provider_needs() {
    let (url, flow) = begin();
    let (base, query) = url.split_once('?').unwrap();
    assert_eq!(base, "https://id.example/auth");
    let query: SortedMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(query["state"], flow.state);
    assert_eq!(query["nonce"], flow.nonce);
    assert_eq!(query["redirect_uri"], "https://home.example/oidc/callback");
    assert_eq!((query["scope"].as_str(), query["prompt"].as_str()), ("openid email", "login"));
    assert_eq!(query["code_challenge_method"], "S256");
    // The verifier stays here until the code is there.
    let request = client().token_request(&metadata(), &flow, "the code");
    let form: SortedMap<_, _> = form_urlencoded::parse(request.form.as_bytes()).into_owned().collect();
    assert!(!url.contains(&form["code_verifier"]));
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "the code"));
    // RFC 6749, section 2.3.1: "hearthgate:s%26cret".
    assert_eq!(request.authorization.as_deref(), Some("Basic aGVhcnRoZ2F0ZTpzJTI2Y3JldA=="));
}

#[test]
fn a_good_token_says_who_it_is() {
    for header in [json!({"alg": "EdDSA", "kid": "ed"}), json!({"alg": "ES256", "kid": "ec"})] {
        let claims = check(&header, &claims()).unwrap();
        assert_eq!(claims.provider_id(), "https://id.example/248289761001");
        assert!(claims.email_verified);
        assert_eq!(claims.groups, ["family"]);
    }
}

#[test]
fn a_token_that_is_wrong_in_any_one_way_is_refused() {
    let good = json!({"alg": "EdDSA", "kid": "ed"});
    assert!(check(&good, &claims()).is_ok());
    let with = |name: &str, value: Value| {
        let mut all = claims();
        all[name] = value;
        check(&good, &all)
    };
    for (name, value) in [
        ("iss", json!("https://other.example")),
        ("aud", json!(["somebody else"])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 3600)),
        ("nbf", json!(NOW + 3600)),
        ("nonce", json!("another login's")),
        ("sub", json!("")),
    ] {
        let result = with(name, value.clone());
        assert!(matches!(result, Err(OidcError::Token(_))), "{name} = {value}: {result:?}");
    }
    for header in [
        json!({"alg": "none"}),
        // The classic: the secret that both know is no key for signatures.
        json!({"alg": "HS256", "kid": "ed"}),
        json!({"alg": "EdDSA", "kid": "nobody's"}),
        json!({"alg": "ES256", "kid": "ed"}),
        json!({"alg": "EdDSA"}),
    ] {
        let result = check(&header, &claims());
        assert!(matches!(result, Err(OidcError::Token(_))), "{header}: {result:?}");
    }
    let provider = Provider::new();
    let mut token = provider.sign(&good, &claims());
    let changed = URL_SAFE_NO_PAD.encode(claims().to_string().replace("anna", "otto"));
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    token = format!("{}.{changed}.{}", parts[0], parts[2]);
    assert!(verify(&provider.keys(), &token, &metadata(), &client(), &begin().1, NOW).is_err());
    assert!(verify(&provider.keys(), "no token", &metadata(), &client(), &begin().1, NOW).is_err());
}

#[test]
fn clocks_may_differ_a_little() {
    let mut late = claims();
    late["exp"] = json!(NOW - 60);
    late["nbf"] = json!(NOW + 60);
    assert!(check(&json!({"alg": "EdDSA", "kid": "ed"}), &late).is_ok());
}

#[test]
fn a_provider_that_is_not_what_it_says_is_refused() {
    assert_eq!(discovery_url("https://id.example/realm/"), "https://id.example/realm/.well-known/openid-configuration");
    let document = |issuer: &str, token: &str| {
        json!({"issuer": issuer, "authorization_endpoint": "https://a/", "token_endpoint": token, "jwks_uri": "https://a/k"}).to_string()
    };
    let parse = |json: String, issuer: &str| Metadata::parse(json.as_bytes(), issuer);
    assert!(parse(document("https://id.example/", "https://a/t"), ISSUER).is_ok());
    assert!(parse(document("https://other.example", "https://a/t"), ISSUER).is_err());
    assert!(parse(document(ISSUER, "http://a/t"), ISSUER).is_err(), "the secret would go over an open line");
    assert!(
        parse(document("http://10.0.0.1", "http://10.0.0.1/t"), "http://10.0.0.1").is_ok(),
        "an open provider is the operator's choice"
    );
    assert!(parse("{}".into(), ISSUER).is_err());
}

#[test]
fn answers_of_the_token_endpoint() {
    assert!(Tokens::parse(200, br#"{"id_token":"a.b.c","access_token":"t"}"#).is_ok());
    assert!(
        matches!(Tokens::parse(400, br#"{"error":"invalid_grant","error_description":"too late"}"#), Err(OidcError::Refused(w)) if w == "invalid_grant too late")
    );
    assert!(matches!(Tokens::parse(200, br#"{"access_token":"t"}"#), Err(OidcError::Answer(_))));
    assert!(matches!(Tokens::parse(502, b"<html>"), Err(OidcError::Answer(_))));
    assert_eq!(Client::code_of("state=x&code=a%2Fb"), Ok("a/b".into()));
    assert!(
        matches!(Client::code_of("error=access_denied&error_description=no+thanks"), Err(OidcError::Refused(w)) if w.contains("no thanks"))
    );
}

#[test]
fn rules_say_who_may_come_in() {
    let anna = Claims {
        email: "anna@home.example".into(),
        email_verified: true,
        groups: vec!["family".into()],
        ..Claims::default()
    };
    let unverified = Claims { email_verified: false, ..anna.clone() };
    let list = |s: &str| vec![s.to_owned()];
    let all = Rules {
        domains: list("HOME.example"),
        users: list("Anna@home.example"),
        groups: list("family"),
        verified_email: true,
    };
    assert_eq!(all.check(&anna), Ok(()));
    assert!(all.check(&unverified).is_err());
    assert!(Rules { verified_email: false, ..all.clone() }.check(&unverified).is_ok());
    assert!(Rules { domains: list("other.example"), ..all.clone() }.check(&anna).is_err());
    assert!(Rules { users: list("otto@home.example"), ..all.clone() }.check(&anna).is_err());
    assert!(Rules { groups: list("guests"), ..all }.check(&anna).is_err());
    // An address that only ends like an allowed one.
    let sly = Claims { email: "x@evil-home.example".into(), email_verified: true, ..Claims::default() };
    assert!(Rules { domains: list("home.example"), ..Rules::default() }.check(&sly).is_err());
    assert!(Rules::default().check(&Claims::default()).is_ok());
}

#[test]
fn user_info_fills_gaps_and_changes_nobody() {
    let mut known = Claims { sub: "1".into(), email: "a@b".into(), ..Claims::default() };
    known.merge(Claims { sub: "2".into(), name: "Otto".into(), ..Claims::default() });
    assert_eq!(known.name, "");
    known.merge(Claims {
        sub: "1".into(),
        email: "x@y".into(),
        email_verified: true,
        name: "Anna".into(),
        ..Claims::default()
    });
    assert_eq!((known.email.as_str(), known.email_verified, known.name.as_str()), ("a@b", false, "Anna"));
}

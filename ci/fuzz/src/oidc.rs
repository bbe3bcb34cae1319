//! What an OpenID provider answers: its metadata, its keys, and ID tokens.

use crate::Target;
use hearthgate_oidc::{Client, Keys, Metadata, RANDOM_BYTES, Tokens, verify};

const ISSUER: &str = "https://id.example.org";
const METADATA: &[u8] = br#"{"issuer":"https://id.example.org","authorization_endpoint":"https://id.example.org/a",
"token_endpoint":"https://id.example.org/t","jwks_uri":"https://id.example.org/k"}"#;
const KEYS: &[u8] =
    br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"}]}"#;

pub(crate) const PROVIDER: Target = Target {
    name: "openid-provider",
    run: |data| {
        let client = Client {
            id: "hearthgate".into(),
            secret: String::new(),
            redirect_uri: "https://a.example/oidc/callback".into(),
            scope: Vec::new(),
            extra: Default::default(),
            pkce: None,
        };
        let metadata = Metadata::parse(METADATA, ISSUER).expect("good metadata");
        let (_, flow) = client.begin(&metadata, &[7; RANDOM_BYTES]);
        let (keys, token) = data.iter().position(|b| *b == 0).map_or((KEYS, data), |at| {
            let (keys, token) = data.split_at(at);
            (keys, token.get(1..).unwrap_or_default())
        });
        let _ = (Metadata::parse(data, ISSUER), Tokens::parse(200, data), Tokens::parse(400, data));
        let Ok(keys) = Keys::parse(keys) else { return };
        let Ok(token) = std::str::from_utf8(token) else { return };
        assert!(verify(&keys, token, &metadata, &client, &flow, 1_700_000_000).is_err(), "nobody has signed it");
    },
    seeds: || {
        // An Ed25519 token whose signature is zeros, one without a signature, and what goes before them.
        let head = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJpc3MiOiJ4IiwiYXVkIjpbImhlYXJ0aGdhdGUiXX0";
        let mut both = KEYS.to_vec();
        both.push(0);
        both.extend(format!("{head}.{}", "A".repeat(86)).bytes());
        vec![
            both,
            format!("{head}.").into(),
            b"eyJhbGciOiJub25lIn0.e30.".to_vec(),
            METADATA.to_vec(),
            KEYS.to_vec(),
            br#"{"access_token":"a","token_type":"Bearer","id_token":"a.b.c"}"#.to_vec(),
        ]
    },
};

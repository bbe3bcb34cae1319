//! What a webhook is sent, and its signature: HMAC-SHA-256 (RFC 2104) of the time, a dot and the body, in the header
//! `Tailscale-Webhook-Signature: t=UNIX,v1=HEX` (tailscale.com/kb/1213; `docs/webhooks/example.go` of tailscale.com).
//! Chat services get one text in their own form instead of the list of events.

use hearthgate_core::{Event, EventKind};
use hearthgate_keys::encode;
use hearthgate_read::json;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sha2::Sha256;

/// The header with the signature.
pub(super) const HEADER: &str = "tailscale-webhook-signature";

/// Longest text that a chat service gets, in bytes: Discord takes 2,000 characters, the others more.
const TEXT_MAX: usize = 1900;

/// In which form a hook wants to hear; the names are Tailscale's `providerType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Provider {
    /// A list of events.
    #[default]
    #[serde(rename = "")]
    Events,
    /// Slack.
    Slack,
    /// Mattermost.
    Mattermost,
    /// Google Chat.
    GoogleChat,
    /// Discord.
    Discord,
}

hearthgate_read::names_of!(Provider {
    "" => Self::Events,
    "slack" => Self::Slack,
    "mattermost" => Self::Mattermost,
    "googlechat" => Self::GoogleChat,
    "discord" => Self::Discord,
});

/// The body of a request about these events.
pub(super) fn body(provider: Provider, events: &[Value]) -> Value {
    let field = match provider {
        Provider::Events => return Value::from(events.to_vec()),
        Provider::Slack | Provider::Mattermost | Provider::GoogleChat => "text",
        Provider::Discord => "content",
    };
    let mut text = String::new();
    for event in events {
        let part = |name: &str| event[name].as_str().unwrap_or_default();
        let line = format!("{} ({})", part("message"), part("tailnet"));
        let link = event["data"]["url"].as_str().map(|url| format!(" {url}")).unwrap_or_default();
        if text.len() + line.len() + link.len() + 1 > TEXT_MAX {
            text.push_str("\n…");
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
        text.push_str(&link);
    }
    json!({ field: text })
}

/// An event as JSON; `tailnet` is the domain of the network, `url` that of its pages.
pub(super) fn event(event: &Event, tailnet: &str, url: &str, at: Timestamp) -> Value {
    let name = event.node.as_ref().map_or("", |n| n.name.as_str());
    let message = match event.kind {
        EventKind::NodeCreated => format!("Node {name} created"),
        EventKind::NodeNeedsApproval => format!("Node {name} needs approval"),
        EventKind::NodeApproved => format!("Node {name} approved"),
        EventKind::NodeKeyExpired => format!("Node {name} key expired"),
        EventKind::NodeDeleted => format!("Node {name} deleted"),
        EventKind::PolicyUpdate => "Policy file updated".to_owned(),
    };
    let data = match &event.node {
        None => json!({ "url": format!("{url}/admin/policy") }),
        Some(node) => json!({
            "nodeID": node.stable_id,
            "deviceName": node.name,
            "managedBy": node.owner,
            "url": format!("{url}/admin/device/{}", node.id),
            "expiration": node.expiry.map(|e| e.to_string()),
        }),
    };
    whole(event.kind.name(), &message, tailnet, data, at)
}

/// What somebody who tries a hook gets.
pub(super) fn test(tailnet: &str, at: Timestamp) -> Value {
    whole("test", "This is a test event", tailnet, Value::Null, at)
}

fn whole(kind: &str, message: &str, tailnet: &str, data: Value, at: Timestamp) -> Value {
    let mut value =
        json!({ "timestamp": at.to_string(), "version": 1, "type": kind, "tailnet": tailnet, "message": message });
    if !data.is_null() {
        value["data"] = data;
    }
    value
}

/// The value of [`HEADER`] for a body that is sent now.
pub(super) fn signature(secret: &str, at: Timestamp, body: &[u8]) -> String {
    let t = at.as_second();
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{t}.").as_bytes());
    mac.update(body);
    format!("t={t},v1={}", encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_services_get_one_text_of_bounded_length() {
        let events = [test("net.example", Timestamp::UNIX_EPOCH), test("net.example", Timestamp::UNIX_EPOCH)];
        let two = "This is a test event (net.example)\nThis is a test event (net.example)";
        assert_eq!(body(Provider::Slack, &events), json!({ "text": two }));
        assert_eq!(body(Provider::Discord, &events), json!({ "content": two }));
        assert_eq!(body(Provider::Events, &events), Value::from(events.to_vec()));
        let linked =
            json!({ "message": "Node a created", "tailnet": "n", "data": { "url": "http://b/admin/device/1" } });
        assert_eq!(
            body(Provider::GoogleChat, &[linked]),
            json!({ "text": "Node a created (n) http://b/admin/device/1" })
        );
        let many = vec![test("net.example", Timestamp::UNIX_EPOCH); 64];
        let text = body(Provider::Mattermost, &many)["text"].as_str().map(str::to_owned).expect("a text");
        assert!(text.len() <= 2000 && text.ends_with("\n…"), "{}", text.len());
        let names = [Provider::Events, Provider::GoogleChat].map(|p| serde_json::to_value(p).expect("a name"));
        assert_eq!(names, [json!(""), json!("googlechat")]);
    }

    #[test]
    fn the_signature_is_what_openssl_says() {
        // printf '1682179417.[{}]' | openssl dgst -sha256 -hmac tskey-webhook-test
        let at = Timestamp::from_second(1_682_179_417).expect("a time");
        let expected = "t=1682179417,v1=596509ed55aa9491e177480db81c7b9fa9ed3771d9eb21a162baaf9043ba702a";
        assert_eq!(signature("tskey-webhook-test", at, b"[{}]"), expected);
    }
}

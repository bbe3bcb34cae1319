//! Apple configuration profiles that tell the Tailscale app which server to use, so that nobody has to type it.
//!
//! A profile holds the app's managed setting `ControlURL` (tailscale.com/kb/1315) under the app's identifier; its frame
//! is Apple's (developer.apple.com, "Top-level Profile Keys"). It is not signed, which Apple's settings say to the person.
//! The paths are Headscale's.

use crate::{
    pages::escape,
    reply::{Reply, text, typed},
};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// Variants of the app by the path under `/apple/`: identifier of the app, and what people call it.
pub(crate) const APPS: [(&str, &str, &str); 3] = [
    ("ios", "io.tailscale.ipn.ios", "iPhone, iPad, Apple TV"),
    ("macos-app-store", "io.tailscale.ipn.macos", "Mac, app from the App Store"),
    ("macos-standalone", "io.tailscale.ipn.macsys", "Mac, app from tailscale.com"),
];

/// `/apple/{app}`: a profile to install.
pub(crate) fn profile(app: &str, server_url: &str) -> Reply {
    let Some((_, payload, _)) = APPS.iter().find(|(name, ..)| *name == app) else {
        return text(StatusCode::NOT_FOUND, "there is a profile for ios, macos-app-store and macos-standalone");
    };
    let mut reply = typed(StatusCode::OK, "application/x-apple-aspen-config", plist(app, payload, server_url));
    reply.headers_mut().insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"tailscale.mobileconfig\""),
    );
    reply
}

/// A UUID (RFC 9562, version 8) that is the same for the same server, so that a profile replaces itself.
fn uuid(of: &str) -> String {
    let mut b = [0u8; 16];
    b.iter_mut().zip(Sha256::digest(of.as_bytes())).for_each(|(to, from)| *to = from);
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let h = hearthgate_keys::encode(&b);
    [h.get(..8), h.get(8..12), h.get(12..16), h.get(16..20), h.get(20..)].map(Option::unwrap_or_default).join("-")
}

fn plist(app: &str, payload: &str, server_url: &str) -> String {
    let url = escape(server_url);
    let entry = |key: &str, value: &str| format!("<key>{key}</key><string>{value}</string>");
    let inner = [
        entry("PayloadType", payload),
        entry("PayloadIdentifier", &format!("hearthgate.{app}.settings")),
        entry("PayloadUUID", &uuid(&format!("settings {app} {server_url}"))),
        "<key>PayloadVersion</key><integer>1</integer><key>PayloadEnabled</key><true/>".to_owned(),
        entry("ControlURL", &url),
    ]
    .concat();
    let outer = [
        entry("PayloadType", "Configuration"),
        entry("PayloadIdentifier", &format!("hearthgate.{app}")),
        entry("PayloadUUID", &uuid(&format!("profile {app} {server_url}"))),
        entry("PayloadDisplayName", "hearthgate"),
        entry("PayloadDescription", &format!("Tailscale uses the server {url}.")),
        "<key>PayloadVersion</key><integer>1</integer>".to_owned(),
    ]
    .concat();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>{outer}<key>PayloadContent</key><array><dict>{inner}</dict></array></dict></plist>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_the_server_and_replaces_itself() {
        let a = plist("ios", "io.tailscale.ipn.ios", "https://a.example/?x&y");
        assert!(a.contains("<key>ControlURL</key><string>https://a.example/?x&amp;y</string>"), "{a}");
        assert_eq!(a, plist("ios", "io.tailscale.ipn.ios", "https://a.example/?x&y"));
        assert_ne!(uuid("a"), uuid("b"));
        let u = uuid("a");
        assert_eq!((u.len(), u.as_bytes()[14], u.matches('-').count()), (36, b'8', 4), "{u}");
    }
}

//! Style, script and icon, as they lie in `assets/`.

/// A file that is served as it is.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Path under `/admin/`.
    pub path: &'static str,
    /// Media type.
    pub media: &'static str,
    /// Its bytes.
    pub body: &'static str,
}

/// All of them.
pub const ASSETS: [Asset; 4] = [
    Asset { path: "style.css", media: "text/css; charset=utf-8", body: include_str!("../assets/style.css") },
    Asset { path: "live.js", media: "text/javascript; charset=utf-8", body: include_str!("../assets/live.js") },
    Asset { path: "passkey.js", media: "text/javascript; charset=utf-8", body: include_str!("../assets/passkey.js") },
    Asset { path: "icon.svg", media: "image/svg+xml", body: include_str!("../assets/icon.svg") },
];

/// `Content-Security-Policy` of every page: only our own files, no inline script or style, no frames.
pub const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

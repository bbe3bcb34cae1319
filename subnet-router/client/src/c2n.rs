//! Questions of the control server to us ("control to node"): a raw HTTP/1.1 request comes in a ping, the raw answer
//! goes back (`ipn/ipnlocal/c2n.go` of tailscale.com v1.104.5).

use hearthgate_read::json;
use serde_json::Value;

/// Largest body we echo.
const ECHO_MAX: usize = 64 * 1024;
/// Most headers of a request.
const HEADERS_MAX: usize = 32;

/// What the answers tell.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Problems to report.
    pub problem: Option<&'a str>,
    /// Preferences as JSON; no secrets.
    pub prefs: &'a Value,
}

/// Answers a raw request with a raw response.
#[must_use]
pub fn answer(request: &[u8], facts: Facts<'_>) -> Vec<u8> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(request) else {
        return response(400, "text/plain", b"not an HTTP request");
    };
    let path = parsed.path.unwrap_or_default().split('?').next().unwrap_or_default();
    match (parsed.method.unwrap_or_default(), path) {
        (_, "/echo") => {
            let body = request.get(head..).unwrap_or_default();
            response(200, "text/plain", body.get(..ECHO_MAX).unwrap_or(body))
        }
        ("GET", "/debug/prefs") => response(200, "application/json", facts.prefs.to_string().as_bytes()),
        ("GET", "/debug/health") => {
            let warnings = facts.problem.map(|text| json!({ "problem": { "Text": text } }));
            let body = json!({ "Warnings": warnings.unwrap_or_else(|| json!({})) });
            response(200, "application/json", body.to_string().as_bytes())
        }
        ("POST", "/logtail/flush") => response(204, "text/plain", b""),
        (_, "/debug/prefs" | "/debug/health" | "/logtail/flush") => response(405, "text/plain", b"method not allowed"),
        _ => response(400, "text/plain", b"unknown c2n path"),
    }
}

fn response(status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        204 => "No Content",
        405 => "Method Not Allowed",
        _ => "Bad Request",
    };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> String {
        let prefs = json!({ "hostname": "router" });
        String::from_utf8(answer(request.as_bytes(), Facts { problem: Some("no relay"), prefs: &prefs })).unwrap()
    }

    #[test]
    fn questions_are_answered() {
        let echo = ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
        assert!(echo.starts_with("HTTP/1.1 200 ") && echo.ends_with("\r\n\r\nhi"), "{echo}");
        assert!(ask("GET /debug/health HTTP/1.1\r\n\r\n").contains("no relay"));
        assert!(ask("GET /debug/prefs?x=1 HTTP/1.1\r\n\r\n").contains("router"));
        assert!(ask("POST /logtail/flush HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 204 "));
    }

    #[test]
    fn others_are_refused() {
        assert!(ask("GET /secrets HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(ask("GET /logtail/flush HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask("nonsense").starts_with("HTTP/1.1 400 "));
    }
}

//! The server that the configuration names: on this machine by its unix socket, or elsewhere by `cli.address` with an
//! API key.

use crate::{Failure, client, setup};
use hearthgate_addresses::{Scope, scope};
use hearthgate_config::{CliConfig, Config};
use hearthgate_core::host_of;
use hearthgate_fetch::Fetch;
use http::{Request, header};
use serde_json::Value;
use std::net::IpAddr;

/// Sends a request to the server and reads its JSON answer.
pub(crate) fn call(config: &Config, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    if !is_remote(config) {
        return client::call(&setup::socket(config), method, path, body);
    }
    let body = body.map(|b| b.to_string().into()).unwrap_or_default();
    let text = exchange(&config.cli, method, path, "application/json", body)?;
    let text = String::from_utf8_lossy(&text);
    Ok(serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned())))
}

/// Fetches bytes from the server.
pub(crate) fn fetch(config: &Config, path: &str) -> Result<Vec<u8>, Failure> {
    if is_remote(config) {
        exchange(&config.cli, "GET", path, "application/json", Vec::new())
    } else {
        client::fetch(&setup::socket(config), path)
    }
}

/// Sends bytes to the server and reads its JSON answer.
pub(crate) fn send(config: &Config, path: &str, bytes: Vec<u8>) -> Result<Value, Failure> {
    if !is_remote(config) {
        return client::send(&setup::socket(config), path, &bytes);
    }
    let text = exchange(&config.cli, "PUT", path, "application/octet-stream", bytes)?;
    serde_json::from_slice(&text).map_err(|e| Failure::Failed(format!("the server's answer is not JSON: {e}")))
}

/// Whether the configuration names a server elsewhere.
pub(crate) fn is_remote(config: &Config) -> bool {
    !config.cli.address.is_empty()
}

/// The URL of the server. A host and port alone is `https://`, as in Headscale's configuration.
fn base(address: &str) -> Result<String, Failure> {
    let url = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let url = url.trim_end_matches('/').to_owned();
    let host = host_of(&url);
    let near = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| scope(ip) != Scope::Global);
    if url.starts_with("http://") && !near {
        return Err(Failure::Failed(format!(
            "{url} would show the API key to everybody on the way: use https://, or an address of the local network"
        )));
    }
    Ok(url)
}

fn exchange(cli: &CliConfig, method: &str, path: &str, media: &str, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let url = format!("{}{path}", base(&cli.address)?);
    if cli.api_key.is_empty() {
        return Err(Failure::Failed(
            "cli.address needs cli.api_key (HEARTHGATE_CLI_API_KEY): make one there with `hearthgate apikeys create`"
                .into(),
        ));
    }
    let request = Request::builder()
        .method(method)
        .uri(&url)
        .header(header::AUTHORIZATION, format!("Bearer {}", cli.api_key))
        .header(header::CONTENT_TYPE, media)
        .body(body.into())
        .map_err(|_| Failure::Failed(format!("{url} is no URL that can be asked, or the API key is no API key")))?;
    let fetch = Fetch::new().up_to(usize::try_from(client::ANSWER_MAX).unwrap_or(usize::MAX));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(fetch.request(request)).map_err(|e| Failure::Failed(e.to_string()))?;
    client::good(answer.status().as_u16(), answer.into_body().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_go_in_the_clear_beyond_the_lan() {
        assert_eq!(base("vpn.example.org:443").ok().as_deref(), Some("https://vpn.example.org:443"));
        assert_eq!(base("http://192.168.1.1:8080/").ok().as_deref(), Some("http://192.168.1.1:8080"));
        assert!(base("http://localhost:8080").is_ok() && base("http://[fd00::1]:8080").is_ok());
        assert!(base("http://vpn.example.org").is_err() && base("http://8.8.8.8").is_err());
    }
}

//! People let their own devices in through an OpenID provider; the provider is the example server of a certified
//! library, the browser is curl with a jar of cookies.
//!
//! ```text
//!             internet
//!    _________|_________
//!   |                   |
//! server, provider,     a, b
//! browser
//! ```

use std::time::Duration;

use crate::client::{Client, LOGIN};
use crate::command::Output;
use crate::ensure;
use crate::lab::Lab;
use crate::outcome::{Failure, Outcome};
use crate::scenario::Scenario;
use crate::server_config::{self, PLAIN, PORT};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "oidc",
    summary: "login at an OpenID provider: away, wrong person, forged ways back, confirmed, again",
    limit: Duration::from_secs(180),
    run,
    ..Scenario::BASE
};

/// The provider's client and user, as its program has them.
const CLIENT: (&str, &str) = ("web", "secret");
const PERSON: (&str, &str) = ("test-user@localhost", "verysecure");
const ADDRESS: &str = "test-user@zitadel.ch";
const PROVIDER: &str = "http://localhost:9998/";

fn config(allowed: &str) -> String {
    format!(
        "{PLAIN}\n[oidc]\nissuer = \"{PROVIDER}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n\
         only_start_if_oidc_is_available = false\nallowed_users = [\"{allowed}\"]\nuse_expiry_from_token = true\n",
        CLIENT.0, CLIENT.1
    )
}

fn run(lab: &mut Lab) -> Outcome {
    let program = lab.context.options.clients_dir.with_file_name("openid").join("provider");
    ensure!(program.exists(), "{} is missing: build it with ci/clients/openid", program.display());
    lab.serve_with(&config(ADDRESS), &server_config::url())?;
    let a = lab.install("a")?;
    let (page, up) = ask(lab, &a)?;

    let refused = browse(lab, "away", &[&page])?;
    ensure!(refused.stdout.contains("cannot be reached"), "with the provider away: {}", refused.stdout);
    let redirect = format!("http://{}:{PORT}/oidc/callback", crate::internet::SERVER);
    let ns = &lab.server()?.host.ns;
    let mut command = ns.command(&program);
    command.env("PORT", "9998").env("REDIRECT_URI", &redirect);
    let _provider = ns.spawn("provider", &mut command)?;
    lab.context.eventually("the provider answers", LOGIN, || {
        browse(lab, "none", &["-f", &format!("{PROVIDER}.well-known/openid-configuration")])?.ok().map(drop)
    })?;

    // The way there and back, with a stranger who has the link but not the cookie.
    let back = log_in(lab, "anna", &page)?;
    let strange = browse(lab, "stranger", &[&back])?;
    ensure!(strange.stdout.contains("begun in another browser"), "a stranger's return: {}", strange.stdout);
    let forged = browse(lab, "anna", &[&format!("{redirect}?state=made-up&code=x")])?;
    ensure!(forged.stdout.contains("login is over"), "a made-up state: {}", forged.stdout);
    let asked = browse(lab, "anna", &[&back])?.stdout;
    ensure!(asked.contains("Is this your device?") && asked.contains(">a<"), "the question: {asked}");
    ensure!(a.status()?.backend() == "NeedsLogin", "a is in before anybody confirmed");
    let replayed = browse(lab, "anna", &[&back])?;
    ensure!(replayed.stdout.contains("login is over"), "the same return twice: {}", replayed.stdout);

    let confirm = format!("http://{}:{PORT}{}", crate::internet::SERVER, between(&asked, "action=\"", "\"")?);
    let word = format!("word={}", between(&asked, "name=word value=\"", "\"")?);
    let stolen = browse(lab, "stranger", &["-d", &word, &confirm])?;
    ensure!(stolen.stdout.contains("begun in another browser"), "confirmed from elsewhere: {}", stolen.stdout);
    let welcome = browse(lab, "anna", &["-d", &word, &confirm])?;
    ensure!(welcome.stdout.contains("your device is in"), "{}", welcome.stdout);
    a.wait_state("Running", LOGIN)?;
    up.finished(LOGIN)?;
    let node = lab.server()?.node("a")?;
    ensure!(node["user"]["email"] == ADDRESS && node["user"]["provider"] == "oidc", "{node}");
    ensure!(node["registerMethod"] == "REGISTER_METHOD_OIDC", "{node}");
    ensure!(!node["expiry"].is_null(), "the token's expiry was not taken: {node}");

    // Another device of the same person, after a restart: the same user.
    lab.server()?.stop()?;
    lab.server()?.launch()?;
    let b = lab.install("b")?;
    let (page, up) = ask(lab, &b)?;
    let back = log_in(lab, "anna-again", &page)?;
    let asked = browse(lab, "anna-again", &[&back])?.stdout;
    let confirm = format!("http://{}:{PORT}{}", crate::internet::SERVER, between(&asked, "action=\"", "\"")?);
    let word = format!("word={}", between(&asked, "name=word value=\"", "\"")?);
    browse(lab, "anna-again", &["-d", &word, &confirm])?;
    b.wait_state("Running", LOGIN)?;
    up.finished(LOGIN)?;
    ensure!(lab.server()?.node("b")?["user"] == lab.server()?.node("a")?["user"], "b is somebody else's");

    // Somebody whom the provider knows and the rules do not.
    lab.server()?.stop()?;
    lab.server()?.configure(&config("somebody@else.example"))?;
    lab.server()?.launch()?;
    let c = lab.install("c")?;
    let (page, _up) = ask(lab, &c)?;
    let back = log_in(lab, "not-allowed", &page)?;
    let answer = browse(lab, "not-allowed", &[&back])?;
    ensure!(answer.stdout.contains("may not log in here"), "{}", answer.stdout);
    ensure!(c.status()?.backend() == "NeedsLogin", "c is in");
    Ok(())
}

/// `tailscale up` without a key; the URL it shows.
fn ask(lab: &mut Lab, client: &Client) -> Outcome<(String, crate::daemon::Daemon)> {
    let url = lab.url()?;
    let words = ["up", "--login-server", url.as_str(), "--hostname", client.name.as_str(), "--timeout", "120s"];
    let up = client.tailscale_background(&format!("{}-up", client.name), &words)?;
    let page = lab.context.eventually("a login URL is shown", LOGIN, || {
        let url = client.status()?.auth_url();
        ensure!(!url.is_empty(), "none yet");
        Ok(url)
    })?;
    Ok((page, up))
}

/// From the device's URL through the provider's form; where the provider sends the browser.
fn log_in(lab: &mut Lab, browser: &str, page: &str) -> Outcome<String> {
    // -L follows ours to the provider's form.
    let form = browse(lab, browser, &["-L", page])?.stdout;
    let id = format!("id={}", between(&form, "name=\"id\" value=\"", "\"")?);
    let (user, password) = (format!("username={}", PERSON.0), format!("password={}", PERSON.1));
    let action = format!("{PROVIDER}login/username");
    let sent = browse(
        lab,
        browser,
        &["-o", "/dev/null", "-w", "%{redirect_url}", "-d", &id, "-d", &user, "-d", &password, &action],
    )?;
    let last = browse(lab, browser, &["-o", "/dev/null", "-w", "%{redirect_url}", &sent.stdout])?;
    ensure!(last.stdout.contains("/oidc/callback?"), "the provider sends the browser to {:?}", last.stdout);
    Ok(last.stdout)
}

fn browse(lab: &Lab, browser: &str, words: &[&str]) -> Outcome<Output> {
    let jar = lab.running()?.file(&format!("{browser}.cookies"));
    let mut all = vec!["curl", "-sS", "-m", "10", "-b", jar.as_str(), "-c", jar.as_str()];
    all.extend_from_slice(words);
    lab.running()?.host.ns.run(&all, LOGIN)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Outcome<&'a str> {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).map(|(found, _)| found);
    found.ok_or_else(|| Failure(format!("no {before}…{after} in {text}")))
}

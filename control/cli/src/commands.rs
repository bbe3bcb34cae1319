//! What each command does.

use crate::{
    Failure,
    args::{Args, Output},
    client::encode,
    import, known, oauth, offline,
    output::show,
    policy,
    remote::call,
    restore, serve, setup, webhooks,
};
use hearthgate_config::parse_duration;
use hearthgate_read::json;
use serde_json::Value;

pub(crate) const HELP: &str = "\
hearthgate: control server, relay and STUN for Tailscale clients

  serve       [--state-dir DIR]            run the server; its commands take --state-dir as well
  derp        [--hostname NAME] [--listen-addr ADDR] [--stun-listen-addr ADDR] [--metrics-listen-addr ADDR]
              [--tls-cert FILE --tls-key FILE] [--verify-client-url URL] [--mesh-key-file FILE --mesh-with HOST,HOST]
              [--state-dir DIR]        run a relay and STUN by themselves
  front       [--hostname HOST[:PORT]] [--listen-addr ADDR] [--stun-listen-addr ADDR] [--without-relay] [--state-dir DIR]
              [--box-url http://hearthgate.local:8080]
              pass encrypted connections on to boxes that nothing reaches; prints a line to pair the first with, and a
              code to scan that opens the box's page with it
              line | list | revoke HOST          on the front: a line for another box, its boxes, end one
              pair LINE | unpair | status | test   on the box; test: whether it is reached without the front
  router      up | down                    this machine as a member of a network (`hearthgate router --help`)
  status | ping PEER | netcheck            of that router
  configtest                               check the configuration
  users       create NAME | list | rename -i ID -r NEW | role ROLE -i ID | destroy -i ID
  preauthkeys create -u USER [--reusable] [--ephemeral] [-e 1h] [--tags tag:a,tag:b]
              list | expire -i ID | delete -i ID
  nodes       list [-u USER] | list-routes | approve-routes -i ID -r ROUTES | approve -i ID | rename -i ID NEW
              expire -i ID [-e TIME] [-d] | delete -i ID | tag -i ID -t TAGS | backfillips
              attributes -i ID [--set custom:NAME=VALUE,...] [--unset custom:NAME,...] [-e TIME]   what postures ask
  auth        list | register --auth-id ID -u USER | reject --auth-id ID     logins that wait for somebody
              checks | approve --auth-id ID      SSH connections that wait for a check
  apikeys     create [-e 90d] | list | expire -i ID | delete -i ID
  oauth-clients create -s SCOPE,SCOPE [-t TAGS] [-d TEXT] | list | delete -i ID
  wireguard   add NAME [--no-lan] [--internet] [--tailnet] | list | remove -i ID
              set -i ID [-n NAME] [--access lan,internet,tailnet]
              devices without a client, with a plain WireGuard configuration
  dyndns      set SERVICE NAME -f FILE [-u USER] [--url URL] [--zone ZONE] [--ttl SECONDS] [--families 4|6|46]
              status | update | remove | services
              a name that follows this box's public addresses; the secret is in the file, or typed
  portmap     on | off | status | configured
              the router in front of this box opens its ports to the world (UPnP, PCP, NAT-PMP), or does not
  webhooks    create -u URL -e EVENT,EVENT [-p slack|mattermost|googlechat|discord] [--local] | list | set -i ID -e EVENTS
              rotate -i ID | test -i ID | delete -i ID
  policy      get | set -f FILE | versions | rollback --version-id N
              check -f FILE [--topology FILE] [--json] | eval -f FILE --topology FILE [--node NAME]
              explain --from A --to B[:PORT] | who-can --to B[:PORT] | diff OLD NEW   (of the server, or -f FILE --topology FILE)
              --stdin-jsonl    one request a line, one answer a line
  admin       setup-code | reset-password
  backup FILE | restore FILE|--undo [--engine log|redb|sled] [--replace] [--dry-run]
              --replace takes the place of what is there, which is kept; --undo puts that back
  upgrade FILE | --check | --feed          send a signed upgrade (.hgu) to a box that runs one of our images; ask the
              feed of new versions (upgrade.feed_url); have the box fetch and install what is there
  import headscale --db FILE [--noise-key FILE] [--derp-key FILE] [--dry-run]
  health | version

  -c, --config FILE     configuration (or HEARTHGATE_CONFIG)
              a server elsewhere: cli.address and cli.api_key (or HEARTHGATE_CLI_ADDRESS and HEARTHGATE_CLI_API_KEY)
  -o, --output FORM     json, json-line or yaml instead of a table
";

const NODE_COLUMNS: [(&str, &str); 9] = [
    ("ID", "id"),
    ("Name", "givenName"),
    ("User", "user.name"),
    ("Addresses", "ipAddresses"),
    ("Online", "online"),
    ("Approved", "approved"),
    ("Expiry", "expiry"),
    ("Tags", "tags"),
    ("Hostname", "name"),
];
const ROUTE_COLUMNS: [(&str, &str); 5] = [
    ("ID", "id"),
    ("Name", "givenName"),
    ("Approved", "approvedRoutes"),
    ("Available", "availableRoutes"),
    ("Serving", "subnetRoutes"),
];
const USER_COLUMNS: [(&str, &str); 5] =
    [("ID", "id"), ("Name", "name"), ("Display name", "displayName"), ("Email", "email"), ("Created", "createdAt")];
const KEY_COLUMNS: [(&str, &str); 9] = [
    ("ID", "id"),
    ("Key", "key"),
    ("User", "user.name"),
    ("Reusable", "reusable"),
    ("Ephemeral", "ephemeral"),
    ("Preauthorized", "preauthorized"),
    ("Used", "used"),
    ("Expiration", "expiration"),
    ("Tags", "aclTags"),
];
const API_KEY_COLUMNS: [(&str, &str); 4] =
    [("ID", "id"), ("Prefix", "prefix"), ("Expiration", "expiration"), ("Created", "createdAt")];
const PENDING_COLUMNS: [(&str, &str); 3] = [("Login", "authId"), ("Hostname", "hostname"), ("OS", "os")];
const CHECK_COLUMNS: [(&str, &str); 4] = [("Check", "authId"), ("From", "from"), ("To", "to"), ("Login", "login")];

const ADMIN_COLUMNS: [(&str, &str); 4] =
    [("Page", "url"), ("Setup code", "code"), ("Claimed", "claimed"), ("Tunnel", "tunnel")];

/// Lifetime of an API key whose maker named none: Headscale's.
const API_KEY_LIFETIME: &str = "90d";
/// Lifetime of a pre-auth key whose maker named none: Headscale's.
const PREAUTH_LIFETIME: &str = "1h";

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    if args.has("version") {
        return version(&args);
    }
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    if args.has("help") || words.is_empty() {
        print!("{HELP}");
        return Ok(());
    }
    known::check(&args)?;
    match words.as_slice() {
        ["help", ..] => {
            print!("{HELP}");
            Ok(())
        }
        ["serve"] => serve::serve(&args),
        #[cfg(feature = "relay")]
        ["derp"] => crate::derp::derp(&args),
        #[cfg(not(feature = "relay"))]
        ["derp"] => Err(Failure::Failed("this build has no relay of its own: take the full one, or relay-only".into())),
        #[cfg(feature = "front")]
        ["front", rest @ ..] => crate::front::run(&args, rest),
        #[cfg(not(feature = "front"))]
        ["front", ..] => Err(Failure::Failed("this build has no front: take the full one".into())),
        ["version"] => version(&args),
        ["configtest"] => configtest(&args),
        ["backup", ..] => offline::make_backup(&args),
        ["restore", ..] => restore::run(&args),
        ["upgrade", ..] => crate::upgrade::run(&args),
        ["import", rest @ ..] => import::run(&args, rest),
        ["health"] => simple(&args, "GET", "/health", None, None, &[("Status", "status")]),
        ["users" | "user", rest @ ..] => users(&args, rest),
        ["preauthkeys" | "preauthkey" | "authkey" | "pre", rest @ ..] => preauthkeys(&args, rest),
        ["nodes" | "node", rest @ ..] => nodes(&args, rest),
        ["auth", rest @ ..] => auth(&args, rest),
        ["admin", "setup-code"] => simple(&args, "GET", "/api/v1/admin/setup-code", None, None, &ADMIN_COLUMNS),
        ["admin", "reset-password"] => {
            simple(&args, "POST", "/api/v1/admin/reset-password", None, None, &ADMIN_COLUMNS)
        }
        ["apikeys" | "apikey" | "api", rest @ ..] => apikeys(&args, rest),
        ["oauth-clients" | "oauth-client" | "oauth", rest @ ..] => oauth::run(&args, rest),
        ["wireguard" | "wg", rest @ ..] => crate::wireguard::run(&args, rest),
        ["dyndns", rest @ ..] => crate::dyndns::run(&args, rest),
        ["portmap", rest @ ..] => crate::portmap::run(&args, rest),
        ["webhooks" | "webhook", rest @ ..] => webhooks::run(&args, rest),
        ["policy", rest @ ..] => policy::run(&args, rest),
        _ => Err(Failure::Usage(format!("unknown command {:?}", words.join(" ")))),
    }
}

fn version(args: &Args) -> Result<(), Failure> {
    show(
        &hearthgate_server::version(),
        args.output,
        &[("Version", "version"), ("Newest client", "capabilityVersion"), ("Oldest client", "oldestCapabilityVersion")],
    );
    Ok(())
}

fn configtest(args: &Args) -> Result<(), Failure> {
    let loaded = setup::read(args)?;
    for problem in &loaded.problems {
        eprintln!("{problem}");
    }
    if !loaded.is_usable() {
        return Err(Failure::Failed("the configuration has mistakes".into()));
    }
    setup::options(&loaded.config)?;
    println!("the configuration is fine");
    Ok(())
}

pub(crate) fn ask(args: &Args, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
    let config = setup::usable(args)?;
    call(&config, method, path, body)
}

/// Sends a request and shows the field `field` of the answer, or all of it.
fn simple(
    args: &Args,
    method: &str,
    path: &str,
    body: Option<Value>,
    field: Option<&str>,
    columns: &[(&str, &str)],
) -> Result<(), Failure> {
    let answer = ask(args, method, path, body.as_ref())?;
    let shown = field.and_then(|f| answer.get(f)).unwrap_or(&answer);
    if columns.is_empty() && args.output == Output::Table {
        println!("done");
    } else {
        show(shown, args.output, columns);
    }
    Ok(())
}

fn users(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["create" | "c" | "new", name] => {
            let body = json!({
                "name": name,
                "displayName": args.value("display-name").unwrap_or_default(),
                "email": args.value("email").unwrap_or_default(),
                "pictureUrl": args.value("picture-url").unwrap_or_default(),
            });
            simple(args, "POST", "/api/v1/user", Some(body), Some("user"), &USER_COLUMNS)
        }
        ["list" | "ls" | "show"] => {
            let query = [("id", "identifier"), ("name", "name"), ("email", "email")]
                .iter()
                .filter_map(|(k, flag)| Some(format!("{k}={}", encode(args.value(flag)?))))
                .collect::<Vec<_>>();
            simple(args, "GET", &format!("/api/v1/user?{}", query.join("&")), None, Some("users"), &USER_COLUMNS)
        }
        ["rename" | "mv"] => {
            let path =
                format!("/api/v1/user/{}/rename/{}", user_id(args)?, encode(args.need("new-name", "the new name")?));
            simple(args, "POST", &path, None, Some("user"), &USER_COLUMNS)
        }
        ["role", role] => {
            let path = format!("/api/v1/user/{}/role", user_id(args)?);
            simple(args, "POST", &path, Some(json!({ "role": role })), Some("user"), &USER_COLUMNS)
        }
        ["destroy" | "delete"] => simple(args, "DELETE", &format!("/api/v1/user/{}", user_id(args)?), None, None, &[]),
        _ => Err(Failure::Usage("users: create NAME, list, rename, role ROLE or destroy".into())),
    }
}

/// The user that `-i` or `-n` names.
fn user_id(args: &Args) -> Result<String, Failure> {
    if let Some(id) = args.value("identifier") {
        return Ok(encode(id));
    }
    let name = args.need("name", "the user (or --identifier)")?;
    let answer = ask(args, "GET", &format!("/api/v1/user?name={}", encode(name)), None)?;
    let id = answer["users"][0]["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| Failure::Failed(format!("there is no user named {name:?}")))
}

/// A point in time that lies `text` (a duration) from now, or is `text` itself.
pub(crate) fn time_from_now(text: &str) -> Result<String, Failure> {
    if let Some(span) = parse_duration(text) {
        let span = jiff::SignedDuration::try_from(span)?;
        return Ok(jiff::Timestamp::now().checked_add(span)?.to_string());
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Failure::Usage(format!("{text:?} is neither a duration like 24h nor a time like 2030-01-31T12:00:00Z"))
    })?;
    Ok(time.to_string())
}

fn preauthkeys(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["create" | "c" | "new"] => {
            let body = json!({
                "user": args.value("user").unwrap_or_default(),
                "reusable": args.has("reusable"),
                "ephemeral": args.has("ephemeral"),
                "preauthorized": args.has("preauthorized"),
                "expiration": time_from_now(args.value("expiration").unwrap_or(PREAUTH_LIFETIME))?,
                "aclTags": args.list("tags"),
            });
            let answer = ask(args, "POST", "/api/v1/preauthkey", Some(&body))?;
            if args.output == Output::Table {
                println!("{}", answer["preAuthKey"]["key"].as_str().unwrap_or_default());
            } else {
                show(&answer["preAuthKey"], args.output, &[]);
            }
            Ok(())
        }
        ["list" | "ls" | "show"] => simple(args, "GET", "/api/v1/preauthkey", None, Some("preAuthKeys"), &KEY_COLUMNS),
        ["expire" | "revoke" | "exp" | "e"] => simple(
            args,
            "POST",
            "/api/v1/preauthkey/expire",
            Some(json!({ "id": args.need("id", "the key")? })),
            None,
            &[],
        ),
        ["delete" | "del" | "rm" | "d"] => simple(
            args,
            "DELETE",
            &format!("/api/v1/preauthkey?id={}", encode(args.need("id", "the key")?)),
            None,
            None,
            &[],
        ),
        _ => Err(Failure::Usage("preauthkeys: create, list, expire or delete".into())),
    }
}

fn nodes(args: &Args, words: &[&str]) -> Result<(), Failure> {
    let id = || args.need("identifier", "the node").map(encode);
    let one = |method: &str, path: String, body: Option<Value>| {
        simple(args, method, &path, body, Some("node"), &NODE_COLUMNS)
    };
    match words {
        ["list" | "ls" | "show"] => {
            let query = args.value("user").map(|u| format!("?user={}", encode(u))).unwrap_or_default();
            simple(args, "GET", &format!("/api/v1/node{query}"), None, Some("nodes"), &NODE_COLUMNS)
        }
        ["list-routes" | "lsr" | "routes"] => match args.value("identifier") {
            Some(id) => {
                simple(args, "GET", &format!("/api/v1/node/{}", encode(id)), None, Some("node"), &ROUTE_COLUMNS)
            }
            None => simple(args, "GET", "/api/v1/node", None, Some("nodes"), &ROUTE_COLUMNS),
        },
        ["approve-routes"] => {
            let path = format!("/api/v1/node/{}/approve_routes", id()?);
            simple(args, "POST", &path, Some(json!({ "routes": args.list("routes") })), Some("node"), &ROUTE_COLUMNS)
        }
        ["expire" | "logout" | "exp" | "e"] => {
            let expiry = args.value("expiry").map(time_from_now).transpose()?;
            one(
                "POST",
                format!("/api/v1/node/{}/expire", id()?),
                Some(json!({ "expiry": expiry, "disableExpiry": args.has("disable") })),
            )
        }
        ["approve"] => one("POST", format!("/api/v1/node/{}/approve", id()?), None),
        ["attributes" | "attrs"] => crate::attributes::run(args, &format!("/api/v1/node/{}/attributes", id()?)),
        ["rename", name] => one("POST", format!("/api/v1/node/{}/rename/{}", id()?, encode(name)), None),
        ["delete" | "del"] => simple(args, "DELETE", &format!("/api/v1/node/{}", id()?), None, None, &[]),
        ["tag" | "tags" | "t"] => {
            one("POST", format!("/api/v1/node/{}/tags", id()?), Some(json!({ "tags": args.list("tags") })))
        }
        ["backfillips"] => simple(args, "POST", "/api/v1/node/backfillips?confirmed=true", None, Some("changes"), &[]),
        ["register"] => register(args, "key"),
        _ => Err(Failure::Usage(
            "nodes: list, list-routes, approve-routes, approve, expire, rename NEW, delete, tag, attributes or backfillips".into(),
        )),
    }
}

fn auth(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["list" | "ls"] => simple(args, "GET", "/api/v1/auth", None, Some("pending"), &PENDING_COLUMNS),
        ["checks"] => simple(args, "GET", "/api/v1/auth", None, Some("checks"), &CHECK_COLUMNS),
        ["register"] => register(args, "auth-id"),
        ["reject"] => simple(
            args,
            "POST",
            "/api/v1/auth/reject",
            Some(json!({ "authId": args.need("auth-id", "the login")? })),
            None,
            &[],
        ),
        ["approve"] => simple(
            args,
            "POST",
            "/api/v1/auth/approve",
            Some(json!({ "authId": args.need("auth-id", "the check")? })),
            None,
            &[],
        ),
        _ => Err(Failure::Usage("auth: list, checks, register, approve or reject".into())),
    }
}

fn register(args: &Args, flag: &str) -> Result<(), Failure> {
    let body = json!({ "user": args.need("user", "the owner")?, "authId": args.need(flag, "the login")? });
    simple(args, "POST", "/api/v1/auth/register", Some(body), Some("node"), &NODE_COLUMNS)
}

fn apikeys(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["create" | "c" | "new"] => {
            let body = json!({ "expiration": time_from_now(args.value("expiration").unwrap_or(API_KEY_LIFETIME))? });
            let answer = ask(args, "POST", "/api/v1/apikey", Some(&body))?;
            match args.output {
                Output::Table => println!("{}", answer["apiKey"].as_str().unwrap_or_default()),
                how => show(&answer["apiKey"], how, &[]),
            }
            Ok(())
        }
        ["list" | "ls" | "show"] => simple(args, "GET", "/api/v1/apikey", None, Some("apiKeys"), &API_KEY_COLUMNS),
        ["expire" | "revoke" | "exp"] => {
            let body = json!({ "id": args.value("id"), "prefix": args.value("prefix").unwrap_or_default() });
            simple(args, "POST", "/api/v1/apikey/expire", Some(body), None, &[])
        }
        ["delete" | "remove" | "del"] => {
            let path = match (args.value("id"), args.value("prefix")) {
                (Some(id), _) => format!("/api/v1/apikey/-?id={}", encode(id)),
                (None, Some(prefix)) => format!("/api/v1/apikey/{}", encode(prefix)),
                (None, None) => return Err(Failure::Usage("the key is needed: --id or --prefix".into())),
            };
            simple(args, "DELETE", &path, None, None, &[])
        }
        _ => Err(Failure::Usage("apikeys: create, list, expire or delete".into())),
    }
}

//! Every English sentence of the pages in one place, so that translations can come.

#![allow(missing_docs)] // Each constant is its own explanation.

/// Name of the program on every page.
pub const PRODUCT: &str = "hearthgate";

/// How many of something: "1 device", "2 devices".
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// Navigation: path under `/admin/` and its label.
pub const NAV: [(&str, &str); 11] = [
    ("devices", "Devices"),
    ("map", "Map"),
    ("routes", "Routes"),
    ("users", "Users"),
    ("keys", "Keys"),
    ("policy", "Policy"),
    ("dns", "DNS"),
    ("relays", "Relays"),
    ("health", "Health"),
    ("events", "Events"),
    ("system", "System"),
];

/// Claim page.
pub const CLAIM_TITLE: &str = "Welcome";
pub const CLAIM_LEAD: &str = "This box is new and belongs to nobody yet. Make it yours: it takes two minutes.";
pub const CLAIM_CODE: &str = "Setup code";
pub const CLAIM_CODE_HINT: &str =
    "It stands in the log and on the console of the box, and this command shows it: `hearthgate admin setup-code`";
pub const CLAIM_NAME: &str = "Your name";
pub const CLAIM_NAME_HINT: &str =
    "Small letters and digits. It is what you log in with, and your devices will belong to it.";
pub const CLAIM_PASSWORD: &str = "New password";
pub const CLAIM_PASSWORD_HINT: &str =
    "Ten characters or more. If you lose it, `hearthgate admin reset-password` on the box lets you start over.";
pub const CLAIM_BUTTON: &str = "Make it mine";
pub const CLAIM_WRONG: &str =
    "That is not the setup code. Look in the log of the box, or run `hearthgate admin setup-code` there.";
pub const CLAIM_DONE: &str = "This box has an owner already.";

/// Login page.
pub const LOGIN_TITLE: &str = "Log in";
pub const LOGIN_NAME: &str = "Name";
pub const LOGIN_PASSWORD: &str = "Password";
pub const LOGIN_BUTTON: &str = "Log in";
pub const LOGIN_WRONG: &str = "Name and password do not belong together.";
pub const LOGIN_LOST: &str = "Lost the password? On the box, run: `hearthgate admin reset-password`";
pub const TOO_MANY: &str = "Too many tries. Wait a moment, then try again.";
pub const LOGOUT: &str = "Log out";

/// One's own account.
pub const ACCOUNT_TITLE: &str = "Your account";
pub const ACCOUNT_LINK: &str = "password and passkeys";
pub const ACCOUNT_WHO: &str = "You are logged in as";
pub const PASSWORD_CHANGE: &str = "Change the password";
pub const PASSWORD_OLD: &str = "Present password";
pub const PASSWORD_CHANGE_HINT: &str = "Ten characters or more. Afterwards you log in again, on all your browsers.";
pub const PASSWORD_BUTTON: &str = "Change";
pub const PASSKEYS: &str = "Passkeys";
pub const PASSKEYS_HINT: &str = "Log in with the fingerprint, face or PIN of your phone or computer, or with a security key, instead of the password. The password goes on working.";
pub const PASSKEYS_PLAIN: &str = "There are no passkeys here: browsers want an encrypted page (https://) for them, and this one is plain http. They come with a certificate for this box, see `server_url` and `tls_letsencrypt_hostname` in the configuration.";
pub const PASSKEYS_ADDRESS: &str = "There are no passkeys here: they belong to a name, and this page was opened by an IP address. Open it by a name of this box with https:// (`admin.hosts` in the configuration lists its names).";
pub const PASSKEYS_SCRIPT: &str = "To add a passkey, switch on script for this page.";
pub const PASSKEYS_FULL: &str = "You have as many passkeys as there can be. Remove one to add another.";
pub const PASSKEY_NAME: &str = "A name for it";
pub const PASSKEY_NAME_HINT: &str = "So that you know it again, for instance: my phone. It will work on";
pub const PASSKEY_ADD: &str = "Add a passkey";
pub const PASSKEY_FOR: &str = "for";
pub const PASSKEY_USED: &str = "last used:";
pub const PASSKEY_MADE: &str = "Added";
pub const PASSKEY_SYNCED: &str = "Its maker may copy it to your other devices";
pub const PASSKEY_REMOVE: &str = "Remove";
pub const PASSKEY_REMOVE_HINT: &str =
    "It no longer logs you in here. Delete it on the phone or computer, too, so that it is not offered any more.";
pub const PASSKEY_REMOVE_SURE: &str = "Yes, remove this passkey";
pub const PASSKEY_CANCELLED: &str = "It was cancelled, or took too long. Try again.";
pub const PASSKEY_FAILED: &str = "That did not work. Load the page again, then repeat it.";
pub const PASSKEY_KNOWN: &str = "This device has a passkey for you already.";
pub const PASSKEY_LOGIN: &str = "Log in with a passkey";
pub const PASSKEY_LOGIN_HINT: &str = "If you have added one to your account.";
pub const PASSKEY_WRONG: &str = "This passkey does not log anybody in here. Use your password.";
pub const PASSKEY_NOT_ADDED: &str = "The passkey was not added:";
pub const PASSWORD_OLD_WRONG: &str = "That is not your present password.";

/// What a role is called in a sentence.
#[must_use]
pub fn role(role: crate::Role) -> &'static str {
    match role {
        crate::Role::Owner => "an owner of this box",
        crate::Role::Admin => "an administrator",
        crate::Role::Auditor => "an auditor, who sees everything and changes nothing",
        crate::Role::Member => "a member, who looks after their own devices",
    }
}

/// Setup.
pub const SETUP_TITLE: &str = "Set up your network";
pub const SETUP_NETWORK: &str = "1. Name your network";
pub const SETUP_NETWORK_HINT: &str = "Devices find each other by name, for instance laptop.smith.internal. One word; you can change it later, and devices then get new names.";
pub const SETUP_NETWORK_LABEL: &str = "Name of the network";
pub const SETUP_SAVE: &str = "Save and go on";
pub const SETUP_SHARE: &str = "2. What this box shares";
pub const SETUP_SHARE_HINT: &str = "Devices away from home reach printers, disks and cameras at home through this box, and, if you like, the Internet as if they were here.";
pub const SETUP_SHARE_OFF: &str = "This box is no member of its own network yet. Switch `router.enabled` on in its configuration (on OpenWrt: \"Member of the network\" in LuCI), and start it again.";
pub const SETUP_SHARE_NETWORKS: &str = "Networks at home";
pub const SETUP_SHARE_MORE: &str = "Further networks behind it";
pub const SETUP_SHARE_EXIT: &str = "the Internet (exit node): devices choose it in their app";
pub const SETUP_SHARE_CONFIGURED: &str = "Share what the configuration says";
pub const SETUP_SHARE_NOTHING: &str = "nothing";
pub const SETUP_REACH: &str = "3. How the world reaches this box";
pub const SETUP_REACH_HINT: &str =
    "This is what the box sees right now. Nothing has to be done to use the network at home.";
pub const PORTS_TITLE: &str = "Shall the world reach this box? Let your router open the way";
pub const PORTS_HINT: &str = "The box asks the router in front of it (UPnP, PCP or NAT-PMP) to lead the ports of the control server, of the relay and of STUN here, so that devices log in and learn of changes from everywhere. These pages stay on the LAN. The ports are given back when this is switched off, or the box stops.";
pub const PORTS_ON: &str = "Ask the router to open the way";
pub const PORTS_OFF: &str = "Let the router close the way again";
pub const PORTS_OFF_HINT: &str = "The ports are given back. Devices away from home cannot log in then, or learn of changes, unless there is another way in.";
pub const PORTS_CONFIGURED: &str = "Do as the configuration says";
pub const DYNDNS_TITLE: &str = "Does its address change? A name that follows it";
pub const DYNDNS_OTHER: &str = "Set another name";
pub const DYNDNS_HINT: &str = "Providers at home change addresses. A dynamic DNS service keeps a name that always leads here: make an account and a name there, then choose the service and tell this box. The secret is kept on this box only and not shown again.";
pub const DYNDNS_NAME: &str = "The whole name";
pub const DYNDNS_ZONE: &str = "Its zone (empty: the name without its first word)";
pub const DYNDNS_URL_HINT: &str = "Places that are filled in: `{name}` `{user}` `{secret}` `{ip4}` `{ip6}` `{ips}` `{ttl}`. What has no address is left out of the query. User name and password are sent as login, if given.";
pub const DYNDNS_KEPT: &str = "as it is";
pub const DYNDNS_FAMILIES: &str = "It leads to the address of";
pub const DYNDNS_BOTH: &str = "IPv4 and IPv6";
pub const DYNDNS_TTL: &str = "Seconds in caches";
pub const DYNDNS_SAVE: &str = "Save and try";
pub const DYNDNS_UPDATE: &str = "Update the name now";
pub const DYNDNS_REMOVE: &str = "Give the name up";
pub const DYNDNS_REMOVE_HINT: &str = "It goes on leading to the last address until the service forgets it.";
pub const DYNDNS_CONFIGURED: &str = "It stands in the configuration (`[dyndns]`), and is changed there.";
pub const FRONT_TITLE: &str = "Nothing reaches this box?";
pub const FRONT_OTHER: &str = "Pair with another front";
pub const FRONT_HINT: &str = "A front is `hearthgate front` on any cheap machine with a public address. It passes encrypted connections on to this box and cannot read them. Paste the line that it printed, which begins with hgfront-, or scan the code beneath that line.";
pub const FRONT_NEEDS_HTTPS: &str = "First set `server_url` in the configuration to https:// and a name that leads to the front, and get a certificate for it: `tls_letsencrypt_hostname` with that name, `tls_letsencrypt_challenge_type = \"TLS-ALPN-01\"`. Then restart the box.";
pub const FRONT_TEST: &str = "Test from outside";
pub const FRONT_TEST_HINT: &str =
    "The front can try whether this box is reached without it. This takes up to half a minute.";
pub const FRONT_LABEL: &str = "Line of the front";
pub const FRONT_PAIR: &str = "Pair";
pub const FRONT_LEAVE: &str = "Leave the front";
pub const FRONT_LEAVE_HINT: &str = "Devices away from home no longer get through.";
pub const FRONT_CONFIGURED: &str = "It stands in the configuration (`front.pairing`), and is changed there.";
pub const SETUP_DEVICE: &str = "4. Bring in your first device";
pub const SETUP_DEVICE_HINT: &str = "A phone, a laptop, a television: anything that runs the official Tailscale app.";
pub const SETUP_DEVICE_BUTTON: &str = "Add a device";
pub const SETUP_LATER: &str = "Every step can be left and done later: this page stays under System.";

/// Devices.
pub const DEVICES_NONE: &str = "No devices yet.";
pub const DEVICES_WAITING: &str = "Waiting to be let in";
pub const DEVICE_ADD: &str = "Add a device";
pub const DEVICE_APPROVE: &str = "Let it in";
pub const DEVICE_REJECT: &str = "Turn it away";
pub const ONLINE: &str = "online";
pub const OFFLINE: &str = "offline";
pub const EXPIRED: &str = "expired";
pub const UNAPPROVED: &str = "waiting for approval";
pub const APPROVE: &str = "Approve";
pub const APPROVE_HINT: &str =
    "This device has logged in and waits: it sees no other device, and none sees it, until somebody approves it.";
pub const APPROVAL: &str = "Approval of new devices";
pub const APPROVAL_ON: &str = "New devices wait until somebody approves them here. Keys can say that their devices need not; what an administrator lets in by hand need not either.";
pub const APPROVAL_OFF: &str = "New devices are in as soon as somebody has logged in on them.";
pub const APPROVAL_SWITCH_ON: &str = "Let new devices wait for approval";
pub const APPROVAL_SWITCH_OFF: &str = "Let new devices in without approval";
pub const KEY_PREAUTHORIZED: &str = "its devices need not wait for approval";
pub const NEVER: &str = "never";
pub const CHECKS_WAITING: &str = "SSH logins that wait";
pub const CHECKS_HINT: &str = "A rule of the policy wants somebody to look first. Approve only what you know of.";
pub const CHECK_APPROVE: &str = "Approve";
pub const CHECK_REJECT: &str = "Refuse";
pub const ADDRESSES: &str = "Addresses";
pub const ADDRESSES_HINT: &str = "with an address too few, or with one of a kind that is no longer used.";
pub const ADDRESSES_GIVE: &str = "Put them right";
pub const KEY_DAYS: &str = "Its key ends after so many days";
pub const POSTURE: &str = "For postures";
pub const POSTURE_HINT: &str =
    "Rules of the policy may ask for these. Values whose name begins with custom: are given here or by tools.";
pub const POSTURE_SHOW: &str = "What is known of it";
pub const POSTURE_DAYS: &str = "Goes away after so many days (empty: never)";
pub const POSTURE_REMOVE: &str = "Remove";
pub const USER_ROLE: &str = "Role in the policy (autogroup:…)";
pub const RENAME_HINT: &str = "Letters, digits and '-'. It then no longer follows the name the device gives itself.";
pub const EXPIRE_NOW_HINT: &str = "The device is cut off until somebody logs in on it again.";
pub const REMOVE_HINT: &str = "The device leaves the network and has to be added anew.";
pub const REMOVE_SURE: &str = "Yes, remove this device";
pub const TAGS_HINT: &str = "With commas, for instance tag:server. A tagged device belongs to its tags instead of a person, and its key does not expire. The last tag can only be taken off by logging in on the device.";
pub const ROUTES_HINT: &str = "Networks that this device offers to the others. Only those you tick are used.";
pub const ROUTES_NONE: &str = "This device offers no networks. To share the network it is in, run on it: `tailscale set --advertise-routes=192.168.1.0/24`";
pub const EXIT_NODE: &str = "all internet traffic (exit node)";

/// The network as a picture.
pub const MAP: &str = "Map";
pub const MAP_HINT: &str =
    "Squares are relays, discs are devices: full ones are online. A line leads from a device to its home relay.";
pub const MAP_HINT_PATHS: &str = "Thick lines are direct paths of this box.";
pub const MAP_WORDS: &str = "devices online, around their relays; the list below says the same";
pub const MAP_LARGE: &str = "There are too many devices for a picture.";
pub const MAP_NO_RELAY: &str = "no relay";

/// Paths of the box's own router, traffic.
pub const PATHS: &str = "How this box reaches it";
pub const PATHS_HINT: &str = "As the router in this box sees it, since it started.";
pub const PATHS_HEAD: [&str; 6] = ["Device", "Path", "Address", "Round trip", "Received", "Sent"];
pub const PATH_OWN: &str = "this box";
pub const PATH_IDLE: &str = "idle";
pub const PATH_DIRECT: &str = "direct";
pub const PATH_PEER_RELAY: &str = "through another device";
pub const PATH_RELAY: &str = "through the relay";
pub const TRAFFIC: &str = "Traffic";
pub const TRAFFIC_SOON: &str = "The first figures come within half a minute.";
pub const TRAFFIC_HINT: &str = "Kept in memory only. The last";
pub const TRAFFIC_IN: &str = "To this box";
pub const TRAFFIC_OUT: &str = "From this box";
pub const TRAFFIC_RELAYED: &str = "Through the relay";
pub const TRAFFIC_ONLINE: &str = "Devices online";

/// Joining.
pub const JOIN_TITLE: &str = "Add a device";
pub const JOIN_OWNER: &str = "Who does it belong to?";
pub const JOIN_BUTTON: &str = "Make a key for it";
pub const JOIN_HINT: &str = "Makes a key that lets one device in and stops working after an hour.";
pub const JOIN_FULL: &str = "There are many keys of yours that no device has used yet. They stop working after an hour: use one of them, or come back then.";
pub const JOIN_WAITING: &str = "Waiting for the device… this page shows it as soon as it is there.";
pub const JOIN_OVER: &str = "This key is not shown any more. Make a new one.";
pub const JOIN_SCAN: &str = "Scan this with the phone: it opens a page with the address to copy and the steps.";
pub const JOIN_SCAN_KEY: &str = "Then scan this to copy the key.";
pub const JOIN_NO_KEY: &str =
    "Without a key it works too: log in on the device as usual, and let it in here when it shows up under Devices.";

/// Others.
pub const NO_SCRIPT_NEEDED: &str = "These pages work without script; they refresh themselves with it.";
pub const FORBIDDEN: &str = "Your role does not allow this.";
pub const CSRF: &str =
    "This form is too old or was not made by this page. Go back, load the page again, and repeat it.";
pub const NOT_FOUND: &str = "There is no such page.";
pub const POLICY_NONE: &str = "There is no policy: every device may reach every other one.";
pub const POLICY_TABS: [(&str, &str); 3] =
    [("policy", "Edit"), ("policy/reach", "Who can reach what"), ("policy/history", "Versions")];
pub const POLICY_FILE: &str = "The policy is read from a file of the box (`policy.path`): change it there.";
pub const POLICY_REFUSED: &str = "This would not be taken.";
pub const POLICY_FINE: &str = "This would be taken.";
pub const POLICY_DIFF_NONE: &str = "It changes nothing in who reaches whom now.";
pub const POLICY_DIFF_LARGE: &str = "The network is too large to work out here what would change.";
pub const POLICY_MATRIX_LARGE: &str = "There are too many devices for a table. Ask above for the ones you care about.";
pub const POLICY_TO_HINT: &str = "A device, a user, a tag or an address, with a port if you like: laptop:22";
pub const POLICY_STALE: &str =
    "Somebody else changed the policy meanwhile. Look at what is in force now, then make your change again.";
pub const ROUTES_LEAD: &str =
    "Networks that devices offer to the others, and devices that carry internet traffic (exit nodes).";
pub const ROUTES_NOBODY: &str = "No device offers a network. To share the one a device is in, run on it: `tailscale set --advertise-routes=192.168.1.0/24`";
pub const ROUTES_EXIT_HINT: &str =
    "To offer a device as an exit node, run on it: `tailscale set --advertise-exit-node`";
pub const EVENTS_TITLE: &str = "What happened";
pub const PLAIN_TITLE: &str = "Devices without a client";
pub const PLAIN_HINT: &str = "Printers, televisions and old phones that know WireGuard but not Tailscale. They are no members of the network: they connect to this box, and reach what you tick.";
pub const PLAIN_OFF: &str =
    "This is off. Switch router.wireguard.enabled on in the configuration file, and router.enabled, and start again.";
pub const PLAIN_SHOWN_ONCE: &str =
    "Scan this, or copy it, now: it has the device's private key, which is kept nowhere.";
pub const PLAIN_QR: &str = "Code with the whole configuration, for the WireGuard app";
pub const PLAIN_REMOVE_HINT: &str = "Its configuration stops working at once.";
pub const PLAIN_CHANGE_HINT: &str = "It takes effect at once. The device itself sends only what AllowedIPs in its own configuration says: to reach more than before, add the networks there, or add it anew.";
pub const PLAIN_LAN: &str = "the local network behind this box";
pub const PLAIN_INTERNET: &str = "the Internet, through this box";
pub const PLAIN_TAILNET: &str = "the network's devices";
pub const OAUTH: &str = "OAuth clients";
pub const OAUTH_HINT: &str = "For tools that speak Tailscale's API, Terraform for instance: a client gets tokens of an hour that may do what its scopes say and no more. Its secret is shown once.";
pub const OAUTH_REMOVE_HINT: &str = "Its tokens stop working at once.";
pub const OAUTH_SCOPES_HINT: &str = "A scope that ends in :read only looks; the others change too.";
pub const OAUTH_TAGS_HINT: &str =
    "With commas. Needed for devices:core and auth_keys: what the client makes belongs to them.";
pub const WEBHOOKS: &str = "Webhooks";
pub const WEBHOOKS_HINT: &str = "Other servers hear of events: each gets a POST in Tailscale's form, signed with its secret, tried four times within a quarter of an hour.";
pub const WEBHOOK_SECRET: &str = "The secret that its requests are signed with. Copy it now: it is not shown again.";
pub const WEBHOOK_QUIET: &str = "Nothing was sent since the start.";
pub const WEBHOOK_LOST: &str = "Requests that it never got since the start:";
pub const WEBHOOK_FAILING: &str =
    "Look whether it is there and takes requests, then send a test on the page of events.";
pub const WEBHOOKS_MISSED: &str =
    "More happened at once than webhooks can be told of. Not told since the start, at most:";
pub const WEBHOOKS_MISSED_HINT: &str = "The log of changes below Events has them all.";
pub const WEBHOOK_TEST: &str = "Send a test";
pub const WEBHOOK_FORM: &str = "In which form";
/// What a provider is called in the API, and by people.
pub const WEBHOOK_FORMS: [(&str, &str); 5] = [
    ("", "a list of events, signed"),
    ("slack", "a message for Slack"),
    ("mattermost", "a message for Mattermost"),
    ("googlechat", "a message for Google Chat"),
    ("discord", "a message for Discord"),
];
pub const WEBHOOK_CHANGE: &str = "Events and secret";
pub const WEBHOOK_ROTATE: &str = "Make another secret";
pub const WEBHOOK_LOCAL: &str = "it may be on this box or the local network, without https";
pub const WEBHOOK_EVENTS: [(&str, &str); 6] = [
    ("nodeCreated", "a device is new"),
    ("nodeNeedsApproval", "a device waits for approval"),
    ("nodeApproved", "a device was approved"),
    ("nodeKeyExpired", "the key of a device expired"),
    ("nodeDeleted", "a device was removed"),
    ("policyUpdate", "the policy changed"),
];
pub const EVENTS_NONE: &str = "Nothing has happened yet.";
pub const EVENTS_HINT: &str =
    "Who changed what. The last 500 entries are kept; failed logins are forgotten at a restart.";
pub const KEYS_HINT: &str = "Keys that let devices in. A key is shown once, when it is made.";
pub const API_KEYS_HINT: &str =
    "Keys for tools that use the API. A key is shown once, when it is made, and may do everything.";
pub const KEY_SHOWN_ONCE: &str = "This is shown once. Copy it now.";
pub const DNS_HINT: &str = "What is saved here goes before the configuration file of the box.";
pub const DNS_RESOLVERS_HINT: &str =
    "One a line: an IP address, or an https:// URL of DNS over HTTPS. Empty: each device keeps its own.";
pub const DNS_SPLIT_HINT: &str = "One suffix a line, then its resolvers: `lan 192.168.1.1`";
pub const DNS_RECORDS_HINT: &str = "One name a line, then its address: `printer.lan 192.168.1.9`";
pub const DNS_LINE: &str = "This line is not understood";
pub const RELAYS_HINT: &str =
    "Devices that cannot reach each other directly meet at a relay. It sees encrypted packets only.";
pub const RELAYS_NONE: &str = "There are no relays: devices that cannot reach each other directly do not meet.";
pub const RELAY_BUILT_IN: &str = "in this box";
pub const RELAY_LOAD: &str = "What the relay in this box carries";
pub const RELAY_CLIENTS: &str = "Clients";
pub const RELAY_PACKETS: &str = "Packets";
pub const RELAY_BYTES: &str = "Traffic";
pub const RELAY_ELSEWHERE: &str = "What it carries, only its own machine knows.";
pub const RELAY_AWAY: &str = "Round trip to relays";
pub const RELAY_FAR: &str = "From this box:";
pub const RELAY_HOME_OF: &str = "Home relay of";
pub const RELAY_SEEN: &str = "Round trip from the devices:";
pub const RELAY_UNSEEN: &str = "No device has measured how far it is yet.";
pub const RELAY_EACH: &str = "How far it is from each device";
pub const RELAY_MORE: &str = "The nearest are left out.";
pub const BACKUP_HINT: &str = "Everything in one file: devices, users, keys, and the private keys of this box. Keep it where nobody else gets at it. It is put back here, or with: `hearthgate restore FILE`";
pub const BACKUP_BUTTON: &str = "Download a backup";
pub const RESTORE: &str = "Restore a backup";
pub const RESTORE_HINT: &str = "The file is checked, and you see what it holds before anything is replaced.";
pub const RESTORE_FILE: &str = "Backup file";
pub const RESTORE_SEND: &str = "Show what it holds";
pub const RESTORE_BACK: &str = "Put back the state before the last restore";
pub const RESTORE_KEPT: &str = "This box has kept what a backup was put in place of,";
pub const RESTORE_HOLDS: &str = "What this backup holds";
pub const RESTORE_TABLE: &str = "The backup beside this box";
pub const RESTORE_THEN: &str = "In the backup";
pub const RESTORE_NOW: &str = "On this box";
pub const RESTORE_AGE_UNKNOWN: &str = "it does not say";
pub const RESTORE_VERSION: &str = "Version";
pub const RESTORE_OWNERS: &str = "Afterwards you log in with a name and password of the backup. Its owners:";
pub const RESTORE_UNCLAIMED: &str =
    "Nobody owns the pages in it: afterwards they are claimed anew, with a setup code from the console of the box.";
pub const RESTORE_NO_KEYS: &str = "It has no keys of the box: every device has to log in anew.";
pub const RESTORE_SURE: &str = "Put it in place?";
pub const RESTORE_WHAT: &str = "Devices, users, keys and settings become those of the backup. What is there now is kept on this box as a backup and can be put back. The box starts anew, which takes some seconds; devices that joined after the backup was made have to log in again.";
pub const RESTORE_CONFIRM: &str = "Yes, replace everything";
pub const RESTORE_FORGET: &str = "No, leave everything as it is";
pub const RESTORE_RUNNING: &str = "The backup is put in place, and the box starts anew. In some seconds go on, and log in with a name and password of the backup.";
pub const ACCOUNTS_HINT: &str =
    "Who may open these pages. Auditors see everything and change nothing; members see and change their own devices.";

/// A point in time to the minute, in UTC: `2026-01-02 03:04 UTC`. Cut out of RFC 3339: a formatter
/// by pattern is 15 KB.
#[must_use]
pub fn minute(time: jiff::Timestamp) -> String {
    let text = time.to_string();
    let (day, rest) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {} UTC", rest.get(..5).unwrap_or(rest))
}

/// The day of a point in time, in UTC: `2026-01-02`.
#[must_use]
pub fn day(time: jiff::Timestamp) -> String {
    let text = time.to_string();
    text.split_once('T').map_or(text.as_str(), |(day, _)| day).to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_cut_not_rounded() {
        let time = "2026-01-02T03:04:59.999999999Z".parse().unwrap();
        assert_eq!(super::minute(time), "2026-01-02 03:04 UTC");
        assert_eq!(super::day(time), "2026-01-02");
    }
}

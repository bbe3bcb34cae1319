//! What pages show, to whom; and that nobody's words become markup.

use hearthgate_core::{AllowAll, NewUser, NodeRecord, Now, PlainAccess, PlainSettings, Settings, Stored, User, World};
use hearthgate_tailcfg::{DerpMap, Hostinfo};
use hearthgate_web::{
    Account, Role, account, asset, dyndns, front,
    page::{
        self, Viewer,
        policy::Checked,
        setup::WaysIn,
        share::Share,
        tools::{Hook, Oauth, OauthClient},
    },
    passkey, portmap, reach,
    traffic::{History, Sample},
};
use std::sync::Arc;

const EVIL: &str = "<img src=x onerror=alert(1)>\"'&";
const NOW: Now = Now { wall: jiff::Timestamp::UNIX_EPOCH, mono_ms: 0 };

/// A world with a node whose every free text is hostile.
fn world() -> (World, User) {
    let mut made = World::load(Stored::default(), Settings::default(), Arc::new(AllowAll), DerpMap::default(), NOW);
    let user = made
        .create_user(NewUser { name: "anna".into(), display_name: EVIL.into(), ..NewUser::default() }, NOW)
        .expect("a user");
    let key = |n: u8| format!("{:02x}", n).repeat(32);
    let record: NodeRecord = serde_json::from_value(serde_json::json!({
        "id": 7, "machine_key": format!("mkey:{}", key(1)), "node_key": format!("nodekey:{}", key(2)), "user": user.id,
        "given_name": "laptop", "approved_routes": ["10.9.0.0/16"], "created": "2026-01-01T00:00:00Z",
        "hostinfo": Hostinfo { hostname: EVIL.into(), os: EVIL.into(), os_version: EVIL.into(), device_model: EVIL.into(), ipn_version: EVIL.into(), ..Hostinfo::default() },
    }))
    .expect("a record");
    let mut stored = Stored::default();
    stored.add("user/0000000000000001", &serde_json::to_vec(&user).expect("JSON")).expect("a user");
    stored.add("node/0000000000000007", &serde_json::to_vec(&record).expect("JSON")).expect("a node");
    (World::load(stored, Settings::default(), Arc::new(AllowAll), DerpMap::default(), NOW), user)
}

#[test]
fn a_backup_says_what_it_holds_and_nobodys_words_become_markup() {
    let (world, _) = world();
    let viewer = Viewer { name: EVIL.into(), role: Role::Owner, user: None, csrf: "token".into(), notice: None };
    let mut summary = hearthgate_web::restore::Summary {
        id: "0123456789abcdef".into(),
        bytes: 7,
        made: None,
        last_entry: Some(NOW.wall),
        version: Some(EVIL.into()),
        network: Some(EVIL.into()),
        devices: 41,
        users: 3,
        owners: vec![EVIL.into()],
        keys: true,
    };
    let shown = page::restore::confirm(&viewer, &world, &summary);
    assert!(!shown.contains("<img src=x") && shown.contains("1970-01-01 00:00 UTC"), "{shown}");
    assert!(shown.contains("<td>41</td><td>1</td>") && shown.contains("value=\"0123456789abcdef\""), "{shown}");
    assert!(!shown.contains("log in anew") && !shown.contains("claimed anew"), "{shown}");
    (summary.owners, summary.keys) = (Vec::new(), false);
    let shown = page::restore::confirm(&viewer, &world, &summary);
    assert!(shown.contains("log in anew") && shown.contains("claimed anew"), "{shown}");
}

#[test]
fn relays_are_as_far_as_the_devices_say() {
    let (mut world, _) = world();
    let key = |n: u8| format!("{:02x}", n).repeat(32);
    let map: DerpMap = serde_json::from_value(serde_json::json!({ "Regions": {
        "900": { "RegionID": 900, "RegionCode": EVIL, "RegionName": "Home", "Nodes": [] },
        "901": { "RegionID": 901, "RegionCode": "far", "RegionName": EVIL, "Nodes": [] },
    } }))
    .expect("a map");
    world.set_derp_map(map);
    let report: hearthgate_tailcfg::MapRequest = serde_json::from_value(serde_json::json!({
        "NodeKey": format!("nodekey:{}", key(2)),
        "Hostinfo": { "Hostname": "x", "NetInfo": {
            "PreferredDERP": 900, "DERPLatency": { "900-v4": 0.0123, "900-v6": 0.0045, "901-v4": 0.25, "902-v4": -1.0 },
        } },
    }))
    .expect("a report");
    let machine = format!("mkey:{}", key(1)).parse().expect("a key");
    let id = world.report(machine, &report).expect("a node");
    let node = world.node(id).expect("a node").clone();
    let viewer = Viewer { name: EVIL.into(), role: Role::Auditor, user: None, csrf: "token".into(), notice: None };
    let mut history = History::default();
    for n in 0..3 {
        let (relayed, relay_packets) = (n * 1_000_000, n * 70);
        history.push(Sample { at_ms: n * 10_000, relayed, relay_packets, relay_clients: 5, ..Sample::default() });
    }
    let built_in = Some(page::relays::BuiltIn { region: 900, history: &history });
    let own = node.stable_id();
    let shown = page::relays::relays(&viewer, &world, built_in, Some(&own));
    assert!(!shown.contains("<img src=x"), "{shown}");
    let cards: Vec<&str> = shown.split("<section").skip(1).collect();
    let [home, far] = cards.as_slice() else { panic!("{} relays", cards.len()) };
    assert!(home.contains("4.5 ms (one device)") && home.contains("From this box: 4.5 ms"), "{home}");
    assert!(home.contains("7/s now") && home.contains("100 kB/s now") && home.contains("5 now"), "{home}");
    assert!(far.contains("250 ms (one device)") && !far.contains("7/s now"), "{far}");
    let alone = page::relays::relays(&viewer, &world, None, None);
    assert!(!alone.contains("From this box") && !alone.contains("/s now"), "{alone}");
    let device = page::device::device(&viewer, &world, &node, None, NOW);
    assert!(device.contains("Home 4.5 ms, &lt;img"), "{device}");
}

fn oauth() -> Oauth {
    let client = OauthClient {
        id: EVIL.into(),
        scopes: vec![EVIL.into()],
        tags: vec![EVIL.into()],
        description: EVIL.into(),
        created: NOW.wall,
    };
    Oauth { clients: vec![client], scopes: &["all", "dns"] }
}

fn hook() -> Hook {
    let words = || EVIL.to_owned();
    Hook {
        id: words(),
        url: words(),
        events: vec![words()],
        created: NOW.wall,
        last: Some(words()),
        lost: 2,
        failing: true,
    }
}

fn viewer(role: Role, user: Option<&User>) -> Viewer {
    Viewer {
        name: "anna".into(),
        role,
        user: user.map(|u| u.id),
        csrf: "token".into(),
        notice: Some((EVIL.into(), true)),
    }
}

#[test]
fn hostile_texts_stay_texts() {
    let (mut world, user) = world();
    world.audit(EVIL, EVIL, EVIL, NOW);
    let owner = viewer(Role::Owner, Some(&user));
    let node = world.node(hearthgate_core::NodeId(7)).expect("the node").clone();
    let tunnel = Some((EVIL.to_owned(), front::Tunnel::Refused(EVIL.into())));
    let front = front::Front { tunnel, https: true, ..front::Front::default() };
    let dyndns = dyndns::Dyndns { name: EVIL.into(), why: EVIL.into(), ..dyndns::Dyndns::default() };
    let ways = WaysIn { ports: &portmap::Ports::default(), front: Some(&front), dyndns: Some(&dyndns) };
    let share = Share { running: true, routes: vec!["10.9.0.0/16".parse().unwrap()], ..Share::default() };
    let key = passkey::Registered { id: vec![1], cose: vec![], counter: 0, syncable: true };
    passkey::add(&mut world, "anna", EVIL, EVIL, &key, &[0; 32], NOW).expect("a passkey");
    let site = passkey::Site { origin: EVIL.into(), name: EVIL.into() };
    let mut found = reach::findings(EVIL, &[], Some(EVIL));
    found.extend(front.finding());
    for shown in [
        page::devices::devices(&owner, &world, None, NOW),
        page::device::device(&owner, &world, &node, None, NOW),
        page::map::map(&owner, &world, None, NOW),
        page::join::ask(&owner, &world),
        page::join::help(EVIL),
        page::users::users(&owner, &world),
        page::keys::keys(&owner, &world, Some(EVIL), &oauth(), NOW),
        page::dns::dns(&owner, &world),
        page::policy::policy(
            &owner,
            &world,
            Some((EVIL, &Checked { problem: Some(EVIL.into()), ..Checked::default() })),
        ),
        page::routes::routes(&owner, &world, NOW),
        page::operation::events(&owner, &world, &[hook()], Some(EVIL)),
        page::operation::health(
            &owner,
            &page::tools::findings(&[hook()], 3).into_iter().chain([dyndns.finding()]).collect::<Vec<_>>(),
            &found,
            &History::default(),
        ),
        page::setup::setup(&owner, &world, EVIL, &share, &found, ways),
        page::account::claim(Some(EVIL), EVIL),
        page::account::login(Some(EVIL), EVIL, true),
        page::account::own(&owner, &world, &Ok(site)),
    ] {
        assert!(shown.contains("&lt;img"), "the text is there: {shown}");
        assert!(!shown.contains("<img src=x"), "and is no markup");
        assert!(!shown.contains("value=\"<") && !shown.contains("onerror=alert(1)>\""), "nor ends an attribute");
    }
}

#[test]
fn pages_obey_their_own_policy_for_content() {
    let (world, user) = world();
    let owner = viewer(Role::Owner, Some(&user));
    for shown in [
        page::devices::devices(&owner, &world, None, NOW),
        page::keys::keys(&owner, &world, None, &oauth(), NOW),
        page::users::users(&owner, &world),
        page::operation::events(&owner, &world, &[hook()], None),
    ] {
        assert!(!shown.contains(" style=") && !shown.contains("<style"), "no inline style");
        assert!(!shown.replace("<script src=\"/admin/live.js\"", "").contains("<script"), "no inline script");
        assert_eq!(
            shown.matches("<form").count(),
            shown.matches("name=\"csrf\" value=\"token\"").count(),
            "every form has the token"
        );
    }
    assert!(!asset::CSP.contains("unsafe"));
}

#[test]
fn only_owners_see_where_a_webhook_leads() {
    let (world, user) = world();
    let url = "https://hooks.chat.example/services/T0/B0/SeCrEt?key=SeCrEt".to_owned();
    let hooks = [Hook { url, ..hook() }];
    for (role, whole) in [(Role::Owner, true), (Role::Admin, false), (Role::Auditor, false)] {
        let shown = page::operation::events(&viewer(role, Some(&user)), &world, &hooks, None);
        assert_eq!((shown.contains("hooks.chat.example"), shown.contains("SeCrEt")), (true, whole), "{role:?}");
    }
}

#[test]
fn roles_see_what_is_theirs() {
    let (world, user) = world();
    let node = world.node(hearthgate_core::NodeId(7)).expect("the node").clone();
    let (member, stranger) = (viewer(Role::Member, Some(&user)), viewer(Role::Member, None));
    assert!(member.sees(&node) && member.may_change(&node));
    assert!(!stranger.sees(&node) && !stranger.may_change(&node));
    assert!(!page::devices::devices(&stranger, &world, None, NOW).contains("laptop"));
    let auditor = viewer(Role::Auditor, None);
    assert!(auditor.sees(&node) && !auditor.may_change(&node));
    let seen = page::device::device(&auditor, &world, &node, None, NOW);
    assert_eq!(seen.matches("<form").count(), 1, "only logging out: {seen}");
    let member_sees = page::device::device(&member, &world, &node, None, NOW);
    assert!(member_sees.contains("/rename") && !member_sees.contains("/routes") && !member_sees.contains("/tags"));
}

#[test]
fn every_event_can_be_chosen() {
    let names: Vec<&str> = hearthgate_core::EventKind::ALL.into_iter().map(|k| k.name()).collect();
    assert_eq!(hearthgate_web::text::WEBHOOK_EVENTS.map(|(name, _)| name).to_vec(), names);
}

#[test]
fn the_last_owner_stays() {
    let (mut world, user) = world();
    let anna = Account { name: "anna".into(), role: Role::Owner, user: Some(user.id), hash: String::new() };
    assert!(!account::claimed(&world));
    account::put(&mut world, &anna).expect("stored");
    assert!(account::claimed(&world));
    assert!(account::delete(&mut world, "anna").is_err());
    assert!(account::put(&mut world, &Account { role: Role::Admin, ..anna.clone() }).is_err());
    account::put(&mut world, &Account { name: "bert".into(), ..anna.clone() }).expect("stored");
    account::delete(&mut world, "anna").expect("bert is left");
    assert!(account::put(&mut world, &Account { name: "Not a name".into(), ..anna }).is_err());
    assert_eq!(account::reset_owners(&mut world, NOW), 1);
    assert!(!account::claimed(&world));
}

#[test]
fn all_pages_and_files_are_small() {
    let files: usize = asset::ASSETS.iter().map(|a| a.body.len()).sum();
    assert!(files < 16 * 1024, "{files} bytes");
}

#[test]
fn a_device_without_a_client_is_shown_once_and_added_by_who_may() {
    let (mut world, user) = world();
    let (owner, auditor) = (viewer(Role::Owner, Some(&user)), viewer(Role::Auditor, None));
    let form = "action=\"/admin/wireguard\"";
    assert!(!page::plain::plain(&owner, &world, None).contains(form), "it is off");
    let plain = PlainSettings {
        network: "10.9.9.0/24".parse().expect("network"),
        endpoint: String::new(),
        port: 51820,
        dns: Vec::new(),
        lan: vec!["192.168.1.0/24".parse().expect("network")],
    };
    world.set_settings(Settings { plain: Some(plain), ..Settings::default() });
    let access = PlainAccess { internet: true, ..PlainAccess::default() };
    let mut next = 0_u8;
    let mut random = |out: &mut [u8]| {
        next += 1;
        out.fill(next);
    };
    let (_, text) = world.add_plain_device(EVIL, access, NOW, &mut random).expect("added");
    let fresh = page::plain::plain(&owner, &world, Some(text.reveal()));
    assert!(fresh.contains(form) && fresh.contains("<svg") && fresh.contains("PrivateKey"));
    assert!(fresh.contains("the local network behind this box, the Internet"));
    let later = page::plain::plain(&auditor, &world, None);
    assert!(!later.contains("PrivateKey") && !later.contains(form) && !later.contains("/remove"));
    for shown in [&fresh, &later] {
        assert!(!shown.contains("<img src=x"), "a name became markup");
    }
    assert!(page::devices::devices(&owner, &world, None, NOW).contains("/admin/wireguard"));
}

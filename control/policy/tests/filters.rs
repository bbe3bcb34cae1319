//! What `acls` and `grants` become at each machine.

mod support;
use serde_json::json;
use support::{STAR, eval, rule, rules};

const ALL: (u16, u16) = (0, 65535);

fn acl(src: &str, dst: &str) -> String {
    format!("\"acls\": [{{\"action\": \"accept\", \"src\": [{src}], \"dst\": [{dst}]}}],")
}

#[test]
fn no_section_of_rules_allows_everything_and_an_empty_one_nothing() {
    assert_eq!(rules("", "web"), json!([rule(&STAR, &[("*", ALL.0, ALL.1)], &[])]));
    assert_eq!(rules("\"acls\": [],", "web"), json!([]));
    assert_eq!(eval("\"grants\": [],")["web"]["peers"], json!({}));
}

#[test]
fn people_and_tags_have_both_families_and_literals_one() {
    let got = rules(&acl("\"bob@\"", "\"tag:web:22\", \"nas:80\""), "web");
    let want = [("100.64.0.50", 22, 22), ("fd7a:115c:a1e0::32", 22, 22), ("100.64.0.50", 80, 80)];
    assert_eq!(got, json!([rule(&["100.64.0.30", "fd7a:115c:a1e0::1e"], &want, &[])]));
    assert_eq!(rules(&acl("\"bob@\"", "\"tag:web:22\""), "phone"), json!([]));
}

#[test]
fn equal_sources_and_protocols_become_one_rule_where_the_first_stood() {
    let text = "\"acls\": [
        {\"action\": \"accept\", \"src\": [\"tag:router\"], \"dst\": [\"tag:exit:1\"]},
        {\"action\": \"accept\", \"src\": [\"bob@\"], \"dst\": [\"tag:web:2\"]},
        {\"action\": \"accept\", \"src\": [\"tag:router\"], \"dst\": [\"nas:3\"]},
        {\"action\": \"accept\", \"proto\": \"udp\", \"src\": [\"bob@\"], \"dst\": [\"nas:4\"]},
        {\"action\": \"accept\", \"src\": [\"bob@home.example\"], \"dst\": [\"nas:5\"]},],";
    let router = ["100.64.0.60", "fd7a:115c:a1e0::3c"];
    let bob = ["100.64.0.30", "fd7a:115c:a1e0::1e"];
    let want = json!([
        rule(&router, &[("100.64.0.50", 3, 3)], &[]),
        rule(&bob, &[("100.64.0.50", 2, 2), ("fd7a:115c:a1e0::32", 2, 2), ("100.64.0.50", 5, 5)], &[]),
        rule(&bob, &[("100.64.0.50", 4, 4)], &[17]),
    ]);
    assert_eq!(rules(text, "web"), want);
}

#[test]
fn star_as_source_keeps_named_sources_apart() {
    let src = rules(&acl("\"*\", \"tag:web\"", "\"*:*\""), "phone")[0]["SrcIPs"].clone();
    let mut want = STAR.to_vec();
    want.extend(["100.64.0.50", "fd7a:115c:a1e0::32"]);
    want.sort_unstable();
    assert_eq!(src, json!(want));
    assert_eq!(rules(&acl("\"autogroup:danger-all\"", "\"*:*\""), "phone")[0]["SrcIPs"], json!(["*"]));
}

#[test]
fn own_devices_see_only_each_other() {
    let text = acl("\"autogroup:member\"", "\"autogroup:self:22\"");
    let nodes = eval(&text);
    let own = ["100.64.0.10", "100.64.0.20", "fd7a:115c:a1e0::14", "fd7a:115c:a1e0::a"];
    let want = [("100.64.0.10", 22, 22), ("fd7a:115c:a1e0::a", 22, 22)];
    assert_eq!(nodes["phone"]["packet_filter_rules"], json!([rule(&own, &want, &[])]));
    assert_eq!(nodes["web"]["packet_filter_rules"], json!([]));
    let peers: Vec<_> = nodes["phone"]["peers"].as_object().unwrap().keys().collect();
    assert_eq!(peers, ["desk"]);
    assert_eq!(nodes["bobs"]["peers"], json!({}));
}

#[test]
fn subnets_reach_their_router_and_only_who_may_use_them_gets_the_route() {
    let nodes = eval(&acl("\"bob@\"", "\"10.20.30.0/24:443\""));
    let bob = ["100.64.0.30", "fd7a:115c:a1e0::1e"];
    assert_eq!(nodes["router"]["packet_filter_rules"], json!([rule(&bob, &[("10.20.30.0/24", 443, 443)], &[])]));
    assert_eq!(nodes["exit"]["packet_filter_rules"], json!([]));
    let seen = &nodes["bobs"]["peers"]["router"];
    assert_eq!(seen["allowed_ips"], json!(["100.64.0.60/32", "fd7a:115c:a1e0::3c/128", "10.20.0.0/16"]));
    assert_eq!(seen["primary_routes"], json!(["10.20.0.0/16"]));
    assert!(nodes["eves"]["peers"].get("router").is_none());
}

#[test]
fn the_internet_is_offered_by_exit_nodes() {
    let nodes = eval(&acl("\"ann@\"", "\"autogroup:internet:*\""));
    let exit = &nodes["phone"]["peers"]["exit"];
    assert_eq!(exit["allowed_ips"], json!(["100.64.0.70/32", "fd7a:115c:a1e0::46/128", "0.0.0.0/0", "::/0"]));
    assert_eq!(exit["capmap"], json!({ "suggest-exit-node": null }));
    assert!(nodes["phone"]["peers"].get("router").is_none() && nodes["bobs"]["peers"].get("exit").is_none());
    assert_eq!(nodes["exit"]["packet_filter_rules"][0]["DstPorts"][0]["IP"], "0.0.0.0-9.255.255.255");
    let other = eval(&acl("\"ann@\"", "\"tag:exit:22\""));
    assert_eq!(other["phone"]["peers"]["exit"]["allowed_ips"], json!(["100.64.0.70/32", "fd7a:115c:a1e0::46/128"]));
}

#[test]
fn capabilities_and_their_companions() {
    let text = "\"grants\": [{\"src\": [\"bob@\"], \"dst\": [\"tag:web\"], \"app\": {\"tailscale.com/cap/drive\": [{\"shares\": [\"*\"]}]}}],";
    let nodes = eval(text);
    let web = json!([{ "SrcIPs": ["100.64.0.30", "fd7a:115c:a1e0::1e"], "CapGrant": [{
        "Dsts": ["100.64.0.50/32", "fd7a:115c:a1e0::32/128"], "CapMap": { "tailscale.com/cap/drive": [{ "shares": ["*"] }] } }] }]);
    assert_eq!(nodes["web"]["packet_filter_rules"], web);
    let bob = json!([{ "SrcIPs": ["100.64.0.50", "fd7a:115c:a1e0::32"], "CapGrant": [{
        "Dsts": ["100.64.0.30/32", "fd7a:115c:a1e0::1e/128"], "CapMap": { "tailscale.com/cap/drive-sharer": null } }] }]);
    assert_eq!(nodes["bobs"]["packet_filter_rules"], bob);
    assert!(nodes["bobs"]["peers"].get("web").is_some());
    // Who may send files lists those as targets who take them.
    let files = eval(&text.replace("tailscale.com/cap/drive", "hearthgate.internal/cap/file-send"));
    let target = &files["bobs"]["packet_filter_rules"][0]["CapGrant"][0]["CapMap"];
    assert_eq!(*target, json!({ "https://tailscale.com/cap/file-sharing-target": null }));
}

#[test]
fn an_app_for_nobody_still_stands_at_its_destination() {
    let text = "\"grants\": [{\"src\": [\"group:empty\"], \"dst\": [\"tag:web\"], \"ip\": [\"22\"], \"app\": {\"a.example/x\": []}}],";
    assert_eq!(rules(text, "web")[0]["SrcIPs"], json!([]));
    assert_eq!(rules(text, "web").as_array().unwrap().len(), 1);
}

#[test]
fn grants_come_before_acls_and_ports_before_apps() {
    let text = "\"acls\": [{\"action\": \"accept\", \"src\": [\"bob@\"], \"dst\": [\"nas:1\"]}],
        \"grants\": [{\"src\": [\"ann@\"], \"dst\": [\"nas\"], \"ip\": [\"tcp:2\", \"udp:3\"], \"app\": {\"a.example/x\": [1]}}],";
    let got = rules(text, "web");
    let kinds: Vec<_> = got.as_array().unwrap().iter().map(|r| r["DstPorts"][0]["Ports"]["First"].as_u64()).collect();
    assert_eq!(kinds, [Some(2), Some(3), None, Some(1)]);
    assert_eq!(got[0]["IPProto"], json!([6]));
}

#[test]
fn via_steers_through_the_tagged_router() {
    let text = "\"grants\": [
        {\"src\": [\"bob@\"], \"dst\": [\"10.20.0.0/16\"], \"ip\": [\"*\"], \"via\": [\"tag:router\"]},
        {\"src\": [\"eve@\"], \"dst\": [\"10.20.0.0/16\"], \"ip\": [\"*\"], \"via\": [\"tag:web\"]}],";
    let nodes = eval(text);
    assert_eq!(nodes["router"]["packet_filter_rules"][0]["DstPorts"][0]["IP"], "10.20.0.0/16");
    assert_eq!(nodes["router"]["packet_filter_rules"].as_array().unwrap().len(), 1);
    assert_eq!(nodes["bobs"]["peers"]["router"]["primary_routes"], json!(["10.20.0.0/16"]));
    assert_eq!(nodes["eves"]["peers"], json!({}));
}

#[test]
fn roles_and_domains() {
    let one = |src: &str| rules(&acl(&format!("\"{src}\""), "\"nas:1\""), "web")[0]["SrcIPs"][0].clone();
    assert_eq!(one("autogroup:owner"), "100.64.0.10");
    assert_eq!(one("autogroup:it-admin"), "100.64.0.30");
    let all = rules(&acl("\"user:*@home.example\"", "\"nas:1\""), "web")[0]["SrcIPs"].as_array().unwrap().len();
    assert_eq!(all, 6);
}

#[test]
fn ip_sets_and_postures() {
    let text = "\"ipsets\": {\"ipset:lab\": [\"add 10.20.0.0/16\", \"remove 10.20.1.0/24\"]},
        \"acls\": [{\"action\": \"accept\", \"src\": [\"bob@\"], \"dst\": [\"ipset:lab:1\"]}],";
    let places = rules(text, "router")[0]["DstPorts"].as_array().unwrap().len();
    // 10.20/16 without one /24 is one prefix of each length from 17 to 24.
    assert_eq!(places, 8);
    let text = "\"postures\": {\"posture:mac\": [\"node:os == 'macos'\"]},
        \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"nas:1\"], \"srcPosture\": [\"posture:mac\"]}],";
    assert_eq!(rules(text, "web"), json!([]));
}

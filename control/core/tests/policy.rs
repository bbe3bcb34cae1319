//! The policy as the server keeps it: taken or refused, versions, going back, start with a broken one.

mod support;
use hearthgate_core::{AllowAll, NewPreAuthKey, Settings, Stored, World};
use std::sync::Arc;
use support::Lab;

const FAMILY: &str = r#"{"acls": [{"action": "accept", "src": ["alice@"], "dst": ["autogroup:self:*"]}],
    "tests": [{"src": "alice@", "deny": ["100.64.9.9:22"]}]}"#;

fn lab() -> (Lab, String) {
    let mut lab = Lab::new();
    let alice = lab.user("alice");
    let (_, key) = lab.key(NewPreAuthKey { user: Some(alice), reusable: true, ..Default::default() });
    (lab, key)
}

#[test]
fn a_refused_policy_leaves_the_old_one_in_force() {
    let (mut lab, key) = lab();
    lab.join(1, &key);
    let now = lab.now;
    assert_eq!(lab.world.set_policy_text(FAMILY, "api", now).unwrap().version, 1);
    let why = lab.world.set_policy_text(r#"{"acls": [{"action": "deny"}]}"#, "api", now).unwrap_err().to_string();
    assert!(why.contains("action=\"deny\" is not supported") && why.contains("line 1"), "{why}");
    let failing = FAMILY.replace("deny\": [", "accept\": [");
    let why = lab.world.set_policy_text(&failing, "api", now).unwrap_err().to_string();
    assert!(why.starts_with("test(s) failed"), "{why}");
    assert_eq!(lab.world.policy_version().unwrap().text, FAMILY);
    lab.world.set_policy_text("{}", "api", now).unwrap();
    assert_eq!(lab.world.roll_back_policy(1, now).unwrap().version, 3);
    assert_eq!(lab.world.policy_version().unwrap().text, FAMILY);
    assert_eq!(lab.world.policy_versions().count(), 3);
}

#[test]
fn at_start_the_newest_good_version_comes_back_and_a_broken_one_opens_nothing() {
    let load = |texts: &[&str]| {
        let mut stored = Stored::default();
        for (i, text) in texts.iter().enumerate() {
            let record =
                serde_json::json!({ "version": i, "text": text, "author": "x", "time": "2026-01-01T00:00:00Z" });
            stored.add(&format!("policy/{i:016x}"), record.to_string().as_bytes()).unwrap();
        }
        let now = Lab::new().now;
        let mut world =
            World::load(stored, Settings::default(), Arc::new(AllowAll), hearthgate_tailcfg::DerpMap::default(), now);
        let problems = world.restore_policy().len();
        (world, problems)
    };
    assert!(load(&[]).0.enforced().is_none());
    let (world, problems) = load(&[FAMILY, "{ broken"]);
    assert_eq!((problems, world.enforced().is_some()), (1, true));
    let (world, problems) = load(&["{ broken"]);
    assert_eq!(problems, 1);
    // Not everything is allowed then: a stranger's devices are not visible.
    assert!(world.enforced().is_some());
}

#[test]
fn a_broken_file_at_the_first_start_leaves_everybody_their_own_devices() {
    let (mut lab, key) = lab();
    let bob = lab.user("bob");
    let (_, other) = lab.key(NewPreAuthKey { user: Some(bob), reusable: true, ..Default::default() });
    let (a, b, c) = (lab.join(1, &key), lab.join(2, &key), lab.join(3, &other));
    let now = lab.now;
    assert!(lab.world.take_policy_file("{ broken", now).is_err());
    lab.world.take_batch();
    let view = lab.world.view();
    let sees = |x, y| view.policy.sees(view.policy.class_of(view.node(x).unwrap()), view.node(y).unwrap());
    assert!(sees(a, b) && !sees(a, c) && !sees(c, a));
    lab.world.take_policy_file("{}", now).unwrap();
    let version = lab.world.policy_version().unwrap().version;
    lab.world.take_policy_file("{}", now).unwrap();
    assert_eq!(lab.world.policy_version().unwrap().version, version);
}

#[test]
fn the_policy_gives_tags_and_approves_routes() {
    let (mut lab, key) = lab();
    let now = lab.now;
    let text = r#"{"tagOwners": {"tag:a": ["alice@"], "tag:b": ["tag:a"], "tag:c": []},
        "autoApprovers": {"routes": {"10.0.0.0/8": ["alice@"]}, "exitNode": ["tag:a"]}}"#;
    lab.world.set_policy_text(text, "api", now).unwrap();
    let id = lab.join(1, &key);
    lab.update(1, |r| {
        r.hostinfo.as_mut().unwrap().routable_ips =
            ["10.1.0.0/16", "192.168.1.0/24", "0.0.0.0/0", "::/0"].map(|t| t.parse().unwrap()).to_vec();
    });
    lab.world.take_batch();
    assert_eq!(lab.world.node(id).unwrap().approved_routes, ["10.1.0.0/16".parse().unwrap()]);
    let view = lab.world.view();
    let alice = view.users.values().next().unwrap();
    let may = |tag: &str| view.policy.may_use_tag(alice, tag);
    assert!(may("tag:a") && may("tag:b") && !may("tag:c") && !may("tag:d"));
}

#[test]
fn an_ssh_check_is_asked_once_and_holds_for_its_period() {
    use hearthgate_core::{CoreError, SshAnswer, SshAttempt};
    let (mut lab, key) = lab();
    lab.join(1, &key);
    lab.join(2, &key);
    let policy = r#"{"acls": [], "ssh": [{"action": "check", "src": ["alice@"], "dst": ["autogroup:self"],
        "users": ["root"], "checkPeriod": "1h"}]}"#;
    lab.world.set_policy_text(policy, "api", lab.now).unwrap();
    let machine = lab.world.node(lab.id(2)).unwrap().machine_key;
    let attempt = SshAttempt { from: lab.id(1), to: lab.id(2), login: "root".into(), check: None };
    fn ask(
        lab: &mut Lab,
        machine: hearthgate_keys::MachinePublic,
        attempt: &SshAttempt,
    ) -> Result<SshAnswer, CoreError> {
        let now = lab.now;
        let mut seed = now.mono_ms as u8;
        lab.world.ssh_attempt(machine, attempt, now, &mut |b: &mut [u8]| {
            seed = seed.wrapping_add(1);
            b.fill(seed);
        })
    }
    let act = |answer: SshAnswer| match answer {
        SshAnswer::Act(action) => action,
        SshAnswer::Hold(id) => panic!("held for {id}"),
    };
    // Only the machine that is logged in to may ask.
    let other = lab.world.node(lab.id(1)).unwrap().machine_key;
    assert!(ask(&mut lab, other, &attempt).is_err());
    assert!(act(ask(&mut lab, machine, &SshAttempt { login: "daemon".into(), ..attempt.clone() }).unwrap()).reject);

    let held = act(ask(&mut lab, machine, &attempt).unwrap());
    assert!(!held.accept && held.message.contains("/ssh-check/hskey-authreq-"), "{held:?}");
    let id = hearthgate_core::AuthId::find_in(&held.hold_and_delegate).unwrap();
    let waiting = SshAttempt { check: Some(id.clone()), ..attempt.clone() };
    assert_eq!(ask(&mut lab, machine, &waiting).unwrap(), SshAnswer::Hold(id.clone()));
    // Somebody else's device: their owner cannot approve it.
    let bob = lab.user("bob");
    assert!(lab.world.approve_own_check(&id, bob, lab.now).is_err());
    let alice = lab.world.node(lab.id(1)).unwrap().user;
    lab.world.approve_own_check(&id, alice, lab.now).unwrap();
    assert!(act(ask(&mut lab, machine, &waiting).unwrap()).accept);
    assert!(lab.world.finish_check(&id, true, lab.now).is_err(), "a check is over once");
    assert!(act(ask(&mut lab, machine, &attempt).unwrap()).accept, "the approval holds");

    lab.pass(3_600_001);
    let again = act(ask(&mut lab, machine, &attempt).unwrap());
    let id = hearthgate_core::AuthId::find_in(&again.hold_and_delegate).unwrap();
    lab.world.finish_check(&id, false, lab.now).unwrap();
    let waiting = SshAttempt { check: Some(id), ..attempt };
    assert!(act(ask(&mut lab, machine, &waiting).unwrap()).reject);
}

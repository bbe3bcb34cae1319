//! What is refused, and in which words.

mod support;
use hearthgate_policy::Policy;
use support::{policy, refusal};

#[test]
fn wording() {
    let acl = |body: &str| format!("\"acls\": [{{{body}}}],");
    let grant = |body: &str| format!("\"grants\": [{{{body}}}],");
    let ssh = |body: &str| format!("\"ssh\": [{{{body}}}],");
    let own = "autogroup:self can only be used with users, groups, or supported autogroups";
    let cases = [
        (acl(r#""action": "deny", "src": ["*"], "dst": ["*:*"]"#), r#"action="deny" is not supported"#),
        (acl(r#""action": "accept", "src": ["tag:x"], "dst": ["*:*"]"#), r#"src=tag not found: "tag:x""#),
        (acl(r#""action": "accept", "src": ["*"], "dst": ["tag:x:*"]"#), r#"dst="tag:x": tag not found: "tag:x""#),
        (
            acl(r#""action": "accept", "src": ["*"], "dst": ["autogroup:self"]"#),
            r#"dst="autogroup:self": port range "self": invalid first integer"#,
        ),
        (
            acl(r#""action": "accept", "src": ["autogroup:self"], "dst": ["*:*"]"#),
            r#""autogroup:self" not valid on the src side of a rule"#,
        ),
        (acl(r#""action": "accept", "src": ["tag:web"], "dst": ["autogroup:self:*"]"#), own),
        (
            acl(r#""action": "accept", "proto": "icmp", "src": ["*"], "dst": ["*:80"]"#),
            r#"protocol does not support specific ports: "icmp", only "*" is allowed"#,
        ),
        (grant(r#""src": ["*"], "dst": ["*"]"#), "ip and app can not both be empty"),
        (grant(r#""src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["ann@"]"#), "via can only be a tag"),
        (grant(r#""src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["tag:x"]"#), r#"tag "tag:x" not found"#),
        (
            grant(r#""src": ["*"], "dst": ["autogroup:danger-all"], "ip": ["*"]"#),
            "cannot use autogroup:danger-all as a dst",
        ),
        (
            grant(r#""src": ["*"], "dst": ["autogroup:internet"], "app": {"a.b/c": []}"#),
            "cannot use app grants with autogroup:internet",
        ),
        (
            grant(r#""src": ["*"], "dst": ["0.0.0.0/0"], "ip": ["*"]"#),
            r#"dst "0.0.0.0/0": to allow all IP addresses, use "*" or "autogroup:internet""#,
        ),
        (
            grant(r#""src": ["*"], "dst": ["*"], "app": {"https://a.b/c": []}"#),
            "capability name must have the form {domain}/{path}",
        ),
        (
            grant(r#""src": ["*"], "dst": ["*"], "app": {"tailscale.com/cap/ingress": []}"#),
            "capability name must not be in the tailscale.com domain",
        ),
        (grant(r#""src": ["*"], "dst": ["autogroup:self"], "ip": ["*"]"#), own),
        (ssh(r#""action": "accept", "src": ["ann@"], "dst": ["tag:web"]"#), "users must be specified"),
        (ssh(r#""action": "accept", "src": ["ann@"], "dst": ["tag:web"], "users": ["*"]"#), r#"user "*" is not valid"#),
        (ssh(r#""src": ["ann@"], "dst": ["tag:web"], "users": ["root"]"#), "action must be specified"),
        (
            ssh(r#""action": "x", "src": ["ann@"], "dst": ["tag:web"], "users": ["root"]"#),
            r#""x" is not a valid action"#,
        ),
        (ssh(r#""action": "accept", "src": ["ann@"], "dst": ["nas"], "users": ["root"]"#), r#"invalid dst "nas""#),
        (
            ssh(r#""action": "accept", "src": ["ann@"], "dst": ["tag:web"], "users": ["root"], "acceptEnv": [""]"#),
            "acceptEnv values cannot be empty",
        ),
        (
            ssh(r#""action": "check", "src": ["ann@"], "dst": ["tag:web"], "users": ["root"], "checkPeriod": "200h""#),
            "checkPeriod 200h0m0s is above the max (168h)",
        ),
        (
            ssh(r#""action": "accept", "src": ["user:*@work.example"], "dst": ["tag:web"], "users": ["root"]"#),
            "[ssh] work.example is not associated with this Tailnet and cannot be used in user:*@<domain> expressions",
        ),
        (
            ssh(r#""action": "accept", "src": ["ann@"], "dst": ["tag:web"], "users": ["localpart:*@work.example"]"#),
            "work.example is not associated with this Tailnet and cannot be used in user:*@<domain> expressions",
        ),
        (r#""nodeAttrs": [{"target": ["tag:x"], "attr": ["funnel"]}],"#.to_owned(), r#"tag not found: "tag:x""#),
        (
            r#""sshTests": [{"src": "ann@", "dst": ["tag:web:22"], "accept": ["root"]}],"#.to_owned(),
            r#"SSH tests dst contains unknown tag "tag:web:22""#,
        ),
        (
            r#""sshTests": [{"src": "ann@", "dst": ["10.0.0.0/8"], "accept": ["root"]}],"#.to_owned(),
            r#"SSH tests dst contains disallowed element "10.0.0.0/8""#,
        ),
        (r#""tests": [{"src": "bob@", "accept": ["nas:80"], "deny": ["nas:80"]}],"#.to_owned(), "test(s) failed"),
    ];
    for (text, want) in cases {
        assert_eq!(refusal(&text), want, "{text}");
    }
}

#[test]
fn groups_do_not_nest_and_tags_begin_with_a_letter() {
    let message = |text: &str| Policy::parse(text).unwrap_err().message;
    assert_eq!(
        message(r#"{"groups": {"group:a": [], "group:b": ["group:a"]}}"#),
        r#"groups["group:b"]: "group:a": group members cannot be recursive"#
    );
    assert_eq!(
        message(r#"{"tagOwners": {"tag:1": []}}"#),
        r#"tagOwners["tag:1"]: tag names must start with a letter, after 'tag:'"#
    );
    assert_eq!(message(r#"{"acl": []}"#), r#"json: unknown field "acl""#);
    assert!(Policy::parse(r#"{"ACLs": [], "Groups": {}}"#).is_ok());
}

#[test]
fn refusals_have_a_place() {
    let why = Policy::parse(
        "{\n  \"acls\": [\n    {\"action\": \"accept\", \"src\": [\"group:none\"], \"dst\": [\"*:*\"]},\n  ],\n}",
    )
    .unwrap_err();
    assert_eq!((why.line, why.column), (3, 34));
    assert!(Policy::parse("{\"acls\": 3}").unwrap_err().line == 1);
}

#[test]
fn shapes_that_are_taken() {
    for text in [
        r#""grants": [{"src": [], "dst": ["*"], "ip": ["*"]}],"#,
        r#""nodeAttrs": [{"target": ["*"]}], "randomizeClientPort": true, "disableIPv4": false,"#,
        r#""ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["autogroup:nonroot"], "checkPeriod": null, "acceptEnv": null}],"#,
        r#""acls": [{"action": "accept", "users": ["*"], "ports": ["*:*"]}],"#,
        r#""acls": [{"action": "accept", "src": ["unknown@example.com"], "dst": ["autogroup:self:*", "tag:web:*"]}],"#,
    ] {
        assert_eq!(refusal(text), "", "{}", policy(text));
    }
}

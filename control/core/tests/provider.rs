//! People from an OpenID provider.

mod support;

use hearthgate_core::Identity;
use support::Lab;

fn anna() -> Identity {
    Identity {
        provider_id: "https://id.example/1".into(),
        name: "anna".into(),
        email: "anna@home.example".into(),
        ..Identity::default()
    }
}

#[test]
fn a_person_stays_the_same_user_whatever_changes_at_the_provider() {
    let mut site = Lab::new();
    let now = site.now;
    let first = site.world.provider_login(anna(), now).unwrap();
    assert_eq!((first.name.as_str(), first.provider.as_str()), ("anna", "oidc"));
    let changed =
        Identity { name: "anne".into(), email: "anne@home.example".into(), groups: vec!["family".into()], ..anna() };
    let again = site.world.provider_login(changed, now).unwrap();
    assert_eq!((again.id, again.name.as_str(), again.email.as_str()), (first.id, "anna", "anne@home.example"));
    assert_eq!(again.groups, ["family"]);
    assert!(site.world.rename_user(first.id, "other").is_err(), "the name is the provider's");
}

#[test]
fn nobody_takes_over_a_user_by_having_the_same_name_or_address() {
    let mut site = Lab::new();
    let now = site.now;
    let local = site.user("anna");
    let person = site.world.provider_login(anna(), now).unwrap();
    assert_ne!(person.id, local);
    assert_eq!(person.name, "anna@home.example");
    // Another person at another provider, with the same claims.
    let other =
        site.world.provider_login(Identity { provider_id: "https://evil.example/1".into(), ..anna() }, now).unwrap();
    assert!(other.id != person.id && other.id != local);
    let names: hearthgate_sorted::SortedSet<_> = site.world.users().map(|u| u.name.clone()).collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_person_without_any_usable_name_gets_one() {
    let mut site = Lab::new();
    let now = site.now;
    for n in 0..5 {
        let person =
            Identity { provider_id: format!("https://id.example/{n}"), name: "§".into(), ..Identity::default() };
        assert!(site.world.provider_login(person, now).unwrap().name.starts_with("user-"));
    }
}

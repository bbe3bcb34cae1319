//! What arrives, what goes on, and what is refused.

use super::*;
use bytes::Bytes;
use hearthgate_keys::encode;
use sha2::{Digest, Sha256};
use std::fs::File;

fn put(inbox: &Arc<Inbox>, name: &str, offset: u64, parts: &[&[u8]], whole: bool) -> Result<String, DropError> {
    let (place, name) = inbox.place("n1CNTRL", name)?;
    let (sender, receiver) = mpsc::channel(parts.len() + 1);
    for part in parts {
        sender.try_send(Some(Bytes::copy_from_slice(part))).unwrap();
    }
    if whole {
        sender.try_send(None).unwrap();
    }
    drop(sender);
    thread::scope(|scope| scope.spawn(|| place.receive(&name, offset, None, receiver)).join().unwrap())
}

fn inbox() -> (tempfile::TempDir, Arc<Inbox>) {
    let dir = tempfile::tempdir().unwrap();
    let inbox = Arc::new(Inbox::new(dir.path().to_owned()));
    (dir, inbox)
}

fn listed(dir: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        dir.path().read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_and_another_of_its_name_gets_a_number() {
    let (dir, inbox) = inbox();
    assert_eq!(put(&inbox, "a%20b.txt", 0, &[b"one ", b"two"], true).unwrap(), "a b.txt");
    assert_eq!(std::fs::read(dir.path().join("a b.txt")).unwrap(), b"one two");
    // The same once more is not kept twice.
    for _ in 0..2 {
        assert_eq!(put(&inbox, "a b.txt", 0, &[b"other"], true).unwrap(), "a b (1).txt");
    }
    assert_eq!(listed(&dir), ["a b (1).txt", "a b.txt"]);
    assert_eq!(std::fs::read(dir.path().join("a b (1).txt")).unwrap(), b"other");
}

#[tokio::test]
async fn what_broke_off_goes_on_where_it_was() {
    let (dir, inbox) = inbox();
    assert!(matches!(put(&inbox, "f", 0, &[&[7; BLOCK], b"rest that is wron"], false), Err(DropError::Broken)));
    let partials = inbox.partials("n1CNTRL").await.unwrap();
    assert_eq!(partials, ["f.n1CNTRL.taildrop-partial"]);
    assert!(inbox.partials("n2CNTRL").await.unwrap().is_empty());
    let sums = String::from_utf8(inbox.sums("n1CNTRL", "f").await.unwrap()).unwrap();
    let first: serde_json::Value = serde_json::from_str(sums.lines().next().unwrap()).unwrap();
    assert_eq!(first["checksum"], encode(&Sha256::digest([7; BLOCK])));
    assert_eq!((first["algo"].as_str(), first["size"].as_u64()), (Some("sha256"), Some(BLOCK as u64)));
    assert_eq!(sums.lines().count(), 2);
    assert!(inbox.sums("n2CNTRL", "f").await.unwrap().is_empty());
    assert!(matches!(put(&inbox, "f", 70_000, &[], true), Err(DropError::Place)));
    put(&inbox, "f", BLOCK as u64, &[b"right"], true).unwrap();
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), [&[7; BLOCK][..], b"right"].concat());
    assert_eq!(listed(&dir), ["f"]);
}

#[tokio::test]
async fn nothing_outside_is_touched_and_no_link_followed() {
    let (dir, inbox) = inbox();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("secret");
    std::fs::write(&target, "mine").unwrap();
    for name in ["..%2fsecret", "%2e%2e", "a/b", "x.n1CNTRL.taildrop-partial", "%ff", ""] {
        assert!(matches!(put(&inbox, name, 0, &[b"x"], true), Err(DropError::Name)), "{name}");
    }
    std::os::unix::fs::symlink(&target, dir.path().join("s")).unwrap();
    std::os::unix::fs::symlink(&target, dir.path().join("p.n1CNTRL.taildrop-partial")).unwrap();
    std::fs::hard_link(&target, dir.path().join("h.n1CNTRL.taildrop-partial")).unwrap();
    for name in ["p", "h"] {
        assert!(matches!(inbox.sums("n1CNTRL", name).await, Err(DropError::Io(_))), "{name}");
    }
    put(&inbox, "s", 0, &[b"x"], true).unwrap();
    assert_eq!(std::fs::read(dir.path().join("s (1)")).unwrap(), b"x");
    assert!(matches!(put(&inbox, "p", 0, &[b"x"], true), Err(DropError::Io(_))));
    // One of two names of a file goes, the file does not.
    put(&inbox, "h", 0, &[b"x"], true).unwrap();
    assert_eq!(std::fs::read(dir.path().join("h")).unwrap(), b"x");
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    assert!(put(&Arc::new(Inbox::new(dir.path().join("gone"))), "f", 0, &[], true).is_err());
}

#[test]
fn a_power_cut_between_two_names_leaves_the_whole_file_and_no_trace() {
    let (dir, inbox) = inbox();
    std::fs::write(dir.path().join("f.n1CNTRL.taildrop-partial"), "whole").unwrap();
    std::fs::hard_link(dir.path().join("f.n1CNTRL.taildrop-partial"), dir.path().join("f")).unwrap();
    // Whatever comes next tidies up.
    put(&inbox, "other", 0, &[b"x"], true).unwrap();
    assert_eq!(listed(&dir), ["f", "other"]);
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"whole");
    assert_eq!(put(&inbox, "f", 0, &[b"another"], true).unwrap(), "f (1)");
}

#[test]
fn a_name_that_is_taken_is_refused_whatever_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a"), "a").unwrap();
    std::fs::write(at("taken"), "b").unwrap();
    std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
    for name in ["taken", "link"] {
        let refused = disk::name(&at("a"), &at(name)).map_err(|error| error.kind());
        assert_eq!(refused, Err(std::io::ErrorKind::AlreadyExists), "{name}");
    }
    disk::name(&at("a"), &at("free")).unwrap();
    assert_eq!(listed(&dir), ["free", "link", "taken"]);
}

#[tokio::test]
async fn there_is_room_for_a_few_at_a_time() {
    let (_dir, inbox) = inbox();
    let mut held: Vec<_> = (0..OF_ONE).map(|n| inbox.place("n1", &format!("f{n}")).unwrap()).collect();
    assert!(matches!(inbox.place("n1", "f0"), Err(DropError::Busy)));
    assert!(matches!(inbox.place("n1", "more"), Err(DropError::TooMany)), "one sender leaves places to others");
    held.extend((OF_ONE..TRANSFERS).map(|n| inbox.place("n2", &format!("f{n}")).unwrap()));
    assert!(matches!(inbox.place("n3", "more"), Err(DropError::TooMany)));
    // Reading is work for the disk as well.
    assert!(matches!(inbox.sums("n3", "more").await, Err(DropError::TooMany)));
    assert!(matches!(inbox.partials("n3").await, Err(DropError::TooMany)));
    drop(held);
    assert!(inbox.sums("n3", "more").await.unwrap().is_empty() && inbox.partials("n3").await.unwrap().is_empty());
    assert!(inbox.place("n1", "f0").is_ok());
}

#[test]
fn a_length_that_is_not_so_or_too_much_is_refused() {
    let (dir, inbox) = inbox();
    let sized = |name: &str, length: u64| {
        let (place, name) = inbox.place("n1", name).unwrap();
        let (sender, receiver) = mpsc::channel(2);
        sender.try_send(Some(Bytes::from_static(b"four"))).unwrap();
        sender.try_send(None).unwrap();
        place.receive(&name, 0, Some(length), receiver)
    };
    assert!(matches!(sized("a", 3), Err(DropError::Broken)));
    assert!(matches!(sized("b", 5), Err(DropError::Broken)));
    assert!(matches!(sized("c", u64::MAX), Err(DropError::Full)));
    sized("d", 4).unwrap();
    assert!(listed(&dir).contains(&"d".to_owned()));
    let old = dir.path().join("a.n1.taildrop-partial");
    let past = std::time::SystemTime::now() - 2 * PARTIAL_LIFE;
    File::options().write(true).open(&old).unwrap().set_modified(past).unwrap();
    sized("e", 4).unwrap();
    assert_eq!(listed(&dir), ["b.n1.taildrop-partial", "d", "e"]);
}

#[test]
fn files_that_broke_off_do_not_pile_up() {
    let (dir, inbox) = inbox();
    for n in 0..PARTIALS {
        assert!(matches!(put(&inbox, &format!("f{n}"), 0, &[b"x"], false), Err(DropError::Broken)), "{n}");
    }
    assert!(matches!(put(&inbox, "more", 0, &[b"x"], true), Err(DropError::TooMany)));
    put(&inbox, "f0", 1, &[b"y"], true).unwrap();
    assert_eq!(std::fs::read(dir.path().join("f0")).unwrap(), b"xy");
    put(&inbox, "more", 0, &[b"x"], true).unwrap();
}

#[test]
fn a_disk_that_is_full_is_told_as_that() {
    for errno in [nix::errno::Errno::ENOSPC, nix::errno::Errno::EDQUOT, nix::errno::Errno::EFBIG] {
        assert!(matches!(DropError::from(io::Error::from(errno)), DropError::Full), "{errno}");
    }
}

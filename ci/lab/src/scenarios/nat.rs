//! Clients at home, behind routers that translate addresses.
//!
//! ```text
//!        internet
//!    ____|____|______________
//!   |        |               |
//! server    ra              rb      NAT, easy or hard
//!            |               |
//!            a               b
//! ```
//!
//! `nat-mixed` has `b` directly on the Internet instead.

use crate::client::{Client, MEET};
use crate::ensure;
use crate::lab::Lab;
use crate::nat::NatKind;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

pub(super) const EASY: Scenario = Scenario {
    name: "nat-easy",
    summary: "both behind NAT that keeps ports: a direct path through what STUN says",
    run: run_easy,
    ..Scenario::BASE
};

pub(super) const HARD: Scenario = Scenario {
    name: "nat-hard",
    summary: "both behind NAT with a new port per destination: the relay carries it",
    run: run_hard,
    ..Scenario::BASE
};

pub(super) const MIXED: Scenario = Scenario {
    name: "nat-mixed",
    summary: "one behind hard NAT, one on the Internet: direct, as the latter can be called",
    run: run_mixed,
    ..Scenario::BASE
};

fn behind(lab: &mut Lab, kind: NatKind, name: &str, key: &str) -> Outcome<(Client, String)> {
    let mut router = lab.internet()?.router(&format!("r{name}"), kind)?;
    let host = router.host(name)?;
    let public = router.address.clone();
    let client = lab.join_on(host, name, key, &[])?;
    Ok((client, public))
}

fn run_easy(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let (a, _) = behind(lab, NatKind::Easy, "a", &key)?;
    let (b, public) = behind(lab, NatKind::Easy, "b", &key)?;
    a.sees("b", MEET)?;
    a.direct_to("b", MEET)?;
    let status = a.status()?;
    let path = status.peer("b").map(|b| b["CurAddr"].clone()).unwrap_or_default();
    ensure!(
        path.as_str().is_some_and(|path| path.starts_with(&format!("{public}:"))),
        "the path is {path}, not by b's router {public}"
    );
    a.reaches(&b.ip()?, MEET)?;
    b.reaches(&a.ip()?, MEET)
}

fn run_hard(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let (a, _) = behind(lab, NatKind::Hard, "a", &key)?;
    let (b, _) = behind(lab, NatKind::Hard, "b", &key)?;
    a.sees("b", MEET)?;
    a.relayed_to("b", MEET)?;
    a.reaches(&b.ip()?, MEET)?;
    a.stays_relayed("b", 5)?;
    b.reaches(&a.ip()?, MEET)
}

fn run_mixed(lab: &mut Lab) -> Outcome {
    let key = lab.open()?;
    let (a, _) = behind(lab, NatKind::Hard, "a", &key)?;
    let b = lab.join("b", &key, &[])?;
    a.sees("b", MEET)?;
    a.direct_to("b", MEET)?;
    b.direct_to("a", MEET)?;
    b.reaches(&a.ip()?, MEET)
}

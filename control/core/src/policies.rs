//! Commands on the policy: what was in force when, by whom; setting, checking, going back.

use crate::{
    Change, CoreError, Event, EventKind, Fact, Now, Policy, Result, World, Write,
    enforce::{Enforced, OWN_DEVICES_ONLY, PolicyProblem},
    policy::Facts,
};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// Versions of the policy that are kept.
const VERSIONS_KEPT: usize = 20;

/// A policy that was in force, or is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PolicyVersion {
    /// Number, rising.
    pub version: u64,
    /// The text, as it was given.
    pub text: String,
    /// Who set it: `api`, `file`, `rollback to 3`.
    pub author: String,
    /// When.
    pub time: Timestamp,
}

hearthgate_read::struct_of!(PolicyVersion;
must { version: "version", text: "text", author: "author", time: "time" }
may {}
not {});

impl World {
    /// The policy in force; `None` when there is none and everything is allowed.
    #[must_use]
    pub fn policy_version(&self) -> Option<&PolicyVersion> {
        self.policies.last_key_value().map(|(_, v)| v)
    }

    /// All kept versions, oldest first.
    pub fn policy_versions(&self) -> impl Iterator<Item = &PolicyVersion> {
        self.policies.values()
    }

    /// The engine of the policy in force.
    #[must_use]
    pub fn enforced(&self) -> Option<&Arc<Enforced>> {
        self.enforced.as_ref()
    }

    /// Whether a policy would be taken.
    ///
    /// # Errors
    /// Why not.
    pub fn check_policy(&self, text: &str) -> std::result::Result<Enforced, PolicyProblem> {
        self.with_facts(|facts| Enforced::new(text, facts, true))
    }

    /// Puts a policy in force after its own tests passed, and keeps it as a version.
    ///
    /// # Errors
    /// It is refused; the old one stays.
    pub fn set_policy_text(&mut self, text: &str, author: &str, now: Now) -> Result<&PolicyVersion> {
        let enforced = self.check_policy(text).map_err(|e| CoreError::Invalid(e.to_string()))?;
        let version = self.policies.last_key_value().map_or(1, |(v, _)| v + 1);
        let record = PolicyVersion { version, text: text.to_owned(), author: author.to_owned(), time: now.wall };
        self.write(Write::policy(&record));
        let policies = Arc::make_mut(&mut self.policies);
        policies.insert(version, record);
        let mut dropped = Vec::new();
        while policies.len() > VERSIONS_KEPT {
            dropped.extend(policies.pop_first().map(|(v, _)| v));
        }
        dropped.into_iter().for_each(|v| self.write(Write::delete_policy(v)));
        self.enforce(enforced);
        self.fact(Fact::Happened(Box::new(Event { kind: EventKind::PolicyUpdate, node: None })));
        self.policy_version().ok_or_else(|| CoreError::not_found("the policy"))
    }

    /// Puts a kept version in force again, as a new version.
    ///
    /// # Errors
    /// No such version, or it is no longer accepted.
    pub fn roll_back_policy(&mut self, version: u64, now: Now) -> Result<&PolicyVersion> {
        let old =
            self.policies.get(&version).ok_or_else(|| CoreError::not_found(format!("policy version {version}")))?;
        let text = old.text.clone();
        self.set_policy_text(&text, &format!("rollback to {version}"), now)
    }

    /// Puts the newest stored version that still parses in force, at start. Its tests are not run: a test that names a
    /// user who is gone must not keep the server from starting. When none parses, everybody reaches only their own
    /// devices. Returns what was wrong with newer versions.
    pub fn restore_policy(&mut self) -> Vec<PolicyProblem> {
        let mut problems = Vec::new();
        let texts: Vec<String> = self.policies.values().rev().map(|v| v.text.clone()).collect();
        for text in texts.iter().map(String::as_str).chain((!texts.is_empty()).then_some(OWN_DEVICES_ONLY)) {
            match self.with_facts(|facts| Enforced::new(text, facts, false)) {
                Ok(enforced) => {
                    self.enforce(enforced);
                    break;
                }
                Err(e) => problems.push(e),
            }
        }
        problems
    }

    /// Takes the policy of a file at start or reload. The same text as before changes nothing.
    ///
    /// # Errors
    /// It is refused; what was in force stays, and with nothing in force everybody reaches only their own devices.
    pub fn take_policy_file(&mut self, text: &str, now: Now) -> Result<()> {
        if self.enforced.is_some() && self.policy_version().is_some_and(|v| v.text == text) {
            return Ok(());
        }
        let taken = self.set_policy_text(text, "file", now).map(|_| ());
        if taken.is_err() && self.enforced.is_none() {
            let fallback = self.with_facts(|facts| Enforced::new(OWN_DEVICES_ONLY, facts, false));
            if let Ok(enforced) = fallback {
                self.enforce(enforced);
            }
        }
        taken
    }

    fn enforce(&mut self, enforced: Enforced) {
        let enforced = Arc::new(match &self.enforced {
            Some(old) => enforced.after(old),
            None => enforced,
        });
        self.enforced = Some(enforced.clone());
        self.policy = enforced;
        self.change(Change::Policy);
        let ids: Vec<_> = self.nodes.iter().map(|n| n.id).collect();
        for id in ids {
            // Only a node that is gone cannot be approved.
            let _ = self.auto_approve(id);
        }
        self.elect_primaries();
        self.settle_derp_map();
    }

    /// What a policy is applied to.
    pub fn with_facts<T>(&self, f: impl FnOnce(&Facts<'_>) -> T) -> T {
        let nodes = || self.nodes.iter().filter(|n| !n.waiting).cloned().collect();
        let node = |id| self.nodes.get(id).filter(|n| !n.waiting).cloned();
        f(&Facts { nodes: &nodes, node: &node, users: &self.users, settings: &self.settings })
    }

    /// Applies the policy to what changed since the last time, and notes who has to be told.
    pub(crate) fn settle_policy(&mut self) {
        if self.unsettled.is_empty() && !self.unsettled_people {
            return;
        }
        let changed = std::mem::take(&mut self.unsettled);
        let people = std::mem::take(&mut self.unsettled_people);
        let Some(enforced) = self.enforced.clone() else { return };
        let Some(next) = self.with_facts(|facts| enforced.refresh(facts, &changed, people)) else { return };
        self.policy = next.0.clone() as Arc<dyn Policy>;
        self.enforced = Some(next.0);
        next.1.into_iter().for_each(|id| self.change(Change::Whole(id)));
        next.2.into_iter().for_each(|id| self.change(Change::SelfOnly(id)));
    }
}

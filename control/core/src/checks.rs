//! SSH sessions that need a check: a person says that it is really them, which then holds for a while.
//!
//! The machine that is logged in to asks (`tailcfg.SSHAction.HoldAndDelegate` of tailscale.com v1.102.5) and waits. All
//! of this is kept in memory only: after a restart people are asked once more, which costs a click and no flash write.

use crate::{AuthId, CoreError, Entropy, Fact, NodeId, Now, Result, UserId, World};
use hearthgate_keys::MachinePublic;
use hearthgate_sorted::SortedMap;
use hearthgate_tailcfg::SshAction;
use std::sync::Arc;

/// Most sessions that may wait at once.
pub const CHECKS_MAX: usize = 256;
/// How long a session waits, in milliseconds. Clients give up after 30 minutes.
pub const CHECK_LIFETIME_MS: u64 = 15 * 60 * 1000;
/// Most approvals that are remembered.
const APPROVED_MAX: usize = 4096;
/// Nanoseconds in a millisecond.
const NS_PER_MS: u64 = 1_000_000;

/// A session that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCheck {
    /// From which node.
    pub from: NodeId,
    /// To which node.
    pub to: NodeId,
    /// The login that was asked for.
    pub login: String,
    since_ms: u64,
    verdict: Option<bool>,
}

/// What waits, and what was approved lately.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    waiting: Arc<SortedMap<AuthId, PendingCheck>>,
    /// When a pair of nodes was last approved, in milliseconds of the steady clock.
    approved: Arc<SortedMap<(NodeId, NodeId), u64>>,
}

/// What the machine that is logged in to is told.
#[derive(Debug, Clone, PartialEq)]
pub enum SshAnswer {
    /// This, at once.
    Act(SshAction),
    /// Nothing until the check is over ([`Fact::LoginFinished`]).
    Hold(AuthId),
}

/// A session that a machine asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAttempt {
    /// From which node.
    pub from: NodeId,
    /// To which node: one of the asking machine's.
    pub to: NodeId,
    /// The login that was asked for.
    pub login: String,
    /// The check that this is the wait for.
    pub check: Option<AuthId>,
}

fn reject(message: &str) -> SshAnswer {
    SshAnswer::Act(SshAction { reject: true, message: format!("{message}\n"), ..SshAction::default() })
}

impl Checks {
    fn fresh(&self, id: &AuthId, now: Now) -> Option<&PendingCheck> {
        self.waiting.get(id).filter(|c| now.mono_ms.saturating_sub(c.since_ms) < CHECK_LIFETIME_MS)
    }

    /// The check of a session; asking again while it waits gives the same one.
    fn add(&mut self, attempt: &SshAttempt, now: Now, rng: &mut dyn Entropy) -> AuthId {
        let waiting = Arc::make_mut(&mut self.waiting);
        waiting.retain(|_, c| now.mono_ms.saturating_sub(c.since_ms) < CHECK_LIFETIME_MS);
        let same = |c: &PendingCheck| {
            c.verdict.is_none() && c.from == attempt.from && c.to == attempt.to && c.login == attempt.login
        };
        if let Some((id, _)) = waiting.iter().find(|(_, c)| same(c)) {
            return id.clone();
        }
        if waiting.len() >= CHECKS_MAX {
            let oldest = waiting.iter().min_by_key(|(_, c)| c.since_ms).map(|(id, _)| id.clone());
            oldest.and_then(|id| waiting.remove(&id));
        }
        let id = AuthId::random(rng);
        let login = attempt.login.clone();
        let check = PendingCheck { from: attempt.from, to: attempt.to, login, since_ms: now.mono_ms, verdict: None };
        waiting.insert(id.clone(), check);
        id
    }

    fn approve(&mut self, pair: (NodeId, NodeId), now: Now) {
        let approved = Arc::make_mut(&mut self.approved);
        if approved.len() >= APPROVED_MAX {
            let oldest = approved.iter().min_by_key(|(_, at)| **at).map(|(pair, _)| *pair);
            oldest.and_then(|pair| approved.remove(&pair));
        }
        approved.insert(pair, now.mono_ms);
    }
}

impl World {
    /// Answers a machine that asks about a session.
    ///
    /// # Errors
    /// The asking machine is not the one that is logged in to, or a node does not exist.
    pub fn ssh_attempt(
        &mut self,
        machine: MachinePublic,
        attempt: &SshAttempt,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<SshAnswer> {
        let (from, to) = (self.node(attempt.from)?.clone(), self.node(attempt.to)?.clone());
        if to.machine_key != machine {
            return Err(CoreError::not_found(format!("node {}", attempt.to)));
        }
        // The policy may have changed since the client was told its rules.
        let Some(rule) = self.enforced().and_then(|e| e.ssh_action(&from, &to, &attempt.login)) else {
            return Ok(reject("The policy does not allow this login."));
        };
        let let_in = SshAction {
            accept: true,
            message: String::new(),
            hold_and_delegate: String::new(),
            session_duration: 0,
            ..rule.clone()
        };
        if rule.hold_and_delegate.is_empty() {
            return Ok(SshAnswer::Act(let_in));
        }
        if let Some(id) = &attempt.check {
            let fits = |c: &&PendingCheck| c.from == from.id && c.to == to.id && c.login == attempt.login;
            return Ok(match self.checks.fresh(id, now).filter(fits).map(|c| c.verdict) {
                Some(None) => SshAnswer::Hold(id.clone()),
                Some(Some(true)) => SshAnswer::Act(let_in),
                Some(Some(false)) => reject("The check was turned down."),
                None => reject("The check took too long."),
            });
        }
        let period_ms = u64::try_from(rule.session_duration).unwrap_or(0) / NS_PER_MS;
        let approved = self.checks.approved.get(&(from.id, to.id));
        if approved.is_some_and(|at| now.mono_ms.saturating_sub(*at) < period_ms) {
            return Ok(SshAnswer::Act(let_in));
        }
        let id = self.checks.add(attempt, now, rng);
        let url = &self.settings.server_url;
        Ok(SshAnswer::Act(SshAction {
            message: format!("# This login needs an additional check.\n# To approve it, visit: {url}/ssh-check/{id}\n"),
            hold_and_delegate: format!("{}&auth_id={id}", rule.hold_and_delegate),
            ..SshAction::default()
        }))
    }

    /// A session that waits.
    ///
    /// # Errors
    /// Unknown, over, or too old.
    pub fn pending_check(&self, id: &AuthId, now: Now) -> Result<&PendingCheck> {
        let missing = || CoreError::not_found(format!("check {id} (they last 15 minutes; log in again)"));
        self.checks.fresh(id, now).filter(|c| c.verdict.is_none()).ok_or_else(missing)
    }

    /// All sessions that wait.
    pub fn pending_checks(&self, now: Now) -> impl Iterator<Item = (&AuthId, &PendingCheck)> {
        let fresh = move |c: &PendingCheck| now.mono_ms.saturating_sub(c.since_ms) < CHECK_LIFETIME_MS;
        self.checks.waiting.iter().filter(move |(_, c)| c.verdict.is_none() && fresh(c))
    }

    /// Ends a check as an administrator does: for whoever it is.
    ///
    /// # Errors
    /// Unknown, over, or too old.
    pub fn finish_check(&mut self, id: &AuthId, approve: bool, now: Now) -> Result<()> {
        let check = self.pending_check(id, now)?;
        let pair = (check.from, check.to);
        if let Some(check) = Arc::make_mut(&mut self.checks.waiting).get_mut(id) {
            check.verdict = Some(approve);
        }
        if approve {
            self.checks.approve(pair, now);
        }
        self.fact(Fact::LoginFinished(id.clone()));
        Ok(())
    }

    /// Ends a check as the person does who began the session, after the identity provider said who they are.
    ///
    /// # Errors
    /// As [`World::finish_check`]; the device the session comes from is somebody else's, or a tagged one.
    pub fn approve_own_check(&mut self, id: &AuthId, user: UserId, now: Now) -> Result<()> {
        let from = self.pending_check(id, now)?.from;
        let node = self.node(from)?;
        if node.user != user || !node.tags.is_empty() {
            return Err(CoreError::denied("the device that logs in is not yours"));
        }
        self.finish_check(id, true, now)
    }
}

//! `/machine/register`: joining, coming back, key rotation, logout.
//!
//! The order of the checks matters to real clients (they send their auth key with a logout, and the same request
//! again after a restart): logout, wrong machine, restart, expired, follow-up, auth key, interactive.

use crate::{
    Change, ChangeBits, CoreError, Entropy, EventKind, Fact, Node, NodeId, NodeRecord, Now, PathFacts, PendingLogin,
    PreAuthKey, RegisterMethod, Result, UserId, World,
    hostinfo::{TAGS_BYTES_MAX, TAGS_MAX, from_before, stored_hostinfo, too_many_tags, waiting_request},
    names::{self, is_tag},
    pending::{AuthId, Verdict},
};
use hearthgate_keys::MachinePublic;
use hearthgate_tailcfg::{Login, RegisterRequest, RegisterResponse};
use jiff::{Timestamp, ToSpan};
use std::sync::Arc;

/// Nodes that one machine may own (one per user that logged in there).
const NODES_PER_MACHINE_MAX: usize = 64;

/// Answer to a register request.
#[derive(Debug, Clone, PartialEq)]
pub enum Registration {
    /// Send this now.
    Respond(Box<RegisterResponse>),
    /// Hold the request until [`Fact::LoginFinished`] names this login, then register again.
    Hold(AuthId),
}

/// A node that has just been let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// Its number.
    pub id: NodeId,
}

/// Who will own the node, and how it comes in.
struct Admission<'a> {
    user: UserId,
    tags: Vec<String>,
    ephemeral: bool,
    /// Somebody who may said so: it need not wait for approval.
    approved: bool,
    method: RegisterMethod,
    key: Option<&'a PreAuthKey>,
}

impl World {
    /// Answers a register request of the machine that `machine` authenticated as.
    pub fn register(
        &mut self,
        machine: MachinePublic,
        req: &RegisterRequest,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Registration {
        let respond = |r: RegisterResponse| Registration::Respond(Box::new(r));
        let refuse = |text: &str| respond(RegisterResponse { error: text.to_owned(), ..Default::default() });
        if req.node_key.is_zero() {
            return refuse("no node key in the request");
        }
        if req.hostinfo.as_ref().is_some_and(|h| too_many_tags(&h.request_tags)) {
            return refuse(&format!("more than {TAGS_MAX} tags, or {TAGS_BYTES_MAX} bytes of them, are requested"));
        }
        let existing = self.nodes.by_key(&req.node_key).cloned();
        if let Some(node) = &existing {
            if node.machine_key != machine {
                return refuse("this node key belongs to another machine");
            }
            if req.expiry.get().is_some_and(|e| e <= now.wall) {
                return respond(self.logout(node, now));
            }
        }
        let auth_key = req.auth.as_ref().map(|a| a.auth_key.reveal()).filter(|k| !k.is_empty());
        if let (Some(node), None, true) = (&existing, auth_key, req.followup.is_empty()) {
            if node.is_expired(now.wall) {
                return respond(RegisterResponse { node_key_expired: true, ..self.welcome(node) });
            }
            return respond(self.welcome(node));
        }
        if let Some(text) = auth_key {
            return match self.join_by_key(machine, req, text, existing.as_ref(), now, rng) {
                Ok(node) => respond(self.welcome(&node)),
                Err(e) => refuse(&e.to_string()),
            };
        }
        if !req.followup.is_empty()
            && let Some(id) = AuthId::find_in(&req.followup)
            && let Some(login) = self.pending.get(&id, now)
            && login.machine_key == machine
        {
            match &login.verdict {
                Verdict::Waiting => return Registration::Hold(id),
                Verdict::Rejected(why) => return refuse(why),
                Verdict::Approved => {
                    if let Some(node) = existing.filter(|n| !n.is_expired(now.wall)) {
                        return respond(self.welcome(&node));
                    }
                }
            }
        }
        let id = self.pending.add(machine, waiting_request(req), now, rng);
        let auth_url = format!("{}/register/{id}", self.settings.server_url);
        respond(RegisterResponse { auth_url, ..Default::default() })
    }

    /// A login that waits for a person.
    ///
    /// # Errors
    /// Unknown or too old.
    pub fn pending_login(&self, id: &AuthId, now: Now) -> Result<&PendingLogin> {
        let missing =
            || CoreError::not_found(format!("login request {id} (they last 15 minutes; run `tailscale up` again)"));
        self.pending.get(id, now).filter(|l| l.verdict == Verdict::Waiting).ok_or_else(missing)
    }

    /// All logins that wait.
    pub fn pending_logins(&self) -> impl Iterator<Item = (&AuthId, &PendingLogin)> {
        self.pending.iter()
    }

    /// Makes a login that waits under a given id, as if a client had asked: for tests of tools.
    pub fn place_login(&mut self, id: AuthId, machine: MachinePublic, request: RegisterRequest, now: Now) {
        self.pending.put(id, machine, waiting_request(&request), now);
    }

    /// Lets a waiting client in as a node of `user`.
    ///
    /// # Errors
    /// Unknown login or user, tags that the user may not give, a full address pool.
    pub fn approve_login(
        &mut self,
        id: &AuthId,
        user: UserId,
        method: RegisterMethod,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<Registered> {
        let login = self.pending_login(id, now)?.clone();
        let owner = self.users.get(&user).cloned().ok_or_else(|| CoreError::not_found(format!("user {user}")))?;
        let tags = login.request.hostinfo.as_ref().map(|h| h.request_tags.clone()).unwrap_or_default();
        if let Some(tag) = tags.iter().find(|t| !is_tag(t) || !self.policy.may_use_tag(&owner, t)) {
            let why = format!("requested tags [{tag}] are invalid or not permitted");
            self.pending.finish(id, Verdict::Rejected(why.clone()))?;
            self.fact(Fact::LoginFinished(id.clone()));
            return Err(CoreError::denied(why));
        }
        // Whoever lets a login in by hand has looked at the device; a provider only says whose it is.
        let approved = method == RegisterMethod::Cli;
        let admission = Admission { user, tags, ephemeral: false, approved, method, key: None };
        let node = self.admit(login.machine_key, &login.request, admission, now, rng)?;
        self.pending.finish(id, Verdict::Approved)?;
        self.fact(Fact::LoginFinished(id.clone()));
        Ok(Registered { id: node.id })
    }

    /// Turns a waiting client away.
    ///
    /// # Errors
    /// Unknown login.
    pub fn reject_login(&mut self, id: &AuthId, now: Now) -> Result<()> {
        self.pending_login(id, now)?;
        self.pending.finish(id, Verdict::Rejected("login was rejected".into()))?;
        self.fact(Fact::LoginFinished(id.clone()));
        Ok(())
    }

    fn join_by_key(
        &mut self,
        machine: MachinePublic,
        req: &RegisterRequest,
        text: &str,
        existing: Option<&Arc<Node>>,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<Arc<Node>> {
        let key = self.find_preauth(text).cloned();
        if let Some(node) = existing.filter(|n| !n.is_expired(now.wall)) {
            // A client that starts again sends its key again, spent or deleted as it may be. Only another key that
            // works makes it somebody else's.
            let other =
                key.as_ref().filter(|k| node.preauth_key != Some(k.id) && Self::preauth_refusal(k, now).is_none());
            if other.is_none_or(|k| owned_by_key(node, k) && !(node.waiting && k.preauthorized)) {
                self.take_hostinfo_at_register(node.id, req)?;
                return self.node(node.id).cloned();
            }
        }
        let key = key.ok_or_else(|| CoreError::denied("invalid pre auth key"))?;
        if let Some(why) = Self::preauth_refusal(&key, now) {
            return Err(CoreError::denied(why));
        }
        let asked = req.hostinfo.as_ref().map(|h| h.request_tags.clone()).unwrap_or_default();
        let owner = key.user.and_then(|u| self.users.get(&u));
        let may = |t: &String| {
            key.tags.contains(t)
                || owner.is_some_and(|u| key.tags.is_empty() && is_tag(t) && self.policy.may_use_tag(u, t))
        };
        if let Some(bad) = asked.iter().find(|t| !may(t)) {
            return Err(CoreError::denied(format!("requested tags [{bad}] are invalid or not permitted")));
        }
        let tags = if key.tags.is_empty() { asked } else { key.tags.clone() };
        let admission = Admission {
            user: key.user.unwrap_or(crate::TAGGED_DEVICES),
            tags,
            approved: key.preauthorized,
            ephemeral: key.ephemeral || req.ephemeral,
            method: RegisterMethod::AuthKey,
            key: Some(&key),
        };
        let node = self.admit(machine, req, admission, now, rng)?;
        if !key.used {
            self.put_preauth(PreAuthKey { used: true, ..key });
        }
        Ok(node)
    }

    /// Lets a client in: the machine's node of the same owner with its new key, or a new node.
    fn admit(
        &mut self,
        machine: MachinePublic,
        req: &RegisterRequest,
        how: Admission<'_>,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<Arc<Node>> {
        if self.nodes.by_key(&req.node_key).is_some_and(|n| n.machine_key != machine) {
            return Err(CoreError::denied("this node key belongs to another machine"));
        }
        let mut hostinfo = req.hostinfo.as_ref().map(stored_hostinfo).unwrap_or_default();
        let tagged = !how.tags.is_empty();
        let default_expiry = i64::try_from(self.settings.node_expiry_s).ok().filter(|s| *s > 0 && !tagged);
        let expiry = default_expiry.and_then(|s| now.wall.checked_add(s.seconds()).ok());
        // A client may ask for a shorter life, never for a longer one.
        let expiry = match (expiry, req.expiry.get()) {
            (Some(ours), Some(theirs)) if theirs > now.wall => Some(ours.min(theirs)),
            (None, Some(theirs)) if theirs > now.wall && !tagged => Some(theirs),
            (ours, _) => ours,
        };
        let same_key = self.nodes.by_key(&req.node_key).cloned();
        let mine: Vec<Arc<Node>> = self.nodes.of_machine(&machine).cloned().collect();
        let owned = mine.iter().find(|n| if tagged { n.is_tagged() } else { !n.is_tagged() && n.user == how.user });
        // The node key says which node it is when it changes owner in place (user to tags and back).
        let convert = same_key.as_ref().filter(|n| n.is_tagged() != tagged);
        let node = match owned.or(convert) {
            Some(old) => {
                let mut node = Node::clone(old);
                let retired = (old.node_key != req.node_key).then_some(old.node_key);
                node.record.node_key = req.node_key;
                node.record.user = how.user;
                node.record.tags = how.tags;
                node.record.expiry = expiry;
                node.record.ephemeral = how.ephemeral;
                node.record.waiting &= !how.approved;
                node.record.method = how.method;
                node.record.preauth_key = how.key.map(|k| k.id).or(old.preauth_key);
                // Only a request with a key is whole: all others have waited.
                if how.key.is_none() {
                    from_before(&mut hostinfo, &old.hostinfo);
                }
                node.record.hostinfo = Arc::new(hostinfo);
                node.record.cap = req.version;
                if let Some(key) = retired {
                    self.fact(Fact::KeyRetired(key));
                }
                self.follow_hostname(&mut node);
                node
            }
            None => {
                if mine.len() >= NODES_PER_MACHINE_MAX {
                    return Err(CoreError::Full(format!(
                        "this machine owns {NODES_PER_MACHINE_MAX} nodes already: delete some"
                    )));
                }
                if let Some(other) = same_key {
                    // Another user logged in on this machine with the same node key: a key belongs to one node only.
                    self.edit_node(other.id, true, Change::Upserted(other.id), |n| {
                        n.record.node_key = hearthgate_keys::NodePublic::from_bytes(retired_key(n.record.id));
                        n.record.expiry = Some(now.wall);
                    })?;
                }
                self.new_node(machine, req, how, Arc::new(hostinfo), expiry, now, rng)?
            }
        };
        let (id, ephemeral) = (node.id, node.ephemeral);
        let new = self.node(id).is_err();
        let let_in = !node.waiting && self.node(id).is_ok_and(|old| old.waiting);
        self.put_node(node, true, Change::Upserted(id));
        if let_in {
            self.change(Change::Whole(id));
        }
        let node = self.node(id)?.clone();
        for (kind, is_so) in [
            (EventKind::NodeCreated, new),
            (EventKind::NodeNeedsApproval, new && node.waiting),
            (EventKind::NodeApproved, let_in),
        ] {
            if is_so {
                self.happened(kind, &node);
            }
        }
        if ephemeral {
            let timeout = self.settings.ephemeral_timeout_ms;
            if !self.node(id)?.path.online {
                self.presence.start_ephemeral_timer(id, now, timeout);
            }
        }
        self.auto_approve(id)?;
        self.elect_primaries();
        self.node(id).cloned()
    }

    #[expect(clippy::too_many_arguments, reason = "one call, every value is another thing")]
    fn new_node(
        &mut self,
        machine: MachinePublic,
        req: &RegisterRequest,
        how: Admission<'_>,
        hostinfo: Arc<hearthgate_tailcfg::Hostinfo>,
        expiry: Option<Timestamp>,
        now: Now,
        rng: &mut dyn Entropy,
    ) -> Result<Node> {
        let pools = self.enforced().map(|e| e.pools_for(how.user, &how.tags)).unwrap_or_default();
        let (ipv4, ipv6) = self.allocate(&pools, rng)?;
        let id = NodeId(self.next_id());
        let given_name = names::free_label(&hostinfo.hostname, |l| self.nodes.name_taken_by_other(l, id));
        let record = NodeRecord {
            id,
            machine_key: machine,
            node_key: req.node_key,
            disco_key: Default::default(),
            user: how.user,
            tags: how.tags,
            given_name,
            renamed: false,
            ipv4,
            ipv6,
            created: now.wall,
            expiry,
            method: how.method,
            preauth_key: how.key.map(|k| k.id),
            ephemeral: how.ephemeral,
            waiting: self.settings.device_approval && !how.approved,
            approved_routes: Vec::new(),
            attributes: Default::default(),
            hostinfo,
            cap: req.version,
            last_seen: Some(now.wall),
        };
        Ok(Node { record, path: PathFacts::default(), primary_routes: Vec::new() })
    }

    fn logout(&mut self, node: &Node, now: Now) -> RegisterResponse {
        let id = node.id;
        let answer = RegisterResponse { node_key_expired: true, ..self.welcome(node) };
        let result = if node.ephemeral {
            self.drop_node(id).map(|_| ())
        } else if node.is_expired(now.wall) {
            Ok(())
        } else {
            self.set_node_expiry(id, Some(now.wall), now)
        };
        match result {
            Ok(()) => answer,
            Err(e) => RegisterResponse { error: e.to_string(), ..Default::default() },
        }
    }

    /// What a registered client is told about itself.
    fn welcome(&self, node: &Node) -> RegisterResponse {
        let owner = node.owner();
        let (login_name, display_name, picture) = crate::map::profile_of(self.users.get(&owner), owner, &self.settings);
        RegisterResponse {
            user: hearthgate_tailcfg::User {
                id: owner.0.cast_signed(),
                display_name: display_name.clone(),
                profile_pic_url: picture.clone(),
                ..Default::default()
            },
            login: Login {
                id: owner.0.cast_signed(),
                login_name,
                display_name,
                profile_pic_url: picture,
                ..Default::default()
            },
            machine_authorized: !node.waiting,
            ..Default::default()
        }
    }

    fn take_hostinfo_at_register(&mut self, id: NodeId, req: &RegisterRequest) -> Result<()> {
        let Some(hostinfo) = &req.hostinfo else { return Ok(()) };
        let new = stored_hostinfo(hostinfo);
        if *self.node(id)?.hostinfo != new {
            let mut node = Node::clone(self.node(id)?);
            node.record.hostinfo = Arc::new(new);
            self.follow_hostname(&mut node);
            self.put_node(node, false, Change::Upserted(id));
            self.auto_approve(id)?;
            self.elect_primaries();
        }
        if self.node(id)?.cap != req.version {
            self.edit_node(id, false, Change::Patched(id, ChangeBits::CAP), |n| n.record.cap = req.version)?;
        }
        Ok(())
    }

    /// Lets a name that nobody chose follow the host name.
    pub(crate) fn follow_hostname(&self, node: &mut Node) {
        if node.renamed {
            return;
        }
        let base = names::sanitize_hostname(&node.hostinfo.hostname);
        let follows = node.given_name.strip_prefix(&base).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('-').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        if !follows && !base.is_empty() {
            let id = node.id;
            node.record.given_name =
                names::free_label(&node.hostinfo.hostname, |l| self.nodes.name_taken_by_other(l, id));
        }
    }
}

/// Whether `node` already belongs to the owner that `key` would give it.
fn owned_by_key(node: &Node, key: &PreAuthKey) -> bool {
    if key.tags.is_empty() { !node.is_tagged() && Some(node.user) == key.user } else { node.tags == key.tags }
}

/// A placeholder that no client can have, for a node whose key moved to another node of the machine.
fn retired_key(id: NodeId) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[..8].copy_from_slice(&id.0.to_be_bytes());
    bytes
}

//! The boxes whose tunnel is up, and which of them a client is for.

use crate::{boxes::Boxes, caller::Caller};
use hearthgate_keys::MachinePublic;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// A tunnel that is up.
pub(crate) struct Member {
    key: MachinePublic,
    caller: Caller,
    gone: Arc<Notify>,
}

impl Member {
    /// The tunnel of the box with this key.
    pub(crate) fn new(key: MachinePublic, caller: Caller) -> Self {
        Self { key, caller, gone: Arc::default() }
    }

    /// Resolves when the tunnel is to be ended: the box was revoked, or has a newer one.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let gone = self.gone.clone();
        async move { gone.notified().await }
    }
}

/// All of them.
pub(crate) struct Members(Mutex<Inner>);

struct Inner {
    boxes: Boxes,
    up: HashMap<MachinePublic, Member>,
}

impl Members {
    /// Nobody is there yet.
    pub(crate) fn new(boxes: Boxes) -> Self {
        Self(Mutex::new(Inner { boxes, up: HashMap::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a newer list of boxes: who is no longer on it loses its tunnel.
    pub(crate) fn set(&self, boxes: Boxes) {
        let mut inner = self.lock();
        inner.boxes = boxes;
        let Inner { boxes, up } = &mut *inner;
        up.retain(|key, member| {
            let stays = boxes.knows(key);
            if !stays {
                member.gone.notify_one();
            }
            stays
        });
    }

    /// Whether a box is paired.
    pub(crate) fn knows(&self, key: &MachinePublic) -> bool {
        self.lock().boxes.knows(key)
    }

    /// A tunnel is up. An older one of the same box ends: the box would not dial again if it still had it.
    pub(crate) fn enter(&self, member: Member) {
        let mut inner = self.lock();
        if !inner.boxes.knows(&member.key) {
            member.gone.notify_one();
            return;
        }
        if let Some(old) = inner.up.insert(member.key, member) {
            old.gone.notify_one();
        }
    }

    /// A tunnel ended.
    pub(crate) fn leave(&self, key: &MachinePublic, caller: &Caller) {
        let mut inner = self.lock();
        if inner.up.get(key).is_some_and(|m| m.caller.is_same(caller)) {
            inner.up.remove(key);
        }
    }

    /// The tunnel for a TLS hello with this name.
    pub(crate) fn for_name(&self, name: Option<&str>) -> Option<Caller> {
        let inner = self.lock();
        inner.up.get(&inner.boxes.for_name(name)?).map(|m| m.caller.clone())
    }

    /// All tunnels.
    pub(crate) fn all(&self) -> Vec<Caller> {
        self.lock().up.values().map(|m| m.caller.clone()).collect()
    }
}

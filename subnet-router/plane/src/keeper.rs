//! Keeps what is ours in the host: interface addresses, routes, policy rules, the nftables table, forwarding.
//!
//! Firewall reloads flush tables, network managers remove rules they do not know. A thread listens for such changes and
//! puts everything back; it looks by itself now and then, should a message have been lost. Putting back changes
//! nothing, and so tells nothing, when all is there.

use crate::{
    Config, Desired, PlaneError, firewall,
    host::{Host, netlink},
    nft::{Batch, NftSocket, Watch},
    said::Said,
    sysctl,
    via::Via,
};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Changes come in bursts; a reload is over sooner than this.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the thread looks whether to stop.
const PATIENCE: Duration = Duration::from_millis(250);
/// A look without an occasion, every so many waits: half a minute.
const IDLE_WAITS: u32 = 120;
const STACK: usize = 128 << 10;

/// More rules for the table.
pub(crate) type Extra = Box<dyn Fn(&mut Batch) + Send + Sync>;

struct Inner {
    interface: String,
    host: Host,
    nft: NftSocket,
    extra: Option<Extra>,
    desired: Option<Desired>,
    via: Option<Via>,
    rules: usize,
    /// What could not be put back.
    said: Said,
}

/// The keeper; its clone is the same one.
#[derive(Clone)]
pub(crate) struct Keeper {
    inner: Arc<Mutex<Inner>>,
    stopped: Arc<AtomicBool>,
}

impl Keeper {
    /// Takes an interface, closes its filter, then takes it up.
    pub(crate) fn start(config: &Config, extra: Option<Extra>) -> Result<Self, PlaneError> {
        let (interface, mtu) = (config.interface.as_str(), config.mtu);
        let nft = NftSocket::open().map_err(netlink("nftables socket"))?;
        let watch = Watch::open().map_err(netlink("watching for changes"))?;
        let host = Host::find(interface, config.plain)?;
        let said = Said::default();
        let mut inner =
            Inner { interface: interface.into(), host, nft, extra, desired: None, via: None, rules: 0, said };
        inner.write_table()?;
        let keeper = Self { inner: Arc::new(Mutex::new(inner)), stopped: Arc::default() };
        if let Err(error) = keeper.inner().host.up(mtu) {
            keeper.inner().remove_table();
            return Err(error);
        }
        let (weak, stopped) = (Arc::downgrade(&keeper.inner), Arc::clone(&keeper.stopped));
        let run = move || {
            let (mut waits, mut deaf) = (0, Said::default());
            while !stopped.load(Ordering::Relaxed) {
                match watch.changed(PATIENCE) {
                    Ok(true) => thread::sleep(SETTLE),
                    Ok(false) if waits < IDLE_WAITS => {
                        waits += 1;
                        continue;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        if deaf.is_news(&error) {
                            tracing::warn!(%error, "changes cannot be watched");
                        }
                        thread::sleep(PATIENCE);
                    }
                }
                waits = 0;
                let Some(inner) = weak.upgrade() else {
                    return;
                };
                let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
                if !stopped.load(Ordering::Relaxed) {
                    inner.heal();
                }
            }
        };
        thread::Builder::new().name("keeper".into()).stack_size(STACK).spawn(run).map_err(PlaneError::Thread)?;
        Ok(keeper)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the host's part of a state so. The filter comes first: what comes up later is never open.
    pub(crate) fn apply(&self, desired: &Desired) -> Result<(), PlaneError> {
        let mut inner = self.inner();
        let had = inner.via.as_ref().map(Via::index);
        let translator = inner.translate(!desired.via.is_empty());
        let same = had == inner.via.as_ref().map(Via::index)
            && inner.desired.as_ref().is_some_and(|old| {
                old.filter == desired.filter
                    && old.open == desired.open
                    && old.forward == desired.forward
                    && old.snat == desired.snat
                    && old.snat6 == desired.snat6
                    && old.masquerade_lan == desired.masquerade_lan
            });
        let before = inner.desired.replace(desired.clone());
        if !same && let Err(error) = inner.write_table() {
            // The table in force stays, and the next state is written in full.
            inner.desired = before;
            inner.via = None;
            return Err(error);
        }
        if desired.forward {
            sysctl::forwarding()?;
        }
        let via = inner.via.as_ref().map(Via::index);
        inner.host.apply(desired, via).and(translator)
    }

    /// Takes everything away.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let mut inner = self.inner();
        inner.via = None;
        inner.host.detach();
        inner.remove_table();
    }
}

impl Inner {
    /// Has a translator, or none.
    fn translate(&mut self, wanted: bool) -> Result<(), PlaneError> {
        if !wanted {
            self.via = None;
        } else if self.via.as_ref().is_none_or(Via::has_ended) {
            // The old one lets go of its name first.
            self.via = None;
            self.via = Some(Via::start(&self.interface)?);
        }
        Ok(())
    }

    fn write_table(&mut self) -> Result<(), PlaneError> {
        let mut batch = Batch::new(&firewall::table(&self.interface));
        batch.fresh_table();
        if let Some(extra) = &self.extra {
            extra(&mut batch);
        }
        let via = self.via.as_ref().map(Via::index);
        firewall::write(&mut batch, self.host.index(), via, self.desired.as_ref());
        let rules = batch.rules();
        self.nft.commit(batch).map_err(netlink("nftables"))?;
        self.rules = rules;
        Ok(())
    }

    fn remove_table(&self) {
        remove_table(&self.nft, &self.interface);
    }

    /// Puts back what is missing. What cannot be put back is told once, and tried again at the next look.
    fn heal(&mut self) {
        let parts = [self.heal_translator(), self.heal_table(), self.heal_host()];
        match parts.into_iter().find_map(Result::err) {
            Some(error) if self.said.is_news(&error) => tracing::warn!(%error, "not restored"),
            Some(_) => {}
            None => self.said.clear(),
        }
    }

    fn heal_translator(&mut self) -> Result<(), PlaneError> {
        let wanted = self.desired.as_ref().is_some_and(|desired| !desired.via.is_empty());
        if !wanted || self.via.as_ref().is_some_and(|via| !via.has_ended()) {
            return Ok(());
        }
        if self.via.is_some() {
            tracing::warn!("the translator's device was taken away by somebody");
        }
        self.translate(true)?;
        // Without its rules it is none, and is made again.
        self.write_table().inspect_err(|_| self.via = None)
    }

    fn heal_table(&mut self) -> Result<(), PlaneError> {
        let rules = self.nft.count_rules(&firewall::table(&self.interface)).map_err(netlink("nftables"))?;
        if rules != self.rules {
            tracing::warn!(rules, expected = self.rules, "the nftables table was changed by somebody");
            self.write_table()?;
        }
        Ok(())
    }

    fn heal_host(&mut self) -> Result<(), PlaneError> {
        let via = self.via.as_ref().map(Via::index);
        self.desired.as_ref().map_or(Ok(()), |desired| self.host.apply(desired, via))
    }
}

fn remove_table(nft: &NftSocket, interface: &str) {
    let mut batch = Batch::new(&firewall::table(interface));
    batch.delete_table();
    match nft.commit(batch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!(%error, "table not removed"),
        _ => {}
    }
}

/// Whether a process left a table of ours for this interface.
pub(crate) fn is_left(interface: &str) -> Result<bool, PlaneError> {
    let nft = NftSocket::open().map_err(netlink("nftables socket"))?;
    Ok(nft.count_rules(&firewall::table(interface)).map_err(netlink("nftables"))? > 0)
}

/// Removes what a crash may have left.
pub(crate) fn clean(interface: &str) -> Result<(), PlaneError> {
    let nft = NftSocket::open().map_err(netlink("nftables socket"))?;
    Host::remove_all(interface)?;
    remove_table(&nft, interface);
    Ok(())
}

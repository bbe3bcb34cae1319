//! The single writer: one thread owns the world, carries out jobs in batches, makes each batch durable, and only
//! then answers.
//!
//! Two views leave this thread. The *current* view is swapped in after every batch, so that a client that was told
//! "registered" finds itself a moment later. The *published* snapshot, which wakes the map streams, comes at most
//! every [`PUBLISH_EVERY`]: under load many changes share one message, and all streams move over the same range of
//! sequence numbers, so that its bytes are made once.

use arc_swap::ArcSwap;
use hearthgate_core::{Entropy, Fact, Now, Snapshot, World, Write};
use hearthgate_http::spawn;
use hearthgate_store::{Batch as StoreBatch, Record, Store, StoreError};
use jiff::Timestamp;
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Jobs that may wait for the writer.
const QUEUE: usize = 1024;
/// Jobs carried out before one flush.
const BATCH_MAX: usize = 256;
/// Shortest time between two wake-ups of the map streams.
pub const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// Longest sleep of the writer when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// What a job may use besides the world.
pub struct Context<'a> {
    /// Time of the batch.
    pub now: Now,
    /// Random bytes.
    pub rng: &'a mut dyn Entropy,
}

/// The change could not be made: the store failed, or the server is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change could not be stored; nothing was changed. See the log, then try again")]
pub struct Unavailable;

type Reply = Box<dyn FnOnce(bool) + Send>;
type Job = Box<dyn FnOnce(&mut World, &mut Context<'_>) -> Reply + Send>;

/// What the writer is asked.
enum Message {
    /// A change.
    Change(Job),
    /// All records as they are after the batch that this stands in.
    Export(oneshot::Sender<Result<Vec<Record>, StoreError>>),
}

/// The way to the writer, and the views it gives out.
#[derive(Clone)]
pub struct Control {
    jobs: mpsc::Sender<Message>,
    current: Arc<ArcSwap<Snapshot>>,
    published: watch::Receiver<Arc<Snapshot>>,
    stopping: watch::Sender<bool>,
}

impl Control {
    /// Carries out `job` on the world; the answer comes after its effects are durable.
    ///
    /// # Errors
    /// [`Unavailable`] when they could not be made durable: then they did not happen.
    pub async fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut World, &mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Unavailable> {
        let (tx, rx) = oneshot::channel();
        let job: Job = Box::new(move |world, context| {
            let result = job(world, context);
            Box::new(move |stored| {
                if stored {
                    // Nobody waits any more: fine.
                    let _ = tx.send(result);
                }
            })
        });
        self.jobs.send(Message::Change(job)).await.map_err(|_| Unavailable)?;
        rx.await.map_err(|_| Unavailable)
    }

    /// Queues `job` without waiting for it.
    pub fn cast(&self, job: impl FnOnce(&mut World, &mut Context<'_>) + Send + 'static) {
        let job: Job = Box::new(move |world, context| {
            job(world, context);
            Box::new(|_| ())
        });
        if let Err(mpsc::error::TrySendError::Full(job)) = self.jobs.try_send(Message::Change(job)) {
            let jobs = self.jobs.clone();
            spawn(async move { jobs.send(job).await });
        }
    }

    /// Nothing more is carried out: the server is going down.
    pub fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Every durable record, as of one moment between two changes.
    ///
    /// # Errors
    /// The disk failed, or the server is going down.
    pub async fn export(&self) -> Result<Vec<Record>, StoreError> {
        let (tx, rx) = oneshot::channel();
        self.jobs.send(Message::Export(tx)).await.map_err(|_| StoreError::Poisoned)?;
        rx.await.map_err(|_| StoreError::Poisoned)?
    }

    /// Makes the writer finish what is queued and close the store.
    pub async fn stop(&self) {
        // Already gone is as good.
        let flush: Job = Box::new(|world, _| {
            world.flush_stale();
            Box::new(|_| ())
        });
        let _ = self.jobs.send(Message::Change(flush)).await;
        let _ = self.stopping.send(true);
    }

    /// The state after the last batch.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The snapshots that wake map streams.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.published.clone()
    }
}

/// The writer's thread; joins when the last [`Control`] is gone.
pub struct WriterThread(thread::JoinHandle<()>);

impl WriterThread {
    /// Waits until everything queued is durable and the store is closed.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the writer thread panicked");
        }
    }
}

/// Starts the writer. `facts` gets what has to be done outside after a batch is durable.
///
/// # Errors
/// The thread could not be started.
pub fn start(
    world: World,
    store: Box<dyn Store>,
    facts: broadcast::Sender<Fact>,
) -> std::io::Result<(Control, WriterThread)> {
    let (jobs, queue) = mpsc::channel(QUEUE);
    let first = Arc::new(world.view());
    let current = Arc::new(ArcSwap::new(first.clone()));
    let (publish, published) = watch::channel(first);
    let mut writer = Writer { world, store, facts, current: current.clone(), publish, clock: Instant::now() };
    let (stopping, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread =
        thread::Builder::new().name("writer".into()).spawn(move || runtime.block_on(writer.run(queue, stopped)))?;
    Ok((Control { jobs, current, published, stopping }, WriterThread(thread)))
}

struct Writer {
    world: World,
    store: Box<dyn Store>,
    facts: broadcast::Sender<Fact>,
    current: Arc<ArcSwap<Snapshot>>,
    publish: watch::Sender<Arc<Snapshot>>,
    clock: Instant,
}

impl Writer {
    async fn run(&mut self, mut queue: mpsc::Receiver<Message>, mut stopped: watch::Receiver<bool>) {
        let mut batch: Vec<Message> = Vec::new();
        let mut last_publish = Instant::now() - PUBLISH_EVERY;
        let mut unpublished = false;
        loop {
            let timer = self
                .world
                .poll_timeout()
                .map_or(IDLE, |due| Duration::from_millis(due.saturating_sub(self.mono_ms())).min(IDLE));
            let publish_in = if unpublished { PUBLISH_EVERY.saturating_sub(last_publish.elapsed()) } else { IDLE };
            tokio::select! {
                biased;
                () = tokio::time::sleep(publish_in), if unpublished => {}
                n = queue.recv_many(&mut batch, BATCH_MAX) => {
                    if n == 0 {
                        break;
                    }
                }
                _ = stopped.wait_for(|s| *s) => break,
                () = tokio::time::sleep(timer) => {}
            }
            let (mut jobs, mut exports) = (Vec::new(), Vec::new());
            for message in batch.drain(..) {
                match message {
                    Message::Change(job) => jobs.push(job),
                    Message::Export(to) => exports.push(to),
                }
            }
            unpublished |= self.carry_out(jobs);
            for to in exports {
                // Who asked may have gone.
                let _ = to.send(self.store.scan(b""));
            }
            if unpublished && last_publish.elapsed() >= PUBLISH_EVERY {
                unpublished = false;
                last_publish = Instant::now();
                if let Some(snapshot) = self.world.publish() {
                    let snapshot = Arc::new(snapshot);
                    self.current.store(snapshot.clone());
                    self.publish.send_replace(snapshot);
                }
            }
        }
        self.world.flush_stale();
        let last = self.world.take_batch();
        if let Err(e) = self.commit(&last.writes) {
            tracing::error!(error = %e, "the last coarse facts could not be stored");
        }
    }

    /// Runs a batch of jobs and what is due; true when readers have to be told something.
    fn carry_out(&mut self, jobs: Vec<Job>) -> bool {
        let now = Now { wall: Timestamp::now(), mono_ms: self.mono_ms() };
        let timers = self.world.poll_timeout().is_some_and(|due| due <= now.mono_ms);
        if jobs.is_empty() && !timers {
            return false;
        }
        let before = self.world.clone();
        let mut rng = |out: &mut [u8]| fill_random(out);
        let mut context = Context { now, rng: &mut rng };
        self.world.handle_timeout(now);
        let replies: Vec<Reply> = jobs.into_iter().map(|job| job(&mut self.world, &mut context)).collect();
        let batch = self.world.take_batch();
        if let Err(e) = self.commit(&batch.writes) {
            tracing::error!(error = %e, "a batch of changes could not be stored; none of them happened");
            self.world = before;
            replies.into_iter().for_each(|r| r(false));
            return false;
        }
        self.current.store(Arc::new(self.world.view()));
        replies.into_iter().for_each(|r| r(true));
        for fact in batch.facts {
            // Nobody listens: nothing is held for it.
            let _ = self.facts.send(fact);
        }
        self.world.has_unpublished()
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut batch = StoreBatch::new();
        for write in writes {
            match &write.value {
                Some(value) => batch.put(write.key.as_bytes(), value),
                None => batch.delete(write.key.as_bytes()),
            };
        }
        self.store.commit(batch).map(|_| ())
    }

    fn mono_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Random bytes from the kernel.
pub(crate) fn fill_random(out: &mut [u8]) {
    // getrandom fails only on kernels older than 3.17 without /dev/urandom: going on with predictable keys would be
    // worse than stopping.
    if let Err(e) = getrandom::fill(out) {
        tracing::error!(error = %e, "no random numbers from the kernel: cannot go on");
        std::process::abort();
    }
}

//! Restoring a backup on a running box: it is received into a file, checked, shown, confirmed; then the program starts
//! anew and puts it in place before it opens the store ([`swap`]). The state before is kept and can be put back.

mod api;
mod receive;
mod swap;

pub(crate) use api::{api, length_of};
pub use receive::Refusal;
pub(crate) use receive::receive;
pub(crate) use swap::Swapped;

use crate::{state::App, writer::fill_random};
use hearthgate_core::{AllowAll, CoreError, Now, Settings, Stored, World};
use hearthgate_http::spawn;
use hearthgate_store::{EngineKind, StoreError, look_into};
use hearthgate_tailcfg::DerpMap;
use hearthgate_web::{
    account,
    restore::{Kept, Summary},
};
use jiff::Timestamp;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};

/// What is being received.
const PART: &str = "restore.part";
/// What was received and found good.
const CHECKED: &str = "restore.checked";
/// Who confirmed, for the audit log of the state that was put in place.
const BY: &str = "restore.by";
/// Longest name in that file in bytes.
const BY_MAX: u64 = 4096;
/// Longest version that is shown, in letters.
const VERSION_MAX: usize = 40;
/// Most owners that are named.
const OWNERS_MAX: usize = 10;
/// From the answer to the restart, so that the answer gets to who confirmed.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// The backup that waits for a confirmation.
struct Waiting {
    summary: Summary,
    /// Where it lies.
    file: PathBuf,
}

/// What the server knows of restores.
pub(crate) struct Restores {
    one: Semaphore,
    waiting: Mutex<Option<Waiting>>,
    restart: Arc<Notify>,
}

impl Restores {
    /// Nothing waits; what an earlier run received is forgotten.
    pub(crate) fn new(state_dir: &Path) -> Self {
        for name in [PART, CHECKED] {
            // They may not be there; if they cannot be removed, they are written over later.
            let _ = fs::remove_file(state_dir.join(name));
        }
        Self { one: Semaphore::new(1), waiting: Mutex::default(), restart: Arc::default() }
    }

    /// Is told when the program has to start anew.
    pub(crate) fn restart(&self) -> Arc<Notify> {
        self.restart.clone()
    }

    fn set(&self, waiting: Option<Waiting>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// What waits for a confirmation.
    pub(crate) fn waiting(&self) -> Option<Summary> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|w| w.summary.clone())
    }
}

/// The state before the last restore, if it is there.
pub(crate) fn kept(app: &App) -> Option<Kept> {
    let meta = fs::metadata(app.state_dir.join(swap::BEFORE)).ok()?;
    let made = meta.modified().ok().and_then(|t| Timestamp::try_from(t).ok());
    Some(Kept { made, bytes: meta.len() })
}

/// Has the state before the last restore wait for a confirmation.
///
/// # Errors
/// There is none, or it is damaged.
pub(crate) async fn choose_kept(app: &App) -> Result<Summary, CoreError> {
    let file = app.state_dir.join(swap::BEFORE);
    if !file.exists() {
        return Err(CoreError::NotFound("the state before a restore: nothing was restored here".into()));
    }
    offer(app, file).await.map_err(|e| CoreError::Invalid(e.to_string()))
}

/// Checks a file, and has it wait.
async fn offer(app: &App, file: PathBuf) -> Result<Summary, Refusal> {
    let looked = file.clone();
    let checked = tokio::task::spawn_blocking(move || summary(&looked)).await;
    let summary = checked.map_err(|_| Refusal::Broken("the check of the backup was cut off".into()))??;
    app.restores.set(Some(Waiting { summary: summary.clone(), file }));
    Ok(summary)
}

/// What a backup holds, once all of it was checked: its bytes, its schema, every record.
///
/// # Errors
/// It is damaged or of a newer hearthgate.
pub fn summary(file: &Path) -> Result<Summary, Refusal> {
    let bytes = fs::metadata(file).map_err(swap::failed("reading", file))?.len();
    let contents = look_into(file)?;
    let mut stored = Stored::default();
    for (key, value) in contents.records.iter() {
        stored.add(&String::from_utf8_lossy(key), value).map_err(|e| Refusal::Record(e.key))?;
    }
    let made = contents.records.get(crate::backup::MADE.as_bytes());
    let made = made.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
    let keys = contents.records.contains_key(crate::backup::NOISE_KEY.as_bytes());
    let version = contents.version.map(|v| v.chars().take(VERSION_MAX).collect());
    // Room for what is made of it: all of this is in memory.
    drop(contents.records);
    let now = Now { wall: Timestamp::now(), mono_ms: 0 };
    let world = World::load(stored, Settings::default(), Arc::new(AllowAll), DerpMap::default(), now);
    let mut id = [0; 8];
    fill_random(&mut id);
    Ok(Summary {
        id: id.iter().map(|b| format!("{b:02x}")).collect(),
        bytes,
        made,
        last_entry: world.audit_log().last().map(|e| e.at),
        version,
        network: crate::network::name(&world).map(|name| format!("{name}.{}", crate::network::SUFFIX)),
        devices: world.nodes().count(),
        users: world.users().count(),
        owners: account::all(&world)
            .into_iter()
            .filter(|a| a.role.is_owner())
            .map(|a| a.name)
            .take(OWNERS_MAX)
            .collect(),
        keys,
    })
}

/// Forgets what waits.
///
/// # Errors
/// The disk failed.
pub(crate) fn forget(app: &App) -> Result<(), CoreError> {
    app.restores.set(None);
    swap::remove(&app.state_dir.join(CHECKED)).map_err(|e| CoreError::Invalid(e.to_string()))
}

/// Confirms what waits under this id: it is put in place by the restart that follows.
///
/// # Errors
/// Something else waits, or nothing; or the disk failed.
pub(crate) async fn confirm(app: &App, id: &str, actor: &str) -> Result<(), CoreError> {
    let _one = app.restores.one.try_acquire().map_err(|_| CoreError::Conflict(Refusal::Busy.to_string()))?;
    let waiting = app.restores.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let waiting = match waiting {
        Some(w) if w.summary.id == id => w,
        other => {
            app.restores.set(other);
            return Err(CoreError::Conflict("no such backup waits: send it again, and confirm what is shown".into()));
        }
    };
    let (by, subject) = (actor.to_owned(), waiting.summary.words());
    let noted = app.control.call(move |world, c| world.audit(&by, "restores a backup", &subject, c.now)).await;
    noted.map_err(|e| CoreError::Full(e.to_string()))?;
    let file = |name: &str| app.state_dir.join(name);
    let named = fs::write(file(BY), actor).map_err(swap::failed("writing", &file(BY)));
    named
        .and_then(|()| swap::rename(&waiting.file, &file(swap::NEXT)))
        .map_err(|e| CoreError::Invalid(e.to_string()))?;
    let restart = app.restores.restart();
    spawn(async move {
        tokio::time::sleep(RESTART_AFTER).await;
        restart.notify_one();
    });
    Ok(())
}

/// At a start: puts a confirmed backup in place. The answer goes to [`note`] once the server runs.
///
/// # Errors
/// The disk failed.
pub(crate) fn at_start(state_dir: &Path, engine: EngineKind) -> Result<Option<Swapped>, StoreError> {
    let swapped = swap::swap(state_dir, engine)?;
    match &swapped {
        Some(Swapped::Done) => tracing::info!("the backup is in place; the state before is kept"),
        Some(Swapped::Refused(why)) => tracing::error!(%why, "the backup was not put in place"),
        None => {}
    }
    Ok(swapped)
}

/// Notes in the audit log how a restore ended.
pub(crate) async fn note(app: &App, swapped: Swapped) {
    let by = app.state_dir.join(BY);
    let actor = match fs::metadata(&by) {
        Ok(meta) if meta.len() <= BY_MAX => fs::read_to_string(&by).unwrap_or_default(),
        _ => String::new(),
    };
    let actor = if actor.is_empty() { "console".to_owned() } else { actor };
    let (action, subject) = match swapped {
        Swapped::Done => ("restored a backup", String::new()),
        Swapped::Refused(why) => ("could not restore a backup", why),
    };
    // The server is going down again, or the disk is full: the log of the program has said it.
    let _ = app.control.call(move |world, c| world.audit(&actor, action, &subject, c.now)).await;
    let _ = fs::remove_file(&by);
}

/// Puts the backup in `file` in the place of the state in a folder that no server has open, keeping the old state.
///
/// # Errors
/// It is damaged, or the disk failed; then the state is the old one.
pub fn replace(file: &Path, state_dir: &Path, engine: EngineKind) -> Result<Summary, Refusal> {
    let summary = summary(file)?;
    let next = state_dir.join(swap::NEXT);
    // Whoever has it open would put the backup in place at its next start.
    hearthgate_store::open(&state_dir.join("store"), engine)?.close()?;
    let kept = file == kept_file(state_dir);
    if kept {
        swap::rename(file, &next)?;
    } else {
        fs::copy(file, &next).map_err(swap::failed("writing", &next))?;
        fs::File::open(&next).and_then(|f| f.sync_all()).map_err(swap::failed("writing", &next))?;
    }
    match swap::swap(state_dir, engine) {
        Ok(Some(Swapped::Refused(why))) => Err(Refusal::Broken(why)),
        Ok(_) => Ok(summary),
        Err(e) => {
            // Not begun: nobody asks for it any more. Begun: it has its other name, and the next start goes on.
            let _ = if kept { swap::rename(&next, file) } else { swap::remove(&next) };
            Err(e.into())
        }
    }
}

/// Where the state before the last restore lies, if one was made.
#[must_use]
pub fn kept_file(state_dir: &Path) -> PathBuf {
    state_dir.join(swap::BEFORE)
}

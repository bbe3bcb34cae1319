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
use hearthgate_store::{EngineKind, FolderLock, StoreError, look_into};
use hearthgate_tailcfg::DerpMap;
use hearthgate_web::{
    account,
    restore::{Kept, Summary},
};
use jiff::Timestamp;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, lchown},
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
    let Ok(meta) = fs::metadata(&file) else {
        return Err(CoreError::NotFound("the state before a restore: nothing was restored here".into()));
    };
    receive::room_for(&app.state_dir, meta.len(), meta.len()).map_err(|e| CoreError::Invalid(e.to_string()))?;
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
        .and_then(|()| swap::rename(&waiting.file, &file(confirmed(&waiting.file))))
        .map_err(|e| CoreError::Invalid(e.to_string()))?;
    let restart = app.restores.restart();
    spawn(async move {
        tokio::time::sleep(RESTART_AFTER).await;
        restart.notify_one();
    });
    Ok(())
}

/// What a file is called once it is confirmed.
fn confirmed(file: &Path) -> &'static str {
    if file.ends_with(swap::BEFORE) { swap::BACK } else { swap::NEXT }
}

/// At a start: puts a confirmed backup in place. The answer goes to [`note`] once the server runs. The lock is for until
/// the store is open: nobody else puts a backup in its place meanwhile.
///
/// # Errors
/// The disk failed, or a backup is being put in place by another process.
pub(crate) fn at_start(
    state_dir: &Path,
    engine: EngineKind,
) -> Result<(Option<Swapped>, Option<FolderLock>), StoreError> {
    if !state_dir.exists() {
        return Ok((None, None));
    }
    let lock = FolderLock::take(state_dir)?;
    let swapped = swap::swap(state_dir, engine)?;
    match &swapped {
        Some(Swapped::Done) => tracing::info!("the backup is in place; the state before is kept"),
        Some(Swapped::Refused(why)) => tracing::error!(%why, "the backup was not put in place"),
        None => {}
    }
    Ok((swapped, Some(lock)))
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

/// Puts the backup in `file` in the place of the state in a folder that no server has open, keeping the old state. What
/// an earlier restore left half done is ended with this one; what was confirmed and not begun is forgotten.
///
/// # Errors
/// It is damaged, or the disk failed; then the state is the old one.
pub fn replace(file: &Path, state_dir: &Path, engine: EngineKind) -> Result<Summary, Refusal> {
    // On a new machine nothing was there before: the same command restores there.
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir);
    made.map_err(swap::failed("making the folder", state_dir))?;
    let _lock = FolderLock::take(state_dir)?;
    // Confirmed to be put back, and not begun: it goes by its usual name again.
    if state_dir.join(swap::BACK).exists() {
        swap::give_up(state_dir, swap::BACK)?;
    }
    let summary = summary(file)?;
    let store = state_dir.join("store");
    if store.exists() {
        // A running server has it, and may be about to put in place what was confirmed.
        FolderLock::take(&store)?;
    }
    swap::remove(&state_dir.join(swap::NEXT))?;
    let kept = file == kept_file(state_dir);
    receive::room_for(state_dir, summary.bytes, if kept { summary.bytes } else { 0 })?;
    let name = confirmed(file);
    let next = state_dir.join(name);
    if kept {
        swap::rename(file, &next)?;
    } else {
        // Beside it first: half a file under this name would be put in place by the next start.
        hearthgate_durable_file::replace_with(&next, |out| -> Result<(), StoreError> {
            let copied = fs::File::open(file).and_then(|mut file| io::copy(&mut file, out));
            copied.map(drop).map_err(swap::failed("copying", file))
        })?;
    }
    match swap::swap(state_dir, engine) {
        Ok(Some(Swapped::Refused(why))) => Err(Refusal::Broken(why)),
        Ok(_) => Ok(summary),
        Err(e) => {
            // Not begun: nobody asks for it any more. Begun: it has its other name, and the next start goes on.
            if next.exists() {
                swap::give_up(state_dir, name)?;
            }
            Err(e.into())
        }
    }
}

/// Gives what a restore has written to whom the state folder belongs: root restores, and another user runs the server.
///
/// # Errors
/// The folder cannot be read, or its owner not be set.
pub fn own_as_folder(state_dir: &Path) -> io::Result<()> {
    let owner = fs::metadata(state_dir)?;
    let mut todo: Vec<PathBuf> = crate::backup::KEY_FILES.iter().map(|name| state_dir.join(name)).collect();
    todo.extend(["store", "store.damaged", "lock", swap::BEFORE].iter().map(|name| state_dir.join(name)));
    while let Some(path) = todo.pop() {
        let meta = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            meta => meta?,
        };
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path)?.filter_map(|e| Some(e.ok()?.path())));
        } else if meta.nlink() != 1 {
            // A second name of it may lie anywhere.
            continue;
        }
        if (meta.uid(), meta.gid()) != (owner.uid(), owner.gid()) {
            lchown(&path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

/// Where the state before the last restore lies, if one was made.
#[must_use]
pub fn kept_file(state_dir: &Path) -> PathBuf {
    state_dir.join(swap::BEFORE)
}

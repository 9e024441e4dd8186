//! A local directory as a storage location that keeps the promises of `docs/format.md` §2.
//!
//! `object_store`'s own local backend syncs files and the directories that it makes itself when told to, but neither
//! deletions, nor a directory that another task has made and not yet synced, nor one left unsynced by a crash; its
//! temporary files lie among the objects and stay there after a crash. So reading and listing are borrowed, writing and
//! deleting are done here:
//!
//! * A write goes to a file below `.staging/`, is synced, hard-linked to its name and the name's directory synced. A
//!   directory that this process has not yet synced on the way up to the root is synced before.
//! * Only create-if-absent is offered. Overwriting, renaming and copying are refused.
//! * What is listed is durable, also where another process made it and died before it had said so.
//! * A deletion is synced before it is reported, and takes directories with it that it leaves empty.
//! * Every process stages in a directory of its own, locked while it lives; those of dead processes are removed when a
//!   location is opened.
//!
//! What a power failure leaves is tried after every change that is made (`tests/power_failure.rs`).

mod files;

use std::{
    collections::{BTreeSet, HashSet},
    fmt, fs, io,
    ops::Range,
    path::{Path as FsPath, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    local::LocalFileSystem, path::Path,
};

use self::files::{FileSystem, RealFiles};

/// Directory of files that are not objects yet.
pub(crate) const STAGING: &str = ".staging";
/// Name of the locked file in a process's staging directory.
const LOCK: &str = "lock";
/// Times that a name is made although deletions beside it take its directory away.
const LINK_ATTEMPTS_MAX: usize = 16;
/// Deletions that are synced together.
const DELETIONS_TOGETHER_MAX: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct LocalStore {
    reading: LocalFileSystem,
    disk: Arc<Disk>,
}

/// The blocking half.
#[derive(Debug)]
struct Disk {
    files: Arc<dyn FileSystem>,
    root: PathBuf,
    staging: OnceLock<Staging>,
    staged: AtomicU64,
    /// Directories known to be reachable after a power failure. An optimisation only, so a poisoned lock is harmless.
    durable: Mutex<HashSet<PathBuf>>,
}

/// This process's staging directory; the lock falls with the process.
#[derive(Debug)]
struct Staging {
    directory: PathBuf,
    _lock: fs::File,
}

impl LocalStore {
    /// Opens a directory that exists.
    pub(crate) fn open(root: &FsPath) -> Result<Self> {
        Self::open_with(root, Arc::new(RealFiles))
    }

    fn open_with(root: &FsPath, files: Arc<dyn FileSystem>) -> Result<Self> {
        let reading = LocalFileSystem::new_with_prefix(root)?;
        let root = fs::canonicalize(root).map_err(|error| failed("open", root, error))?;
        remove_dead_staging(&root)
            .map_err(|error| failed("clean up the staging area of", &root, error))?;
        let disk = Disk {
            files,
            root,
            staging: OnceLock::new(),
            staged: AtomicU64::new(0),
            durable: Mutex::default(),
        };
        Ok(Self { reading, disk: Arc::new(disk) })
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.disk.root.display())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort: what stays is removed when the location is next opened.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if options.mode != PutMode::Create || !options.attributes.is_empty() {
            return Err(refused("anything but create-if-absent without attributes"));
        }
        let path = self.reading.path_to_filesystem(location)?;
        let disk = Arc::clone(&self.disk);
        let name = location.to_string();
        blocking(move || {
            disk.create(&path, &payload).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    object_store::Error::AlreadyExists { path: name, source: error.into() }
                }
                _ => failed("write", &path, error),
            })
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(refused("an upload in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reading.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reading.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (reading, disk) = (self.reading.clone(), Arc::clone(&self.disk));
        locations
            .ready_chunks(DELETIONS_TOGETHER_MAX)
            .then(move |together| {
                let (reading, disk) = (reading.clone(), Arc::clone(&disk));
                async move {
                    let results = blocking(move || Ok(disk.delete(&reading, together))).await;
                    stream::iter(results.unwrap_or_else(|error| vec![Err(error)]))
                }
            })
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.reading.list(prefix);
        self.durably(listed.try_filter(|meta| std::future::ready(is_object(&meta.location))))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.reading.list_with_offset(prefix, offset);
        self.durably(listed.try_filter(|meta| std::future::ready(is_object(&meta.location))))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.reading.list_with_delimiter(prefix).await?;
        listed.common_prefixes.retain(is_object);
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refused("copying"))
    }

    async fn rename_opts(&self, _: &Path, _: &Path, _: RenameOptions) -> Result<()> {
        Err(refused("renaming"))
    }
}

impl LocalStore {
    /// Syncs the directory of what is listed before it is handed out. A process that died may have left a name that a power
    /// failure takes away again, and whoever lists it relies on it: an interrupted backup's packs, a manifest that was sealed.
    fn durably(
        &self,
        listed: impl Stream<Item = Result<ObjectMeta>> + Send + 'static,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (reading, disk) = (self.reading.clone(), Arc::clone(&self.disk));
        let synced = Arc::new(Mutex::new(HashSet::new()));
        listed
            .and_then(move |meta| {
                let (reading, disk) = (reading.clone(), Arc::clone(&disk));
                let synced = Arc::clone(&synced);
                async move {
                    let path = reading.path_to_filesystem(&meta.location)?;
                    let Some(parent) = path.parent().map(FsPath::to_owned) else { return Ok(meta) };
                    let is_new = {
                        let mut synced = synced.lock().unwrap_or_else(PoisonError::into_inner);
                        synced.insert(parent.clone())
                    };
                    if is_new {
                        blocking(move || {
                            disk.sync_found(&parent).map_err(|error| failed("sync", &parent, error))
                        })
                        .await?;
                    }
                    Ok(meta)
                }
            })
            .boxed()
    }
}

impl Disk {
    /// Syncs a directory that somebody else may have written to. Where nothing can be written, nothing waits to be durable.
    fn sync_found(&self, directory: &FsPath) -> io::Result<()> {
        match self.files.sync_directory(directory) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ReadOnlyFilesystem
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    fn create(&self, path: &FsPath, payload: &PutPayload) -> io::Result<()> {
        let parent = path.parent().ok_or_else(|| io::Error::other("the name has no directory"))?;
        let staged = self.staged_file()?;
        let linked =
            self.write_synced(&staged, payload).and_then(|()| self.link(&staged, path, parent));
        // Best effort: what stays is removed when the location is next opened.
        let _ = self.files.remove_file(&staged);
        match linked {
            Ok(()) => self.files.sync_directory(parent),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The caller may find that what is there is what it meant to write: then it must be durable too.
                self.files.sync_directory(parent)?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn write_synced(&self, path: &FsPath, payload: &PutPayload) -> io::Result<()> {
        let file = self.files.write_new(path, payload)?;
        self.files.sync_file(path, &file)
    }

    /// Links, making the directory again if deletions beside us just took it away.
    fn link(&self, staged: &FsPath, path: &FsPath, parent: &FsPath) -> io::Result<()> {
        let mut attempt = 1;
        loop {
            let linked = self.make_durable(parent).and_then(|()| self.files.link(staged, path));
            match linked {
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && attempt < LINK_ATTEMPTS_MAX =>
                {
                    self.durable_directories().remove(parent);
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// A name for a new temporary file.
    fn staged_file(&self) -> io::Result<PathBuf> {
        if self.staging.get().is_none() {
            // Two tasks may get here at once; the loser's directory is removed by its drop.
            let _ = self.staging.set(Staging::new(&*self.files, &self.root)?);
        }
        let staging = self.staging.get().ok_or_else(|| io::Error::other("no staging directory"))?;
        Ok(staging.directory.join(self.staged.fetch_add(1, Ordering::Relaxed).to_string()))
    }

    /// Makes a directory, and makes sure that every directory between it and the root survives a power failure.
    fn make_durable(&self, directory: &FsPath) -> io::Result<()> {
        if self.durable_directories().contains(directory) {
            return Ok(());
        }
        self.files.make_directories(directory)?;
        let mut synced = Vec::new();
        for ancestor in directory.ancestors() {
            self.files.sync_directory(ancestor)?;
            synced.push(ancestor.to_owned());
            if ancestor == self.root {
                break;
            }
        }
        self.durable_directories().extend(synced);
        Ok(())
    }

    fn delete(&self, reading: &LocalFileSystem, locations: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let mut parents = BTreeSet::new();
        let results = locations
            .into_iter()
            .map(|location| {
                let location = location?;
                let path = reading.path_to_filesystem(&location)?;
                self.files.remove_file(&path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => object_store::Error::NotFound {
                        path: location.to_string(),
                        source: error.into(),
                    },
                    _ => failed("delete", &path, error),
                })?;
                parents.extend(path.parent().map(FsPath::to_owned));
                Ok(location)
            })
            .collect();
        for parent in parents {
            if let Err(error) = self.sync_and_prune(&parent) {
                return vec![Err(failed("delete below", &parent, error))];
            }
        }
        results
    }

    /// Syncs a directory after a deletion in it, and removes it and its parents as far as they are empty.
    fn sync_and_prune(&self, directory: &FsPath) -> io::Result<()> {
        for ancestor in directory.ancestors() {
            match self.files.sync_directory(ancestor) {
                // Someone else was faster, and its own removal is made durable by the next one up.
                Err(error) if error.kind() == io::ErrorKind::NotFound && ancestor != self.root => {
                    self.durable_directories().remove(ancestor);
                    continue;
                }
                synced => synced?,
            }
            if ancestor == self.root || !ancestor.starts_with(&self.root) {
                break;
            }
            self.durable_directories().remove(ancestor);
            if self.files.remove_directory(ancestor).is_err() {
                // Not empty, or someone else was faster.
                break;
            }
        }
        Ok(())
    }

    fn durable_directories(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Staging {
    fn new(files: &dyn FileSystem, root: &FsPath) -> io::Result<Self> {
        let mut random = [0; 16];
        crate::crypto::random(&mut random).map_err(io::Error::other)?;
        // Locked under another name first: a directory without its lock held would be taken for a dead one's.
        let name = hex::encode(random);
        let staging = root.join(STAGING);
        let directory = staging.join(&name);
        let lock_path = staging.join(format!("{name}.{LOCK}"));
        files.make_directories(&staging)?;
        let lock = files.write_new(&lock_path, &PutPayload::new())?;
        lock.lock()?;
        files.make_directories(&directory)?;
        files.rename(&lock_path, &directory.join(LOCK))?;
        // Durable before anything is staged: what a power failure leaves without its lock, nobody would ever remove.
        files.sync_directory(&directory)?;
        files.sync_directory(&staging)?;
        Ok(Self { directory, _lock: lock })
    }
}

/// Removes the staging directories whose process is gone.
fn remove_dead_staging(root: &FsPath) -> io::Result<()> {
    let entries = match fs::read_dir(root.join(STAGING)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let directory = entry?.path();
        // Whoever may only read the location leaves the cleaning to those who write.
        let Ok(lock) = fs::OpenOptions::new().write(true).open(directory.join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&directory);
        }
    }
    Ok(())
}

fn is_object(path: &Path) -> bool {
    path.parts().next().is_none_or(|first| first.as_ref() != STAGING)
}

fn failed(action: &str, path: &FsPath, error: io::Error) -> object_store::Error {
    let source = io::Error::new(error.kind(), format!("{action} {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => object_store::Error::PermissionDenied {
            path: path.display().to_string(),
            source: source.into(),
        },
        _ => object_store::Error::Generic { store: "LocalStore", source: source.into() },
    }
}

fn refused(what: &str) -> object_store::Error {
    object_store::Error::NotImplemented {
        operation: what.to_owned(),
        implementer: "LocalStore".to_owned(),
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[cfg(test)]
mod tests;

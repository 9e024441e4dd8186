//! Restoring a recovery point as files: a `pg_dump` directory-format archive with roles beside it, which the stock
//! `pg_restore -j` of the archive's major version restores completely.
//!
//! Everything is written into a directory with a temporary name beside the final one, forced to disk, and gets its name by
//! one rename at the end: whoever sees the name sees the whole. An existing name is never touched. The rows are counted and
//! hashed on their way and compared with the manifest, as a restored database would be.

mod archive;
mod data_file;
mod large_object_files;
mod packed;
mod roles_sql;
mod server;
mod table_files;
mod tablespaces_sql;
pub mod toc;

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use coffer_store::Repository;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::manifest::{DatabaseManifest, MaterializedView, Sequence, Warning};
use crate::monitor::{Counters, Monitor, Phase};
use crate::part::PartReader;
use crate::proof::Proof;
use crate::restore::expected::Expected;
use crate::restore::role_map::RoleMap;
use crate::restore::schema::read_toc;
use crate::restore::unless_cancelled;
use crate::root::describe_database;
use crate::selection::{Selected, Selection};
use crate::span::{Traced as _, span};

use self::data_file::Form;
pub use self::server::{SCHEMA_FILE, TABLESPACES_FILE, file_name, restore_server_files};

/// Name of the roles' file in the archive's directory; `pg_restore` ignores it.
pub const ROLES_FILE: &str = "roles.sql";

/// Name of the table of contents.
const TOC_FILE: &str = "toc.dat";

/// Longest prefix: what file systems allow for a name, less the temporary name's addition.
const PREFIX_BYTES_MAX: usize = 200;

/// How long workers of a cancelled run are waited for, and the time between two looks. They end at their next pause.
const WORKERS_END_WITHIN: Duration = Duration::from_secs(10);
const WORKERS_END_PAUSE: Duration = Duration::from_millis(5);

/// What to write where.
#[derive(Debug, Clone)]
pub struct FilesRequest {
    /// 32 hexadecimal digits.
    pub recovery_point_id: String,
    /// Directory to write into; made when absent.
    pub directory: PathBuf,
    /// Name of the archive's directory in it; one path component.
    pub prefix: String,
    /// Tables written at the same time.
    pub workers: usize,
    /// What of it.
    pub selection: Selection,
    /// Roles that have another name where the archive will be restored.
    pub role_map: RoleMap,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesOutcome {
    /// The archive's directory.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// What was compared with the manifest on the way.
    pub proof: Proof,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

/// Writes a recovery point as a directory-format archive: that of a database, or the database of a server's that the
/// selection names.
///
/// # Errors
/// [`Error::Unsupported`] with code `FilesExist` when the name is taken and `FilePrefix` when it is no name,
/// [`Error::Preflight`] when the choice names what is not there, [`Error::ProofFailed`] when the rows are not those of the manifest, [`Error::Cancelled`], and failures of the store or of
/// the file system. Whatever was written under the temporary name is removed.
pub async fn restore_files(
    request: FilesRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<FilesOutcome> {
    let path = final_path(&request)?;
    let temporary = Temporary::create(&request.directory, &request.prefix)?;
    let run = Arc::new(Run {
        repository: repository.clone(),
        directory: temporary.path.clone(),
        form: Form::Directory,
        workers: request.workers.max(1),
        monitor,
        counters: Arc::default(),
        too_long: Mutex::default(),
    });
    let span = span!("files", recovery_point = request.recovery_point_id);
    let written = unless_cancelled(&cancel, Box::pin(run.write_directory(&request).traced(span)));
    let written = written.await;
    let last = Arc::downgrade(&run);
    drop(run);
    workers_ended(&last).await;
    let Written { proof, warnings } = written?;
    let (files, bytes) = measure(&temporary.path)?;
    publish(temporary, &request, &path)?;
    Ok(FilesOutcome { path, files, bytes, rows: proof.rows, proof, warnings })
}

/// Gives a directory its name, whose files are on the disk.
fn publish(temporary: Temporary, request: &FilesRequest, path: &Path) -> Result<()> {
    sync_directory(&temporary.path)?;
    final_path(request)?;
    temporary.publish(path)?;
    sync_directory(&request.directory)
}

/// Waits until no worker of a run that was given up can make another file: the directory could not be removed under it.
async fn workers_ended(run: &Weak<Run>) {
    let deadline = tokio::time::Instant::now() + WORKERS_END_WITHIN;
    while run.strong_count() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(WORKERS_END_PAUSE).await;
    }
}

/// What a run has to tell.
#[derive(Debug, Default)]
struct Written {
    proof: Proof,
    warnings: Vec<Warning>,
}

/// Says so when it is dropped.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The writing of one database.
struct Run {
    repository: Repository,
    /// Of the archive, or of what is packed.
    directory: PathBuf,
    form: Form,
    workers: usize,
    monitor: Arc<dyn Monitor>,
    counters: Arc<Counters>,
    /// One for each table with rows that no tool of the server can read back.
    too_long: Mutex<Vec<Warning>>,
}

impl Run {
    async fn write_directory(self: &Arc<Self>, request: &FilesRequest) -> Result<Written> {
        self.report(None);
        let database = request.selection.database.as_deref();
        let id = &request.recovery_point_id;
        let manifest = describe_database(&self.repository, id, database).await?;
        self.write(&manifest, request, None).await
    }

    /// Writes the database into the directory, or what is in it then into the file `packed`.
    async fn write(
        self: &Arc<Self>,
        manifest: &DatabaseManifest,
        request: &FilesRequest,
        packed: Option<&Path>,
    ) -> Result<Written> {
        let mut toc = read_toc(&self.repository, manifest).await?;
        let selected =
            request.selection.apply(&mut toc, &manifest.extensions).map_err(Error::Preflight)?;
        request.role_map.apply(&mut toc);
        if self.counters.progress(Phase::Files).bytes_total.is_none() {
            let expected = Expected::of(&self.repository, manifest, &selected).await?;
            // What is counted here is tables, and large objects one by one.
            let items = manifest.totals.tables + manifest.large_objects.content.rows;
            self.counters.expect(expected.bytes, items);
        }
        let mut builder = archive::ArchiveBuilder::new(toc, &self.directory, self.form)?;
        let tables = self.write_tables(manifest, &selected, &mut builder);
        let mut proof = tables.traced(span!("tables")).await?;
        if selected.has_large_objects() {
            let map = &request.role_map;
            let objects = self.write_large_objects(manifest, map, &mut builder, &mut proof);
            objects.traced(span!("large_objects")).await?;
        }
        if !proof.differences.is_empty() {
            return Err(Error::ProofFailed { differences: proof.differences });
        }
        proof.equal = true;
        self.add_positions_and_refreshes(manifest, &selected, &mut builder).await?;
        match packed {
            None => self.write_small_files(manifest, &request.role_map, builder).await?,
            Some(path) => self.pack(path, builder).traced(span!("pack")).await?,
        }
        let mut warnings = manifest.warnings.clone();
        warnings.extend(selected.warnings);
        warnings.extend(self.too_long.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
        Ok(Written { proof, warnings })
    }

    async fn add_positions_and_refreshes(
        &self,
        manifest: &DatabaseManifest,
        selected: &Selected,
        builder: &mut archive::ArchiveBuilder,
    ) -> Result<()> {
        let mut sequences = PartReader::new(&self.repository, &manifest.sequences);
        while let Some(sequence) = sequences.next::<Sequence>().await? {
            if selected.has_named(&sequence.schema, &sequence.name) {
                builder.sequence(&sequence)?;
            }
        }
        let mut views = PartReader::new(&self.repository, &manifest.materialized_views);
        while let Some(view) = views.next::<MaterializedView>().await? {
            if selected.has_named(&view.schema, &view.name) {
                builder.refresh(&view)?;
            }
        }
        Ok(())
    }

    /// The roles and, last, the table of contents.
    async fn write_small_files(
        &self,
        manifest: &DatabaseManifest,
        role_map: &RoleMap,
        builder: archive::ArchiveBuilder,
    ) -> Result<()> {
        let roles = server::read_roles(&self.repository, &manifest.roles, role_map).await?;
        data_file::write(&self.directory, ROLES_FILE, roles_sql::roles_sql(&roles).as_bytes())?;
        let toc = data_file::create(&self.directory, TOC_FILE)?;
        let mut output = BufWriter::new(toc);
        builder.write(&mut output)?;
        let sync = || output.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all();
        sync().map_err(Error::io(format!("write {TOC_FILE} of the archive")))
    }

    /// Makes one file of all that was written.
    async fn pack(self: &Arc<Self>, path: &Path, builder: archive::ArchiveBuilder) -> Result<()> {
        let given_up = Arc::new(AtomicBool::new(false));
        // Should this be given up, the thread is not left to pack for nobody.
        let _give_up = GiveUp(Arc::clone(&given_up));
        let (directory, path) = (self.directory.clone(), path.to_owned());
        // As long as the thread works the run is not over.
        let run = Arc::clone(self);
        data_file::off_thread(move || {
            let _run = run;
            let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
            let mut output = BufWriter::new(file.map_err(Error::io("make an archive"))?);
            let (header, places) = builder.write(&mut output)?;
            let file = output.into_inner().map_err(std::io::IntoInnerError::into_error);
            let file = file.map_err(Error::io("write the archive"))?;
            packed::Packing { directory, file, header, places, given_up }.run()
        })
        .await
    }

    fn report(&self, current: Option<String>) {
        self.monitor
            .report(&crate::monitor::Progress { current, ..self.counters.progress(Phase::Files) });
    }
}

/// Where the archive is to appear.
fn final_path(request: &FilesRequest) -> Result<PathBuf> {
    let prefix = &request.prefix;
    let is_name = !prefix.is_empty()
        && prefix.len() <= PREFIX_BYTES_MAX
        && !matches!(prefix.as_str(), "." | "..");
    if !is_name || prefix.contains(['/', '\\', '\0']) || prefix.starts_with(Temporary::PREFIX) {
        let message = format!("{prefix:?} can't be the name of a directory of files");
        return Err(Error::Unsupported { code: "FilePrefix", message });
    }
    let path = request.directory.join(prefix);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(Error::io(format!("look for {}", path.display()))(error)),
        Ok(_) => Err(Error::Unsupported {
            code: "FilesExist",
            message: format!("{prefix:?} exists already"),
        }),
    }
}

/// A directory that vanishes unless it is published.
struct Temporary {
    path: PathBuf,
    published: bool,
}

impl Temporary {
    /// Start of the names of directories that are not finished.
    const PREFIX: &'static str = ".coffer-partial-";

    fn create(directory: &Path, prefix: &str) -> Result<Self> {
        std::fs::create_dir_all(directory)
            .map_err(Error::io(format!("make {}", directory.display())))?;
        let path =
            directory.join(format!("{}{prefix}-{:08x}", Self::PREFIX, rand::random::<u32>()));
        let mut builder = std::fs::DirBuilder::new();
        // As pg_dump does it: what is in it is nobody else's to read.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(Error::io(format!("make {}", path.display())))?;
        Ok(Self { path, published: false })
    }

    fn publish(mut self, path: &Path) -> Result<()> {
        std::fs::rename(&self.path, path)
            .map_err(Error::io(format!("give {} its name", path.display())))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "files of an unfinished restore could not be removed");
        }
    }
}

/// Forces the names in a directory to disk.
fn sync_directory(path: &Path) -> Result<()> {
    let sync = std::fs::File::open(path).and_then(|directory| directory.sync_all());
    sync.map_err(Error::io(format!("force {} to disk", path.display())))
}

/// Number of files in the directory, and their bytes.
fn measure(path: &Path) -> Result<(u64, u64)> {
    let measure = || -> std::io::Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for entry in std::fs::read_dir(path)? {
            files += 1;
            bytes += entry?.metadata()?.len();
        }
        Ok((files, bytes))
    };
    measure().map_err(Error::io(format!("measure {}", path.display())))
}

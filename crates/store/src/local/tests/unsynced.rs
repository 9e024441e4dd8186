//! A journal of what was done to a directory, and what a power failure may leave of it.
//!
//! The model is the worst that POSIX allows. A file's bytes may be cut, zero or nonsense until the file was synced. Whether a
//! name was given or taken away counts for certain only once its directory was synced; until then it may or may not have
//! happened, for each name by itself, in whatever order. A directory whose own name was lost is lost with all that is in it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use object_store::PutPayload;

use super::super::files::{FileSystem, RealFiles};

/// One change, with paths below the root.
#[derive(Debug, Clone)]
enum Change {
    MakeDirectories(PathBuf),
    Write(PathBuf, Vec<u8>),
    SyncFile(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
}

/// Does everything for real, and keeps a journal of it.
#[derive(Debug)]
pub(super) struct Journal {
    root: PathBuf,
    changes: Mutex<Vec<Change>>,
}

impl Journal {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: fs::canonicalize(root).unwrap(), changes: Mutex::default() }
    }

    /// Changes so far.
    pub(super) fn length(&self) -> usize {
        self.changes.lock().unwrap().len()
    }

    /// What there is after so many changes.
    pub(super) fn disk_after(&self, changes: usize) -> Disk {
        let mut disk = Disk::default();
        self.changes.lock().unwrap()[..changes].iter().for_each(|change| disk.apply(change));
        disk
    }

    /// The journal is held meanwhile, so that its order is the one in which things happened.
    fn step<T>(&self, change: Change, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act()?;
        changes.push(change);
        Ok(done)
    }

    fn below(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }
}

impl FileSystem for Journal {
    fn make_directories(&self, path: &Path) -> io::Result<()> {
        self.step(Change::MakeDirectories(self.below(path)), || RealFiles.make_directories(path))
    }

    fn write_new(&self, path: &Path, content: &PutPayload) -> io::Result<fs::File> {
        let bytes = content.iter().flat_map(|part| part.to_vec()).collect();
        self.step(Change::Write(self.below(path), bytes), || RealFiles.write_new(path, content))
    }

    fn sync_file(&self, path: &Path, _: &fs::File) -> io::Result<()> {
        self.step(Change::SyncFile(self.below(path)), || Ok(()))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Change::Link(self.below(from), self.below(to)), || RealFiles.link(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Change::Rename(self.below(from), self.below(to)), || RealFiles.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(Change::Remove(self.below(path)), || RealFiles.remove_file(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.step(Change::Remove(self.below(path)), || RealFiles.remove_directory(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Not for real: nobody pulls the plug here, and the model alone decides. But a directory that is gone is an error.
        self.step(Change::SyncDirectory(self.below(path)), || fs::metadata(path).map(drop))
    }
}

/// Random numbers that are the same for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What becomes of that which was not synced.
#[derive(Debug)]
pub(super) enum Luck {
    /// None of it has happened.
    Lost,
    /// All names are there, and no bytes behind them.
    NamesOnly,
    /// Each by itself.
    Random(Random),
}

impl Luck {
    /// How many of these changes to one name have happened.
    fn happened(&mut self, changes: usize) -> usize {
        match self {
            Self::Lost => 0,
            Self::NamesOnly => changes,
            Self::Random(random) => random.below(changes + 1),
        }
    }

    fn torn(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let Self::Random(random) = self else { return Vec::new() };
        let whole = random.below(bytes.len() + 1);
        match random.below(4) {
            0 => bytes.truncate(whole),
            1 => bytes[whole..].fill(0),
            2 => bytes[whole..].fill(0xa5),
            _ => {}
        }
        bytes
    }
}

type Node = usize;

/// The directory as it is in memory, and what of it is on the medium.
#[derive(Debug)]
pub(super) struct Disk {
    nodes: Vec<Content>,
}

#[derive(Debug)]
enum Content {
    File { bytes: Vec<u8>, synced: bool },
    Directory { synced: BTreeMap<String, Node>, changed: Vec<(String, Option<Node>)> },
}

const ROOT: Node = 0;

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![Content::empty_directory()] }
    }
}

impl Content {
    fn empty_directory() -> Self {
        Self::Directory { synced: BTreeMap::new(), changed: Vec::new() }
    }
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::MakeDirectories(path) => {
                let mut at = ROOT;
                for name in names(path) {
                    at = match self.child(at, &name) {
                        Some(child) => child,
                        None => {
                            let made = self.add(Content::empty_directory());
                            self.name(at, name, Some(made));
                            made
                        }
                    };
                }
            }
            Change::Write(path, bytes) => {
                let file = self.add(Content::File { bytes: bytes.clone(), synced: false });
                self.set(path, Some(file));
            }
            Change::SyncFile(path) => {
                let file = self.find(path);
                let Content::File { synced, .. } = &mut self.nodes[file] else {
                    panic!("{path:?}")
                };
                *synced = true;
            }
            Change::Link(from, to) => {
                let file = self.find(from);
                self.set(to, Some(file));
            }
            Change::Rename(from, to) => {
                let file = self.find(from);
                self.set(to, Some(file));
                self.set(from, None);
            }
            Change::Remove(path) => self.set(path, None),
            Change::SyncDirectory(path) => {
                let directory = self.find(path);
                let Content::Directory { synced, changed } = &mut self.nodes[directory] else {
                    panic!("{path:?}")
                };
                for (name, node) in changed.drain(..) {
                    match node {
                        Some(node) => synced.insert(name, node),
                        None => synced.remove(&name),
                    };
                }
            }
        }
    }

    fn add(&mut self, content: Content) -> Node {
        self.nodes.push(content);
        self.nodes.len() - 1
    }

    fn child(&self, directory: Node, wanted: &str) -> Option<Node> {
        let Content::Directory { synced, changed } = &self.nodes[directory] else {
            panic!("{wanted} is looked for in a file")
        };
        match changed.iter().rev().find(|(name, _)| name == wanted) {
            Some((_, node)) => *node,
            None => synced.get(wanted).copied(),
        }
    }

    fn find(&self, path: &Path) -> Node {
        names(path).iter().fold(ROOT, |at, name| self.child(at, name).expect("it is there"))
    }

    fn set(&mut self, path: &Path, node: Option<Node>) {
        let directory = self.find(path.parent().unwrap());
        self.name(directory, path.file_name().unwrap().to_str().unwrap().to_owned(), node);
    }

    fn name(&mut self, directory: Node, name: String, node: Option<Node>) {
        let Content::Directory { changed, .. } = &mut self.nodes[directory] else {
            panic!("{name} in a file")
        };
        changed.push((name, node));
    }

    /// Writes to a directory what is left when the power fails now.
    pub(super) fn fail(&self, to: &Path, luck: &mut Luck) {
        self.leave(ROOT, to, luck);
    }

    fn leave(&self, node: Node, to: &Path, luck: &mut Luck) {
        match &self.nodes[node] {
            Content::File { bytes, synced: true } => fs::write(to, bytes).unwrap(),
            Content::File { bytes, synced: false } => {
                fs::write(to, luck.torn(bytes.clone())).unwrap();
            }
            Content::Directory { synced, changed } => {
                if node != ROOT {
                    fs::create_dir(to).unwrap();
                }
                let mut left = synced.clone();
                let mut by_name: BTreeMap<&str, Vec<Option<Node>>> = BTreeMap::new();
                for (name, node) in changed {
                    by_name.entry(name).or_default().push(*node);
                }
                for (name, changes) in by_name {
                    match luck.happened(changes.len()) {
                        0 => {}
                        happened => match changes[happened - 1] {
                            Some(node) => drop(left.insert(name.to_owned(), node)),
                            None => drop(left.remove(name)),
                        },
                    }
                }
                for (name, node) in left {
                    self.leave(node, &to.join(name), luck);
                }
            }
        }
    }
}

fn names(path: &Path) -> Vec<String> {
    path.iter().map(|name| name.to_str().unwrap().to_owned()).collect()
}

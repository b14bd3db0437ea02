//! A disk in memory that keeps apart what programs see and what a power cut leaves, and that fails,
//! or stands still, at the call that the test names.
//!
//! A file's bytes are durable when it was synced; a name is when its directory was. Until then a
//! power cut may leave any part of the changes of names, each whole: that is what a test goes
//! through with [`Disk::images`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use troupe::filesystem::{FileSystem, Lock, OpenFile};

/// Bytes that are written whole or not at all.
const SECTOR: usize = 512;

/// What happens at a call, counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Every call is carried out.
    #[default]
    Work,
    /// That call fails.
    Fail(usize),
    /// That call fails although it is carried out.
    FailDone(usize),
    /// That call is the last: nothing that comes after it is carried out.
    StopAfter(usize),
    /// The next sync fails, and what it was to make durable never will be, as on Linux: later ones
    /// say that all is well.
    LoseSync,
}

/// A name: of a directory, or of the file with that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

type Names = BTreeMap<PathBuf, Node>;

/// Names that come and go at once.
#[derive(Debug, Clone)]
struct Change {
    gone: Option<PathBuf>,
    come: Option<(PathBuf, Node)>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Bytes that no sync makes durable.
    lost: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    live: Names,
    durable: Names,
    /// What separates the two, in order.
    pending: Vec<Change>,
    files: Vec<Content>,
    plan: Plan,
    calls: usize,
}

/// What a power cut did.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// Names were changed that were not durable.
    pub(crate) is_naming: bool,
    /// In a file, something that was not durable stands behind what is lost.
    pub(crate) has_hole: bool,
    /// How much of each file was durable, by its number.
    pub(crate) durable: Vec<usize>,
}

/// The disk; its clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct Opened {
    disk: Disk,
    file: usize,
}

impl Cut {
    /// What a process that is killed leaves: all of it.
    pub(crate) fn none() -> Cut {
        Cut { is_naming: false, has_hole: false, durable: Vec::new() }
    }

    /// The same behind an earlier one: a hole of that is there still.
    pub(crate) fn after(self, earlier: &Cut) -> Cut {
        let pairs = self.durable.iter().enumerate();
        let least = |(file, own): (usize, &usize)| match earlier.durable.get(file) {
            Some(its) => *own.min(its),
            None => *own,
        };
        let durable = pairs.map(least).collect();
        Cut { has_hole: self.has_hole || earlier.has_hole, durable, ..self }
    }
}

impl Content {
    fn sync(&mut self, is_lost: bool) -> io::Result<()> {
        if is_lost {
            self.lost.push(self.durable.len()..self.live.len());
            return Err(io::Error::other("a sync failed"));
        }
        self.durable = self.live.clone();
        for range in &self.lost {
            let end = range.end.min(self.durable.len());
            self.durable[range.start.min(end)..end].fill(0);
        }
        Ok(())
    }

    /// What a power cut leaves: what is durable, and any of the other sectors. What is lost in
    /// between, or up to the length of the file, is zeros. Tells whether something stands behind
    /// zeros.
    fn torn(&self, rng: &mut Rng) -> (Vec<u8>, bool) {
        if !self.live.starts_with(&self.durable) {
            return (self.durable.clone(), false);
        }
        let (start, end) = (self.durable.len(), self.live.len());
        let mut left = self.durable.clone();
        left.resize(end, 0);
        let (mut kept_to, mut is_lost, mut has_hole) = (start, false, false);
        let kept_of_four = rng.u8(..=4);
        let is_in_order = rng.bool();
        for sector in start / SECTOR..end.div_ceil(SECTOR) {
            let range = (sector * SECTOR).max(start)..((sector + 1) * SECTOR).min(end);
            if rng.u8(..4) >= kept_of_four || (is_in_order && is_lost) {
                is_lost = true;
                continue;
            }
            has_hole |= is_lost;
            kept_to = range.end;
            left[range.clone()].copy_from_slice(&self.live[range]);
        }
        // The length may be durable or not.
        if rng.bool() {
            left.truncate(kept_to);
        }
        (left, has_hole)
    }
}

impl Change {
    fn concerns(&self, directory: &Path) -> bool {
        let come = self.come.as_ref().map(|(path, _)| path);
        self.gone.iter().chain(come).any(|path| path.parent() == Some(directory))
    }

    fn apply(&self, names: &mut Names) {
        self.gone.as_ref().map(|path| names.remove(path));
        names.extend(self.come.clone());
    }
}

impl State {
    fn change(&mut self, gone: Option<&Path>, come: Option<(&Path, Node)>) {
        let come = come.map(|(path, node)| (path.to_owned(), node));
        let change = Change { gone: gone.map(Path::to_owned), come };
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    fn file(&self, path: &Path) -> Option<usize> {
        match self.live.get(path) {
            Some(Node::File(file)) => Some(*file),
            _ => None,
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    /// A disk with one directory.
    pub(crate) fn with(directory: &Path) -> Disk {
        let disk = Disk::default();
        disk.put_directory(directory);
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// From now on calls are counted anew, and this happens.
    pub(crate) fn set(&self, plan: Plan) {
        let mut state = self.state();
        (state.plan, state.calls) = (plan, 0);
    }

    /// Calls since `set`.
    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    /// Puts a directory there that is durable.
    pub(crate) fn put_directory(&self, path: &Path) {
        self.put_node(path, Node::Directory);
    }

    /// Puts a file there that is durable, or these bytes into the one that there is.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let content =
            Content { live: bytes.to_owned(), durable: bytes.to_owned(), lost: Vec::new() };
        let file = state.file(path).unwrap_or(state.files.len());
        match state.files.get_mut(file) {
            Some(there) => *there = content,
            None => state.files.push(content),
        }
        drop(state);
        self.put_node(path, Node::File(file));
    }

    fn put_node(&self, path: &Path, node: Node) {
        let mut state = self.state();
        state.live.insert(path.to_owned(), node);
        state.durable.insert(path.to_owned(), node);
    }

    /// The bytes of a file, as programs see them.
    pub(crate) fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.file(path).map(|file| state.files[file].live.clone())
    }

    /// The names in a directory.
    pub(crate) fn listing(&self, directory: &Path) -> Vec<String> {
        let state = self.state();
        let inside = state.live.keys().filter(|path| path.parent() == Some(directory));
        inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// All that is there, for comparing.
    pub(crate) fn shown(&self) -> String {
        let state = self.state();
        let mut shown = String::new();
        let mut show = |path: &Path, node: &Node| match node {
            Node::Directory => shown += &format!("{path:?} "),
            Node::File(file) => shown += &format!("{path:?} {:?} ", state.files[*file]),
        };
        state.live.iter().for_each(|(path, node)| show(path, node));
        state.durable.iter().for_each(|(path, node)| show(path, node));
        for Change { gone, come } in &state.pending {
            gone.iter().for_each(|path| show(path, &Node::Directory));
            come.iter().for_each(|(path, node)| show(path, node));
        }
        shown
    }

    /// What the process that dies now leaves. What a failed sync has lost is held against that
    /// process only: the next one cannot know of it.
    pub(crate) fn killed(&self) -> Disk {
        let mut state = self.state().clone();
        state.files.iter_mut().for_each(|file| file.lost.clear());
        Disk(Arc::new(Mutex::new(State { plan: Plan::Work, calls: 0, ..state })))
    }

    /// What a power cut now leaves, by chance.
    pub(crate) fn power_cut(&self, rng: &mut Rng) -> (Disk, Cut) {
        let mut state = self.state().clone();
        let cut = Cut {
            is_naming: !state.pending.is_empty(),
            has_hole: false,
            durable: state.files.iter().map(|file| file.durable.len()).collect(),
        };
        let torn: Vec<_> = state.files.iter().map(|file| file.torn(rng)).collect();
        for (file, (left, _)) in state.files.iter_mut().zip(&torn) {
            file.durable.clone_from(left);
        }
        let part = rng.u32(..1 << state.pending.len().min(31));
        let has_hole = torn.iter().any(|(_, has_hole)| *has_hole);
        (Disk(Arc::new(Mutex::new(state.after_power_cut(part)))), Cut { has_hole, ..cut })
    }

    /// The number of the file of a name, if there is one.
    pub(crate) fn number(&self, path: &Path) -> Option<usize> {
        self.state().file(path)
    }

    /// All that a power cut now may leave: each part of the changes of names that are not durable,
    /// and each time with the bytes that are durable only.
    pub(crate) fn images(&self) -> Vec<Disk> {
        let state = self.state().clone();
        assert!(state.pending.len() < 12, "{} changes are pending", state.pending.len());
        let parts = 0..1_u32 << state.pending.len();
        parts.map(|part| Disk(Arc::new(Mutex::new(state.after_power_cut(part))))).collect()
    }
}

impl State {
    fn after_power_cut(&self, part: u32) -> State {
        let mut names = self.durable.clone();
        let pending = self.pending.iter().enumerate();
        let kept = pending.filter(|(index, _)| part >> index & 1 == 1);
        kept.for_each(|(_, change)| change.apply(&mut names));
        let all = names.clone();
        // What is in a directory that is not there is lost with it.
        names.retain(|path, _| {
            let is_top = path.parent().is_none_or(|parent| !self.live.contains_key(parent));
            is_top || path.parent().is_some_and(|parent| all.contains_key(parent))
        });
        let durable = |file: &Content| Content {
            live: file.durable.clone(),
            durable: file.durable.clone(),
            lost: Vec::new(),
        };
        let files = self.files.iter().map(durable).collect();
        State { live: names.clone(), durable: names, files, ..State::default() }
    }

    fn call<R>(&mut self, work: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        self.calls += 1;
        let failure = || Err(io::Error::other(format!("call {}", self.calls)));
        match self.plan {
            Plan::Fail(call) if call == self.calls => failure(),
            Plan::StopAfter(call) if call < self.calls => failure(),
            Plan::FailDone(call) if call == self.calls => {
                let failure = failure();
                work(self)?;
                failure
            }
            _ => work(self),
        }
    }
}

impl FileSystem for Disk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.state().call(|state| {
            if state.live.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.change(None, Some((path, Node::Directory)));
            Ok(())
        })
    }

    /// There is one process.
    fn lock(&self, _path: &Path) -> io::Result<Option<Lock>> {
        Ok(Some(Arc::new(())))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.state().call(|state| {
            let State { pending, durable, .. } = state;
            let synced = pending.extract_if(.., |change| change.concerns(path));
            synced.for_each(|change| change.apply(durable));
            Ok(())
        })
    }

    fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.state().call(|_| Ok(()))?;
        Ok(self.listing(path).into_iter().map(OsString::from).collect())
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        self.state().call(|_| Ok(()))?;
        Ok(self.bytes(path).map(|bytes| bytes.len() as u64))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Box<dyn io::Read + Send>>> {
        self.state().call(|_| Ok(()))?;
        let bytes = self.bytes(path);
        Ok(bytes.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read + Send>))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = self.state().call(|state| {
            if let Some(file) = state.file(path) {
                state.files[file].live.clear();
                return Ok(file);
            }
            state.files.push(Content::default());
            let file = state.files.len() - 1;
            state.change(None, Some((path, Node::File(file))));
            Ok(file)
        })?;
        Ok(Box::new(Opened { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = self.state().call(|state| state.file(path).ok_or_else(missing))?;
        Ok(Box::new(Opened { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().call(|state| {
            let node = state.live.get(from).copied().ok_or_else(missing)?;
            state.change(Some(from), Some((to, node)));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().call(|state| {
            match state.live.get(path) {
                Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
                Some(Node::File(_)) => state.change(Some(path), None),
                None => {}
            }
            Ok(())
        })
    }
}

impl Opened {
    fn call<R>(&self, work: impl FnOnce(&mut Content) -> R) -> io::Result<R> {
        self.disk.state().call(|state| Ok(work(&mut state.files[self.file])))
    }
}

impl OpenFile for Opened {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A write that fails has written a part.
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        self.call(|content| content.live.extend(first))?;
        self.call(|content| content.live.extend(rest))
    }

    fn sync(&mut self) -> io::Result<()> {
        let is_lost = self.disk.state().plan == Plan::LoseSync;
        self.call(|content| content.sync(is_lost))?
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.call(|content| content.live.truncate(length as usize))
    }

    fn length(&self) -> io::Result<u64> {
        self.call(|content| content.live.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/data/file";

    /// What 200 power cuts leave of a file with three durable sectors and four others.
    fn left(work: impl Fn(&Disk, &mut dyn OpenFile)) -> Vec<Option<Vec<u8>>> {
        let disk = Disk::with(Path::new("/data"));
        disk.put(Path::new(FILE), &[1; 3 * SECTOR]);
        let mut file = disk.open(Path::new(FILE)).unwrap();
        work(&disk, &mut *file);
        let mut rng = Rng::with_seed(1);
        (0..200).map(|_| disk.power_cut(&mut rng).0.bytes(Path::new(FILE))).collect()
    }

    #[test]
    fn a_power_cut_leaves_what_is_durable_and_any_of_the_other_sectors() {
        let left = left(|_, file| file.append(&[2; 4 * SECTOR]).unwrap());
        let sectors = |bytes: &Vec<u8>| -> Vec<u8> {
            assert!(bytes.len() >= 3 * SECTOR && bytes[..3 * SECTOR] == [1; 3 * SECTOR]);
            bytes[3 * SECTOR..].chunks(SECTOR).map(|sector| sector[0]).collect()
        };
        let left: Vec<Vec<u8>> = left.iter().flatten().map(sectors).collect();
        for expected in [&[2, 2, 2, 2][..], &[], &[2, 2, 0, 0], &[2, 0, 2], &[0, 0, 0, 2]] {
            assert!(left.iter().any(|left| left == expected), "{expected:?}");
        }
    }

    #[test]
    fn what_a_failed_sync_has_lost_stays_lost_for_those_who_saw_it_fail() {
        let left = left(|disk, file| {
            file.append(&[2; SECTOR]).unwrap();
            disk.set(Plan::LoseSync);
            file.sync().unwrap_err();
            disk.set(Plan::Work);
            file.append(&[3; SECTOR]).unwrap();
            file.sync().unwrap();
        });
        let expected = [[1; 3 * SECTOR].to_vec(), [0; SECTOR].to_vec(), [3; SECTOR].to_vec()];
        assert!(left.iter().all(|left| *left == Some(expected.concat())));
    }

    #[test]
    fn a_name_is_durable_when_its_directory_is() {
        let rename = |disk: &Disk| disk.rename(Path::new(FILE), Path::new("/data/new")).unwrap();
        let some = left(|disk, _| rename(disk));
        assert!(some.iter().any(Option::is_some) && some.iter().any(Option::is_none));
        let none = left(|disk, _| {
            rename(disk);
            disk.sync_directory(Path::new("/data")).unwrap();
        });
        assert!(none.iter().all(Option::is_none));
    }
}

//! Every call on the way of a start and of a journal that begins is once made to fail, once carried
//! out and reported as failed, and once the last before the process dies or power is lost: from
//! each kind of directory, and from whatever the first such fault leaves. After each, the next
//! start and the next journal that begins go on, and nothing is lost that was there or promised.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Directory, Increments, Location};
use crate::aof::disk::{Disk, Plan};
use crate::aof::increment::Increment;
use crate::aof::storage::Storage;
use crate::filesystem::{FileSystem as _, Place};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FOLDER: &str = "/data/appendonlydir";
const MANIFEST: &str = "/data/appendonlydir/appendonly.aof.manifest";

/// What a server does with the directory.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It starts with the journal on, and acknowledges a write.
    Start,
    /// It begins a journal while it runs, and acknowledges a write.
    Begin,
    /// It starts with the journal on, rewrites it, and acknowledges a write.
    Rewrite,
}

const STEPS: [Step; 3] = [Step::Start, Step::Begin, Step::Rewrite];

/// What `Start` appends, and what `Begin` writes.
const APPENDED: &[u8] = b" started";
const BASE: &[u8] = b"base";
const BEGUN: &[u8] = b"base begun";

impl Step {
    /// What is read when the step is done, and was `before`.
    fn after(self, before: &[u8]) -> Vec<u8> {
        match self {
            Step::Start => [before, APPENDED].concat(),
            Step::Begin | Step::Rewrite => BEGUN.to_vec(),
        }
    }

    /// Whether the step, cut short, may leave `found`: all but the end of what it acknowledges.
    fn may_leave(self, before: &[u8], found: &[u8]) -> bool {
        let least = match self {
            Step::Start => before,
            Step::Begin | Step::Rewrite => BASE,
        };
        // Until the base is listed, what it holds is in the files before, with what follows.
        let follows = [before, &BEGUN[BASE.len()..]].concat();
        let is_old = matches!(self, Step::Rewrite) && follows.starts_with(found);
        is_old && found.len() >= before.len()
            || found.starts_with(least) && self.after(before).starts_with(found)
    }
}

fn place() -> Location {
    Location {
        dir: "/data".into(),
        appenddirname: "appendonlydir".into(),
        appendfilename: "appendonly.aof".into(),
    }
}

fn start(disk: &Disk) -> Result<()> {
    let mut directory = Directory::open(Box::new(disk.clone()), &place())?;
    directory.files()?;
    let _ = directory.delete_history();
    let (mut increment, _) = directory.open_increment()?;
    increment.append(APPENDED)?;
    Ok(increment.sync()?)
}

fn begin(disk: &Disk) -> Result<()> {
    let mut directory = Directory::open_anew(Box::new(disk.clone()), &place())?;
    let begun = directory.create_unlisted().map_err(Into::into).and_then(|mut increment| {
        write_base(disk)?;
        directory.list_base(Increments::Unlisted, Some(&mut increment))?;
        Ok(increment)
    });
    go_on_with(&directory, begun)
}

fn rewrite(disk: &Disk) -> Result<()> {
    let mut directory = Directory::open(Box::new(disk.clone()), &place())?;
    directory.files()?;
    let _ = directory.delete_history();
    directory.open_increment()?;
    let begun = directory.add_increment().map_err(Into::into).and_then(|mut increment| {
        write_base(disk)?;
        directory.list_base(Increments::Last, Some(&mut increment))?;
        Ok(increment)
    });
    go_on_with(&directory, begun)
}

/// As who writes snapshots does.
fn write_base(disk: &Disk) -> Result<()> {
    let Place { directory, name, temporary } = place().new_base();
    let [part, base] = [temporary, name].map(|name| directory.join(name));
    let write = || -> Result<()> {
        let mut file = disk.create(&part)?;
        file.append(BASE)?;
        file.sync()?;
        Ok(disk.rename(&part, &base)?)
    };
    write().inspect_err(|_| drop(disk.remove(&part)))?;
    Ok(disk.sync_directory(&place().folder())?)
}

/// As the writer does when the base is listed, or when that has failed.
fn go_on_with(directory: &Directory, begun: Result<Increment>) -> Result<()> {
    if begun.is_err() {
        directory.undo_unfinished()?;
    }
    let mut increment = begun?;
    Storage::append(&mut increment, &BEGUN[BASE.len()..])?;
    Ok(Storage::sync(&mut increment)?)
}

fn run(step: Step, disk: &Disk) -> Result<()> {
    match step {
        Step::Start => start(disk),
        Step::Begin => begin(disk),
        Step::Rewrite => rewrite(disk),
    }
}

/// What a start reads.
fn content(disk: &Disk) -> Result<Vec<u8>> {
    let disk = disk.killed();
    let directory = Directory::open(Box::new(disk.clone()), &place())?;
    let mut content = Vec::new();
    for file in directory.files()? {
        content.extend(disk.bytes(&file.path).ok_or("a listed file")?);
    }
    Ok(content)
}

/// The kinds of directories, each with its name.
fn directories() -> Vec<(&'static str, Disk)> {
    let old = "file appendonly.aof.4.base.aof seq 4 type b\nfile appendonly.aof.7.incr.aof seq 7 \
               type i\n";
    let kinds: [(&str, &[(&str, &str)]); 5] = [
        ("nothing", &[]),
        ("a single file", &[("/data/appendonly.aof", "old")]),
        (
            "a single file that is listed",
            &[("/data/appendonly.aof", "old"), (MANIFEST, "file appendonly.aof seq 1 type b\n")],
        ),
        (
            "files out of use",
            &[
                (
                    MANIFEST,
                    "file appendonly.aof.1.base.aof seq 1 type h\nfile appendonly.aof.1.incr.aof \
                     seq 1 type h\nfile appendonly.aof.2.base.aof seq 2 type b\n",
                ),
                ("/data/appendonlydir/appendonly.aof.1.base.aof", "out"),
                ("/data/appendonlydir/appendonly.aof.1.incr.aof", "of use"),
                ("/data/appendonlydir/appendonly.aof.2.base.aof", "old"),
            ],
        ),
        (
            "a journal beside files of others",
            &[
                (MANIFEST, old),
                ("/data/appendonlydir/appendonly.aof.4.base.aof", "old"),
                ("/data/appendonlydir/appendonly.aof.7.incr.aof", " journal"),
                (STRAYS[0], "of others"),
                (STRAYS[1], "of others"),
            ],
        ),
    ];
    let made = kinds.map(|(name, files)| {
        let disk = Disk::with(Path::new("/data"));
        if files.iter().any(|(path, _)| path.starts_with(FOLDER)) {
            disk.put_directory(Path::new(FOLDER));
        }
        files.iter().for_each(|(path, text)| disk.put(Path::new(path), text.as_bytes()));
        (name, disk)
    });
    made.into()
}

/// Files that look like ours and that nobody lists.
const STRAYS: [&str; 2] = [
    "/data/appendonlydir/appendonly.aof.5.base.aof",
    "/data/appendonlydir/appendonly.aof.8.incr.aof",
];
const STRAY: &[u8] = b"of others";

/// A directory after a fault, with the faults that led there.
struct Left {
    disk: Disk,
    story: String,
    /// What may be read from it when power is lost in the end.
    may_hold: BTreeSet<Vec<u8>>,
}

/// Runs `step` on the directory with the fault, checks what it leaves, and hands out what was not
/// `seen` before.
fn rehearse(from: &Left, step: Step, plan: Plan, seen: &mut BTreeSet<String>) -> Vec<Left> {
    let story = format!("{}, {step:?} with {plan:?}", from.story);
    let before = content(&from.disk).unwrap();
    let disk = from.disk.killed();
    disk.set(plan);
    let outcome = run(step, &disk);
    disk.set(Plan::Work);
    let is_clean =
        |disk: &Disk| !disk.listing(Path::new(FOLDER)).iter().any(|name| name.starts_with("temp_"));
    let is_stopped = matches!(plan, Plan::StopAfter(_));
    if matches!(step, Step::Begin) && outcome.is_err() && !is_stopped && is_clean(&from.disk) {
        assert!(is_clean(&disk), "{story}: {:?}", disk.listing(Path::new(FOLDER)));
    }
    let end = format!("{} {step:?} {} {}", from.story, outcome.is_ok(), disk.shown());
    if !seen.insert(end) {
        return Vec::new();
    }
    let killed = (disk.killed(), format!("{story}, killed"));
    let images = disk.images().into_iter().map(|disk| {
        let story = format!("{story}, power lost: {:?}", disk.listing(Path::new(FOLDER)));
        (disk, story)
    });
    let (mut left, mut may_hold) = (Vec::new(), BTreeSet::new());
    for (disk, story) in std::iter::once(killed).chain(images) {
        let found = content(&disk).unwrap_or_else(|error| panic!("{story}: {error}"));
        let shown = String::from_utf8_lossy(&found);
        if outcome.is_ok() {
            assert_eq!(found, step.after(&before), "{story}: lost what was acknowledged: {shown}");
        } else {
            let is_old = from.may_hold.contains(&found);
            assert!(is_old || step.may_leave(&before, &found), "{story}: {shown}");
        }
        if seen.insert(disk.shown()) {
            go_on(&disk, &found, &story);
            left.push((disk, story));
        }
        may_hold.insert(found);
    }
    let with_all = |(disk, story)| Left { disk, story, may_hold: may_hold.clone() };
    left.into_iter().map(with_all).collect()
}

/// Both steps go on from what is there.
fn go_on(disk: &Disk, found: &[u8], story: &str) {
    for next in STEPS {
        let disk = disk.killed();
        run(next, &disk).unwrap_or_else(|error| panic!("{story}, then {next:?}: {error}"));
        assert_eq!(content(&disk).unwrap(), next.after(found), "{story}, then {next:?}");
        if !matches!(next, Step::Start) {
            let mut listing = disk.listing(Path::new(FOLDER));
            listing.retain(|name| disk.bytes(&Path::new(FOLDER).join(name)).unwrap() != STRAY);
            assert_eq!(listing.len(), 3, "{story}, then {next:?}: {listing:?}");
        }
    }
}

/// A fault, but for the call.
type Fault = fn(usize) -> Plan;

/// The faults of these kinds at every call of `step`.
fn faults(from: &Left, step: Step, kinds: &[Fault]) -> Vec<Plan> {
    let disk = from.disk.killed();
    disk.set(Plan::Work);
    run(step, &disk).unwrap_or_else(|error| panic!("{}, {step:?}: {error}", from.story));
    (1..=disk.calls()).flat_map(|call| kinds.iter().map(move |kind| kind(call))).collect()
}

#[test]
fn after_every_fault_the_next_goes_on_and_nothing_is_lost() {
    let kinds: [&[Fault]; 2] = [&[Plan::Fail, Plan::FailDone, Plan::StopAfter], &[Plan::StopAfter]];
    let mut runs = 0;
    for (name, disk) in directories() {
        let may_hold = BTreeSet::from([content(&disk).unwrap()]);
        let mut all = vec![Left { disk, story: name.to_owned(), may_hold }];
        let mut seen = BTreeSet::new();
        for kinds in kinds {
            let mut next = Vec::new();
            for from in all {
                for step in STEPS {
                    for plan in faults(&from, step, kinds) {
                        runs += 1;
                        next.extend(rehearse(&from, step, plan, &mut seen));
                    }
                }
            }
            all = next;
        }
        println!("{name}: {} ends after {runs} runs", seen.len());
        assert!(seen.len() > 100, "{name}: only {} ends were met", seen.len());
        for left in all.iter().filter(|_| name.contains("of others")) {
            let strays = STRAYS.map(|stray| left.disk.bytes(Path::new(stray)));
            assert_eq!(strays, [(); 2].map(|()| Some(STRAY.to_vec())), "{}", left.story);
        }
    }
}

//! Promise 3, where the disk fails: each system call on the way of a journal that begins, is taken
//! over, is adopted or ends is once made to fail, and once the last that the process makes. After
//! that the next try and the next start go on, and nothing is lost. strace does it; what a power
//! cut leaves is rehearsed in `src/aof/directory/rehearsal.rs`.
//!
//! The same where there is no inode or no descriptor left.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::support::client::{Client, encode};
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};
use crate::support::{in_ci, oracle};

const UNABLE: &str = "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable \
                      to turn on AOF. Check server logs.";

/// The calls that change a disk.
const CHANGES: [&str; 8] = [
    "?mkdir,?mkdirat",
    "openat",
    "write",
    "ftruncate",
    "fdatasync",
    "fsync",
    "?rename,?renameat,?renameat2",
    "?unlink,?unlinkat",
];

/// The calls that look at it.
const LOOKS: [&str; 3] = ["read", "statx", "getdents64"];

/// One kind of call, and which one of each thread.
type Call = (&'static str, usize);

/// Goes through the calls of these kinds until `strikes` says that there was no such call.
fn each_call(kinds: &[&'static str], mut strikes: impl FnMut(Call) -> bool) {
    let mut struck = 0;
    for kind in kinds {
        let first = struck;
        for number in 1.. {
            if !strikes((kind, number)) {
                break;
            }
            struck += 1;
            assert!(number < 40, "there is no end to {kind}");
        }
        println!("{kind}: {}", struck - first);
    }
    assert!(struck > kinds.len(), "only {struck} calls were met");
}

fn strace_is_missing() -> bool {
    let is_missing = oracle::on_path("strace").is_none();
    assert!(!is_missing || !in_ci(), "strace is missing: no call can fail");
    if is_missing {
        println!("strace is missing, so no call is made to fail");
    }
    is_missing
}

/// The words of strace for a fault at a call on the files of the journal; what it met goes to
/// `strace.log`.
fn strace(server: &Server, (kind, number): Call, fault: &str) -> Vec<String> {
    let log = server.path("strace.log");
    let mut words = ["strace", "-f", "-q", "-o"].map(String::from).to_vec();
    words.push(log.display().to_string());
    words.extend(["-e".to_owned(), format!("trace={kind}")]);
    words.extend(["-e".to_owned(), format!("inject={kind}:{fault}:when={number}")]);
    for path in journal_paths(server) {
        words.extend(["-P".to_owned(), path.display().to_string()]);
    }
    words
}

/// Every file that the journal has or may have next.
fn journal_paths(server: &Server) -> Vec<PathBuf> {
    let inside = server.path("appendonlydir");
    let numbers = listing(&inside).into_iter().flat_map(|name| {
        name.split('.').filter_map(|part| part.parse::<u64>().ok()).collect::<Vec<_>>()
    });
    let last = numbers.max().unwrap_or_default();
    let numbered = (last.saturating_sub(2)..last + 3).flat_map(|seq| {
        let kinds = ["base.rdb", "base.aof", "incr.aof"];
        kinds.map(|kind| format!("appendonly.aof.{seq}.{kind}"))
    });
    let others = [
        "appendonly.aof",
        "appendonly.aof.manifest",
        "temp_appendonly.aof.manifest",
        "temp_appendonly.aof.base",
        "temp_appendonly.aof.base.part.rdb",
        "temp_appendonly.aof.incr.aof",
    ];
    let names = numbered.chain(others.map(String::from)).map(|name| inside.join(name));
    let outside = [server.folder().to_owned(), server.path("appendonly.aof"), inside.clone()];
    names.chain(outside).collect()
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Whether strace met the call.
fn struck(server: &Server) -> bool {
    std::fs::read_to_string(server.path("strace.log")).unwrap().contains("(INJECTED)")
}

/// strace on a running server, from when it has taken hold of every thread.
fn attach(server: &Server, call: Call, fault: &str) -> Child {
    let words = strace(server, call, fault);
    let pid = server.pid().to_string();
    let child = Command::new(&words[0]).args(&words[1..]).args(["-p", &pid]).spawn().unwrap();
    until("strace traces every thread", SOON, || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.map(|task| task.unwrap().path().join("status")).all(|status| {
            let status = std::fs::read_to_string(status).unwrap_or_default();
            !status.contains("TracerPid:\t0")
        })
    });
    child
}

/// Lets strace write its log and go. One that traces a dying process may not hear the signal.
fn detach(mut strace: Child) {
    let pid = strace.id().to_string();
    drop(Command::new("kill").args(["-TERM", &pid]).status());
    until("strace has gone", SOON, || strace.try_wait().unwrap().is_some());
}

fn set(client: &mut Client, words: &str) -> String {
    let reply = client.line(&format!("CONFIG SET {words}"));
    reply.error().map_or_else(|| reply.text(), str::to_owned)
}

fn digest(client: &mut Client) -> String {
    client.line("DEBUG DIGEST").text()
}

/// Descriptors and threads.
fn held(server: &Server) -> (usize, usize) {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    (server.open_files(), tasks.count())
}

/// A server without a journal, but with the files of an earlier one; its only client, and what it
/// holds then.
fn with_an_old_journal(options: &Options) -> (Server, Client, (usize, usize)) {
    let server = options.start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 300 key 50");
    until("there is one client", SOON, || client.line("CLIENT LIST").text().lines().count() == 1);
    let before = held(&server);
    assert_eq!(set(&mut client, "appendonly yes"), "OK");
    assert_eq!(client.line("SET a old").text(), "OK");
    assert_eq!(set(&mut client, "appendonly no"), "OK");
    until("the journal is gone", SOON, || held(&server) == before);
    (server, client, before)
}

/// There is no journal, and nothing of the try is left: no thread, no descriptor, no file.
fn is_as_before(
    server: &Server,
    client: &mut Client,
    before: (usize, usize),
    failures: u64,
    why: &str,
) {
    assert_eq!(client.line("CONFIG GET appendonly").members()[1].text(), "no");
    let info = client.line("INFO persistence").text();
    for line in [
        "aof_enabled:0",
        "aof_rewrite_in_progress:0",
        "aof_last_bgrewrite_status:err",
        "aof_last_write_status:ok",
        &format!("aof_rewrites_consecutive_failures:{failures}"),
    ] {
        assert!(info.contains(line), "{line} is not in {info}");
    }
    let log = server.log();
    let said = log.lines().rfind(|line| line.contains("cannot be begun")).unwrap_or_default();
    assert!(said.contains(why) && said.contains(" /"), "no path and reason: {said}");
    until("its thread and its descriptors are gone", SOON, || held(server) == before);
    let listing = listing(&server.path("appendonlydir"));
    assert!(!listing.iter().any(|name| name.starts_with("temp_")), "{listing:?}");
}

/// Each try begins over the journal that the one before has left, or over `nothing`.
fn begins_after_failures(nothing: bool) {
    if strace_is_missing() {
        return;
    }
    let options = Options::shards(2).with("appendfsync always").debug();
    let (mut server, mut client, before) = with_an_old_journal(&options);
    each_call(&[&CHANGES[..], &LOOKS[..]].concat(), |call| {
        if nothing {
            std::fs::remove_dir_all(server.path("appendonlydir")).unwrap();
        }
        client.line(&format!("SET a {}:{}", call.0, call.1));
        let said = server.log().len();
        let strace = attach(&server, call, "error=EIO");
        let reply = set(&mut client, "appendonly yes");
        detach(strace);
        let struck = struck(&server);
        if reply == "OK" {
            // A write that is done again, and what nothing waits for.
            let is_said = server.log()[said..].contains("Input/output error");
            assert!(!struck || is_said, "{call:?} failed, and nobody was told");
        } else {
            assert_eq!(reply, UNABLE, "{call:?}");
            assert!(struck, "{call:?}: it failed by itself\n{}", server.log());
            is_as_before(&server, &mut client, before, 1, "Input/output error");
            assert_eq!(set(&mut client, "appendonly yes"), "OK", "{call:?}");
        }
        assert_eq!(set(&mut client, "appendonly no"), "OK", "{call:?}");
        struck
    });
    let last = digest(&mut client);
    server.kill();
    server.restart_with(&options.with("appendonly yes"));
    assert_eq!(digest(&mut server.client()), last);
    assert_eq!(listing(&server.path("appendonlydir")).len(), 4, "nothing is left behind");
}

#[test]
fn a_journal_begins_after_each_call_has_failed() {
    begins_after_failures(true);
}

#[test]
fn a_journal_is_taken_over_after_each_call_has_failed() {
    begins_after_failures(false);
}

/// The same where the process dies.
fn starts_after_deaths(nothing: bool) {
    if strace_is_missing() {
        return;
    }
    let options = Options::shards(2).with("appendfsync always").debug();
    let (mut server, mut client, _) = with_an_old_journal(&options);
    let mut journal = digest(&mut client);
    client.line("FLUSHALL");
    let empty = digest(&mut client);
    let on = options.with("appendonly yes");
    each_call(&CHANGES, |call| {
        if nothing {
            std::fs::remove_dir_all(server.path("appendonlydir")).unwrap();
            journal.clone_from(&empty);
        }
        let mut client = server.client();
        client.line("DEBUG POPULATE 100 key 50");
        client.line(&format!("SET a {}:{}", call.0, call.1));
        let memory = digest(&mut client);
        let strace = attach(&server, call, "signal=KILL");
        drop(client.send(&["CONFIG", "SET", "appendonly", "yes"]));
        let survived = client.read().is_ok();
        if survived {
            server.kill();
        } else {
            server.wait_end(SOON);
        }
        detach(strace);
        server.restart_with(&on);
        let mut client = server.client();
        journal = {
            let found = digest(&mut client);
            let is_old = !survived && found == journal;
            assert!(is_old || found == memory, "{call:?}: neither old nor new");
            found
        };
        for value in ["no", "yes", "no"] {
            assert_eq!(set(&mut client, &format!("appendonly {value}")), "OK", "{call:?}");
        }
        !survived
    });
    assert_eq!(listing(&server.path("appendonlydir")).len(), 4, "nothing is left behind");
}

#[test]
fn a_start_goes_on_after_a_death_on_the_way_of_a_journal() {
    starts_after_deaths(true);
}

#[test]
fn a_start_goes_on_after_a_death_on_the_way_of_a_switch() {
    starts_after_deaths(false);
}

/// A journal that ends while what it was given last is on its way to the disk.
fn ends_after(fault: &str) {
    if strace_is_missing() {
        return;
    }
    let on = Options::shards(2).journal("everysec").debug();
    let mut server = on.start();
    server.client().line("DEBUG POPULATE 100 key 50");
    for kind in ["write", "fdatasync"] {
        let mut struck_once = false;
        for number in 1..4 {
            let call = (kind, number);
            let mut client = server.client();
            // What was there before is durable.
            for words in ["appendfsync always", "appendfsync everysec"] {
                assert_eq!(client.line("SET c 1").text(), "OK");
                assert_eq!(set(&mut client, words), "OK");
            }
            let before = digest(&mut client);
            let strace = attach(&server, call, fault);
            drop(client.send(&["SET", "a", &format!("{kind}:{number}")]));
            drop(client.send(&["CONFIG", "SET", "appendonly", "no"]));
            drop(client.read());
            let ended = client.read();
            if let Ok(ended) = ended {
                detach(strace);
                assert_eq!(ended.text(), "OK", "{call:?}");
                assert_eq!(client.line("SET b 1").text(), "OK", "{call:?}: there is no journal");
                assert_eq!(set(&mut client, "appendonly yes"), "OK", "{call:?}");
                let last = digest(&mut client);
                server.kill();
                server.restart();
                assert_eq!(digest(&mut server.client()), last, "{call:?}");
                struck_once |= struck(&server);
            } else {
                struck_once = true;
                server.wait_end(SOON);
                detach(strace);
                server.restart();
                let mut client = server.client();
                let is_there = client.line("GETRANGE a 0 -1").text() == format!("{kind}:{number}");
                assert!(is_there || digest(&mut client) == before, "{call:?}: neither old nor new");
            }
        }
        assert!(struck_once, "no {kind} was met");
    }
}

#[test]
fn a_journal_ends_after_each_call_has_failed() {
    ends_after("error=EIO");
}

#[test]
fn a_start_goes_on_after_a_death_on_the_way_of_an_end() {
    ends_after("signal=KILL");
}

/// A sync that fails costs no write and no restart: what waits for it waits for a new base, and
/// then writes are taken again.
#[test]
fn a_failed_sync_is_healed_by_a_base() {
    if strace_is_missing() {
        return;
    }
    for fsync in ["always", "everysec"] {
        let options = Options::shards(2).journal(fsync).debug();
        let mut server = options.start();
        let mut client = server.client();
        client.line("DEBUG POPULATE 300 key 50");
        client.line("CONFIG SET appendfsync always");
        assert_eq!(client.line("SET a durable").text(), "OK");
        client.line(&format!("CONFIG SET appendfsync {fsync}"));
        let strace = attach(&server, ("fdatasync", 1), "error=EIO");
        assert_eq!(client.line("SET b 1").text(), "OK", "it may have waited for the base");
        until("it has failed and is healed", SOON, || {
            let log = server.log();
            log.contains("Writes are refused") && log.contains("The AOF can be written again")
        });
        detach(strace);
        assert!(struck(&server));
        assert_eq!(client.line("SET c 1").text(), "OK");
        client.line("CONFIG SET appendfsync always");
        assert_eq!(client.line("SET d 1").text(), "OK");
        let before = digest(&mut client);
        let info = client.line("INFO persistence").text();
        for line in ["aof_last_write_status:ok", "aof_last_bgrewrite_status:ok"] {
            assert!(info.contains(line), "{line} is not in {info}");
        }
        server.kill();
        server.restart();
        assert_eq!(digest(&mut server.client()), before, "{fsync}");
        assert_eq!(listing(&server.path("appendonlydir")).len(), 4, "nothing is left behind");
    }
}

/// Records of fifty keys, the last of which no shard alone can apply: they are written anew.
fn records() -> Vec<u8> {
    let sets = (0..50).flat_map(|number| encode(&["SET", &format!("key:{number}"), "old"]));
    sets.chain(encode(&["RENAME", "key:0", "renamed"])).collect()
}

/// A start with a fault on what `lay` has laid down, then one without.
fn starts_after(fault: &str, kinds: &[&'static str], lay: fn(&Server)) {
    if strace_is_missing() {
        return;
    }
    let options = Options::shards(2).journal("always").debug();
    let mut server = options.start();
    server.stop();
    each_call(kinds, |call| {
        std::fs::remove_dir_all(server.path("appendonlydir")).unwrap();
        lay(&server);
        let mut words = strace(&server, call, fault);
        // So that the server, not strace, is the child.
        words.insert(1, "-D".to_owned());
        server.respawn_with(&options.clone().under(&words));
        until("it answers or has ended", SOON, || {
            let info = |mut client: Client| client.try_call(&["INFO", "persistence"]);
            let is_on = |info: Reply| info.text().contains("aof_enabled:1");
            let is_loaded = |info: &Reply| info.text().contains("loading:0");
            let asked = Client::connect(server.port).and_then(info);
            !server.is_alive() || asked.is_ok_and(|info| is_loaded(&info) && is_on(info))
        });
        let has_ended = !server.is_alive();
        if has_ended {
            assert!(!server.wait_end(SOON).success(), "{call:?}");
        } else {
            server.kill();
        }
        server.restart_with(&options);
        let mut client = server.client();
        assert_eq!(client.line("DBSIZE").number(), Some(50), "{call:?}");
        assert_eq!(client.line("SET new 1").text(), "OK");
        server.kill();
        server.restart();
        assert_eq!(server.client().line("DBSIZE").number(), Some(51), "{call:?}");
        server.kill();
        has_ended || struck(&server)
    });
}

fn lay_single_file(server: &Server) {
    std::fs::write(server.path("appendonly.aof"), records()).unwrap();
}

fn lay_foreign_journal(server: &Server) {
    let folder = server.path("appendonlydir");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("appendonly.aof.1.incr.aof"), records()).unwrap();
    let manifest = "file appendonly.aof.1.incr.aof seq 1 type i\n";
    std::fs::write(folder.join("appendonly.aof.manifest"), manifest).unwrap();
}

#[test]
fn a_single_file_is_adopted_after_each_call_has_failed() {
    starts_after("error=EIO", &[&CHANGES[..], &LOOKS[..]].concat(), lay_single_file);
}

#[test]
fn a_single_file_is_adopted_after_a_death_at_each_call() {
    starts_after("signal=KILL", &CHANGES, lay_single_file);
}

#[test]
fn a_foreign_journal_is_written_anew_after_each_call_has_failed() {
    starts_after("error=EIO", &CHANGES, lay_foreign_journal);
}

#[test]
fn a_foreign_journal_is_written_anew_after_a_death_at_each_call() {
    starts_after("signal=KILL", &CHANGES, lay_foreign_journal);
}

/// A file system of its own, gone with this.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_journal_begins_when_there_are_inodes_again() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m,nr_inodes=24", "tmpfs"])
        .arg(folder.path())
        .output();
    if !mount.is_ok_and(|mounted| mounted.status.success()) {
        assert!(!in_ci(), "mount is not permitted: no file system can run out of inodes");
        return println!("mount is not permitted, so no file system runs out of inodes");
    }
    let mounted = Mounted(folder.path().to_owned());
    let dir = mounted.0.display().to_string();
    let options = Options::shards(2).with("appendfsync always").debug().with(&format!("dir {dir}"));
    let mut server = options.start();
    let mut client = server.client();
    client.line("DEBUG POPULATE 300 key 50");
    let mut fillers = Vec::new();
    for number in 0.. {
        let filler = mounted.0.join(format!("filler-{number}"));
        match std::fs::write(&filler, "") {
            Ok(()) => fillers.push(filler),
            Err(_) => break,
        }
    }
    let mut failed = 0;
    while set(&mut client, "appendonly yes") != "OK" {
        failed += 1;
        let log = server.log();
        let said = log.lines().rfind(|line| line.contains("cannot be begun")).unwrap_or_default();
        assert!(said.contains(&dir) && said.contains("No space left on device"), "{said}");
        assert_eq!(client.line("CONFIG GET appendonly").members()[1].text(), "no");
        std::fs::remove_file(fillers.pop().unwrap()).unwrap();
    }
    assert!(failed >= 3, "only {failed} tries have failed");
    let last = digest(&mut server.client());
    server.kill();
    server.restart_with(&options.with("appendonly yes"));
    assert_eq!(digest(&mut server.client()), last);
}

/// The soft limit of descriptors of a running server, so that so many more can be opened.
fn leave_descriptors(server: &Server, spare: u64) {
    let pid = server.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<u64> =
        open.map(|fd| fd.unwrap().file_name().to_string_lossy().parse().unwrap()).collect();
    let free = |limit: u64| limit - open.iter().filter(|fd| **fd < limit).count() as u64;
    let limit = (0..).find(|limit| free(*limit) == spare).unwrap();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status();
    assert!(set.unwrap().success(), "prlimit is needed to take descriptors away");
}

#[test]
fn a_journal_begins_when_there_are_descriptors_again() {
    let options = Options::shards(2).with("appendfsync always").debug();
    let (mut server, mut client, before) = with_an_old_journal(&options);
    assert_eq!(set(&mut client, "appendonly yes"), "OK");
    let of_thread = (server.open_files() - before.0 - 1) as u64;
    assert_eq!(set(&mut client, "appendonly no"), "OK");
    until("the journal is gone", SOON, || held(&server) == before);
    std::fs::remove_dir_all(server.path("appendonlydir")).unwrap();
    let mut failed = 0;
    loop {
        leave_descriptors(&server, of_thread + failed);
        let reply = set(&mut client, "appendonly yes");
        if reply == "OK" {
            break;
        }
        assert_eq!(reply, UNABLE);
        failed += 1;
        is_as_before(&server, &mut client, before, failed, "Too many open files");
    }
    assert!(failed >= 2, "only {failed} tries have failed");
    let last = digest(&mut client);
    server.kill();
    server.restart_with(&options.with("appendonly yes"));
    assert_eq!(digest(&mut server.client()), last);
}

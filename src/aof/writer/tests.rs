//! Each rule of the writer, on a disk that fails where it is told to.

use super::*;
use crate::aof::journal::{RETRY_MS, Sizes};
use crate::keyspace::effect::{Mark, Purpose, Run};
use crate::stream::rounds::ROUND_MS;

/// Something that waits: its name, and whether it has written. What is called a push is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waits(&'static str, bool);

impl Finished for Waits {
    fn shows_writes(&self, _: bool) -> bool {
        self.1
    }

    fn keeps_order(&self) -> bool {
        self.0.starts_with("push")
    }
}

type Tasks = Vec<Task<Waits, &'static str, u16>>;

/// A writer, and a shell whose disk fails where it is told to.
struct Rig {
    writer: Writer<Waits, &'static str, u16>,
    now_ms: u64,
    /// Kinds of work that fail.
    fails: Vec<&'static str>,
    /// Kinds of work that were done.
    did: Vec<&'static str>,
}

fn fault(operation: &'static str) -> Fault {
    Fault { operation, path: "x".into(), reason: "on purpose".into() }
}

impl Rig {
    fn new(policy: Policy) -> Rig {
        Rig::around(Writer::new(Journal::new(policy, Sizes::default())))
    }

    /// That of a journal that begins.
    fn that_begins() -> Rig {
        Rig::around(Writer::new(Journal::that_begins(Policy::Never)))
    }

    fn around(writer: Writer<Waits, &'static str, u16>) -> Rig {
        Rig { writer, now_ms: 0, fails: Vec::new(), did: Vec::new() }
    }

    /// A record of shard 0, and a batch that has written it.
    fn write(&mut self, name: &'static str) {
        let bytes = b"*1\r\n$4\r\nINCR\r\n".to_vec();
        let runs = vec![Run::new(0, bytes.len())];
        let finished = vec![Waits(name, true)];
        self.writer.append(
            Append { shard: 0, runs, bytes, finished, moment: None, is_urgent: false },
            None,
            self.now_ms,
        );
    }

    /// The moment of a snapshot, at shard 2.
    fn moment(&mut self, snapshot: u32) {
        let moment = Some(Mark { at: 0, snapshot, purpose: Purpose::Base });
        let (runs, bytes, finished) = (Vec::new(), Vec::new(), Vec::new());
        let append = Append { shard: 2, runs, bytes, moment, finished, is_urgent: true };
        self.writer.append(append, None, self.now_ms);
    }

    /// A batch that has read.
    fn read(&mut self, name: &'static str) {
        let finished = vec![Waits(name, false)];
        let append = Append {
            shard: 1,
            runs: Vec::new(),
            bytes: Vec::new(),
            finished,
            moment: None,
            is_urgent: false,
        };
        self.writer.append(append, None, self.now_ms);
    }

    /// It panics, and does what follows.
    fn restart(&mut self) {
        self.writer.restarted("x".to_owned());
        self.work();
    }

    fn perform(&mut self, kind: &'static str) -> Result<(), Fault> {
        self.did.push(kind);
        if self.fails.contains(&kind) { Err(fault(kind)) } else { Ok(()) }
    }

    /// Carries out what there is to do. Returns the rest of the tasks, but for figures and
    /// progress.
    fn work(&mut self) -> Tasks {
        let mut tasks = Tasks::new();
        while let Some(task) = self.writer.next(self.now_ms) {
            let said = |result: Result<(), Fault>| result.map_err(|fault| fault.to_string());
            match task {
                Task::Disk(work) => {
                    let result = self.perform(match work {
                        Work::Write(_) => "write",
                        Work::Sync => "sync",
                        Work::Cut(_) => "cut",
                    });
                    self.writer.done(result, self.now_ms);
                }
                Task::BeginIncrement { is_listed } => {
                    let result = self.perform(if is_listed { "add" } else { "create" });
                    self.writer.begun(result.map_err(|fault| (fault, true)));
                }
                Task::ListBase(increments) => {
                    let result = said(self.perform(match increments {
                        Increments::None => "list alone",
                        Increments::Unlisted => "list both",
                        Increments::Last => "list",
                    }));
                    self.writer.listed(result.map(|()| Sizes::default()), self.now_ms);
                }
                Task::UndoBase => {
                    let result = said(self.perform("undo"));
                    self.writer.undone(result);
                }
                Task::Show(_) | Task::Tell(News::Progress(_)) => {}
                task => tasks.push(task),
            }
        }
        tasks
    }
}

fn released(names: &[&'static str]) -> Task<Waits, &'static str, u16> {
    Task::Tell(News::Release(names.iter().map(|name| Waits(name, true)).collect()))
}

fn failed(asks: &'static str, kind: &'static str) -> Task<Waits, &'static str, u16> {
    Task::Answer(asks, Err(fault(kind).to_string()))
}

#[test]
fn what_is_durable_is_marked_behind_who_is_released() {
    let mut rig = Rig::new(Policy::Always);
    assert_eq!(rig.work(), [Task::MadeDurable(0)]);
    rig.write("a");
    rig.write("b");
    assert_eq!(rig.work(), [released(&["a", "b"]), Task::MadeDurable(2)]);
    assert_eq!(rig.did, ["write", "sync"]);
    assert_eq!((rig.work(), rig.writer.wake_ms()), (vec![], None));
}

#[test]
fn appends_are_taken_in_by_rounds_unless_clients_wait() {
    let mut rig = Rig::new(Policy::EverySecond);
    assert!(!rig.writer.takes_in(false, 0));
    assert_eq!(rig.writer.next_round_ms(), Some(ROUND_MS));
    assert!(rig.writer.takes_in(true, 1), "it is hurried");
    assert!(rig.writer.takes_in(false, ROUND_MS));
    rig.writer.took_in(true, ROUND_MS);
    assert_eq!(rig.writer.next_round_ms(), Some(2 * ROUND_MS));
    rig.writer.set_policy(Policy::Always, ROUND_MS);
    assert!(rig.writer.takes_in(false, ROUND_MS));
    rig.writer.took_in(true, ROUND_MS);
    assert_eq!(rig.writer.next_round_ms(), None, "it is woken for each");
    rig.writer.set_policy(Policy::Never, ROUND_MS);
    assert!(!rig.writer.takes_in(false, ROUND_MS));
    rig.writer.close("asks");
    assert!(rig.writer.takes_in(false, ROUND_MS), "who closes waits");
    rig.work();
    assert_eq!(rig.writer.next_round_ms(), None, "it has ended");
}

#[test]
fn shards_hear_of_a_failed_write_and_of_its_end() {
    let mut rig = Rig::new(Policy::EverySecond);
    rig.work();
    rig.fails = vec!["write"];
    rig.write("a");
    let told = rig.work();
    assert_eq!(told[1..], [Task::Tell(News::Refuse(fault("write")))]);
    assert_eq!(rig.writer.wake_ms(), Some(RETRY_MS));
    rig.fails.clear();
    rig.now_ms = RETRY_MS;
    assert_eq!(rig.work(), [Task::Tell(News::Resume), Task::MadeDurable(1)]);
}

#[test]
fn a_lost_journal_lets_readers_go_and_has_writers_wait_for_a_base() {
    let mut rig = Rig::new(Policy::Always);
    rig.work();
    rig.fails = vec!["sync"];
    rig.write("a");
    assert_eq!(rig.work(), [Task::Tell(News::Refuse(fault("sync")))]);
    rig.read("b");
    rig.write("c");
    assert_eq!(rig.work(), [Task::Tell(News::Release(vec![Waits("b", false)]))]);
    assert_eq!(rig.did, ["write", "sync"], "the file is not touched again");
    rig.fails.clear();
    rig.moment(7);
    rig.write("d");
    assert_eq!(rig.work(), []);
    assert_eq!(rig.did[2..], ["create", "write", "sync"]);
    rig.writer.list_base(Some(7), "change");
    let tasks = rig.work();
    let answer = Task::Answer("change", Ok(()));
    let all = released(&["a", "c", "d"]);
    assert_eq!(tasks, [answer, Task::Tell(News::Resume), all, Task::MadeDurable(3)]);
    assert_eq!(rig.did[5..], ["list both"]);
}

#[test]
fn nobody_overtakes_a_push_that_waits_for_a_base() {
    let mut rig = Rig::new(Policy::Always);
    rig.work();
    rig.fails = vec!["sync"];
    rig.write("a");
    rig.work();
    rig.read("push 1");
    rig.read("b");
    let free = ["push 1", "b"].map(|name| Task::Tell(News::Release(vec![Waits(name, false)])));
    assert_eq!(rig.work(), free, "only a write waits");
    rig.write("push 2");
    rig.read("push 3");
    rig.read("c");
    assert_eq!(rig.work(), [Task::Tell(News::Release(vec![Waits("c", false)]))]);
    rig.fails.clear();
    rig.moment(7);
    rig.writer.list_base(Some(7), "change");
    let all = [Waits("a", true), Waits("push 2", true), Waits("push 3", false)];
    assert!(rig.work().contains(&Task::Tell(News::Release(all.to_vec()))));
    assert!(!rig.writer.journal.holds_in_order());
}

#[test]
fn a_restart_counts_as_a_failed_sync() {
    let mut rig = Rig::new(Policy::Always);
    rig.write("a");
    while !matches!(rig.writer.next(0), Some(Task::Disk(Work::Write(_)))) {}
    rig.writer.restarted("x".to_owned());
    // The result of what was begun before comes from nowhere.
    rig.writer.done(Ok(()), 0);
    let tasks = rig.work();
    assert!(matches!(&tasks[0], Task::Tell(News::Refuse(fault)) if fault.operation == "panic"));
    assert_eq!(tasks[1..], []);
    assert!(rig.did.is_empty(), "the file is not touched again");
    rig.writer.close("close");
    let abandoned = Task::Abandon(vec![Waits("a", true)]);
    let tasks = rig.work();
    assert!(
        matches!(&tasks[..], [first, Task::Answer(_, Err(_)), Task::End] if *first == abandoned)
    );
}

#[test]
fn a_shard_is_read_back_when_all_is_written() {
    let mut rig = Rig::new(Policy::Never);
    rig.fails = vec!["write"];
    rig.write("a");
    rig.writer.rebuild(3);
    assert!(!rig.work().iter().any(|task| matches!(task, Task::Rebuild(..))));
    rig.fails.clear();
    rig.now_ms = RETRY_MS;
    let tasks = rig.work();
    let written = rig.writer.journal.written_length().expect("all is written");
    assert!(written > 0);
    assert_eq!(tasks.last(), Some(&Task::Rebuild(3, written)));
    assert_eq!(rig.work(), [], "once");
}

#[test]
fn nobody_is_read_back_to_from_a_lost_journal() {
    let mut rig = Rig::new(Policy::Always);
    rig.writer.rebuild(3);
    rig.writer.restarted("x".to_owned());
    assert!(matches!(rig.work().last(), Some(Task::GiveUp(why)) if why.contains("trusted")));
    rig.writer.cannot_rebuild("it is gone");
    let why = "a shard cannot be rebuilt: it is gone".to_owned();
    assert_eq!(rig.work(), [Task::GiveUp(why)]);
}

#[test]
fn a_rewrite_goes_on_with_another_increment_once_the_last_is_durable() {
    let mut rig = Rig::new(Policy::Never);
    rig.write("a");
    rig.work();
    rig.moment(7);
    rig.write("b");
    rig.work();
    assert_eq!(rig.did, ["write", "sync", "add", "write"]);
    rig.writer.list_base(Some(7), "change");
    assert_eq!(rig.work(), [Task::Answer("change", Ok(()))]);
    assert_eq!(rig.did[4..], ["list"]);
    rig.writer.list_base(Some(7), "again");
    let tasks = rig.work();
    assert!(matches!(tasks[..], [Task::Answer("again", Err(_))]), "its moment is long over");
}

#[test]
fn a_base_is_listed_ahead_of_what_there_is_to_write() {
    let mut rig = Rig::new(Policy::Always);
    rig.moment(7);
    rig.work();
    rig.write("a");
    rig.writer.list_base(Some(7), "change");
    rig.work();
    assert_eq!(rig.did, ["add", "list", "write", "sync"]);
}

#[test]
fn a_journal_begins_with_its_base() {
    let mut rig = Rig::that_begins();
    rig.write("a");
    assert_eq!(rig.work(), [released(&["a"])]);
    assert!(rig.did.is_empty(), "it will be in the base");
    rig.moment(7);
    rig.write("b");
    rig.work();
    assert_eq!(rig.did, ["create", "write"]);
    rig.writer.list_base(Some(7), "change");
    assert_eq!(rig.work(), [Task::Answer("change", Ok(()))]);
    // From now on it is a journal as any other.
    rig.writer.set_policy(Policy::Always, 0);
    rig.write("c");
    rig.writer.sync("change");
    let answer = Task::Answer("change", Ok(()));
    assert_eq!(rig.work(), [released(&["c"]), Task::MadeDurable(3), answer]);
    rig.writer.restarted("x".to_owned());
    assert!(matches!(rig.work()[0], Task::Tell(News::Refuse(_))), "shards are told of its faults");
}

#[test]
fn where_there_is_no_journal_a_base_is_listed_alone() {
    let mut rig = Rig::that_begins();
    rig.writer.list_base(None, "change");
    assert_eq!(rig.work(), [Task::Answer("change", Ok(()))]);
    assert_eq!(rig.did, ["list alone"]);
    rig.writer.close("close");
    assert_eq!(rig.work(), [Task::Answer("close", Ok(())), Task::End]);
}

#[test]
fn a_fault_of_what_is_not_listed_is_told_to_who_lists_it_and_to_no_shard() {
    for fails in ["create", "write", "sync", "list both"] {
        let mut rig = Rig::that_begins();
        rig.writer.set_policy(Policy::Always, 0);
        rig.fails = vec![fails, "undo"];
        rig.moment(7);
        rig.write("a");
        assert_eq!(rig.work(), [], "{fails}");
        rig.writer.list_base(Some(7), "list");
        assert_eq!(rig.work(), [failed("list", fails)], "{fails}");
        rig.writer.close("close");
        let tasks = rig.work();
        assert!(tasks.ends_with(&[failed("close", "undo"), Task::End]), "{fails}: {tasks:?}");
    }
}

#[test]
fn a_rewrite_that_fails_leaves_the_journal_as_it_was() {
    for fails in ["add", "list"] {
        let mut rig = Rig::new(Policy::Always);
        rig.fails = vec![fails];
        rig.moment(7);
        rig.write("a");
        rig.writer.list_base(Some(7), "list");
        let tasks = rig.work();
        let is_told = |task: &Task<_, _, _>| matches!(task, Task::Answer("list", Err(_)));
        assert!(tasks.iter().any(is_told), "{fails}: {tasks:?}");
        assert!(tasks.contains(&released(&["a"])), "{fails}: {tasks:?}");
        rig.writer.forget_base("forget");
        rig.write("b");
        let tasks = rig.work();
        assert!(tasks.contains(&Task::Answer("forget", Ok(()))), "{fails}: {tasks:?}");
        assert!(tasks.contains(&released(&["b"])), "{fails}: {tasks:?}");
    }
}

#[test]
fn a_moment_that_comes_late_begins_anew() {
    let mut rig = Rig::new(Policy::Always);
    rig.restart();
    rig.moment(7);
    rig.write("a");
    rig.writer.forget_base("forget");
    rig.work();
    rig.moment(8);
    rig.write("b");
    // The base before failed as its moment had come.
    rig.moment(9);
    rig.write("c");
    rig.work();
    rig.writer.list_base(Some(8), "old");
    assert!(matches!(rig.work()[..], [Task::Answer("old", Err(_))]));
    rig.writer.list_base(Some(9), "new");
    let tasks = rig.work();
    let all = released(&["a", "b", "c"]);
    let answer = Task::Answer("new", Ok(()));
    assert_eq!(tasks, [answer, Task::Tell(News::Resume), all, Task::MadeDurable(3)]);
}

#[test]
fn a_panic_while_a_base_is_listed_answers_who_asked() {
    let mut rig = Rig::that_begins();
    rig.moment(7);
    rig.writer.list_base(Some(7), "list");
    loop {
        match rig.writer.next(0).expect("it is to be listed") {
            Task::Disk(_) => rig.writer.done(Ok(()), 0),
            Task::BeginIncrement { .. } => rig.writer.begun(Ok(())),
            Task::ListBase(_) => break,
            _ => {}
        }
    }
    assert_eq!(rig.writer.next(0), None, "one thing at a time");
    rig.writer.restarted("x".to_owned());
    rig.writer.listed(Ok(Sizes::default()), 0);
    assert!(matches!(rig.work()[..], [Task::Answer("list", Err(_))]));
}

#[test]
fn a_journal_that_ends_is_synced_and_holds_nobody_back() {
    let mut rig = Rig::new(Policy::Never);
    rig.write("a");
    rig.writer.close("change");
    let tasks = rig.work();
    assert_eq!(rig.did, ["write", "sync"]);
    assert_eq!(tasks[tasks.len() - 2..], [Task::Answer("change", Ok(())), Task::End]);
    rig.writer.restarted("x".to_owned());
    assert_eq!((rig.work(), rig.writer.wake_ms()), (vec![], None), "nothing comes after the end");

    let mut rig = Rig::new(Policy::Always);
    rig.fails = vec!["write"];
    rig.write("a");
    rig.work();
    rig.writer.close("change");
    let tasks = rig.work();
    let abandoned = Task::Abandon(vec![Waits("a", true)]);
    assert_eq!(tasks, [abandoned, failed("change", "write"), Task::End]);
}

#[test]
fn the_figures_at_the_end_are_those_of_no_journal() {
    let mut rig = Rig::new(Policy::Always);
    rig.write("a");
    rig.work();
    rig.writer.close("change");
    let mut shown = None;
    while let Some(task) = rig.writer.next(0) {
        match task {
            Task::Show(figures) => shown = Some(figures),
            Task::Answer(..) => {
                assert_eq!(shown, Some(JournalFigures::default()), "ahead of the answer")
            }
            _ => {}
        }
    }
    assert!(shown.is_some());
}

#[test]
fn a_journal_that_cannot_be_written_does_not_end_under_a_rebuild() {
    let mut rig = Rig::new(Policy::EverySecond);
    rig.fails = vec!["write"];
    rig.write("a");
    rig.writer.rebuild(1);
    rig.work();
    rig.writer.close("change");
    assert!(matches!(rig.work().last(), Some(Task::GiveUp(why)) if why.contains("written")));
}

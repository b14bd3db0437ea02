//! Each rule of the writer, on a disk that fails where it is told to.

use super::*;
use crate::aof::journal::{RETRY_MS, Sizes};
use crate::keyspace::effect::Run;
use crate::stream::rounds::ROUND_MS;

/// Something that waits: its name, and whether it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waits(&'static str, bool);

impl Finished for Waits {
    fn shows_writes(&self, _: bool) -> bool {
        self.1
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

    fn of_base() -> Rig {
        let journal = Journal::new(Policy::Never, Sizes::default());
        Rig::around(Writer::of_base(journal, "fault"))
    }

    fn around(writer: Writer<Waits, &'static str, u16>) -> Rig {
        Rig { writer, now_ms: 0, fails: Vec::new(), did: Vec::new() }
    }

    /// A record of shard 0, and a batch that has written it.
    fn write(&mut self, name: &'static str) {
        let bytes = b"*1\r\n$4\r\nINCR\r\n".to_vec();
        let runs = vec![Run { db: 0, end: bytes.len() }];
        let finished = vec![Waits(name, true)];
        self.writer
            .append(Append { shard: 0, runs, bytes, finished, is_urgent: false }, self.now_ms);
    }

    /// A batch that has read.
    fn read(&mut self, name: &'static str) {
        let finished = vec![Waits(name, false)];
        let append =
            Append { shard: 1, runs: Vec::new(), bytes: Vec::new(), finished, is_urgent: false };
        self.writer.append(append, self.now_ms);
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
                Task::BeginIncrement => {
                    let result = said(self.perform("begin"));
                    self.writer.begun(result);
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
fn a_lost_journal_lets_readers_go_and_nobody_else() {
    let mut rig = Rig::new(Policy::Always);
    rig.work();
    rig.fails = vec!["sync"];
    rig.write("a");
    rig.read("b");
    let lost = vec![Waits("a", true), Waits("b", false)];
    let refused = Task::Tell(News::Refuse(fault("sync")));
    assert_eq!(rig.work(), [refused, Task::Tell(News::Abandon(lost))]);
    rig.read("c");
    rig.write("d");
    let tasks = rig.work();
    assert_eq!(tasks[0], Task::Tell(News::Release(vec![Waits("c", false)])));
    assert_eq!(tasks[1..], [Task::Tell(News::Abandon(vec![Waits("d", true)]))]);
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
    assert_eq!(tasks[1..], [Task::Tell(News::Abandon(vec![Waits("a", true)]))]);
    assert!(rig.did.is_empty(), "the file is not touched again");
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
fn a_base_is_left_for_an_increment_when_it_is_durable() {
    let mut rig = Rig::of_base();
    rig.write("a");
    rig.work();
    assert_eq!(rig.did, ["write"], "nothing is synced while it is told");
    rig.write("b");
    rig.writer.switch("change");
    let tasks = rig.work();
    assert_eq!(rig.did[1..], ["sync", "write", "sync", "begin"]);
    assert!(tasks.contains(&Task::Answer("change", Ok(()))));
    // From now on it is a journal as any other.
    rig.writer.set_policy(Policy::Always, 0);
    rig.write("c");
    rig.writer.sync("change");
    let tasks = rig.work();
    let answer = Task::Answer("change", Ok(()));
    assert_eq!(tasks, [released(&["c"]), Task::MadeDurable(3), answer]);
    rig.writer.restarted("x".to_owned());
    assert!(matches!(rig.work()[0], Task::Tell(News::Refuse(_))), "shards are told of its faults");
}

#[test]
fn a_fault_of_a_base_is_told_to_who_began_it_and_to_no_shard() {
    let mut rig = Rig::of_base();
    rig.work();
    rig.fails = vec!["write"];
    rig.write("a");
    assert_eq!(rig.work(), [released(&["a"]), failed("fault", "write")]);
    rig.fails.clear();
    rig.now_ms = RETRY_MS;
    assert_eq!(rig.work(), [], "that it is well again is no news");
    rig.writer.close("change");
    let tasks = rig.work();
    assert_eq!(rig.did.last(), Some(&"undo"));
    assert_eq!(tasks[1..], [Task::Answer("change", Ok(())), Task::End]);
}

#[test]
fn a_base_that_cannot_be_switched_is_undone_at_its_end() {
    for fails in ["write", "sync", "begin"] {
        let mut rig = Rig::of_base();
        rig.fails = vec![fails, "undo"];
        rig.write("a");
        rig.writer.switch("switch");
        assert!(rig.work().contains(&failed("switch", fails)), "{fails}");
        rig.writer.close("close");
        let tasks = rig.work();
        assert!(tasks.ends_with(&[failed("close", "undo"), Task::End]), "{fails}: {tasks:?}");
    }
}

#[test]
fn a_panic_while_a_base_is_switched_answers_who_asked() {
    let mut rig = Rig::of_base();
    rig.write("a");
    rig.writer.switch("switch");
    loop {
        match rig.writer.next(0).expect("it is to be switched") {
            Task::Disk(_) => rig.writer.done(Ok(()), 0),
            Task::BeginIncrement => break,
            _ => {}
        }
    }
    assert_eq!(rig.writer.next(0), None, "one thing at a time");
    rig.writer.restarted("x".to_owned());
    rig.writer.begun(Ok(()));
    let tasks = rig.work();
    let answered = |asks| tasks.iter().any(|t| matches!(t, Task::Answer(a, Err(_)) if *a == asks));
    assert!(answered("switch") && answered("fault"));
    assert!(!tasks.iter().any(|task| matches!(task, Task::Tell(News::Refuse(_)))));
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
    assert_eq!(tasks, [released(&["a"]), failed("change", "write"), Task::End]);
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

//! Mail between the parts of the server, as actors have it: what goes from one to another arrives
//! in its order, each edge takes its time, and edges know nothing of each other.
//!
//! What the writer has before it is the one order of all effects, which is decided when mail is
//! sent: so it is one edge, whoever sends. So is what those have before them who save.

use std::collections::VecDeque;

use fastrand::Rng;
use troupe::aof::change::Step;
use troupe::hook::answer::Answer;
use troupe::replication::Fed;
use troupe::route::ShardId;
use troupe::shard::letter::Letter;
use troupe::shard::load::Parcel;
use troupe::shard::snapshot::News;
use troupe::shard::turn::Held;
use troupe::stream::{Append, Progress};

use crate::connection::Moving;
use crate::performance::Asked;

/// Mailboxes beside those of the threads.
const OTHERS: usize = 5;

/// What has a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A thread with its shard.
    Thread(ShardId),
    /// The owner of the map.
    Router,
    /// The writer of the journal.
    Writer,
    /// Who reads the journal for a shard.
    Loader,
    /// Loans that lost their way: each sends for itself.
    Loans,
    /// Who has snapshots made, of the journal's base and for replicas, and looks after those.
    Saver,
}

/// A message.
#[derive(Debug)]
pub enum Mail {
    /// A letter to a thread.
    Letter(Letter),
    /// Effects, to the writer.
    Append(Append<Held>),
    /// How far the effects of a shard have come, to its thread.
    Progress(Progress),
    /// Slots have come to a shard, to the router.
    Moved(Vec<u16>, ShardId),
    /// What a thread asks another, by the number of what it performs.
    Ask(ShardId, u64, Asked),
    /// The answer.
    Answer(u64, Answer),
    /// A client goes on here. To a thread.
    Client(Box<Moving>),
    /// A shard wants to be rebuilt: the number of its load. To the writer.
    Rebuild(ShardId, u64),
    /// Records for a shard, of this load.
    Replay(u64, Parcel),
    /// All records of this load were sent.
    Loaded(u64),
    /// What a shard has to tell of a snapshot.
    News(ShardId, News),
    /// The batch is gone that was to begin the snapshot with this number.
    BatchGone(u32),
    /// The base is whole that is this snapshot. To the writer.
    ListBase(u32),
    /// No base comes. To the writer.
    ForgetBase,
    /// A step of a change of the journal. To the writer and to threads.
    Step(Step),
    /// How that went at the writer.
    Answered(Step, Result<(), String>),
    /// A thread has taken it up, and serves or not.
    Heard(Step, bool),
    /// A shard panicked while a journal began.
    Panicked(ShardId),
    /// Effects are to be recorded for replicas, or no more. To a thread.
    Record(bool),
    /// It records them.
    Recorded,
    /// The stream is to be read for replicas, or no more. To the writer.
    Listen(bool),
    /// It is so.
    Listens(bool),
    /// Something has its place in the stream here. To the writer.
    Put(Fed),
}

#[derive(Debug)]
struct Posted {
    at_us: u64,
    mail: Mail,
}

/// Everybody's mail.
#[derive(Debug)]
pub struct Post {
    threads: usize,
    /// By sender and receiver; of those to the writer there is one.
    edges: Vec<VecDeque<Posted>>,
    is_slow: bool,
    /// Letters to a thread stand in one inbox, in the order in which they were sent. What is pushed
    /// needs that; nothing else does, so that other runs have more orders.
    has_inboxes: bool,
}

/// Mail that has arrived.
#[derive(Debug)]
pub struct Arrived {
    /// Who gets it.
    pub to: Address,
    /// What it is.
    pub mail: Mail,
}

impl Post {
    /// Empty mailboxes for so many threads. Mail takes long where `is_slow` says so.
    pub fn new(threads: ShardId, is_slow: bool) -> Post {
        let threads = usize::from(threads);
        let edges = (0..(threads + OTHERS) * (threads + OTHERS)).map(|_| VecDeque::new()).collect();
        Post { threads, edges, is_slow, has_inboxes: false }
    }

    /// The same, with one inbox for all letters to a thread.
    pub fn with_inboxes(self, has_inboxes: bool) -> Post {
        Post { has_inboxes, ..self }
    }

    /// Sends mail at a time.
    pub fn send(&mut self, from: Address, to: Address, mail: Mail, now_us: u64, rng: &mut Rng) {
        let delay_us = match self.is_slow {
            false => rng.u64(..100),
            true if rng.u8(..16) == 0 => rng.u64(..100_000),
            true => rng.u64(..2_000),
        };
        // The writer has one queue, which it shares with nobody, and so has who saves.
        let is_one = matches!(to, Address::Writer | Address::Saver)
            || (self.has_inboxes && matches!(mail, Mail::Letter(_)));
        let from = if is_one { to } else { from };
        let edge = self.number(from) * (self.threads + OTHERS) + self.number(to);
        let edge = &mut self.edges[edge];
        // Nothing overtakes.
        let last_us = edge.back().map_or(0, |posted| posted.at_us);
        edge.push_back(Posted { at_us: last_us.max(now_us + delay_us), mail });
    }

    /// The edges that have mail which has arrived.
    pub fn arrived(&self, now_us: u64) -> impl Iterator<Item = usize> {
        let edges = self.edges.iter().enumerate();
        let is_here =
            move |edge: &VecDeque<Posted>| edge.front().is_some_and(|p| p.at_us <= now_us);
        edges.filter(move |(_, edge)| is_here(edge)).map(|(at, _)| at)
    }

    /// Who gets the mail of an edge.
    pub fn receiver(&self, edge: usize) -> Address {
        match edge % (self.threads + OTHERS) {
            thread if thread < self.threads => Address::Thread(thread as ShardId),
            other => {
                [Address::Router, Address::Writer, Address::Loader, Address::Loans, Address::Saver]
                    [other - self.threads]
            }
        }
    }

    /// Takes the first mail of an edge.
    pub fn take(&mut self, edge: usize) -> Option<Arrived> {
        let posted = self.edges[edge].pop_front()?;
        Some(Arrived { to: self.receiver(edge), mail: posted.mail })
    }

    /// Takes the letters in a thread's inbox, up to the last that is a push.
    pub fn take_pushed(&mut self, thread: ShardId) -> Vec<Mail> {
        let own = Address::Thread(thread);
        let inbox = self.number(own) * (self.threads + OTHERS) + self.number(own);
        let is_push = |posted: &Posted| matches!(posted.mail, Mail::Letter(Letter::Push(_)));
        let inbox = &mut self.edges[inbox];
        let count = inbox.iter().rposition(is_push).map_or(0, |last| last + 1);
        inbox.drain(..count).map(|posted| posted.mail).collect()
    }

    /// Throws all mail away.
    pub fn clear(&mut self) {
        self.edges.iter_mut().for_each(VecDeque::clear);
    }

    /// When the next mail arrives.
    pub fn next_us(&self) -> Option<u64> {
        self.edges.iter().filter_map(|edge| edge.front()).map(|posted| posted.at_us).min()
    }

    /// The most mail on one edge.
    pub fn longest(&self) -> usize {
        self.edges.iter().map(VecDeque::len).max().unwrap_or(0)
    }

    fn number(&self, address: Address) -> usize {
        match address {
            Address::Thread(thread) => usize::from(thread),
            Address::Router => self.threads,
            Address::Writer => self.threads + 1,
            Address::Loader => self.threads + 2,
            Address::Loans => self.threads + 3,
            Address::Saver => self.threads + 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use troupe::batch::Home;
    use troupe::hook::push::Push;

    use super::*;

    #[test]
    fn letters_to_a_thread_stand_in_one_inbox_where_it_has_one() {
        let (mut post, mut rng) = (Post::new(3, true).with_inboxes(true), Rng::with_seed(1));
        let push = |named| {
            let to = Home { thread: 2, connection: 0 };
            Letter::Push(Push::RedirectBroken { to, client: 1, named })
        };
        for (from, letter) in
            [(0, push(0)), (1, Letter::Heard(1)), (0, push(2)), (1, Letter::Heard(3))]
        {
            let (from, to) = (Address::Thread(from), Address::Thread(2));
            post.send(from, to, Mail::Letter(letter), 0, &mut rng);
        }
        let taken = post.take_pushed(2).into_iter().map(|mail| match mail {
            Mail::Letter(Letter::Push(Push::RedirectBroken { named, .. })) => named,
            Mail::Letter(Letter::Heard(number)) => number,
            other => panic!("{other:?}"),
        });
        assert_eq!(taken.collect::<Vec<_>>(), [0, 1, 2]);
        assert!(post.take_pushed(2).is_empty() && post.longest() == 1);
    }

    #[test]
    fn an_edge_keeps_its_order_and_edges_do_not_wait_for_each_other() {
        let (mut post, mut rng) = (Post::new(2, true), Rng::with_seed(1));
        for load in 0..100 {
            for from in [0, 1] {
                let mail = Mail::Loaded(load);
                post.send(Address::Thread(from), Address::Router, mail, load, &mut rng);
            }
        }
        let mut seen = Vec::new();
        while let Some(now_us) = post.next_us() {
            let edge = post.arrived(now_us).next().expect("it has arrived by then");
            let Some(Arrived { to: Address::Router, mail: Mail::Loaded(load) }) = post.take(edge)
            else {
                panic!("only the router has mail");
            };
            seen.push((edge, load));
        }
        let of = |edge: usize| seen.iter().filter(move |(at, _)| *at == edge);
        let edges = [seen[0].0, seen.iter().map(|(edge, _)| *edge).max().expect("there are some")];
        assert!(edges.into_iter().all(|edge| of(edge).map(|(_, load)| load).is_sorted()));
        assert!(!seen.iter().map(|(_, load)| load).is_sorted());
    }
}

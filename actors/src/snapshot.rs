//! The actor that writes snapshots: a thin shell around `troupe::snapshot`, on a thread of its own,
//! since the calls of the disk block.
//!
//! All of its mail comes through one inbox. A panic costs the snapshot that is being written, and
//! no other.
//!
//! Where `rdb-key-save-delay` is set, what shards tell waits as long as its keys take. The shards
//! find the disk slow then, and all other mail is acted on at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler, Recipient, Supervised};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tracing::{info, warn};
use troupe::route::ShardId;
use troupe::settings::KeyDelay;
use troupe::shard::letter::Letter;
use troupe::shard::snapshot::News;
use troupe::snapshot::{Outcome, Snapshot};

use crate::fault::Vital;
use crate::guard::{Guard, Guarded};
use crate::memory::Meter;
use crate::message::control::{Panic, Restarted};
use crate::message::snapshot::{Mail, Mails};
use crate::post::Post;

/// The actor.
pub struct SnapshotWriter {
    mails: Mails,
    post: Arc<Post>,
    /// The snapshot that is being written, and who is told how it ends.
    current: Option<(Box<Snapshot>, oneshot::Sender<Outcome>)>,
    /// How long each key takes at least.
    delay: KeyDelay,
    /// What is told of it and is not written yet. Shards have a bound for that.
    waiting: VecDeque<(ShardId, News)>,
    /// How long the first of those waits still, once that has begun.
    rest: Option<Pin<Box<Sleep>>>,
    guard: Guard,
    /// What the thread uses: it frees what shards have allocated.
    meter: Meter,
    _vital: Vital,
}

impl SnapshotWriter {
    /// A writer with this mail, and a way to the shards.
    pub fn new(
        mails: Mails,
        post: Arc<Post>,
        delay: KeyDelay,
        guardian: Recipient<Restarted>,
        meter: Meter,
    ) -> SnapshotWriter {
        SnapshotWriter {
            mails,
            post,
            current: None,
            delay,
            waiting: VecDeque::new(),
            rest: None,
            guard: Guard::new("snapshot-writer", guardian),
            meter,
            _vital: Vital("the snapshot writer"),
        }
    }

    /// Works until there is no mail, and wakes `task` when the next keys have taken their time.
    fn work(&mut self, task: &mut TaskContext<'_>) {
        self.mails.wake();
        self.meter.wakes();
        loop {
            self.write(task);
            self.end_what_is_over();
            self.meter.publish_balance();
            let Some(mail) = self.mails.take() else { break };
            self.take(mail);
        }
        self.meter.sleeps();
    }

    fn take(&mut self, mail: Mail) {
        match (mail, &mut self.current) {
            (Mail::Begin(snapshot, ended), _) => self.current = Some((snapshot, ended)),
            (Mail::Panic, _) => panic!("DEBUG PANIC-ACTOR"),
            (Mail::News(shard, news), Some((snapshot, _))) => {
                snapshot.overhear(&news);
                self.waiting.push_back((shard, news));
            }
            (Mail::BatchGone(number), Some((snapshot, _))) if snapshot.number() == number => {
                snapshot.batch_gone();
            }
            (Mail::GiveUp(why), Some((snapshot, _))) => snapshot.give_up(why),
            (Mail::End(gone), current) => {
                if let Some((snapshot, _)) = current {
                    snapshot.give_up("the server ends");
                }
                self.end_what_is_over();
                // Who asked may wait no more.
                let _ = gone.send(());
            }
            (Mail::Delay(delay), _) if delay != self.delay => {
                (self.delay, self.rest) = (delay, None);
            }
            _ => {}
        }
    }

    /// Writes what waits, up to the first of which the keys still take their time.
    fn write(&mut self, task: &mut TaskContext<'_>) {
        let SnapshotWriter { current: Some((snapshot, _)), waiting, rest, .. } = self else {
            return;
        };
        let number = snapshot.number();
        while let Some((_, news)) = waiting.front()
            && snapshot.outcome().is_none()
        {
            let lasts = self.delay.of_keys(news.keys_of(number));
            if !lasts.is_zero() {
                let rest = rest.get_or_insert_with(|| Box::pin(sleep(lasts)));
                if rest.as_mut().poll(task).is_pending() {
                    return;
                }
            }
            *rest = None;
            let Some((shard, news)) = waiting.pop_front() else { return };
            if let Some(bytes) = snapshot.hear(shard, news) {
                self.post.send([(shard, Letter::SnapshotWritten { number, bytes })]);
            }
        }
    }

    fn end_what_is_over(&mut self) {
        let over = self.current.take_if(|(snapshot, _)| snapshot.outcome().is_some());
        let Some((snapshot, ended)) = over else { return };
        self.waiting.clear();
        self.rest = None;
        self.post.send_all(|| Letter::SnapshotOver(snapshot.number()));
        let Some(outcome) = snapshot.outcome().cloned() else { return };
        match &outcome {
            Ok(bytes) => info!("DB saved on disk: {bytes} bytes"),
            Err(why) => warn!("Failed saving the DB: {why}"),
        }
        // Who asked may have gone meanwhile.
        let _ = ended.send(outcome);
    }
}

impl Actor for SnapshotWriter {
    type Context = Context<SnapshotWriter>;

    fn started(&mut self, ctx: &mut Context<SnapshotWriter>) {
        ctx.spawn(Runner);
    }
}

impl Guarded for SnapshotWriter {
    fn guard(&mut self) -> &mut Guard {
        &mut self.guard
    }
}

impl Supervised for SnapshotWriter {
    fn restarting(&mut self, _: &mut Context<SnapshotWriter>) {
        self.guard.restarted();
        if let Some((snapshot, _)) = &mut self.current {
            snapshot.give_up("its writer has panicked");
        }
        self.end_what_is_over();
    }
}

impl Handler<Panic> for SnapshotWriter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<SnapshotWriter>) {
        self.mails.send(Mail::Panic, true);
    }
}

/// The one place where the writer works.
struct Runner;

impl ActorFuture<SnapshotWriter> for Runner {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut SnapshotWriter,
        ctx: &mut Context<SnapshotWriter>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        actor.mails.set_waker(task.waker());
        loop {
            if actor.guarded(ctx, |actor| actor.work(task)).is_none() {
                return Poll::Ready(());
            }
            if actor.mails.sleep() {
                return Poll::Pending;
            }
        }
    }
}

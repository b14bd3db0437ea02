//! The actor that writes snapshots: a thin shell around `troupe::snapshot`, on a thread of its own,
//! since the calls of the disk block.
//!
//! All of its mail comes through one inbox. A panic costs the snapshot that is being written, and
//! no other.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler, Recipient, Supervised};
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::shard::letter::Letter;
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
        guardian: Recipient<Restarted>,
        meter: Meter,
    ) -> SnapshotWriter {
        let guard = Guard::new("snapshot-writer", guardian);
        let _vital = Vital("the snapshot writer");
        SnapshotWriter { mails, post, current: None, guard, meter, _vital }
    }

    fn work(&mut self) {
        self.mails.wake();
        while let Some(mail) = self.mails.take() {
            self.take(mail);
            self.end_what_is_over();
            self.meter.publish_balance();
        }
    }

    fn take(&mut self, mail: Mail) {
        match (mail, &mut self.current) {
            (Mail::Begin(snapshot, ended), _) => self.current = Some((snapshot, ended)),
            (Mail::Panic, _) => panic!("DEBUG PANIC-ACTOR"),
            (Mail::News(shard, news), Some((snapshot, _))) => {
                if let Some(bytes) = snapshot.hear(shard, news) {
                    let number = snapshot.number();
                    self.post.send([(shard, Letter::SnapshotWritten { number, bytes })]);
                }
            }
            (Mail::BatchGone(number), Some((snapshot, _))) if snapshot.number() == number => {
                snapshot.batch_gone();
            }
            (Mail::GiveUp(why), Some((snapshot, _))) => snapshot.give_up(why),
            _ => {}
        }
    }

    fn end_what_is_over(&mut self) {
        let over = self.current.take_if(|(snapshot, _)| snapshot.outcome().is_some());
        let Some((snapshot, ended)) = over else { return };
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
            if actor.guarded(ctx, SnapshotWriter::work).is_none() {
                return Poll::Ready(());
            }
            if actor.mails.sleep() {
                return Poll::Pending;
            }
        }
    }
}

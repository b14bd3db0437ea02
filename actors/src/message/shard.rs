//! Mail for a shard, and for the thread that it stands for.

use actix::{Message, Recipient};
use tokio::sync::oneshot;
use troupe::keyspace::space::Slots;
use troupe::route::ShardId;
use troupe::shard::letter::Letter;
use troupe::shard::question::{Answer, Question};
use troupe::shard::refusal::Refusal;
use troupe::shard::replay::Records;
use troupe::stream::Progress;

/// All letters of one turn of one thread to this one.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Letters(pub Vec<Letter>);

impl Letters {
    /// Sends letters to the shards that have these mailboxes, all that go to one of them together.
    pub fn send_each(
        mailboxes: &[Recipient<Letters>],
        letters: impl IntoIterator<Item = (ShardId, Letter)>,
    ) {
        let mut mail: Vec<Vec<Letter>> = Vec::new();
        mail.resize_with(mailboxes.len(), Vec::new);
        for (to, letter) in letters {
            mail[usize::from(to)].push(letter);
        }
        for (mailbox, letters) in mailboxes.iter().zip(mail) {
            if !letters.is_empty() {
                mailbox.do_send(Letters(letters));
            }
        }
    }
}

/// A question about the shard; the answer goes back by itself, since a handler never waits.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
}

/// What concerns the thread's clients.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AskClients {
    /// What is asked.
    pub question: ClientsQuestion,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Vec<troupe::clients::Row>>,
}

/// A question about the clients of a thread.
#[derive(Clone, Debug)]
pub enum ClientsQuestion {
    /// Describe those that match.
    List(troupe::commands::filter::Filter),
    /// Close those that match; the answer describes them.
    Kill(troupe::commands::filter::Filter, u64),
}

/// Effects of this shard have come further in the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Progressed(pub Progress);

/// Records to load.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Replay {
    /// The load that they belong to; those of an earlier one are dropped.
    pub load: u64,
    /// The records.
    pub records: Records,
    /// Told when they are applied: which are not, by their positions.
    pub applied: oneshot::Sender<Vec<(usize, Refusal)>>,
}

/// Give slots for records that need them at another shard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Lend {
    /// The slots.
    pub slots: Vec<u16>,
    /// Where they go.
    pub lent: oneshot::Sender<Option<Slots>>,
}

/// All records of a load were sent: serve from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Loaded {
    /// The load that is over.
    pub load: u64,
}

/// Something that only tests ask for.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub enum Disturb {
    /// Spoil some keys and panic.
    Panic,
    /// Panic when a batch comes that holds slots of other shards.
    PanicVisit,
    /// Empty the shard and read the journal again.
    Reload,
    /// Make every value anew from the commands that make it.
    Remake,
    /// Hold up the thread, in milliseconds.
    Stall(u64),
    /// Whether keys are taken out when they are due.
    ActiveExpire(bool),
    /// Whether calls run out of their order.
    BreakOrder(bool),
    /// Whether MSET runs key by key.
    BreakAtomicity(bool),
}

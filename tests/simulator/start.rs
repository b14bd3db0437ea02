//! The start of the server: the files are read to the shards, and the writer goes on behind them.

use std::sync::Arc;

use bytes::Bytes;
use troupe::aof::directory::Directory;
use troupe::aof::error::AofError;
use troupe::aof::load::{Reader, Torn};
use troupe::aof::loader::{Loader, Step};
use troupe::base::hash::Hasher;
use troupe::base::millis::Millis;
use troupe::batch::{Batch, Home};
use troupe::place::StreamPlace;
use troupe::rdb::Rules;
use troupe::resp::{Decoder, Frames, Limits};
use troupe::route::Map;
use troupe::session::{Peer, Session};
use troupe::shard::{Shard, Ticks};

use crate::context::Context;
use crate::disk::Disk;
use crate::model::{Entry, Model, Value};
use crate::reply::Reply;
use crate::saver::location;
use crate::thread::Thread;
use crate::witness::NOBODY;
use crate::workload::{Call, KEYS};
use crate::writer::Writer;

/// Where the journal is.
pub const DIR: &str = "/data";

/// What a start comes to.
pub struct Started {
    /// The threads, which serve.
    pub threads: Vec<Thread>,
    /// The writer.
    pub writer: Writer,
    /// What the files held.
    pub found: Model,
    /// A tail that was cut.
    pub torn: Option<Torn>,
    /// The place in the stream of a primary that they were at, as they said.
    pub place: Option<StreamPlace>,
}

/// A clock that stands still.
pub struct Still;

impl Ticks for Still {
    fn nanos(&mut self) -> u64 {
        0
    }
}

/// Starts the server over what is on the disk.
///
/// # Errors
/// The files cannot be read or written, or are damaged.
pub fn start(disk: &Disk, map: &Arc<Map>, context: &mut Context) -> Result<Started, AofError> {
    let mut directory = Directory::open(Box::new(disk.clone()), &location())?;
    let shards = context.plan.shards;
    let mut threads: Vec<Thread> =
        (0..shards).map(|number| Thread::new(number, map.clone(), context)).collect();
    let rules = Rules::of(&context.settings, None);
    let mut reader = Reader::new(Box::new(disk.clone()), directory.files()?, None, rules);
    load(&mut reader, map, &mut threads, context)?;
    let read = reader.end();
    if let Some(torn) = &read.torn {
        torn.mend(disk, true)?;
    }
    // What is left is listed as out of use, and tried again at the next start.
    let _ = directory.delete_history();
    let (increment, sizes) = directory.open_increment()?;
    threads.iter_mut().for_each(|thread| thread.shard().serve());
    let found = found(&mut threads, map);
    for thread in &mut threads {
        thread.shard().end_replay();
        thread.begin_journal(context.plan.policy);
    }
    context.mark.reset();
    let writer = Writer::new((directory, increment, sizes), disk.clone(), context);
    Ok(Started { threads, writer, found, torn: read.torn, place: read.place })
}

/// Hands all records out.
fn load(
    reader: &mut Reader,
    map: &Arc<Map>,
    threads: &mut [Thread],
    context: &mut Context,
) -> Result<(), AofError> {
    let renames = context.settings.rename_command.clone();
    let mut loader = Loader::of_all(map.clone(), renames, false);
    loop {
        match loader.next_step() {
            Step::Read => match reader.next_for_shards()? {
                Some(block) => loader.take(block),
                None => loader.end(),
            },
            Step::Apply { shard, parcel } => {
                let now = context.now();
                let applied = threads[usize::from(shard)].shard().load(&parcel, now);
                if let Err(error) = loader.applied(shard, Some(applied)) {
                    context.fail(format!("a record of our own is refused: {error}"));
                }
            }
            Step::Done => break,
            other => {
                context.fail(format!("a journal of our own needs {other:?}"));
                break;
            }
        }
    }
    Ok(())
}

/// What the shards hold, all of whose slots are at home: asked for at a time at which nothing has
/// expired.
pub fn found(threads: &mut [Thread], map: &Map) -> Model {
    let mut model = Model::default();
    let hasher = Hasher::with_seeds([1, 2, 3, 4]);
    for key in KEYS {
        let shard = map.owner(troupe::base::slot::of(key.as_bytes()));
        let home = threads[usize::from(shard)].shard();
        model.entries.extend(entry_at(home, key, &hasher));
    }
    model
}

/// What a shard holds under a key, and the key.
pub fn entry_at(shard: &mut Shard, key: &str, hasher: &Hasher) -> Option<(String, Entry)> {
    let lines = ["GET {}", "LRANGE {} 0 -1", "SMEMBERS {}", "PEXPIRETIME {}"];
    let calls = lines.map(|line| Call::of(&line.replacen("{}", key, 1)));
    let request: Bytes = calls.iter().flat_map(Call::encoded).collect::<Vec<u8>>().into();
    let entry = entry_of(&run(shard, request, false, hasher))?;
    Some((key.to_owned(), entry))
}

/// Runs requests on a shard which has their keys, as those of a primary perhaps; the replies.
pub fn run(shard: &mut Shard, request: Bytes, is_primary: bool, hasher: &Hasher) -> Vec<Reply> {
    let mut session = Session::new(NOBODY, Peer::default(), Millis(0), true);
    session.primary = is_primary.then(Box::default);
    let mut batch = Box::new(Batch::new(Home { thread: 0, connection: 0 }, session));
    let mut frames = Frames::default();
    let decoded = Decoder::default().decode(&request, &Limits::default(), &mut frames);
    decoded.expect("these are requests");
    batch.frames = frames;
    batch.route(request, Millis(0), hasher, &Default::default());
    let batch = shard.visit(batch, &mut Still).expect("the keys are here");
    let (mut replies, mut at) = (Vec::new(), 0);
    while let Ok(Some((reply, len))) = Reply::take(&batch.replies[at..]) {
        replies.push(reply);
        at += len;
    }
    replies
}

/// What a key holds, by the replies to what asks for it.
fn entry_of(replies: &[Reply]) -> Option<Entry> {
    let texts = |list: &[Reply]| -> Vec<String> {
        let text = |reply: &Reply| match reply {
            Reply::Bulk(text) => Some(text.clone()),
            _ => None,
        };
        list.iter().filter_map(text).collect()
    };
    let value = match replies {
        [Reply::Bulk(text), ..] => Value::Text(text.clone()),
        [Reply::Error(_), Reply::List(list), ..] => Value::List(texts(list).into()),
        [Reply::Error(_), Reply::Error(_), Reply::List(set), _] => {
            Value::Set(texts(set).into_iter().collect())
        }
        _ => return None,
    };
    let deadline = match replies.last() {
        Some(Reply::Int(at)) if *at >= 0 => Some(*at),
        _ => None,
    };
    Some(Entry { value, deadline })
}

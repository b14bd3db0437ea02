//! A pipeline on its way: the requests of one read, the session, and the replies so far.
//!
//! A connection has one batch. It goes from shard to shard, is answered in order because one shard
//! after the other writes into the same reply buffer, and comes home. Nothing of it is copied on
//! the way, and nothing is left behind where it was.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::action::Action;
use crate::commands::command::{Begin, Command, Find, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::positions;
use crate::commands::registry::{Finder, Found};
use crate::commands::walk::Walk;
use crate::keyspace::contents::Coming;
use crate::keyspace::interest::Rank;
use crate::keyspace::key::KeyAt;
use crate::keyspace::saving::Moment;
use crate::keyspace::space::Warm;
use crate::lending::errand::Errand;
use crate::parked::Parked;
use crate::resp::{Decoder, Frames, Limits, Span, encode};
use crate::route::ShardId;
pub use crate::route::{Home, RanAt};
use crate::script::Libraries;
use crate::session::{Peer, Session};
use crate::settings::Renames;
use crate::transaction::Exec;

/// Keys of one call for which a batch keeps room.
const KEYS_KEPT: usize = 1_024;

/// What is known of a call before it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    /// The command; none where there is no such command or its arity is wrong.
    pub command: Option<&'static Command>,
    /// Its key, where it has exactly one.
    pub key: Option<KeyAt>,
}

/// Where the replies of a batch belong whose calls are out of their order.
#[derive(Debug)]
pub(crate) struct Scattered {
    /// For each call as it runs, the number of the request that it is, or is a piece of.
    pub(crate) requests: Vec<usize>,
    /// Where the replies begin.
    pub(crate) begin: usize,
    /// For each call that ran, where its reply ends.
    pub(crate) ends: Vec<usize>,
}

/// What happens where all slots stand in one keyspace, on behalf of no client.
#[derive(Debug)]
pub(crate) enum Everywhere {
    /// A snapshot begins.
    Moment(Moment),
    /// Keys come, and libraries of functions.
    Arrival(Box<Coming>, Libraries),
}

/// What goes over all shards for that. No client can name it.
static EVERYWHERE: Command =
    Command { name: Name("everywhere"), run: Run::All(|_, _, _| Ok(())), ..Command::BASE };

/// The requests of one read, on their way.
#[derive(Debug)]
pub struct Batch {
    /// Where it goes when it is done.
    pub home: Home,
    /// The client's session.
    pub session: Session,
    /// The bytes that the frames point into.
    pub input: Bytes,
    /// The requests.
    pub frames: Frames,
    /// The replies so far.
    pub replies: Vec<u8>,
    /// The time of the batch, in milliseconds of unix time.
    pub now: Millis,
    /// What the connection has to do before the batch can go on.
    pub action: Option<Action>,
    /// What the connection gave it on the way. It is dropped with the batch, wherever that happens,
    /// and so tells the connection of a batch that was lost.
    pub companion: Option<Box<dyn Any + Send>>,
    /// A call of it has changed something.
    pub has_written: bool,
    /// A call of it has published something, or one that ran shortly before it has.
    pub has_published: bool,
    /// Where its client's calls ran lately.
    pub(crate) ran: RanAt,
    /// The turn of its thread's shard in which it began to run; 0 while it has not.
    pub(crate) began: u64,
    pub(crate) routed: Vec<Routed>,
    pub(crate) next: usize,
    /// Calls before this one have their keys in the cache of the shard that has the batch.
    warmed: usize,
    /// The keys of the next call by position, where it may have several and they were looked for.
    pub(crate) keys: Vec<KeyAt>,
    /// Slots that the next call met beside those of its keys; it runs with them.
    pub(crate) wider: Vec<u16>,
    /// The next call is over everything and had to start again, because slots moved.
    pub(crate) starts_again: bool,
    /// How often it had to, because slots were away for long.
    pub(crate) turned_back: u32,
    pub(crate) errand: Option<Box<Errand>>,
    pub(crate) walk: Option<Box<Walk>>,
    pub(crate) refused: Option<CommandError>,
    pub(crate) scattered: Option<Box<Scattered>>,
    /// The transaction that runs, where the next call is its EXEC.
    pub(crate) exec: Option<Box<Exec>>,
    /// The wait of the client, where the next call waits for its keys.
    pub parked: Option<Arc<Parked>>,
    /// The place of the next call among those that wait, where it waited before.
    pub(crate) rank: Option<Rank>,
    /// It is nobody's, and does this where all slots are.
    pub(crate) everywhere: Option<Everywhere>,
}

impl Batch {
    /// An empty batch of a new client.
    pub fn new(home: Home, session: Session) -> Batch {
        Batch {
            home,
            session: Session { home, ..session },
            input: Bytes::new(),
            frames: Frames::default(),
            replies: Vec::new(),
            now: Millis(0),
            action: None,
            companion: None,
            has_written: false,
            has_published: false,
            ran: RanAt::default(),
            began: 0,
            routed: Vec::new(),
            next: 0,
            warmed: 0,
            keys: Vec::new(),
            wider: Vec::new(),
            starts_again: false,
            turned_back: 0,
            errand: None,
            walk: None,
            refused: None,
            scattered: None,
            exec: None,
            parked: None,
            rank: None,
            everywhere: None,
        }
    }

    /// A batch that goes over all shards for nobody, as FLUSHALL does for a client.
    pub(crate) fn of_nobody(everywhere: Everywhere, now: Millis) -> Box<Batch> {
        let mut request = Vec::new();
        encode::command(&mut request, &[EVERYWHERE.name.as_str().as_bytes()]);
        let mut frames = Frames::default();
        let decoded = Decoder::default().decode(&request, &Limits::default(), &mut frames);
        decoded.expect("this is a request");
        // Nobody waits for it.
        let home = Home { thread: 0, connection: u32::MAX };
        let mut batch = Batch::new(home, Session::new(0, Peer::default(), now, true));
        batch.now = now;
        batch.input = Bytes::from(request);
        batch.frames = frames;
        batch.routed.push(Routed { command: Some(&EVERYWHERE), key: None });
        batch.everywhere = Some(everywhere);
        Box::new(batch)
    }

    /// Looks up and routes the requests in `frames`, taken up at `now`.
    pub fn route(&mut self, input: Bytes, now: Millis, hasher: &Hasher, renames: &Renames) {
        self.input = input;
        self.now = self.now.max(now);
        self.next = 0;
        self.warmed = 0;
        self.refused = None;
        self.forget_keys();
        self.has_written = false;
        self.has_published = false;
        self.routed.clear();
        let (frames, input) = (&self.frames, &self.input);
        let mut finder = Finder::new(renames);
        self.routed.extend(frames.frames.iter().map(|frame| {
            let bytes = frames.bytes_of(frame, input);
            let spans = frames.args_of(frame);
            let Found::Command(command) = finder.find(bytes, spans) else {
                return Routed { command: None, key: None };
            };
            let key = command.only_key(spans.len()).and_then(|at| {
                let name = spans.get(at)?.of(bytes);
                Some(KeyAt::new(at, name, hasher))
            });
            Routed { command: Some(command), key }
        }));
    }

    /// The calls from the next one on, `most` at the most, whose keys are cold: up to the first
    /// that is not here. None where the next call's key is warm.
    #[inline]
    pub(crate) fn cold(&self, most: usize, is_here: impl Fn(u16) -> bool) -> Range<usize> {
        if !self.is_cold() {
            return self.next..self.next;
        }
        let end = self.routed.len().min(self.next + most);
        let stays = |routed: &Routed| routed.key.is_none_or(|key| is_here(key.slot));
        let calls = self.routed.get(self.next..end).unwrap_or_default();
        self.next..self.next + calls.iter().take_while(|routed| stays(routed)).count()
    }

    /// The next call's key was not warmed.
    #[inline]
    pub(crate) fn is_cold(&self) -> bool {
        self.next >= self.warmed
    }

    /// Calls before this one are warm now.
    #[inline]
    pub(crate) fn note_warmed(&mut self, end: usize) {
        self.warmed = end;
    }

    /// What the next calls of a range are about, to be warmed.
    #[inline]
    pub(crate) fn warm_of(&self, calls: Range<usize>) -> impl Iterator<Item = Warm<'_>> {
        let frames = self.frames.frames.get(calls.clone()).unwrap_or_default();
        let routed = self.routed.get(calls).unwrap_or_default();
        routed.iter().zip(frames).filter_map(|(routed, frame)| {
            let KeyAt { slot, hash, .. } = routed.key?;
            let command = routed.command?;
            let element = command.element.and_then(|at| {
                let span = self.frames.args_of(frame).get(usize::from(at))?;
                Some(span.of(self.frames.bytes_of(frame, &self.input)))
            });
            Some(Warm { slot, hash, inside: command.is_on_collections(), element })
        })
    }

    /// The arguments of the next call.
    pub(crate) fn spans(&self) -> &[Span] {
        self.frames.args_of(&self.frames.frames[self.next])
    }

    /// The bytes that the spans of the next call point into.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.frames.bytes_of(&self.frames.frames[self.next], &self.input)
    }

    /// The words of one of its calls.
    pub(crate) fn words_of(&self, number: usize) -> Vec<&[u8]> {
        let Some(frame) = self.frames.frames.get(number) else { return Vec::new() };
        let bytes = self.frames.bytes_of(frame, &self.input);
        self.frames.args_of(frame).iter().map(|span| span.of(bytes)).collect()
    }

    /// Finds the keys of the next call, which may have several; of EXEC those of all that is queued
    /// and watched, without positions.
    pub(crate) fn find_keys(&mut self, command: &Command, hasher: &Hasher) {
        if !self.keys.is_empty() {
            return;
        }
        if matches!(command.run, Run::Exec) {
            let Session { transaction, watches, .. } = &self.session;
            self.keys.extend(transaction.iter().flat_map(|queued| queued.keys()));
            self.keys.extend(watches.keys());
            return;
        }
        let mut keys = std::mem::take(&mut self.keys);
        positions::keys_at(command, self.spans(), self.bytes(), hasher, &mut keys);
        self.keys = keys;
    }

    /// The slot of the first key of the next call, where that was found.
    #[inline]
    pub(crate) fn first_slot(&self) -> Option<u16> {
        let only = self.routed[self.next].key.as_ref();
        only.or(self.keys.first()).map(|key| key.slot)
    }

    /// The slots of the next call: those of its keys, and those that it met when it ran before.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u16> {
        self.keys.iter().map(|key| key.slot).chain(self.wider.iter().copied())
    }

    /// The same in ascending order, none twice.
    pub(crate) fn ascending_slots(&self) -> Vec<u16> {
        let mut slots: Vec<u16> = self.slots().collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Those of the next call are not known. Room for very many is given back.
    #[inline]
    pub(crate) fn forget_keys(&mut self) {
        self.keys.clear();
        self.wider.clear();
        (self.starts_again, self.turned_back) = (false, 0);
        if self.keys.capacity() > KEYS_KEPT {
            self.keys = Vec::new();
        }
    }

    /// True when it carries slots of other shards.
    pub(crate) fn holds(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| errand.loan.holds())
    }

    /// A call ran at a shard, on this slot if on any. One that was only queued ran nowhere.
    #[inline]
    pub(crate) fn note_ran(&mut self, at: ShardId, slot: Option<u16>, over_several: bool) {
        if self.session.transaction.is_some() {
            return;
        }
        if over_several {
            self.ran.several();
        } else if slot.is_some() {
            self.ran.one(at);
        }
    }

    /// The script that its next call runs stands still, with all that it has changed.
    pub(crate) fn stands_still(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.run.is_some())
    }

    /// True where it is no client's.
    pub(crate) fn is_nobodys(&self) -> bool {
        self.everywhere.is_some()
    }

    /// True when every request was answered.
    pub fn is_done(&self) -> bool {
        self.next >= self.routed.len()
    }

    /// Requests that were not answered yet.
    pub fn left(&self) -> usize {
        self.routed.len().saturating_sub(self.next)
    }

    /// Nothing of it may ever be shown: its connection closes without a word.
    pub fn abandon(&mut self) {
        self.replies.clear();
        self.scattered = None;
        self.end();
    }

    /// None of its requests runs any more, and its connection closes after the replies so far.
    pub(crate) fn end(&mut self) {
        self.session.closing = true;
        self.next = self.routed.len();
    }

    /// Its client waits, for long perhaps: copies what is left of its requests, so that the buffer
    /// which they were read into can be used again.
    pub(crate) fn detach(&mut self) {
        if self.scattered.is_some() {
            return;
        }
        let Batch { input, frames, routed, next, .. } = self;
        let mut copy = Vec::new();
        routed.drain(..*next);
        frames.frames.drain(..*next);
        (*next, self.warmed) = (0, 0);
        for frame in frames.frames.iter_mut().filter(|frame| frame.multibulk) {
            let start = copy.len() as u32;
            copy.extend_from_slice(frame.raw.of(input));
            let args = frame.first as usize..(frame.first + frame.argc) as usize;
            for span in frames.args.get_mut(args).into_iter().flatten() {
                span.start = span.start - frame.raw.start + start;
            }
            frame.raw.start = start;
        }
        *input = Bytes::from(copy);
    }

    /// Gives back what the requests took; session and reply buffer stay.
    pub fn clear(&mut self) {
        self.input = Bytes::new();
        self.frames.clear();
        self.routed.clear();
        self.next = 0;
    }
}

impl Command {
    /// Whether it looks into values that are collections.
    #[inline]
    pub(crate) fn is_on_collections(&self) -> bool {
        use crate::commands::command::Group;
        !matches!(self.group, Group::Bitmap | Group::Generic | Group::HyperLogLog | Group::String)
    }

    /// The position of the only key in a request of so many words, for commands that run on the
    /// slots of their keys.
    #[inline]
    pub(crate) fn only_key(&self, words: usize) -> Option<usize> {
        let [
            KeySpec {
                begin: Begin::Index(first), find: Find::Range { last, step, limit: 0 }, ..
            },
        ] = self.keys
        else {
            return None;
        };
        let first = usize::from(*first);
        let is_one = match last {
            0 => true,
            -1 => words == first + usize::from(*step),
            _ => false,
        };
        (is_one && self.run.is_on_keys()).then_some(first)
    }
}

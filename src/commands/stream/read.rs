//! Reading on: XREAD, XREADGROUP.
//!
//! All streams are looked at before any is read, so that an error changes nothing. What a group was
//! given goes into the journal as XCLAIM and XGROUP SETID; reading one's history again too, which
//! Redis leaves out, though it changes times and counts. With BLOCK a client waits where there is
//! nothing to answer (`crate::parked`): what `$` meant stays what it meant when the wait began.

use crate::base::millis::Millis;
use crate::commands::call::{Call, Options};
use crate::commands::command::{
    Access, Arg, Arity, Begin, Command, Find, Flags, Group as Documented, KeySpec, Name, Run,
};
use crate::commands::error::{CommandError, quoting};
use crate::commands::run::{Blocking, MayWait, Nil, Wait};
use crate::commands::stream::claim::{Claims, How};
use crate::commands::stream::record::Records;
use crate::commands::stream::{
    id, no_limit_below_one, reply_entries, reply_entry, reply_id, reply_pairs,
};
use crate::commands::time::end_of_wait;
use crate::data::stream::{Entry, Group, Id, Pending, Stream};
use crate::keyspace::interest::Awaited;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;
use crate::resp::encode::Later;

const STREAMS: Arg =
    Arg::block("streams", &[Arg::key("key").multiple(), Arg::string("id").multiple()])
        .token("STREAMS");

const COUNT: Arg = Arg::integer("count").token("COUNT").optional();

const BLOCK: Arg = Arg::integer("milliseconds").token("BLOCK").optional();

const fn after_streams(from: i16) -> KeySpec {
    KeySpec {
        access: Access::RO.and(Access::READS),
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        notes: "",
    }
}

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("xread"),
        group: Documented::Stream,
        since: "5.0.0",
        complexity: "O(N), with N being the number of entries in the answer.",
        summary: "Gives the entries of streams that come after given ids.",
        arity: Arity::AtLeast(4),
        keys: &[after_streams(1)],
        flags: Flags::READONLY.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        args: &[COUNT, BLOCK, STREAMS],
        history: &[("7.4.0", "The id `+` for the last entry.")],
        run: Run::Blocking(entries(Awaited::Stream, xread, has_entries)),
        ..Command::BASE
    },
    Command {
        name: Name("xreadgroup"),
        group: Documented::Stream,
        since: "5.0.0",
        complexity: "O(N), with N being the number of entries in the answer.",
        summary: "Gives a consumer entries that nobody of its group was given yet.",
        arity: Arity::AtLeast(7),
        keys: &[after_streams(4)],
        further: Some(keys_of_group_read),
        flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS),
        args: &[
            Arg::block("group-block", &[Arg::string("group"), Arg::string("consumer")])
                .token("GROUP"),
            COUNT,
            BLOCK,
            Arg::integer("min-idle-time").token("CLAIM").since("8.4.0").optional(),
            Arg::word("noack", "NOACK").optional(),
            STREAMS,
        ],
        history: &[("8.4.0", "The option `CLAIM`.")],
        run: Run::Blocking(entries(Awaited::Group, xreadgroup, has_news)),
        ..Command::BASE
    },
];

/// Waits for entries of any of the streams.
const fn entries(
    awaited: Awaited,
    run: MayWait,
    is_ready: fn(&Call<'_>, &mut Keys<'_>, usize) -> bool,
) -> Blocking {
    Blocking { awaited, on_first_key: false, is_ready, run }
}

/// Whether XREAD finds something in the stream at argument `at`.
fn has_entries(call: &Call<'_>, keys: &mut Keys<'_>, at: usize) -> bool {
    let Ok(asked) = Asked::parse(call, false) else { return false };
    let Ok(after) = id(call.arg(at + asked.streams), 0) else { return false };
    let Ok(Some(stream)) = keys.look_as::<Stream>(call.key(at)) else { return false };
    after.next().is_some_and(|first| stream.range(first, Id::MAX).next().is_some())
}

/// Whether XREADGROUP has to say something of the stream at argument `at`: an error too.
fn has_news(call: &Call<'_>, keys: &mut Keys<'_>, at: usize) -> bool {
    let Ok(asked) = Asked::parse(call, true) else { return false };
    let Ok(Some(stream)) = keys.look_as::<Stream>(call.key(at)) else { return true };
    let Some(group) = stream.group(asked.group) else { return true };
    group.last_id.next().is_some_and(|first| stream.range(first, Id::MAX).next().is_some())
}

fn xread(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let asked = Asked::parse(call, false)?;
    let (mut starts, mut fixed) = (Vec::with_capacity(asked.streams), Vec::new());
    for (key_at, id_at) in asked.places_here(call, keys) {
        let text = call.arg(id_at);
        let stream = keys.look_as::<Stream>(call.key(key_at))?;
        if let b"$" | b"+" = text {
            let last_id = stream.as_ref().map_or(Id::MIN, |stream| stream.last_id);
            fixed.push((id_at, last_id.to_string().into_bytes()));
        }
        starts.push(match text {
            b"$" => stream.map_or(Id::MIN, |stream| stream.last_id),
            // The last id, whether its entry is still there or not, as Valkey has it.
            b"+" => stream.and_then(|stream| stream.last_id.previous()).unwrap_or(Id::MIN),
            b">" => {
                return Err(CommandError::Text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                     <group> <consumer> option.",
                ));
            }
            _ => id(text, 0)?,
        });
    }
    let mut answers = Answers::begin(reply);
    for ((key_at, _), start) in asked.places_here(call, keys).into_iter().zip(starts) {
        let Some(stream) = keys.read_as::<Stream>(call.key(key_at))? else { continue };
        answers.answer(reply, call.arg(key_at), |reply| match start.next() {
            Some(first) if stream.last_id > start => {
                reply_entries(reply, stream.range(first, Id::MAX).take(asked.count)) > 0
            }
            _ => false,
        });
    }
    Ok(answers.end(reply, &asked, fixed))
}

fn xreadgroup(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let asked = Asked::parse(call, true)?;
    let mut starts = Vec::with_capacity(asked.streams);
    for (key_at, id_at) in asked.places_here(call, keys) {
        let stream = keys.look_as::<Stream>(call.key(key_at))?;
        if stream.is_none_or(|stream| stream.group(asked.group).is_none()) {
            return Err(no_group(call.arg(key_at), asked.group));
        }
        starts.push(match call.arg(id_at) {
            b">" => None,
            b"$" => return Err(meaningless('$')),
            b"+" => return Err(meaningless('+')),
            // The highest id of all is taken for `>`, as in Valkey.
            text => Some(id(text, 0)?).filter(|id| *id != Id::MAX),
        });
    }
    let (now, db) = (keys.now, keys.db);
    let mut records = Records::new(&keys.tools.effects);
    let mut answers = Answers::begin(reply);
    for ((key_at, _), start) in asked.places_here(call, keys).into_iter().zip(starts) {
        let (name, mut changes, mut is_heard_first) = (call.arg(key_at), 0, false);
        keys.edit_as(call.key(key_at), |stream: &mut Stream, _| {
            stream.with_group(asked.group, |stream, group| {
                is_heard_first = group.number(asked.consumer).is_none();
                let mut reading =
                    Reading { asked: &asked, now, key: name, stream, group, records: &mut records };
                answers.answer(reply, name, |reply| {
                    let (done, count) = reading.read(start, reply);
                    changes += count;
                    done
                });
            })
        })?;
        if is_heard_first {
            keys.touch(call.key(key_at), Event::XGROUP_CREATECONSUMER);
        }
        keys.changed(call.key(key_at), Event::OF_GROUP, changes);
    }
    records.replace_call(&mut keys.tools.effects, db);
    Ok(answers.end(reply, &asked, Vec::new()))
}

/// Where the keys of XREADGROUP are, whose group or consumer may be called STREAMS.
fn keys_of_group_read(words: &[&[u8]]) -> Vec<usize> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("STREAMS") {
            let first = at + 1;
            return (first..first + (words.len() - first) / 2).collect();
        }
        at += match () {
            () if is("GROUP") => 3,
            () if is("BLOCK") || is("COUNT") || is("CLAIM") => 2,
            () => 1,
        };
    }
    Vec::new()
}

fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let text = "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option";
    quoting(text, &[key, group])
}

fn meaningless(id: char) -> CommandError {
    CommandError::Quoted(format!(
        "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history \
         of this consumer by specifying a proper ID, or use the > ID to get new messages. The {id} \
         ID would just return an empty result set."
    ))
}

/// What is asked for.
struct Asked<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    count: usize,
    blocks: bool,
    /// When a wait ends, if it does.
    until: Option<Millis>,
    noack: bool,
    claim_ms: Option<i64>,
    /// Where the keys begin.
    first: usize,
    /// How many there are.
    streams: usize,
}

impl<'a> Asked<'a> {
    fn parse(call: &Call<'a>, in_group: bool) -> Result<Asked<'a>, CommandError> {
        let mut options = call.options(1);
        let mut asked = Asked {
            group: b"",
            consumer: b"",
            count: usize::MAX,
            blocks: false,
            until: None,
            noack: false,
            claim_ms: None,
            first: 0,
            streams: 0,
        };
        let mut has_group = false;
        while asked.first == 0 {
            let follow = options.left().saturating_sub(1);
            if follow > 0 && options.take_word("BLOCK") {
                asked.blocks = true;
                let until = end_of_wait(options.value()?, call.now)?;
                asked.until = Some(until).filter(|until| *until != call.now);
            } else if follow > 0 && options.take_word("COUNT") {
                asked.count = no_limit_below_one(options.integer()?);
            } else if follow > 0 && options.take_word("STREAMS") {
                asked.begin_streams(&options, in_group)?;
            } else if follow > 1 && options.take_word("GROUP") {
                if !in_group {
                    return Err(only_in_group("GROUP"));
                }
                has_group = true;
                (asked.group, asked.consumer) = (options.value()?, options.value()?);
            } else if options.take_word("NOACK") {
                if !in_group {
                    return Err(only_in_group("NOACK"));
                }
                asked.noack = true;
            } else if in_group && follow > 0 && options.take_word("CLAIM") {
                let idle_ms = options.integer()?;
                if idle_ms < 0 {
                    return Err(CommandError::NotPositive);
                }
                asked.claim_ms = Some(idle_ms);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if in_group && !has_group {
            return Err(CommandError::Text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(asked)
    }

    /// The rest is keys, and as many ids.
    fn begin_streams(&mut self, options: &Options<'_>, in_group: bool) -> Result<(), CommandError> {
        (self.first, self.streams) = (options.position(), options.left() / 2);
        if options.left().is_multiple_of(2) {
            return Ok(());
        }
        Err(CommandError::Text(if in_group {
            "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be \
             specified."
        } else {
            "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be \
             specified."
        }))
    }

    /// Where each key and its id stand; of a client that waited, those whose slots are here.
    fn places_here(&self, call: &Call<'_>, keys: &Keys<'_>) -> Vec<(usize, usize)> {
        let (first, streams) = (self.first, self.streams);
        let places = (0..streams).map(|number| (first + number, first + streams + number));
        places.filter(|(key_at, _)| !keys.is_served || keys.has(call.key(*key_at).slot)).collect()
    }
}

fn only_in_group(option: &str) -> CommandError {
    CommandError::Quoted(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    ))
}

/// The answer as it grows: a map of keys to entries, or in version 2 an array of pairs.
struct Answers {
    mark: usize,
    later: Later,
    count: usize,
}

impl Answers {
    fn begin(reply: &mut Reply<'_>) -> Answers {
        Answers { mark: reply.mark(), later: reply.array_later(0), count: 0 }
    }

    /// Answers for one key, unless `entries` says that there is nothing.
    fn answer(
        &mut self,
        reply: &mut Reply<'_>,
        key: &[u8],
        entries: impl FnOnce(&mut Reply<'_>) -> bool,
    ) {
        let mark = reply.mark();
        if !reply.is_resp3() {
            reply.array(2);
        }
        reply.bulk(key);
        if entries(reply) {
            self.count += 1;
        } else {
            reply.rewind(mark);
        }
    }

    /// The answer is whole. Returns the wait of a call that has none and waits for one, in which
    /// some words are `fixed`.
    fn end(
        self,
        reply: &mut Reply<'_>,
        asked: &Asked<'_>,
        fixed: Vec<(usize, Vec<u8>)>,
    ) -> Option<Wait> {
        if self.count > 0 {
            if reply.is_resp3() {
                reply.set_len_of_map(self.later, self.count);
            } else {
                reply.set_len(self.later, self.count);
            }
            return None;
        }
        reply.rewind(self.mark);
        if asked.blocks {
            return Some(Wait { until: asked.until, nil: Nil::Array, fixed });
        }
        reply.null_array();
        None
    }
}

/// An entry as CLAIM wants all of them: with how long ago and how often it was delivered before.
/// One that is new was never delivered.
fn reply_delivery(reply: &mut Reply<'_>, entry: Entry<'_>, idle_ms: i64, count: i64) {
    reply.array(4);
    reply_id(reply, entry.id);
    reply_pairs(reply, entry);
    reply.int(idle_ms);
    reply.int(count);
}

/// Reading one stream for a consumer.
struct Reading<'a> {
    asked: &'a Asked<'a>,
    now: Millis,
    key: &'a [u8],
    stream: &'a Stream,
    group: &'a mut Group,
    records: &'a mut Records,
}

impl Reading<'_> {
    /// Reads what is new, or the history after an id. Returns whether there is an answer, and how
    /// often the data set changed.
    fn read(&mut self, start: Option<Id>, reply: &mut Reply<'_>) -> (bool, usize) {
        let known = self.group.number(self.asked.consumer).is_some();
        match start {
            None => {
                if !known {
                    self.records.consumer(self.key, self.asked.group, self.asked.consumer);
                }
                let (is_served, changes) = self.read_new(reply);
                (is_served, changes + usize::from(!known))
            }
            Some(after) => {
                self.read_history(after, reply);
                if !known {
                    self.records.consumer(self.key, self.asked.group, self.asked.consumer);
                }
                // Behind the last id that there is, not even an empty history is told.
                (after < Id::MAX, usize::from(!known))
            }
        }
    }

    /// Entries of old that others left, where CLAIM asks for them, and then new ones. Returns
    /// whether there is any, and how often the data set changed.
    fn read_new(&mut self, reply: &mut Reply<'_>) -> (bool, usize) {
        let Asked { group: name, consumer, .. } = *self.asked;
        let (later, mut count) = (reply.array_later(0), 0);
        let (number, _) = self.group.hear(consumer, self.now);
        let mut changes = 0;
        if let Some(idle_ms) = self.asked.claim_ms {
            (count, changes) = self.claim(idle_ms, reply);
        }
        let (old, mut delivered) = (count, Vec::new());
        if let Some(first) = self.group.last_id.next() {
            let pending = Pending { owner: number, delivered: self.now, count: 1 };
            let left = self.asked.count.saturating_sub(count);
            for entry in self.stream.range(first, Id::MAX).take(left) {
                self.group.entries_read = self.stream.entries_read_with(self.group, entry.id);
                self.group.last_id = entry.id;
                if !self.asked.noack {
                    self.group.deliver(entry.id, pending);
                    delivered.push((entry.id, pending));
                }
                if self.asked.claim_ms.is_some() {
                    reply_delivery(reply, entry, 0, 0);
                } else {
                    reply_entry(reply, entry);
                }
                count += 1;
            }
        }
        reply.set_len(later, count);
        if count > old {
            if !self.asked.noack {
                self.group.note_active(number, self.now);
            }
            self.records.deliveries(self.key, name, self.group, &delivered);
            self.records.read_up_to(self.key, name, self.group);
            changes += 1;
        }
        (count > 0, changes)
    }

    /// Claims what was idle for so long, the longest first, each entry with its idle time and how
    /// often it was delivered before. Returns how many entries, and changes of the data set.
    fn claim(&mut self, idle_ms: i64, reply: &mut Reply<'_>) -> (usize, usize) {
        let latest = Millis(self.now.0.saturating_sub(idle_ms));
        let all = self.group.pending(..).filter(|(_, pending)| pending.delivered <= latest);
        let mut idle: Vec<(Id, Pending)> = all.collect();
        idle.sort_by_key(|(id, pending)| (pending.delivered, *id));
        let mut claims = Claims::begin(self.group, self.asked.consumer, self.now);
        let how = How { idle_ms, time: self.now, count: None, force: false, justid: false };
        for (id, before) in idle {
            if claims.taken.len() == self.asked.count {
                break;
            }
            claims.claim(self.stream, self.group, id, how);
            if let Some(entry) = self.stream.get(id) {
                reply_delivery(reply, entry, self.now.since(before.delivered), before.count);
            }
        }
        claims.record(self.records, self.key, self.asked.group, self.group);
        (claims.taken.len(), claims.changes())
    }

    /// What the consumer was given after an id and has not acknowledged; entries that are gone
    /// without their fields. Each counts as delivered once more.
    fn read_history(&mut self, after: Id, reply: &mut Reply<'_>) {
        let (number, _) = self.group.hear(self.asked.consumer, self.now);
        let first = after.next();
        let ids = first.map(|first| self.group.pending_of(number, first..));
        let pending: Vec<(Id, Pending)> =
            ids.into_iter().flatten().take(self.asked.count).collect();
        reply.array(pending.len());
        let mut delivered = Vec::new();
        for (id, pending) in pending {
            match self.stream.get(id) {
                Some(entry) => {
                    reply_entry(reply, entry);
                    let count = pending.count.saturating_add(1);
                    let again = Pending { delivered: self.now, count, ..pending };
                    self.group.deliver(id, again);
                    delivered.push((id, again));
                }
                None => {
                    reply.array(2);
                    reply_id(reply, id);
                    reply.null_array();
                }
            }
        }
        self.records.deliveries(self.key, self.asked.group, self.group, &delivered);
    }
}

//! Taking over what others were given: XCLAIM, XAUTOCLAIM.
//!
//! The journal has each claim with the absolute time and the count that it came to; an entry that
//! is no longer in the stream is acknowledged there instead.

use crate::base::integer;
use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Flags, Group as Documented, KeySpec, Name, Run,
};
use crate::commands::error::{CommandError, quoting};
use crate::commands::stream::record::Records;
use crate::commands::stream::{id, interval_start, no_such_group, reply_entry, reply_id};
use crate::data::stream::{Group, Id, NOBODY, Number, Pending, Stream};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// Deliveries that XAUTOCLAIM looks at for each that it may claim.
const LOOKS_A_CLAIM: i64 = 10;

/// Largest COUNT of XAUTOCLAIM.
const COUNT_MAX: i64 = i64::MAX / 16;

/// COUNT of XAUTOCLAIM where it is not given.
const COUNT: i64 = 100;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("xautoclaim"),
        group: Documented::Stream,
        since: "6.2.0",
        complexity: "O(1) if COUNT is small.",
        summary: "Hands entries that were pending for long to another consumer.",
        arity: Arity::AtLeast(6),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        tips: &["nondeterministic_output"],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("start"),
            Arg::integer("count").token("COUNT").optional(),
            Arg::word("justid", "JUSTID").optional(),
        ],
        history: &[("7.0.0", "Entries that are gone are told, and no longer pending.")],
        run: Run::Keys(xautoclaim),
        ..Command::BASE
    },
    Command {
        name: Name("xclaim"),
        group: Documented::Stream,
        since: "5.0.0",
        complexity: "O(log N) for each id, with N being the number of pending entries.",
        summary: "Hands pending entries to another consumer.",
        arity: Arity::AtLeast(6),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::FAST),
        tips: &["nondeterministic_output"],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::string("consumer"),
            Arg::string("min-idle-time"),
            Arg::string("id").multiple(),
            Arg::integer("ms").token("IDLE").optional(),
            Arg::unix_time("unix-time-milliseconds").token("TIME").optional(),
            Arg::integer("count").token("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
            Arg::word("justid", "JUSTID").optional(),
            Arg::string("lastid").token("LASTID").optional(),
        ],
        run: Run::Keys(xclaim),
        ..Command::BASE
    },
];

fn xautoclaim(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let idle_ms = integer::parse(call.arg(4))
        .ok_or(CommandError::Text("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let start = interval_start(call.arg(5))?;
    let (mut options, mut count, mut justid) = (call.options(6), COUNT, false);
    while options.left() > 0 {
        if options.left() > 1 && options.take_word("COUNT") {
            count = integer::parse(options.value()?)
                .filter(|count| (1..=COUNT_MAX).contains(count))
                .ok_or(CommandError::Text("ERR COUNT must be > 0"))?;
        } else if options.take_word("JUSTID") {
            justid = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let (now, db) = (keys.now, keys.db);
    let (key, name) = (call.arg(1), call.arg(2));
    let claimed = keys.edit_as(call.key(1), |stream: &mut Stream, tools| {
        stream.with_group(name, |stream, group| {
            let mut claims = Claims::begin(group, call.arg(3), now);
            let ids = group.pending(start..).map(|(id, _)| id);
            let looked: Vec<Id> = ids.take((count * LOOKS_A_CLAIM) as usize + 1).collect();
            let mut next = looked.iter();
            let mut left = count;
            while left > 0 && next.len() > usize::from(looked.len() as i64 > count * LOOKS_A_CLAIM)
            {
                let Some(id) = next.next() else { break };
                let how = How { idle_ms, time: now, count: None, force: false, justid };
                left -= i64::from(claims.claim(stream, group, *id, how));
            }
            let cursor = next.next().copied().unwrap_or(Id::MIN);
            reply.array(3);
            reply_id(reply, cursor);
            claims.answer(reply, stream, justid);
            reply.array(claims.gone.len());
            claims.gone.iter().for_each(|id| reply_id(reply, *id));
            let (changes, is_new) = (claims.changes(), claims.is_new);
            let mut records = Records::new(&tools.effects);
            claims.record(&mut records, key, name, group);
            records.replace_call(&mut tools.effects, db);
            (changes, is_new)
        })
    })?;
    let (changes, is_new) = claimed.flatten().ok_or_else(|| no_such_group(key, name))?;
    keys.changed(call.key(1), claimed_event(is_new), changes);
    Ok(())
}

fn xclaim(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (now, db) = (keys.now, keys.db);
    let (key, name) = (call.arg(1), call.arg(2));
    let is_there = keys.look_as::<Stream>(call.key(1))?.is_some_and(|s| s.group(name).is_some());
    if !is_there {
        return Err(no_such_group(key, name));
    }
    let idle_ms = integer::parse(call.arg(4))
        .ok_or(CommandError::Text("ERR Invalid min-idle-time argument for XCLAIM"))?;
    let ids: Vec<Id> = call.args_from(5).map_while(|text| Id::parse(text, 0)).collect();
    let asked = Claiming::parse(call, 5 + ids.len(), now)?;
    let how = How { idle_ms, ..asked.how };
    let claimed = keys.edit_as(call.key(1), |stream: &mut Stream, tools| {
        stream.with_group(name, |stream, group| {
            let has_moved = asked.last_id.is_some_and(|last| last > group.last_id);
            if let Some(last) = asked.last_id.filter(|_| has_moved) {
                group.last_id = last;
            }
            let mut claims = Claims::begin(group, call.arg(3), now);
            for id in &ids {
                claims.claim(stream, group, *id, how);
            }
            claims.answer(reply, stream, how.justid);
            let mut records = Records::new(&tools.effects);
            claims.record(&mut records, key, name, group);
            if has_moved && claims.taken.is_empty() {
                records.read_up_to(key, name, group);
            }
            records.replace_call(&mut tools.effects, db);
            let changes = claims.changes() + usize::from(has_moved && claims.taken.is_empty());
            (changes, claims.is_new)
        })
    })?;
    let (changes, is_new) = claimed.flatten().unwrap_or_default();
    keys.changed(call.key(1), claimed_event(is_new), changes);
    Ok(())
}

/// What happens to a stream of which entries are claimed, perhaps by a new consumer.
fn claimed_event(is_new: bool) -> Event {
    if is_new { Event::XGROUP_CREATECONSUMER } else { Event::OF_GROUP }
}

/// The options of XCLAIM.
struct Claiming {
    how: How,
    last_id: Option<Id>,
}

impl Claiming {
    fn parse(call: &Call<'_>, index: usize, now: Millis) -> Result<Claiming, CommandError> {
        let mut options = call.options(index);
        let (mut time, mut last_id) = (now, None);
        let mut how = How { idle_ms: 0, time, count: None, force: false, justid: false };
        while options.left() > 0 {
            let follows = options.left() > 1;
            if options.take_word("FORCE") {
                how.force = true;
            } else if options.take_word("JUSTID") {
                how.justid = true;
            } else if follows && options.take_word("IDLE") {
                let idle = integer::parse(options.value()?);
                let idle =
                    idle.ok_or(CommandError::Text("ERR Invalid IDLE option argument for XCLAIM"))?;
                time = Millis(now.0.saturating_sub(idle));
            } else if follows && options.take_word("TIME") {
                let at = integer::parse(options.value()?);
                time = at
                    .map(Millis)
                    .ok_or(CommandError::Text("ERR Invalid TIME option argument for XCLAIM"))?;
            } else if follows && options.take_word("RETRYCOUNT") {
                let count = integer::parse(options.value()?).ok_or(CommandError::Text(
                    "ERR Invalid RETRYCOUNT option argument for XCLAIM",
                ))?;
                how.count = Some(count).filter(|count| *count >= 0);
            } else if follows && options.take_word("LASTID") {
                last_id = Some(id(options.value()?, 0)?);
            } else {
                let word = options.value()?;
                return Err(quoting("ERR Unrecognized XCLAIM option '{}'", &[word]));
            }
        }
        // What lies in the future, or before time began, is now.
        how.time = if (0..=now.0).contains(&time.0) { time } else { now };
        Ok(Claiming { how, last_id })
    }
}

/// How entries are claimed.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Only those that were idle so long, in milliseconds.
    pub(super) idle_ms: i64,
    /// The time of delivery that they get.
    pub(super) time: Millis,
    /// The number of deliveries that they get, where it is not counted on.
    pub(super) count: Option<i64>,
    /// Those too that were not pending.
    pub(super) force: bool,
    /// The delivery does not count.
    pub(super) justid: bool,
}

/// Claims of one call for one consumer.
pub(super) struct Claims {
    consumer: Number,
    is_new: bool,
    now: Millis,
    /// What was claimed.
    pub(super) taken: Vec<(Id, Pending)>,
    /// What was pending and is not in the stream.
    pub(super) gone: Vec<Id>,
}

impl Claims {
    /// The consumer is heard of.
    pub(super) fn begin(group: &mut Group, name: &[u8], now: Millis) -> Claims {
        let (consumer, is_new) = group.hear(name, now);
        Claims { consumer, is_new, now, taken: Vec::new(), gone: Vec::new() }
    }

    /// Claims an entry. Returns false when there was nothing to be done.
    pub(super) fn claim(&mut self, stream: &Stream, group: &mut Group, id: Id, how: How) -> bool {
        let before = group.pending_at(id);
        if stream.get(id).is_none() {
            let was_pending = group.acknowledge(id);
            if was_pending {
                self.gone.push(id);
            }
            return was_pending;
        }
        let first = Pending { owner: NOBODY, delivered: self.now, count: 1 };
        let Some(pending) = before.or(how.force.then_some(first)) else { return false };
        let is_idle = self.now.since(pending.delivered) >= how.idle_ms;
        if before.is_some() && how.idle_ms > 0 && !is_idle {
            return false;
        }
        let counted = if how.justid { pending.count } else { pending.count.saturating_add(1) };
        let count = how.count.unwrap_or(counted);
        let pending = Pending { owner: self.consumer, delivered: how.time, count };
        group.deliver(id, pending);
        group.note_active(self.consumer, self.now);
        self.taken.push((id, pending));
        true
    }

    /// Changes of the data set.
    pub(super) fn changes(&self) -> usize {
        self.taken.len() + self.gone.len() + usize::from(self.is_new)
    }

    fn answer(&self, reply: &mut Reply<'_>, stream: &Stream, justid: bool) {
        reply.array(self.taken.len());
        for (id, _) in &self.taken {
            match stream.get(*id) {
                Some(entry) if !justid => reply_entry(reply, entry),
                _ => reply_id(reply, *id),
            }
        }
    }

    /// Records what was done.
    pub(super) fn record(&self, records: &mut Records, key: &[u8], name: &[u8], group: &Group) {
        if self.is_new && self.taken.is_empty() {
            records.consumer(key, name, group.name_of(self.consumer));
        }
        records.deliveries(key, name, group, &self.taken);
        records.acknowledged(key, name, &self.gone);
    }
}

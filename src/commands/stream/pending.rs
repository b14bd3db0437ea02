//! What was delivered and is not acknowledged: XACK, XNACK, XPENDING.
//!
//! XNACK is Redis 8.8's: it releases entries, which have no owner then and count as idle for ever.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Flags, Group as Documented, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::stream::{
    counted_ids, id, interval_end, interval_start, no_such_group, reply_id,
};
use crate::data::stream::{Group, Id, NOBODY, Pending, Stream};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("xack"),
        group: Documented::Stream,
        since: "5.0.0",
        complexity: "O(1) for each id.",
        summary: "Acknowledges entries and answers how many were pending.",
        arity: Arity::AtLeast(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("group"), Arg::string("id").multiple()],
        run: Run::Keys(xack),
        ..Command::BASE
    },
    Command {
        name: Name("xnack"),
        group: Documented::Stream,
        since: "8.8.0",
        complexity: "O(1) for each id.",
        summary: "Releases pending entries, so that any consumer can claim them.",
        arity: Arity::AtLeast(7),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::one_of(
                "mode",
                &[
                    Arg::word("silent", "SILENT"),
                    Arg::word("fail", "FAIL"),
                    Arg::word("fatal", "FATAL"),
                ],
            ),
            Arg::block("ids", &[Arg::integer("numids"), Arg::string("id").multiple()]).token("IDS"),
            Arg::integer("count").token("RETRYCOUNT").optional(),
            Arg::word("force", "FORCE").optional(),
        ],
        run: Run::Keys(xnack),
        ..Command::BASE
    },
    Command {
        name: Name("xpending"),
        group: Documented::Stream,
        since: "5.0.0",
        complexity: "O(N), with N being the number of entries in the answer; with IDLE, of pending \
                     entries.",
        summary: "Tells what a group was given and has not acknowledged.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        tips: &["nondeterministic_output"],
        args: &[
            Arg::key("key"),
            Arg::string("group"),
            Arg::block(
                "filters",
                &[
                    Arg::integer("min-idle-time").token("IDLE").since("6.2.0").optional(),
                    Arg::string("start"),
                    Arg::string("end"),
                    Arg::integer("count"),
                    Arg::string("consumer").optional(),
                ],
            )
            .optional(),
        ],
        history: &[("6.2.0", "The option `IDLE`, and ids with a bracket before them.")],
        run: Run::Keys(xpending),
        ..Command::BASE
    },
];

fn xack(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let acknowledged = keys.edit_as(call.key(1), |stream: &mut Stream, _| {
        let Some(group) = stream.group_mut(call.arg(2)) else { return Ok(0) };
        let ids = call.args_from(3).map(|text| id(text, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, CommandError>(ids.iter().filter(|id| group.acknowledge(**id)).count())
    })?;
    let acknowledged = acknowledged.unwrap_or(Ok(0))?;
    keys.changed(call.key(1), Event::OF_GROUP, acknowledged);
    reply.int(acknowledged as i64);
    Ok(())
}

/// How a release changes the number of deliveries.
#[derive(Clone, Copy, Debug)]
enum Release {
    Silent,
    Fail,
    Fatal,
    Set(i64),
}

impl Release {
    fn count(self, before: i64) -> i64 {
        match self {
            Release::Silent => before.saturating_sub(1).max(0),
            Release::Fail => before,
            Release::Fatal => i64::MAX,
            Release::Set(count) => count,
        }
    }
}

fn xnack(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut options = call.options(3);
    let mut release = if options.take_word("SILENT") {
        Release::Silent
    } else if options.take_word("FAIL") {
        Release::Fail
    } else if options.take_word("FATAL") {
        Release::Fatal
    } else {
        return Err(CommandError::Syntax);
    };
    let (mut ids, mut force) = (None, false);
    while options.left() > 0 {
        if ids.is_none() && options.take_word("IDS") {
            ids = Some(counted_ids(&mut options)?);
        } else if options.take_word("RETRYCOUNT") {
            let count = options.integer()?;
            if count < 0 {
                return Err(CommandError::NotPositive);
            }
            release = Release::Set(count);
        } else if options.take_word("FORCE") {
            force = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let ids = ids.ok_or(CommandError::Syntax)?;
    let released = keys.edit_as(call.key(1), |stream: &mut Stream, _| {
        stream.with_group(call.arg(2), |stream, group| {
            ids.iter().filter(|id| let_go(stream, group, **id, release, force)).count()
        })
    })?;
    let released = released.flatten().ok_or_else(|| no_such_group(call.arg(1), call.arg(2)))?;
    keys.changed(call.key(1), Event::OF_GROUP, released);
    reply.int(released as i64);
    Ok(())
}

/// Takes the owner of an entry away. Returns false where there is nothing to be released.
fn let_go(stream: &Stream, group: &mut Group, id: Id, release: Release, force: bool) -> bool {
    let before = match group.pending_at(id) {
        Some(pending) => pending.count,
        None if force && stream.get(id).is_some() => 0,
        None => return false,
    };
    let count = release.count(before);
    group.deliver(id, Pending { owner: NOBODY, delivered: Millis(0), count });
    true
}

fn xpending(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let asked = if call.len() == 3 { None } else { Some(Asked::parse(call)?) };
    let now = keys.now;
    let stream = keys.read_as::<Stream>(call.key(1))?;
    let group = stream.as_ref().and_then(|stream| stream.group(call.arg(2)));
    let group = group.ok_or_else(|| no_such_group(call.arg(1), call.arg(2)))?;
    match asked {
        None => summary(reply, group),
        Some(asked) => asked.answer(reply, group, now),
    }
    Ok(())
}

fn summary(reply: &mut Reply<'_>, group: &Group) {
    reply.array(4);
    reply.int(group.pending_len() as i64);
    let first = group.pending(..).next();
    let last = group.pending(..).next_back();
    let (Some((first, _)), Some((last, _))) = (first, last) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    reply_id(reply, first);
    reply_id(reply, last);
    let owners = || group.consumers().filter(|(_, consumer)| consumer.pending_len() > 0);
    reply.array(owners().count());
    for (_, consumer) in owners() {
        reply.array(2);
        reply.bulk(&consumer.name);
        reply.bulk_int(consumer.pending_len() as i64);
    }
}

/// Which deliveries XPENDING is to list.
struct Asked<'a> {
    idle_ms: i64,
    start: Id,
    end: Id,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    /// IDLE may have one more word behind it than it takes, as without it: nobody looks at it.
    fn parse(call: &Call<'a>) -> Result<Asked<'a>, CommandError> {
        if call.len() < 6 || call.len() > 9 {
            return Err(CommandError::Syntax);
        }
        let (mut at, mut idle_ms) = (3, 0);
        if call.is(3, "IDLE") {
            idle_ms = call.integer(4)?;
            at = 5;
            if call.len() < 8 {
                return Err(CommandError::Syntax);
            }
        }
        let count = call.integer(at + 2)?;
        Ok(Asked {
            idle_ms,
            start: interval_start(call.arg(at))?,
            end: interval_end(call.arg(at + 1))?,
            count: usize::try_from(count).unwrap_or(0),
            consumer: (call.len() > at + 3).then(|| call.arg(at + 3)),
        })
    }

    fn answer(&self, reply: &mut Reply<'_>, group: &Group, now: Millis) {
        let (start, end) = (self.start, self.end);
        if start > end {
            reply.array(0);
            return;
        }
        match self.consumer {
            None => self.list(reply, group, now, group.pending(start..=end)),
            Some(name) => match group.number(name) {
                Some(number) => {
                    self.list(reply, group, now, group.pending_of(number, start..=end));
                }
                None => reply.array(0),
            },
        }
    }

    fn list(
        &self,
        reply: &mut Reply<'_>,
        group: &Group,
        now: Millis,
        all: impl Iterator<Item = (Id, Pending)>,
    ) {
        let (later, mut count) = (reply.array_later(0), 0);
        let idle = |pending: &Pending| now.since(pending.delivered).max(0);
        let wanted = all.filter(|(_, pending)| idle(pending) >= self.idle_ms);
        for (id, pending) in wanted.take(self.count) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.name_of(pending.owner));
            reply.int(if pending.owner == NOBODY { -1 } else { idle(&pending) });
            reply.int(pending.count);
            count += 1;
        }
        reply.set_len(later, count);
    }
}

//! Adding to a stream: XADD, and XSETID, which says what was added last.
//!
//! The journal has the id that an entry got, and an approximate trim as what it came to.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::stream::trimming::{Outcome, REFERENCES, TRIM, Trimming};
use crate::commands::stream::{id, limits, reply_id};
use crate::data::stream::{Id, Limits, Stream, Trim};
use crate::keyspace::keys::{Keys, Tools};
use crate::keyspace::listener::Event;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("xadd"),
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1) to add, and O(N) to trim, with N being the number of entries that go.",
        summary: "Adds an entry to a stream, which is made where the key is missing.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec {
            notes: "UPDATE instead of INSERT because of the optional trimming feature",
            ..KeySpec::one(1, Access::RW.and(Access::UPDATE))
        }],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        tips: &["nondeterministic_output"],
        args: &[
            Arg::key("key"),
            Arg::word("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            REFERENCES.optional(),
            TRIM.optional(),
            Arg::one_of("id-selector", &[Arg::word("auto-id", "*"), Arg::string("id")]),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ],
        history: &[
            ("6.2.0", "The options `NOMKSTREAM`, `MINID` and `LIMIT`."),
            ("7.0.0", "Ids of the form `<ms>-*`."),
            ("8.2.0", "The options `KEEPREF`, `DELREF` and `ACKED`."),
        ],
        run: Run::Keys(xadd),
        ..Command::BASE
    },
    Command {
        name: Name("xsetid"),
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Says which id was the last of a stream.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[
            Arg::key("key"),
            Arg::string("last-id"),
            Arg::integer("entries-added").token("ENTRIESADDED").since("7.0.0").optional(),
            Arg::string("max-deleted-id").token("MAXDELETEDID").since("7.0.0").optional(),
        ],
        history: &[("7.0.0", "The options `ENTRIESADDED` and `MAXDELETEDID`.")],
        run: Run::Keys(xsetid),
        ..Command::BASE
    },
];

fn xadd(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let asked = Adding::parse(call, keys.is_replay())?;
    if let Asked::Whole(Id::MIN) = asked.id {
        return Err(CommandError::Text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let (key, db, now_ms) = (call.key(1), keys.db, keys.now.0.max(0) as u64);
    let mut trims = false;
    let mut add = |stream: &mut Stream, tools: &mut Tools| {
        let before = stream.entries();
        let (id, outcome) = asked.add(stream, now_ms)?;
        trims = stream.entries() <= before;
        if outcome.is_some() || !matches!(asked.id, Asked::Whole(_)) {
            asked.record(key.name, id, outcome, db, tools);
        }
        Ok::<_, CommandError>(id)
    };
    let added = match keys.edit_as(key, &mut add)? {
        Some(added) => {
            let id = added?;
            keys.changed(key, Event::XADD, 1);
            id
        }
        None if asked.nomkstream => {
            reply.null();
            return Ok(());
        }
        None => {
            let mut stream = Stream::default();
            let id = add(&mut stream, keys.tools)?;
            keys.set_object(key, stream.into_object(), Event::XADD);
            id
        }
    };
    if trims {
        keys.touch(key, Event::XTRIM);
    }
    reply_id(reply, added);
    Ok(())
}

fn xsetid(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let last = id(call.arg(2), 0)?;
    let (mut added, mut max_deleted) = (None, None);
    let mut options = call.options(3);
    while options.left() > 0 {
        if options.left() > 1 && options.take_word("ENTRIESADDED") {
            let count = options.integer()?;
            if count < 0 {
                return Err(CommandError::Text("ERR entries_added must be positive"));
            }
            added = Some(count);
        } else if options.left() > 1 && options.take_word("MAXDELETEDID") {
            let deleted = id(options.value()?, 0)?;
            if last < deleted {
                return Err(CommandError::Text(
                    "ERR The ID specified in XSETID is smaller than the provided \
                     max_deleted_entry_id",
                ));
            }
            max_deleted = Some(deleted);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let set = keys.edit_as(call.key(1), |stream: &mut Stream, _| {
        set_last_id(stream, last, added, max_deleted)
    })?;
    set.ok_or(CommandError::NoSuchKey)??;
    keys.changed(call.key(1), Event::XSETID, 1);
    reply.ok();
    Ok(())
}

fn set_last_id(
    stream: &mut Stream,
    last: Id,
    added: Option<i64>,
    max_deleted: Option<Id>,
) -> Result<(), CommandError> {
    if last < stream.max_deleted_id {
        return Err(CommandError::Text(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if stream.range_back(Id::MIN, Id::MAX).next().is_some_and(|top| last < top.id) {
        return Err(CommandError::Text(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if let Some(added) = added {
        if stream.entries() > 0 && (added as u64) < stream.entries() {
            return Err(CommandError::Text(
                "ERR The entries_added specified in XSETID is smaller than the target stream \
                 length",
            ));
        }
        stream.entries_added = added;
    }
    stream.last_id = last;
    if let Some(deleted) = max_deleted.filter(|deleted| *deleted != Id::MIN) {
        stream.max_deleted_id = deleted;
    }
    Ok(())
}

/// The id that XADD asks for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// `*`.
    Any,
    /// `ms-*`.
    In(u64),
    /// `ms-seq`.
    Whole(Id),
}

/// What XADD asks for.
struct Adding<'a> {
    nomkstream: bool,
    trim: Option<Trim>,
    id: Asked,
    words: Vec<&'a [u8]>,
    limits: Limits,
}

impl<'a> Adding<'a> {
    fn parse(call: &Call<'a>, is_replay: bool) -> Result<Adding<'a>, CommandError> {
        let (mut options, mut trimming) = (call.options(2), Trimming::default());
        let mut nomkstream = false;
        let asked = loop {
            if options.take_word("NOMKSTREAM") {
                nomkstream = true;
            } else if !trimming.take(&mut options)? {
                break options.take();
            }
        };
        let id = match asked.unwrap_or_default() {
            b"*" => Asked::Any,
            _ if asked.is_none() => return Err(CommandError::WrongArity("xadd")),
            text => match text.strip_suffix(b"-*").and_then(integer::parse_cursor) {
                Some(ms) => Asked::In(ms),
                None => Asked::Whole(id(text, 0)?),
            },
        };
        let trim = trimming.resolve(call, is_replay)?;
        let words: Vec<&[u8]> = call.args_from(options.position()).collect();
        if words.is_empty() || !words.len().is_multiple_of(2) {
            return Err(CommandError::WrongArity("xadd"));
        }
        if Stream::is_too_large(&words) {
            return Err(CommandError::Text("ERR Elements are too large to be stored"));
        }
        Ok(Adding { nomkstream, trim, id, words, limits: limits(call.settings) })
    }

    /// Adds the entry and trims. Returns its id, and what an approximate trim came to.
    fn add(&self, stream: &mut Stream, now_ms: u64) -> Result<(Id, Option<Outcome>), CommandError> {
        let last = stream.last_id;
        if last == Id::MAX {
            return Err(CommandError::Text(
                "ERR The stream has exhausted the last possible ID, unable to add more items",
            ));
        }
        let id = match self.id {
            Asked::Any => stream.next_id(now_ms),
            Asked::In(ms) if ms == last.ms => last.next().filter(|next| next.ms == ms),
            Asked::In(ms) => Some(Id::new(ms, 0)),
            Asked::Whole(id) => Some(id),
        };
        let id = id.filter(|id| *id > last).ok_or(CommandError::Text(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ))?;
        stream.push(id, &self.words, self.limits);
        let outcome = self.trim.and_then(|trim| {
            let trimmed = stream.trim(trim);
            (trimmed > 0 || !trim.approximate).then(|| Outcome::of(stream, trim))
        });
        Ok((id, outcome))
    }

    fn record(&self, name: &[u8], id: Id, outcome: Option<Outcome>, db: u32, tools: &mut Tools) {
        let id = id.text();
        let mut words: Vec<&[u8]> = Vec::with_capacity(self.words.len() + 8);
        words.extend::<[&[u8]; 2]>([b"XADD", name]);
        if let Some(outcome) = &outcome {
            words.extend(outcome.words());
        }
        words.push(&id);
        words.extend_from_slice(&self.words);
        tools.effects.rewrite(db, &words);
    }
}

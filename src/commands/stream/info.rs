//! What is known of a stream: XINFO.
//!
//! The keys and nodes of a radix tree, which Redis keeps its nodes in, are told as if one hung
//! under its root for each node here.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Flags, Group as Documented, KeySpec, Name, Run,
};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::help;
use crate::commands::stream::{no_such_group_of_key, reply_entries, reply_entry, reply_id};
use crate::data::stream::{Consumer, Group, Id, Number, Pending, Stream};
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// Entries and deliveries that FULL shows, unless COUNT says otherwise.
const SHOWN: usize = 10;

/// What the subcommands share.
const XINFO: Command = Command {
    group: Documented::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    keys: &[KeySpec::one(2, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("xinfo"),
    complexity: "That of the subcommand.",
    summary: "Tells what is known of a stream.",
    arity: Arity::AtLeast(2),
    keys: &[],
    flags: Flags::NONE,
    subcommands: &[
        Command {
            name: Name("xinfo|consumers"),
            summary: "Lists the consumers of a group.",
            arity: Arity::Exactly(4),
            tips: &["nondeterministic_output"],
            args: &[Arg::key("key"), Arg::string("group")],
            history: &[("7.2.0", "The field `inactive`, and what `idle` means.")],
            run: Run::Keys(consumers),
            ..XINFO
        },
        Command {
            name: Name("xinfo|groups"),
            summary: "Lists the groups of a stream.",
            arity: Arity::Exactly(3),
            args: &[Arg::key("key")],
            history: &[("7.0.0", "The fields `entries-read` and `lag`.")],
            run: Run::Keys(groups),
            ..XINFO
        },
        Command {
            name: Name("xinfo|help"),
            group: Documented::Stream,
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("xinfo|stream"),
            summary: "Describes a stream.",
            arity: Arity::AtLeast(3),
            args: &[
                Arg::key("key"),
                Arg::block(
                    "full-block",
                    &[Arg::word("full", "FULL"), Arg::integer("count").token("COUNT").optional()],
                )
                .optional(),
            ],
            history: &[
                ("6.0.0", "The option `FULL`."),
                (
                    "7.0.0",
                    "The fields `max-deleted-entry-id`, `entries-added`, \
                     `recorded-first-entry-id`, `entries-read` and `lag`.",
                ),
                ("7.2.0", "The field `active-time`, and what `seen-time` means."),
            ],
            run: Run::Keys(stream),
            ..XINFO
        },
    ],
    ..XINFO
}];

const HELP: &[(&str, &str)] = &[
    ("CONSUMERS <key> <groupname>", "Show consumers of <groupname>."),
    ("GROUPS <key>", "Show the stream consumer groups."),
    ("STREAM <key> [FULL [COUNT <count>]", "Show information about the stream."),
];

fn consumers(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let now = keys.now;
    let stream = keys.read_as::<Stream>(call.key(2))?.ok_or(CommandError::NoSuchKey)?;
    let group =
        stream.group(call.arg(3)).ok_or_else(|| no_such_group_of_key(call.arg(2), call.arg(3)))?;
    reply.array(group.consumers().len());
    for (_, consumer) in group.consumers() {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(&consumer.name);
        field(reply, b"pending", consumer.pending_len() as i64);
        field(reply, b"idle", now.since(consumer.seen).max(0));
        field(reply, b"inactive", consumer.active.map_or(-1, |active| now.since(active).max(0)));
    }
    Ok(())
}

fn groups(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let stream = keys.read_as::<Stream>(call.key(2))?.ok_or(CommandError::NoSuchKey)?;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk(b"name");
        reply.bulk(name);
        field(reply, b"consumers", group.consumers().len() as i64);
        field(reply, b"pending", group.pending_len() as i64);
        progress(reply, &stream, group);
    }
    Ok(())
}

fn stream(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let stream = keys.read_as::<Stream>(call.key(2))?.ok_or(CommandError::NoSuchKey)?;
    let wrong = || unknown_subcommand_or_arity(call.arg(0), call.arg(1));
    if call.len() == 3 {
        short(reply, &stream);
        return Ok(());
    }
    let is_full = matches!(call.len(), 4 | 6) && call.is(3, "FULL");
    if !is_full || (call.len() == 6 && !call.is(4, "COUNT")) {
        return Err(wrong());
    }
    let shown = match call.len() {
        4 => SHOWN,
        _ => match usize::try_from(call.integer(5)?) {
            Ok(0) => usize::MAX,
            Ok(count) => count,
            Err(_) => SHOWN,
        },
    };
    full(reply, &stream, shown);
    Ok(())
}

fn short(reply: &mut Reply<'_>, stream: &Stream) {
    reply.map(10);
    counts(reply, stream);
    field(reply, b"groups", stream.groups().len() as i64);
    for (name, entry) in [
        (&b"first-entry"[..], stream.range(Id::MIN, Id::MAX).next()),
        (&b"last-entry"[..], stream.range_back(Id::MIN, Id::MAX).next()),
    ] {
        reply.bulk(name);
        match entry {
            Some(entry) => reply_entry(reply, entry),
            None => reply.null(),
        }
    }
}

fn full(reply: &mut Reply<'_>, stream: &Stream, shown: usize) {
    reply.map(9);
    counts(reply, stream);
    reply.bulk(b"entries");
    reply_entries(reply, stream.range(Id::MIN, Id::MAX).take(shown));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        progress(reply, stream, group);
        field(reply, b"pel-count", group.pending_len() as i64);
        reply.bulk(b"pending");
        reply.array(group.pending_len().min(shown));
        for (id, pending) in group.pending(..).take(shown) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.name_of(pending.owner));
            delivery(reply, pending);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers().len());
        group.consumers().for_each(|consumer| full_consumer(reply, group, consumer, shown));
    }
}

fn full_consumer(
    reply: &mut Reply<'_>,
    group: &Group,
    (number, consumer): (Number, &Consumer),
    shown: usize,
) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(&consumer.name);
    field(reply, b"seen-time", consumer.seen.0);
    field(reply, b"active-time", consumer.active.map_or(-1, |active| active.0));
    field(reply, b"pel-count", consumer.pending_len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending_len().min(shown));
    for (id, pending) in group.pending_of(number, ..).take(shown) {
        reply.array(3);
        reply_id(reply, id);
        delivery(reply, pending);
    }
}

/// The first seven fields of every description.
fn counts(reply: &mut Reply<'_>, stream: &Stream) {
    field(reply, b"length", stream.entries() as i64);
    field(reply, b"radix-tree-keys", stream.nodes() as i64);
    field(reply, b"radix-tree-nodes", stream.nodes() as i64 + 1);
    reply.bulk(b"last-generated-id");
    reply_id(reply, stream.last_id);
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, stream.max_deleted_id);
    field(reply, b"entries-added", stream.entries_added);
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, stream.first_id());
}

/// How far a group has come: three fields.
fn progress(reply: &mut Reply<'_>, stream: &Stream, group: &Group) {
    reply.bulk(b"last-delivered-id");
    reply_id(reply, group.last_id);
    for (name, number) in
        [(&b"entries-read"[..], group.entries_read), (&b"lag"[..], stream.lag(group))]
    {
        reply.bulk(name);
        match number {
            Some(number) => reply.int(number),
            None => reply.null(),
        }
    }
}

fn delivery(reply: &mut Reply<'_>, pending: Pending) {
    reply.int(pending.delivered.0);
    reply.int(pending.count);
}

fn field(reply: &mut Reply<'_>, name: &[u8], number: i64) {
    reply.bulk(name);
    reply.int(number);
}

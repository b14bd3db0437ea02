//! Groups of consumers: XGROUP.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, KeySpec, Name, Run};
use crate::commands::error::{CommandError, unknown_subcommand_or_arity};
use crate::commands::help;
use crate::commands::stream::{id, id_or_end, no_such_group_of_key};
use crate::data::stream::{Group, Id, Stream};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

const NO_KEY: CommandError = CommandError::Text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);

const ID: Arg = Arg::one_of("id-selector", &[Arg::string("id"), Arg::word("new-id", "$")]);

const ENTRIES_READ: Arg = Arg::integer("entriesread")
    .token("ENTRIESREAD")
    .shown("entries-read")
    .since("7.0.0")
    .optional();

/// What the subcommands share.
const XGROUP: Command = Command {
    group: crate::commands::command::Group::Stream,
    since: "5.0.0",
    complexity: "O(1)",
    arity: Arity::Exactly(5),
    keys: &[KeySpec::one(2, Access::RW.and(Access::DELETE))],
    flags: Flags::WRITE,
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("xgroup"),
    complexity: "That of the subcommand.",
    summary: "Makes and changes groups of consumers.",
    arity: Arity::AtLeast(2),
    keys: &[],
    flags: Flags::NONE,
    subcommands: &[
        Command {
            name: Name("xgroup|create"),
            summary: "Makes a group.",
            arity: Arity::AtLeast(5),
            keys: &[KeySpec::one(2, Access::RW.and(Access::INSERT))],
            flags: Flags::WRITE.and(Flags::DENY_OOM),
            args: &[
                Arg::key("key"),
                Arg::string("group"),
                ID,
                Arg::word("mkstream", "MKSTREAM").optional(),
                ENTRIES_READ,
            ],
            history: &[("7.0.0", "The option `ENTRIESREAD`.")],
            run: Run::Keys(create),
            ..XGROUP
        },
        Command {
            name: Name("xgroup|createconsumer"),
            since: "6.2.0",
            summary: "Makes a consumer of a group.",
            keys: &[KeySpec::one(2, Access::RW.and(Access::INSERT))],
            flags: Flags::WRITE.and(Flags::DENY_OOM),
            args: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
            run: Run::Keys(createconsumer),
            ..XGROUP
        },
        Command {
            name: Name("xgroup|delconsumer"),
            summary: "Deletes a consumer with all that it has not acknowledged.",
            args: &[Arg::key("key"), Arg::string("group"), Arg::string("consumer")],
            run: Run::Keys(delconsumer),
            ..XGROUP
        },
        Command {
            name: Name("xgroup|destroy"),
            complexity: "O(N), with N being the number of pending entries of the group.",
            summary: "Deletes a group.",
            arity: Arity::Exactly(4),
            args: &[Arg::key("key"), Arg::string("group")],
            run: Run::Keys(destroy),
            ..XGROUP
        },
        Command {
            name: Name("xgroup|help"),
            group: crate::commands::command::Group::Stream,
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("xgroup|setid"),
            summary: "Says which entry a group read last.",
            arity: Arity::AtLeast(5),
            keys: &[KeySpec::one(2, Access::RW.and(Access::UPDATE))],
            args: &[Arg::key("key"), Arg::string("group"), ID, ENTRIES_READ],
            history: &[("7.0.0", "The option `ENTRIESREAD`.")],
            run: Run::Keys(setid),
            ..XGROUP
        },
    ],
    ..XGROUP
}];

const HELP: &[(&str, &str)] = &[
    (
        "CREATE <key> <groupname> <id|$> [option]",
        "Create a new consumer group. Options are:\n\
         * MKSTREAM\n  Create the empty stream if it does not exist.\n\
         * ENTRIESREAD entries_read\n  Set the group's entries_read counter (internal use).",
    ),
    (
        "CREATECONSUMER <key> <groupname> <consumer>",
        "Create a new consumer in the specified group.",
    ),
    ("DELCONSUMER <key> <groupname> <consumer>", "Remove the specified consumer."),
    ("DESTROY <key> <groupname>", "Remove the specified group."),
    (
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "Set the current group ID and entries_read counter.",
    ),
];

fn create(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (mkstream, entries_read) = options(call, true)?;
    let key = call.key(2);
    let add = |stream: &mut Stream| {
        let group = Group::new(id_or_last(call.arg(4), stream)?, entries_read);
        if stream.add_group(call.arg(3), group) {
            return Ok(());
        }
        Err(CommandError::Text("BUSYGROUP Consumer Group name already exists"))
    };
    match keys.edit_as(key, |stream: &mut Stream, _| add(stream))? {
        Some(added) => {
            added?;
            keys.changed(key, Event::XGROUP_CREATE, 1);
        }
        None if mkstream => {
            let mut stream = Stream::default();
            add(&mut stream)?;
            keys.set_object(key, stream.into_object(), Event::XGROUP_CREATE);
        }
        None => return Err(NO_KEY),
    }
    reply.ok();
    Ok(())
}

fn createconsumer(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let now = keys.now;
    let is_new = in_group(call, keys, |group| match group.number(call.arg(4)) {
        Some(_) => false,
        None => group.hear(call.arg(4), now).1,
    })?;
    keys.changed(call.key(2), Event::XGROUP_CREATECONSUMER, usize::from(is_new));
    reply.int(i64::from(is_new));
    Ok(())
}

fn delconsumer(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let pending = in_group(call, keys, |group| group.remove_consumer(call.arg(4)))?;
    keys.changed(call.key(2), Event::XGROUP_DELCONSUMER, usize::from(pending.is_some()));
    reply.int(pending.unwrap_or(0) as i64);
    Ok(())
}

fn destroy(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let destroyed = keys
        .edit_as(call.key(2), |stream: &mut Stream, _| stream.remove_group(call.arg(3)))?
        .ok_or(NO_KEY)?;
    keys.changed(call.key(2), Event::XGROUP_DESTROY, usize::from(destroyed));
    reply.int(i64::from(destroyed));
    Ok(())
}

fn setid(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (_, entries_read) = options(call, false)?;
    let set = keys.edit_as(call.key(2), |stream: &mut Stream, _| {
        if stream.group(call.arg(3)).is_none() {
            return Err(no_such_group_of_key(call.arg(2), call.arg(3)));
        }
        let last_id = match call.arg(4) {
            b"$" => stream.last_id,
            text => id_or_end(text, 0)?,
        };
        if let Some(group) = stream.group_mut(call.arg(3)) {
            (group.last_id, group.entries_read) = (last_id, entries_read);
        }
        Ok(())
    })?;
    set.ok_or(NO_KEY)??;
    keys.changed(call.key(2), Event::XGROUP_SETID, 1);
    reply.ok();
    Ok(())
}

/// Changes the group that the call names.
fn in_group<R>(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    change: impl FnOnce(&mut Group) -> R,
) -> Result<R, CommandError> {
    let changed = keys
        .edit_as(call.key(2), |stream: &mut Stream, _| stream.group_mut(call.arg(3)).map(change))?;
    changed.ok_or(NO_KEY)?.ok_or_else(|| no_such_group_of_key(call.arg(2), call.arg(3)))
}

/// An id, or `$` for the last one of the stream.
fn id_or_last(text: &[u8], stream: &Stream) -> Result<Id, CommandError> {
    if text == b"$" { Ok(stream.last_id) } else { id(text, 0) }
}

/// MKSTREAM, where it may stand, and ENTRIESREAD.
fn options(call: &Call<'_>, makes: bool) -> Result<(bool, Option<i64>), CommandError> {
    let (mut options, mut mkstream, mut entries_read) = (call.options(5), false, None);
    while options.left() > 0 {
        if makes && options.take_word("MKSTREAM") {
            mkstream = true;
        } else if options.left() > 1 && options.take_word("ENTRIESREAD") {
            entries_read = match options.integer()? {
                -1 => None,
                read @ 0.. => Some(read),
                _ => {
                    return Err(CommandError::Text(
                        "ERR value for ENTRIESREAD must be positive or -1",
                    ));
                }
            };
        } else {
            return Err(unknown_subcommand_or_arity(call.arg(0), call.arg(1)));
        }
    }
    Ok((mkstream, entries_read))
}

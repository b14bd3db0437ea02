//! Looking at a stream: XLEN, XRANGE, XREVRANGE.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::stream::{interval_end, interval_start, reply_entries};
use crate::data::stream::Stream;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const RANGE: Command = Command {
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N), with N being the number of entries in the answer.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    history: &[("6.2.0", "Ids with a bracket before them are left out.")],
    ..Command::BASE
};

const COUNT: Arg = Arg::integer("count").token("COUNT").optional();

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("xlen"),
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Gives the number of entries in a stream.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO)],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(xlen),
        ..Command::BASE
    },
    Command {
        name: Name("xrange"),
        summary: "Gives the entries with ids in an interval.",
        args: &[Arg::key("key"), Arg::string("start"), Arg::string("end"), COUNT],
        run: Run::Keys(xrange),
        ..RANGE
    },
    Command {
        name: Name("xrevrange"),
        summary: "Gives the entries with ids in an interval, the last first.",
        args: &[Arg::key("key"), Arg::string("end"), Arg::string("start"), COUNT],
        run: Run::Keys(xrevrange),
        ..RANGE
    },
];

fn xlen(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let stream = keys.read_as::<Stream>(call.key(1))?;
    reply.int(stream.map_or(0, |stream| stream.entries() as i64));
    Ok(())
}

fn xrange(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (start, end) = (interval_start(call.arg(2))?, interval_end(call.arg(3))?);
    with_count(call, keys, reply, |stream, most, reply| {
        reply_entries(reply, stream.range(start, end).take(most));
    })
}

fn xrevrange(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (start, end) = (interval_start(call.arg(3))?, interval_end(call.arg(2))?);
    with_count(call, keys, reply, |stream, most, reply| {
        reply_entries(reply, stream.range_back(start, end).take(most));
    })
}

/// Reads the option and the stream. None of a stream is no array, but all of nothing is an empty
/// one.
fn with_count(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    answer: impl FnOnce(&Stream, usize, &mut Reply<'_>),
) -> Result<(), CommandError> {
    let (mut options, mut count) = (call.options(4), None);
    while options.left() > 0 {
        if options.left() < 2 || !options.take_word("COUNT") {
            return Err(CommandError::Syntax);
        }
        count = Some(usize::try_from(options.integer()?).unwrap_or(0));
    }
    match (keys.read_as::<Stream>(call.key(1))?, count) {
        (None, _) => reply.array(0),
        (Some(_), Some(0)) => reply.null_array(),
        (Some(stream), count) => answer(&stream, count.unwrap_or(usize::MAX), reply),
    }
    Ok(())
}

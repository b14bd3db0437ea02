//! Strings, read and written whole: GET, SET and their relatives.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::keyspace::entry::Value;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("get"),
    group: Group::String,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Gives the string value of a key.",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::FAST),
    args: &[Arg::key("key")],
    run: Run::Keys(get),
    ..Command::BASE
}];

fn get(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match keys.read_string(call.key(1))? {
        Some(Value::Integer(number)) => reply.bulk_int(number),
        Some(Value::Bytes(bytes)) => reply.bulk(bytes),
        None => reply.null(),
    }
    Ok(())
}

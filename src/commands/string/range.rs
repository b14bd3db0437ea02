//! Parts of strings: APPEND, STRLEN, GETRANGE, SUBSTR, SETRANGE.
//!
//! No string grows past `proto-max-bulk-len`, except while the journal is loaded, which may have
//! been written under a higher limit; nor ever past what one record of the journal can hold.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::data::value::Value;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The longest string, in bytes: positions in a record are numbers of 32 bits.
pub(in crate::commands) const STRING_BYTES_MAX: u64 = u32::MAX as u64;

/// SUBSTR is its old name.
const GETRANGE: Command = Command {
    name: Name("getrange"),
    group: Group::String,
    since: "2.4.0",
    complexity: "O(N) with N the length of the part that is given.",
    summary: "Gives a part of a string.",
    arity: Arity::Exactly(4),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
    run: Run::Keys(getrange),
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("append"),
        group: Group::String,
        since: "2.0.0",
        complexity: "O(1) on average over many calls: room for growth is kept.",
        summary: "Adds to the end of a string; a missing key counts as empty.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("value")],
        run: Run::Keys(append),
        ..Command::BASE
    },
    GETRANGE,
    Command {
        name: Name("setrange"),
        group: Group::String,
        since: "2.2.0",
        complexity: "O(N) with N the length of the value.",
        summary: "Overwrites a part of a string; gaps are filled with zero bytes.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::integer("offset"), Arg::string("value")],
        run: Run::Keys(setrange),
        ..Command::BASE
    },
    Command {
        name: Name("strlen"),
        group: Group::String,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Gives the length of a string in bytes.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO)],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(strlen),
        ..Command::BASE
    },
    Command { name: Name("substr"), since: "1.0.0", ..GETRANGE },
];

fn append(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (key, value) = (call.key(1), call.arg(2));
    let len = match keys.look_string(key)? {
        None => {
            keys.set_string(key, value, Deadline::Clear, Event::APPEND);
            value.len()
        }
        Some(there) => {
            let len = there.len();
            check_len(call, keys, len as u64, value)?;
            keys.edit_string(key, Event::APPEND, |bytes| (bytes.extend_from_slice(value), true));
            len + value.len()
        }
    };
    reply.int(len as i64);
    Ok(())
}

fn getrange(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    match keys.read_string(call.key(1))? {
        None => reply.bulk(b""),
        Some(Value::Bytes(bytes)) => reply.bulk(part(bytes, start, end)),
        Some(Value::Integer(number)) => {
            reply.bulk(part(itoa::Buffer::new().format(number).as_bytes(), start, end));
        }
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included and both counted from the end where negative.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let len = bytes.len() as i64;
    let from_front = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (from_front(start), from_front(end).min(len - 1));
    if start > end { b"" } else { &bytes[start as usize..=end as usize] }
}

fn setrange(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let offset = u64::try_from(call.integer(2)?).map_err(|_| CommandError::OffsetOutOfRange)?;
    let (key, value) = (call.key(1), call.arg(3));
    let len = keys.look_string(key)?.map_or(0, Value::len);
    if value.is_empty() {
        reply.int(len as i64);
        return Ok(());
    }
    check_len(call, keys, offset, value)?;
    let start = usize::try_from(offset).map_err(|_| CommandError::StringTooLong)?;
    let len = keys.edit_string(key, Event::SETRANGE, |bytes| {
        let end = start + value.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(value);
        (bytes.len(), true)
    });
    reply.int(len as i64);
    Ok(())
}

fn strlen(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(keys.read_string(call.key(1))?.map_or(0, Value::len) as i64);
    Ok(())
}

/// Refuses a string that would end `value.len()` bytes after `start` and be too long.
fn check_len(
    call: &Call<'_>,
    keys: &Keys<'_>,
    start: u64,
    value: &[u8],
) -> Result<(), CommandError> {
    let end = start.saturating_add(value.len() as u64);
    let limit = if keys.is_replay() { u64::MAX } else { call.settings.proto_max_bulk_len };
    if end > limit.min(STRING_BYTES_MAX) {
        return Err(CommandError::StringTooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn parts_are_counted_from_either_end() {
        let mut store = Store::new();
        store.run("SET k hello");
        for (range, part) in [
            ("0 -1", "hello"),
            ("-3 -1", "llo"),
            ("-3 -5", ""),
            ("2 1", ""),
            ("-100 -99", "h"),
            ("0 -100", "h"),
            ("-1 -100", ""),
            ("4 100", "o"),
            ("5 100", ""),
            ("9223372036854775807 9223372036854775807", ""),
            ("-9223372036854775808 -9223372036854775808", "h"),
        ] {
            assert_eq!(store.run(&format!("GETRANGE k {range}")), format!("\"{part}\""), "{range}");
            assert_eq!(store.run(&format!("SUBSTR k {range}")), format!("\"{part}\""), "{range}");
        }
        store.run("SET empty \"\"");
        for key in ["empty", "nothing"] {
            assert_eq!(store.run(&format!("GETRANGE {key} 0 -1")), "\"\"");
        }
        store.run("SET n -12345");
        assert_eq!(store.run("GETRANGE n 0 1"), "\"-1\"");
        assert_eq!(store.run("STRLEN n"), "(integer) 6");
        assert_eq!(
            store.run("GETRANGE n a 1"),
            "(error) ERR value is not an integer or out of range"
        );
    }

    #[test]
    fn strings_grow_in_place() {
        dialogue(
            &mut Store::new(),
            r#"
            > APPEND k 5
            (integer) 1
            > INCR k
            (integer) 6
            > APPEND k ab
            (integer) 3
            > SETRANGE k 5 xy
            (integer) 7
            > GET k
            "6ab\x00\x00xy"
            > SETRANGE k 1 AB
            (integer) 7
            > SETRANGE k 99 ""
            (integer) 7
            > SETRANGE nothing 5 ""
            (integer) 0
            > GET nothing
            (nil)
            > SETRANGE k -1 ""
            (error) ERR offset is out of range
            > STRLEN k
            (integer) 7
            "#,
        );
    }

    #[test]
    fn no_string_passes_the_limit() {
        let mut store = Store::new();
        store.configure("proto-max-bulk-len", "1mb");
        let error = "(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)";
        assert_eq!(store.run("SETRANGE k 1048575 x"), "(integer) 1048576");
        assert_eq!(store.run("APPEND k x"), error);
        assert_eq!(store.run("APPEND k \"\""), "(integer) 1048576");
        for offset in ["1048576", "9223372036854775807"] {
            assert_eq!(store.run(&format!("SETRANGE k {offset} x")), error);
            assert_eq!(store.run(&format!("SETRANGE k {offset} \"\"")), "(integer) 1048576");
        }
    }

    #[test]
    fn no_setting_lets_a_string_pass_what_a_record_holds() {
        let mut store = Store::new();
        store.configure("proto-max-bulk-len", "9223372036854775807");
        assert_eq!(
            store.run("SETRANGE k 4294967295 x"),
            "(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        );
    }

    #[test]
    fn what_changes_nothing_is_not_journaled() {
        let mut store = Store::new();
        store.run("SETRANGE k 3 \"\"");
        store.run("GETRANGE k 0 1");
        assert_eq!(store.effects(), "");
        store.run("APPEND k x");
        store.run("SETRANGE k 1 y");
        assert_eq!(store.effects(), "APPEND k x\nSETRANGE k 1 y");
    }
}

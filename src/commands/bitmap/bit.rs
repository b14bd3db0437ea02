//! One bit: GETBIT, SETBIT.

use crate::commands::bitmap::offset;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::with_bytes;
use crate::data::bits;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("getbit"),
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Gives a bit of a string.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::integer("offset")],
        run: Run::Keys(getbit),
        ..Command::BASE
    },
    Command {
        name: Name("setbit"),
        group: Group::Bitmap,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Sets or clears a bit of a string and gives what it was before.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::integer("offset"), Arg::integer("value")],
        run: Run::Keys(setbit),
        ..Command::BASE
    },
];

fn getbit(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let at = offset(call.arg(2), call, keys)?;
    let value = keys.read_string(call.key(1))?;
    reply.int(i64::from(with_bytes(value, |bytes| bits::get(bytes, at))));
    Ok(())
}

fn setbit(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let at = offset(call.arg(2), call, keys)?;
    let on = match call.arg(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(CommandError::Text("ERR bit is not an integer or out of range")),
    };
    let key = call.key(1);
    keys.look_string(key)?;
    let was = keys.edit_string(key, Event::SETBIT, |bytes| {
        let len = (at / 8) as usize + 1;
        let grows = bytes.len() < len;
        if grows {
            bytes.resize(len, 0);
        }
        let was = bits::get(bytes, at);
        bits::set(bytes, at, on);
        (was, grows || was != on)
    });
    reply.int(i64::from(was));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn bits_are_counted_from_the_highest() {
        dialogue(
            &mut Store::new(),
            r#"
            > SETBIT k 7 1
            (integer) 0
            > GET k
            "\x01"
            > SETBIT k 0 1
            (integer) 0
            > SETBIT k 0 1
            (integer) 1
            > GET k
            "\x81"
            > SETBIT k 16 0
            (integer) 0
            > STRLEN k
            (integer) 3
            > GETBIT k 7
            (integer) 1
            > GETBIT k 4294967295
            (integer) 0
            > GETBIT nothing 0
            (integer) 0
            > SET number 12
            OK
            > GETBIT number 3
            (integer) 1
            > SETBIT number 14 0
            (integer) 1
            > GET number
            "10"
            "#,
        );
    }

    #[test]
    fn no_bit_lies_behind_the_longest_string() {
        let mut store = Store::new();
        let error = "(error) ERR bit offset is not an integer or out of range";
        for offset in ["4294967296", "-1", "9223372036854775807", "1.0", "\"\"", "-0", "#1"] {
            assert_eq!(store.run(&format!("SETBIT k {offset} 1")), error, "{offset}");
            assert_eq!(store.run(&format!("GETBIT k {offset}")), error, "{offset}");
        }
        for bit in ["2", "-1", "01", "\"\"", "true"] {
            assert_eq!(
                store.run(&format!("SETBIT k 0 {bit}")),
                "(error) ERR bit is not an integer or out of range"
            );
        }
        store.configure("proto-max-bulk-len", "1mb");
        assert_eq!(store.run("SETBIT k 8388607 1"), "(integer) 0");
        assert_eq!(store.run("SETBIT k 8388608 1"), error);
        store.configure("proto-max-bulk-len", "9223372036854775807");
        assert_eq!(store.run("SETBIT k 34359738367 1"), error);
    }

    #[test]
    fn what_changes_nothing_is_not_journaled_but_raw() {
        let mut store = Store::new();
        store.run("SET k 12");
        store.effects();
        assert_eq!(store.run("SETBIT k 2 1"), "(integer) 1");
        assert_eq!(
            (store.effects(), store.run("OBJECT ENCODING k")),
            ("".into(), "\"raw\"".into())
        );
        store.run("SETBIT k 2 0");
        store.run("SETBIT new 0 0");
        assert_eq!(store.effects(), "SETBIT k 2 0\nSETBIT new 0 0");
    }
}

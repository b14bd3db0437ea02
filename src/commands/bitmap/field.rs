//! Whole numbers inside strings: BITFIELD, BITFIELD_RO.
//!
//! All operations are read before any is done. If one of them writes, the string first grows to
//! where the farthest of them ends; then they are done in order. What a call does follows from its
//! words and the string alone, so it is journaled as it came, if it changed anything.

use crate::base::integer;
use crate::commands::bitmap::{OFFSET, within};
use crate::commands::call::{Call, Options};
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::with_bytes;
use crate::data::bits::{Field, Overflow};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const GET: Arg =
    Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")]).token("GET");

const WRITE: Arg = Arg::block(
    "write",
    &[
        Arg::one_of(
            "overflow-block",
            &[Arg::word("wrap", "WRAP"), Arg::word("sat", "SAT"), Arg::word("fail", "FAIL")],
        )
        .token("OVERFLOW")
        .optional(),
        Arg::one_of(
            "write-operation",
            &[
                Arg::block(
                    "set-block",
                    &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("value")],
                )
                .token("SET"),
                Arg::block(
                    "incrby-block",
                    &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("increment")],
                )
                .token("INCRBY"),
            ],
        ),
    ],
);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("bitfield"),
        group: Group::Bitmap,
        since: "3.2.0",
        complexity: "O(1) for each operation.",
        summary: "Reads and changes whole numbers of any width inside a string.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec {
            notes: "Only reads where every operation is `GET`.",
            ..KeySpec::one(
                1,
                Access::RW.and(Access::READS).and(Access::UPDATE).and(Access::VARIABLE_FLAGS),
            )
        }],
        varying_access: Some(bitfield_access),
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::one_of("operation", &[GET, WRITE]).multiple().optional()],
        run: Run::Keys(bitfield),
        ..Command::BASE
    },
    Command {
        name: Name("bitfield_ro"),
        group: Group::Bitmap,
        since: "6.0.0",
        complexity: "O(1) for each operation.",
        summary: "Reads whole numbers of any width inside a string.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key"), GET.multiple_token().optional()],
        run: Run::Keys(bitfield_ro),
        ..Command::BASE
    },
];

/// BITFIELD only reads where it has nothing but whole GETs, and OVERFLOW.
fn bitfield_access(words: &[&[u8]]) -> Access {
    let mut at = 2;
    while let Some(word) = words.get(at) {
        let len = match () {
            () if word.eq_ignore_ascii_case(b"GET") => 3,
            () if word.eq_ignore_ascii_case(b"OVERFLOW") => 2,
            () => usize::MAX,
        };
        if len > words.len() - at {
            return Access::RW.and(Access::READS).and(Access::UPDATE);
        }
        at += len;
    }
    Access::RO.and(Access::READS)
}

fn bitfield(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let operations = Operation::parse_all(call, keys)?;
    let key = call.key(1);
    let len = operations.iter().filter_map(|operation| operation.written_len()).max();
    let Some(len) = len else { return read_all(&operations, call, keys, reply) };
    let grows = keys.look_string(key)?.is_none_or(|value| value.len() < len);
    let before = keys.changes;
    reply.array(operations.len());
    if grows {
        // It does so even where all numbers are refused, of which nobody is told.
        keys.edit_string(key, Event::GROWN, |bytes| (bytes.resize(len, 0), true));
    }
    let changes = keys.edit_string(key, Event::SETBIT, |bytes| {
        let mut changes = 0;
        for operation in &operations {
            let (answer, changed) = operation.run(bytes);
            let wrote = operation.writes() && answer.is_some();
            changes += u64::from(changed || (grows && wrote));
            match answer {
                Some(number) => reply.int(number),
                None => reply.null(),
            }
        }
        (changes, changes > 0)
    });
    keys.changes = before + changes.max(u64::from(grows));
    Ok(())
}

fn bitfield_ro(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let operations = Operation::parse_all(call, keys)?;
    if operations.iter().any(Operation::writes) {
        return Err(CommandError::Text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read_all(&operations, call, keys, reply)
}

fn read_all(
    operations: &[Operation],
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let value = keys.read_string(call.key(1))?;
    reply.array(operations.len());
    with_bytes(value, |bytes| {
        operations
            .iter()
            .for_each(|operation| reply.int(operation.field.read(bytes, operation.at)));
    });
    Ok(())
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

/// One operation of BITFIELD.
#[derive(Clone, Copy, Debug)]
struct Operation {
    field: Field,
    /// The first bit of the field.
    at: u64,
    action: Action,
    overflow: Overflow,
}

impl Operation {
    fn parse_all(call: &Call<'_>, keys: &Keys<'_>) -> Result<Vec<Operation>, CommandError> {
        let mut options = call.options(2);
        let mut operations = Vec::new();
        let mut overflow = Overflow::Wrap;
        while options.left() > 0 {
            if options.left() > 1 && options.take_word("OVERFLOW") {
                overflow = parse_overflow(&mut options)?;
            } else if options.left() > 2 && options.take_word("GET") {
                let (field, at) = parse_place(&mut options, call, keys)?;
                operations.push(Operation { field, at, action: Action::Get, overflow });
            } else if options.left() > 3 && options.take_word("SET") {
                let (field, at) = parse_place(&mut options, call, keys)?;
                let action = Action::Set(options.integer()?);
                operations.push(Operation { field, at, action, overflow });
            } else if options.left() > 3 && options.take_word("INCRBY") {
                let (field, at) = parse_place(&mut options, call, keys)?;
                let action = Action::Add(options.integer()?);
                operations.push(Operation { field, at, action, overflow });
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(operations)
    }

    fn writes(&self) -> bool {
        self.action != Action::Get
    }

    /// Bytes that the string must have for the operation to write.
    fn written_len(&self) -> Option<usize> {
        let last = self.at + u64::from(self.field.width()) - 1;
        self.writes().then_some((last / 8) as usize + 1)
    }

    /// Does it to a string that is long enough. Returns the answer (none where the number was
    /// refused) and whether anything changed.
    fn run(&self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.field.read(bytes, self.at);
        let new = match self.action {
            Action::Get => return (Some(old), false),
            Action::Set(number) => self.field.hold(number, self.overflow),
            Action::Add(by) => self.field.add(old, by, self.overflow),
        };
        let Some(new) = new else { return (None, false) };
        self.field.write(bytes, self.at, new);
        let answer = if matches!(self.action, Action::Set(_)) { old } else { new };
        (Some(answer), new != old)
    }
}

fn parse_overflow(options: &mut Options<'_>) -> Result<Overflow, CommandError> {
    let known = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let found = known.into_iter().find(|(word, _)| options.take_word(word));
    found
        .map(|(_, overflow)| overflow)
        .ok_or(CommandError::Text("ERR Invalid OVERFLOW type specified"))
}

/// Reads the type of a field, `u8` or `i16`, and where it begins: a bit, or, behind `#`, a number
/// of fields of that width.
fn parse_place(
    options: &mut Options<'_>,
    call: &Call<'_>,
    keys: &Keys<'_>,
) -> Result<(Field, u64), CommandError> {
    const TYPE: CommandError = CommandError::Text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
         i64 is.",
    );
    let (signed, width) = match options.value()? {
        [b'i', width @ ..] => (true, width),
        [b'u', width @ ..] => (false, width),
        _ => return Err(TYPE),
    };
    let width = integer::parse(width).and_then(|width| u32::try_from(width).ok()).ok_or(TYPE)?;
    let field = Field::new(signed, width).ok_or(TYPE)?;
    let (number, unit) = match options.value()? {
        [b'#', number @ ..] => (number, i64::from(field.width())),
        number => (number, 1),
    };
    let number = integer::parse(number).ok_or(OFFSET)?;
    let at = match keys.is_replay() {
        // Redis and Valkey, which wrote the record, cut the product to 64 bits.
        true => number.wrapping_mul(unit),
        false => number.checked_mul(unit).ok_or(OFFSET)?,
    };
    Ok((field, within(u64::try_from(at).map_err(|_| OFFSET)?, call, keys)?))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn numbers_of_any_width_are_read_and_changed() {
        dialogue(
            &mut Store::new(),
            r#"
            > BITFIELD k SET u8 0 255 GET u4 #1 INCRBY i5 100 1
            1) (integer) 0
            2) (integer) 15
            3) (integer) 1
            > STRLEN k
            (integer) 14
            > BITFIELD k SET i8 0 -2 GET u8 0 GET i8 0
            1) (integer) -1
            2) (integer) 254
            3) (integer) -2
            > BITFIELD_RO k GET i64 0 GET u63 1 GET u1 4294967295
            1) (integer) -144115188075855872
            2) (integer) 9079256848778919936
            3) (integer) 0
            > BITFIELD nothing GET u8 0
            1) (integer) 0
            > EXISTS nothing
            (integer) 0
            > BITFIELD k
            (empty array)
            > BITFIELD_RO k SET u8 0 1
            (error) ERR BITFIELD_RO only supports the GET subcommand
            "#,
        );
    }

    #[test]
    fn numbers_that_do_not_fit_wrap_stay_or_fail() {
        dialogue(
            &mut Store::new(),
            r#"
            > BITFIELD k SET u8 0 250 INCRBY u8 0 10 OVERFLOW SAT INCRBY u8 0 300 INCRBY u8 0 -999
            1) (integer) 0
            2) (integer) 4
            3) (integer) 255
            4) (integer) 0
            > BITFIELD k OVERFLOW FAIL SET u8 0 256 INCRBY i8 0 128 OVERFLOW wrap SET u8 0 -1
            1) (nil)
            2) (nil)
            3) (integer) 0
            > BITFIELD k INCRBY i64 #1 9223372036854775807 INCRBY i64 #1 1
            1) (integer) 9223372036854775807
            2) (integer) -9223372036854775808
            > BITFIELD k OVERFLOW SAT INCRBY i64 #1 -1 SET u63 #2 -1 GET u63 #2
            1) (integer) -9223372036854775808
            2) (integer) 0
            3) (integer) 9223372036854775807
            "#,
        );
    }

    #[test]
    fn every_word_is_read_before_anything_is_done() {
        let mut store = Store::new();
        let kind = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not \
                    supported but i64 is.";
        let offset = "ERR bit offset is not an integer or out of range";
        let number = "ERR value is not an integer or out of range";
        for (rest, error) in [
            ("GET u64 0", kind),
            ("GET i65 0", kind),
            ("GET u0 x", kind),
            ("GET u08 0", kind),
            ("GET U8 0", kind),
            ("GET i 0", kind),
            ("GET i8 -1", offset),
            ("GET i8 #-1", offset),
            ("GET i8 #536870912", offset),
            ("GET u1 4294967296", offset),
            ("GET u63 #9223372036854775807", offset),
            ("SET u8 # 1", offset),
            ("SET u8 0 x", number),
            ("INCRBY u8 0 9223372036854775808", number),
            ("SET u8 0", "ERR syntax error"),
            ("GET u8", "ERR syntax error"),
            ("OVERFLOW", "ERR syntax error"),
            ("OVERFLOW nil", "ERR Invalid OVERFLOW type specified"),
            ("NOSUCH u8 0", "ERR syntax error"),
        ] {
            let line = format!("BITFIELD k SET u8 0 1 {rest}");
            assert_eq!(store.run(&line), format!("(error) {error}"), "{line}");
        }
        assert_eq!(store.run("EXISTS k"), "(integer) 0");
    }

    #[test]
    fn what_changes_nothing_is_not_journaled() {
        let mut store = Store::new();
        for (line, record) in [
            ("BITFIELD k SET u8 0 0", "BITFIELD k SET u8 0 0"),
            ("BITFIELD k SET u8 0 0", ""),
            ("BITFIELD k GET u8 0", ""),
            ("BITFIELD k OVERFLOW FAIL SET u8 0 256", ""),
            ("BITFIELD k INCRBY u8 0 1 SET u8 0 1", "BITFIELD k INCRBY u8 0 1 SET u8 0 1"),
        ] {
            store.run(line);
            assert_eq!(store.effects(), record, "{line}");
        }
    }
}

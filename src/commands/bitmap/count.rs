//! Bits counted and looked for: BITCOUNT, BITPOS.

use crate::commands::bitmap::Range;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::with_bytes;
use crate::data::bits;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const UNIT: Arg =
    Arg::one_of("unit", &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")]).since("7.0.0");

const PER_BYTE: &str = "O(N) with N the number of bytes that are looked at.";

const RANGE: Arg = Arg::block(
    "range",
    &[
        Arg::integer("start"),
        Arg::block("end-unit-block", &[Arg::integer("end"), UNIT.optional()]).optional(),
    ],
)
.optional();

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("bitcount"),
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: PER_BYTE,
        summary: "Counts the bits of a string that are set.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        args: &[Arg::key("key"), RANGE],
        history: &[("7.0.0", "The option `BYTE|BIT`."), ("8.0.0", "`end` may be left out.")],
        run: Run::Keys(bitcount),
        ..Command::BASE
    },
    Command {
        name: Name("bitpos"),
        group: Group::Bitmap,
        since: "2.8.7",
        complexity: PER_BYTE,
        summary: "Gives the position of the first bit of a string that is set, or that is not.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        args: &[Arg::key("key"), Arg::integer("bit"), RANGE],
        history: &[("7.0.0", "The option `BYTE|BIT`.")],
        run: Run::Keys(bitpos),
        ..Command::BASE
    },
];

fn bitcount(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let range = Range::parse(call, 2)?;
    let value = keys.read_string(call.key(1))?;
    let count = with_bytes(value, |bytes| {
        let ends = range.bits(bytes.len()).filter(|_| !range.is_crossed());
        ends.map_or(0, |(from, to)| bits::count_between(bytes, from, to))
    });
    reply.int(count as i64);
    Ok(())
}

fn bitpos(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let on = match call.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::Text("ERR The bit argument must be 1 or 0.")),
    };
    let range = Range::parse(call, 3)?;
    // Without an end, the string counts as followed by zeros.
    let ends = call.len() > 4;
    let Some(value) = keys.read_string(call.key(1))? else {
        reply.int(if on { -1 } else { 0 });
        return Ok(());
    };
    let found = with_bytes(Some(value), |bytes| {
        let (from, to) = range.bits(bytes.len())?;
        let behind = (!on && !ends).then_some(bytes.len() as u64 * 8);
        bits::find(bytes, on, from, to).or(behind)
    });
    reply.int(found.map_or(-1, |at| at as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bitmap::Unit;
    use crate::testing::{Store, dialogue};

    #[test]
    fn ranges_are_counted_from_both_ends() {
        let bits = |start, end, unit, len| Range { start, end, unit }.bits(len);
        assert_eq!(bits(0, -1, Unit::Bytes, 0), None);
        assert_eq!(bits(0, -1, Unit::Bytes, 2), Some((0, 15)));
        assert_eq!(bits(1, 100, Unit::Bytes, 2), Some((8, 15)));
        assert_eq!(bits(-3, -2, Unit::Bits, 1), Some((5, 6)));
        assert_eq!(bits(-1, -5, Unit::Bytes, 1), Some((0, 7)));
        assert_eq!(bits(-1, -2, Unit::Bytes, 2), None);
        assert_eq!(bits(-5, -1, Unit::Bytes, 1), Some((0, 7)));
        assert_eq!(bits(i64::MIN, i64::MAX, Unit::Bits, 1), Some((0, 7)));
        assert_eq!(bits(i64::MAX, i64::MAX, Unit::Bytes, 1), None);
        assert_eq!(bits(i64::MIN, i64::MIN, Unit::Bytes, 3), Some((0, 7)));
    }

    #[test]
    fn bits_are_counted_in_bytes_and_bits() {
        dialogue(
            &mut Store::new(),
            r#"
            > SET k foobar
            OK
            > BITCOUNT k
            (integer) 26
            > BITCOUNT k 0 0
            (integer) 4
            > BITCOUNT k 1 1 BYTE
            (integer) 6
            > BITCOUNT k 5 30 bit
            (integer) 17
            > BITCOUNT k 4
            (integer) 7
            > BITCOUNT k -7 -9
            (integer) 0
            > BITPOS k 0 -7 -9
            (integer) 0
            > BITCOUNT nothing
            (integer) 0
            > BITCOUNT nothing x y
            (error) ERR value is not an integer or out of range
            > BITCOUNT k 0 1 word
            (error) ERR syntax error
            > BITCOUNT k 0 1 BIT BIT
            (error) ERR syntax error
            "#,
        );
    }

    #[test]
    fn zeros_are_behind_a_string_whose_end_is_not_given() {
        dialogue(
            &mut Store::new(),
            r#"
            > SET k "\xff\xf0\x00"
            OK
            > BITPOS k 0
            (integer) 12
            > BITPOS k 1 2
            (integer) -1
            > BITPOS k 1 9 20 BIT
            (integer) 9
            > SET k "\xff\xff"
            OK
            > BITPOS k 0
            (integer) 16
            > BITPOS k 0 1
            (integer) 16
            > BITPOS k 0 0 -1
            (integer) -1
            > BITPOS k 0 2
            (integer) -1
            > BITPOS nothing 0
            (integer) 0
            > BITPOS nothing 1
            (integer) -1
            > SET empty ""
            OK
            > BITPOS empty 0
            (integer) -1
            > BITPOS k 2
            (error) ERR The bit argument must be 1 or 0.
            > BITPOS k one
            (error) ERR value is not an integer or out of range
            "#,
        );
    }
}

//! Looking into a HyperLogLog: PFDEBUG, PFSELFTEST.
//!
//! PFDEBUG SIMD is Valkey's switch for its vector code; there is none to switch here, so it only
//! answers.

use std::io::Write;

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::{CommandError, quoting};
use crate::commands::hyperloglog::{CORRUPTED, encoding};
use crate::commands::string::with_bytes;
use crate::data::hyperloglog::{self as hll, Encoding, REGISTERS, dense, sparse};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;
use crate::session::Session;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("pfdebug"),
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "N/A",
        summary: "Tells how a HyperLogLog is kept, for the tests of servers.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(2, Access::RW.and(Access::READS))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::ADMIN),
        args: &[Arg::string("subcommand"), Arg::key("key")],
        run: Run::Keys(pfdebug),
        ..Command::BASE
    },
    Command {
        name: Name("pfselftest"),
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "N/A",
        summary: "Tests registers and estimates, for the tests of servers.",
        arity: Arity::Exactly(1),
        flags: Flags::ADMIN,
        run: Run::Session(pfselftest),
        ..Command::BASE
    },
];

fn pfdebug(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if call.is(1, "SIMD") {
        return simd(call, reply);
    }
    let key = call.key(2);
    let Some(value) = keys.look_string(key)? else {
        return Err(CommandError::Text("ERR The specified key does not exist"));
    };
    let encoding = with_bytes(Some(value), encoding)?;
    if call.is(1, "ENCODING") {
        reply.simple(match encoding {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        });
    } else if call.is(1, "DECODE") {
        if encoding == Encoding::Dense {
            return Err(CommandError::Text("ERR HLL encoding is not sparse"));
        }
        let text = with_bytes(keys.look_string(key)?, decoded);
        reply.bulk(&text);
    } else if call.is(1, "TODENSE") {
        make_dense(call, keys, encoding)?;
        reply.int(i64::from(encoding == Encoding::Sparse));
    } else if call.is(1, "GETREG") {
        make_dense(call, keys, encoding)?;
        reply.array(REGISTERS);
        with_bytes(keys.look_string(key)?, |value| {
            dense::all(value).for_each(|register| reply.int(i64::from(register)));
        });
    } else {
        return Err(quoting("ERR Unknown PFDEBUG subcommand '{}'", &[call.arg(1)]));
    }
    Ok(())
}

fn simd(call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if call.is(2, "ON") {
        reply.simple("enabled");
    } else if call.is(2, "OFF") {
        reply.simple("disabled");
    } else {
        return Err(CommandError::Text("ERR Argument must be ON or OFF"));
    }
    Ok(())
}

/// Makes the value at argument 2 dense, if it is not.
fn make_dense(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    encoding: Encoding,
) -> Result<(), CommandError> {
    if encoding == Encoding::Dense {
        return Ok(());
    }
    let made = keys.edit_string(call.key(2), Event::SILENT, |value| {
        let made = hll::make_dense(value);
        let has_changed = made.is_ok();
        (made, has_changed)
    });
    made.map_err(|_| CORRUPTED)
}

/// The runs of a sparse value: `z` and `Z` for zeros in one byte and in two, `v` for others.
fn decoded(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for run in sparse::runs(value) {
        if !text.is_empty() {
            text.push(b' ');
        }
        // Writing to a vector cannot fail.
        let _ = match run.rank {
            0 if run.is_wide() => write!(text, "Z:{}", run.count),
            0 => write!(text, "z:{}", run.count),
            rank => write!(text, "v:{rank},{}", run.count),
        };
    }
    text
}

/// Elements that PFSELFTEST counts: a shard takes a few milliseconds for them.
const TESTED: u64 = 100_000;

/// How far an estimate may be off: six times the error of the method, in hundredths.
const TOLERANCE_PERCENT: u64 = 5;

fn pfselftest(
    call: &Call<'_>,
    _session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (mut value, mut registers) = (hll::empty(), [0; REGISTERS]);
    let failed = |text: String| CommandError::Quoted(format!("TESTFAILED {text}"));
    let mut next_check = 1;
    for number in 1..=TESTED {
        let (index, rank) = hll::place(&number.to_le_bytes());
        registers[index] = rank.max(registers[index]);
        hll::raise(&mut value, index, rank, call.settings.hll_sparse_max_bytes)
            .map_err(|_| failed(format!("register {index} is missing")))?;
        if number < next_check {
            continue;
        }
        next_check *= 10;
        let mut there = [0; REGISTERS];
        let is_sound = hll::take_highest(&value, &mut there).is_ok() && there == registers;
        let estimate = hll::count(&value).unwrap_or(0);
        if !is_sound || hll::count_registers(&registers) != estimate {
            return Err(failed(format!("registers differ after {number} elements")));
        }
        if estimate.abs_diff(number) > number * TOLERANCE_PERCENT / 100 {
            return Err(failed(format!("{estimate} is too far from {number}")));
        }
    }
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn a_value_shows_how_it_is_kept() {
        dialogue(
            &mut Store::new(),
            r#"
            > PFADD h a b
            (integer) 1
            > PFDEBUG ENCODING h
            sparse
            > PFDEBUG decode h
            "Z:12711 v:2,1 Z:3068 v:1,1 Z:603"
            > PFDEBUG TODENSE h
            (integer) 1
            > PFDEBUG TODENSE h
            (integer) 0
            > PFDEBUG DECODE h
            (error) ERR HLL encoding is not sparse
            > PFDEBUG ENCODING h
            dense
            > PFCOUNT h
            (integer) 2
            > PFDEBUG ENCODING nothing
            (error) ERR The specified key does not exist
            > PFDEBUG NOSUCH nothing
            (error) ERR The specified key does not exist
            > PFDEBUG NOSUCH h
            (error) ERR Unknown PFDEBUG subcommand 'NOSUCH'
            > PFDEBUG SIMD on
            enabled
            > PFDEBUG SIMD OFF
            disabled
            > PFDEBUG SIMD h
            (error) ERR Argument must be ON or OFF
            > PFSELFTEST
            OK
            "#,
        );
    }

    #[test]
    fn registers_are_given_and_the_value_is_dense_then() {
        let mut store = Store::new();
        store.run("PFADD h a b");
        store.effects();
        let registers = store.run("PFDEBUG GETREG h");
        let raised: Vec<&str> = registers.lines().filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(raised, ["12712) (integer) 2", "15781) (integer) 1"]);
        assert_eq!(registers.lines().count(), 16384);
        assert_eq!(store.effects(), "PFDEBUG GETREG h");
        assert_eq!(store.run("PFDEBUG GETREG h"), registers);
        assert_eq!(store.effects(), "");
        store.run(r#"SET c "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f""#);
        store.effects();
        for sub in ["GETREG", "TODENSE"] {
            let reply = store.run(&format!("PFDEBUG {sub} c"));
            assert_eq!(reply, "(error) INVALIDOBJ Corrupted HLL object detected");
        }
        assert_eq!(store.effects(), "");
    }
}

//! Several strings at once: MGET, MSET, MSETNX, MSETEX.
//!
//! Each is one step over all its keys, wherever they lie. A key that is named twice gets the last
//! value. What MSETNX and MSETEX did is journaled without its condition, so that a record can be
//! split by key.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::effect::{Record, digits_of, store};
use crate::commands::string::expiry::{self, Expiry};
use crate::commands::string::reply_value;
use crate::keyspace::keys::{Deadline, Keys};
use crate::resp::Reply;

const PAIRS: Arg = Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple();

const PER_KEY: &str = "O(N) with N the number of keys.";

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("mget"),
        group: Group::String,
        since: "1.0.0",
        complexity: PER_KEY,
        summary: "Gives the string values of several keys, all of one moment.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::rest(1, 1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY.and(Flags::FAST),
        tips: &["request_policy:multi_shard"],
        args: &[Arg::key("key").multiple()],
        run: Run::Keys(mget),
        ..Command::BASE
    },
    Command {
        name: Name("mset"),
        group: Group::String,
        since: "1.0.1",
        complexity: PER_KEY,
        summary: "Stores several strings in one step.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::rest(1, 2, Access::OW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        args: &[PAIRS],
        run: Run::Keys(mset),
        ..Command::BASE
    },
    Command {
        name: Name("msetex"),
        group: Group::String,
        since: "9.1.0",
        complexity: PER_KEY,
        summary: "Stores several strings in one step, on a condition and with a deadline if asked.",
        arity: Arity::AtLeast(4),
        keys: &[KeySpec::counted(1, 2, Access::OW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::MOVABLE_KEYS),
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        args: &[
            Arg::integer("numkeys"),
            PAIRS,
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional(),
            expiry::OR_KEEPTTL,
        ],
        run: Run::Keys(msetex),
        ..Command::BASE
    },
    Command {
        name: Name("msetnx"),
        group: Group::String,
        since: "1.0.1",
        complexity: PER_KEY,
        summary: "Stores several strings in one step if none of their keys is there yet.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::rest(1, 2, Access::OW.and(Access::INSERT))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[PAIRS],
        run: Run::Keys(msetnx),
        ..Command::BASE
    },
];

fn mget(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.array(call.len() - 1);
    for index in 1..call.len() {
        // A key of another type reads as missing here.
        reply_value(reply, keys.read_string(call.key(index)).unwrap_or(None));
    }
    Ok(())
}

fn mset(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    check_pairs(call)?;
    set_pairs(call, keys, 1..call.len(), Deadline::Clear);
    reply.ok();
    Ok(())
}

fn msetnx(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    check_pairs(call)?;
    let pairs = 1..call.len();
    let are_free = pairs.clone().step_by(2).all(|index| keys.look(call.key(index)).is_none());
    if are_free {
        set_pairs(call, keys, pairs.clone(), Deadline::Clear);
        record_mset(call, keys, pairs);
    }
    reply.int(i64::from(are_free));
    Ok(())
}

fn msetex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let asked = MsetexOptions::parse(call)?;
    let deadline = asked.expiry.resolve(call)?;
    let pairs = 2..asked.end;
    let holds = asked.wants_there.is_none_or(|wanted| {
        let mut indexes = pairs.clone().step_by(2);
        indexes.all(|index| keys.look(call.key(index)).is_some() == wanted)
    });
    if holds {
        let before = keys.changes;
        set_pairs(call, keys, pairs.clone(), deadline.unwrap_or(Deadline::Clear));
        match deadline {
            _ if keys.changes == before => {}
            Some(deadline) => record_together(call, keys, pairs, deadline),
            None => record_mset(call, keys, pairs),
        }
    }
    reply.int(i64::from(holds));
    Ok(())
}

/// The options of MSETEX, read but not resolved.
struct MsetexOptions<'a> {
    /// Where the pairs end.
    end: usize,
    /// What every key must be: there (XX) or not (NX).
    wants_there: Option<bool>,
    expiry: Expiry<'a>,
}

impl<'a> MsetexOptions<'a> {
    fn parse(call: &Call<'a>) -> Result<MsetexOptions<'a>, CommandError> {
        let count = call.integer(1).ok().and_then(|count| i32::try_from(count).ok());
        let count = count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
        let Some(count) = count else { return Err(CommandError::InvalidNumkeys) };
        if count > (call.len() - 2) / 2 {
            return Err(CommandError::Syntax);
        }
        let end = 2 + 2 * count;
        let mut options = call.options(end);
        let mut asked = MsetexOptions { end, wants_there: None, expiry: Expiry::or_keepttl() };
        while options.left() > 0 {
            let wanted = if options.take_word("NX") {
                false
            } else if options.take_word("XX") {
                true
            } else if asked.expiry.take(&mut options)? {
                continue;
            } else {
                return Err(CommandError::Syntax);
            };
            if asked.wants_there.is_some_and(|earlier| earlier != wanted) {
                return Err(CommandError::Syntax);
            }
            asked.wants_there = Some(wanted);
        }
        Ok(asked)
    }
}

/// Names and values must come in pairs.
fn check_pairs(call: &Call<'_>) -> Result<(), CommandError> {
    if call.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity(call.command.name.as_str()));
    }
    Ok(())
}

fn set_pairs(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    pairs: std::ops::Range<usize>,
    deadline: Deadline,
) {
    for index in pairs.step_by(2) {
        store(keys, call.key(index), call.arg(index + 1), deadline);
    }
}

fn record_mset(call: &Call<'_>, keys: &mut Keys<'_>, pairs: std::ops::Range<usize>) {
    let mut words: Vec<&[u8]> = Vec::with_capacity(1 + pairs.len());
    words.push(b"MSET");
    words.extend(pairs.map(|index| call.arg(index)));
    keys.tools.effects.rewrite(keys.db, &words);
}

/// Records one command a pair, whole or not at all.
fn record_together(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    pairs: std::ops::Range<usize>,
    deadline: Deadline,
) {
    let mut buffer = itoa::Buffer::new();
    let digits = digits_of(deadline, &mut buffer);
    let records: Vec<Record<'_>> = pairs
        .step_by(2)
        .map(|index| (call.arg(index), call.arg(index + 1)))
        .map(|(name, value)| Record::of(keys, name, value, deadline, digits))
        .collect();
    match &*records {
        [one] => keys.tools.effects.rewrite(keys.db, one.words()),
        records => {
            let commands: Vec<_> = records.iter().map(|record| (keys.db, record.words())).collect();
            keys.tools.effects.rewrite_together(&commands);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn several_keys_are_one_step() {
        dialogue(
            &mut Store::new(),
            r#"
            > MSET a 1 b
            (error) ERR wrong number of arguments for 'mset' command
            > MSET a 1 b 2 a 3
            OK
            > MGET a b c a
            1) "3"
            2) "2"
            3) (nil)
            4) "3"
            > MSETNX new 1 a 1
            (integer) 0
            > GET new
            (nil)
            > MSETNX new 1 new 2
            (integer) 1
            > GET new
            "2"
            > MSETNX a 1 b
            (error) ERR wrong number of arguments for 'msetnx' command
            "#,
        );
    }

    #[test]
    fn msetex_stores_all_or_nothing() {
        dialogue(
            &mut Store::new(),
            r#"
            > MSETEX 0 a 1
            (error) ERR invalid numkeys value or out of range
            > MSETEX 2147483648 a 1
            (error) ERR invalid numkeys value or out of range
            > MSETEX 2 a 1
            (error) ERR syntax error
            > MSETEX 1 a 1 b
            (error) ERR syntax error
            > MSETEX 1 a 1 EX 0 NX
            (error) ERR invalid expire time in 'msetex' command
            > MSETEX 1 a 1 NX XX
            (error) ERR syntax error
            > MSETEX 1 a 1 EX 1 KEEPTTL
            (error) ERR syntax error
            > MSETEX 2 a 1 b 2 XX
            (integer) 0
            > MSETEX 2 a 1 b 2 NX
            (integer) 1
            > MSETEX 2 a 3 c 3 NX
            (integer) 0
            > MGET a b c
            1) "1"
            2) "2"
            3) (nil)
            > MSETEX 2 a 3 b 4 PXAT 1
            (integer) 1
            > MGET a b
            1) (nil)
            2) (nil)
            "#,
        );
    }

    #[test]
    fn records_have_no_condition_and_split_by_key() {
        let mut store = Store::new();
        for (line, record) in [
            ("MSET a 1 b 2", "MSET a 1 b 2"),
            ("MSETNX a 1 c 2", ""),
            ("MSETNX c 1 d 2", "MSET c 1 d 2"),
            ("MSETEX 2 a 1 b 2", "MSET a 1 b 2"),
            ("MSETEX 1 a 1 KEEPTTL XX", "SET a 1 KEEPTTL"),
            (
                "MSETEX 2 a 1 b 2 EX 1",
                "MULTI\nSET a 1 PXAT 1700000001000\nSET b 2 PXAT 1700000001000\nEXEC",
            ),
            ("MSETEX 2 a 1 b 2 EXAT 1", "MULTI\nDEL a\nDEL b\nEXEC"),
            ("MSETEX 2 a 1 b 2 EXAT 1", ""),
        ] {
            store.run(line);
            assert_eq!(store.effects(), record, "{line}");
        }
    }
}

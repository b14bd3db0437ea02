//! Members get scores: ZADD, ZINCRBY.

use crate::base::float;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::zset::limits;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zadd"),
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)) for each member, with N members in the sorted set.",
        summary: "Adds members to a sorted set, or gives members of it other scores.",
        arity: Arity::AtLeast(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        element: Some(3),
        flags: Flags::WRITE.and(Flags::FAST).and(Flags::DENY_OOM),
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .optional()
                .since("3.0.2"),
            Arg::one_of("comparison", &[Arg::word("gt", "GT"), Arg::word("lt", "LT")])
                .optional()
                .since("6.2.0"),
            Arg::word("change", "CH").optional().since("3.0.2"),
            Arg::word("increment", "INCR").optional().since("3.0.2"),
            Arg::block("data", &[Arg::double("score"), Arg::string("member")]).multiple(),
        ],
        history: &[
            ("2.4.0", "Several members at once."),
            ("3.0.2", "The options `XX`, `NX`, `CH` and `INCR`."),
            ("6.2.0", "The options `GT` and `LT`."),
        ],
        run: Run::Keys(zadd),
        ..Command::BASE
    },
    Command {
        name: Name("zincrby"),
        group: Group::SortedSet,
        since: "1.2.0",
        complexity: "O(log(N)) with N members in the sorted set.",
        summary: "Adds to the score of a member, which is 0 for a new one.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))],
        element: Some(3),
        flags: Flags::WRITE.and(Flags::FAST).and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::double("increment"), Arg::string("member")],
        run: Run::Keys(zincrby),
        ..Command::BASE
    },
];

/// Which members get which scores.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::commands) struct Options {
    /// Only new ones.
    nx: bool,
    /// Only those that are there.
    xx: bool,
    /// Only higher scores.
    gt: bool,
    /// Only lower scores.
    lt: bool,
    /// Counted are members with other scores too.
    ch: bool,
    /// The score is added to the one that is there.
    incr: bool,
}

impl Options {
    /// Takes an option; false where it is none.
    pub(in crate::commands) fn take(&mut self, word: &[u8]) -> bool {
        let option = match &word.to_ascii_lowercase()[..] {
            b"nx" => &mut self.nx,
            b"xx" => &mut self.xx,
            b"gt" => &mut self.gt,
            b"lt" => &mut self.lt,
            b"ch" => &mut self.ch,
            b"incr" => &mut self.incr,
            _ => return false,
        };
        *option = true;
        true
    }

    /// True when nothing can satisfy both conditions.
    pub(in crate::commands) fn contradicts(self) -> bool {
        self.nx && self.xx
    }

    fn check(self, pairs: usize) -> Result<(), CommandError> {
        let Options { nx, gt, lt, incr, .. } = self;
        if self.contradicts() {
            return Err(CommandError::Text(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if (nx && (gt || lt)) || (gt && lt) {
            return Err(CommandError::Text(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if incr && pairs > 1 {
            return Err(CommandError::Text(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    /// The score that a member gets; none where it stays as it is.
    fn decide(self, old: Option<f64>, score: f64) -> Result<Option<f64>, CommandError> {
        let Options { nx, xx, gt, lt, incr, .. } = self;
        let Some(old) = old else { return Ok((!xx).then_some(score)) };
        if nx {
            return Ok(None);
        }
        let new = if incr { old + score } else { score };
        if new.is_nan() {
            return Err(CommandError::Text("ERR resulting score is not a number (NaN)"));
        }
        Ok(((!gt || new > old) && (!lt || new < old)).then_some(new))
    }
}

fn zadd(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut options = Options::default();
    let words = call.args_from(2).take_while(|word| options.take(word)).count();
    let first = 2 + words;
    let left = call.len() - first;
    if left == 0 || !left.is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    options.check(left / 2)?;
    let scores: Vec<f64> =
        (first..call.len()).step_by(2).map(|at| score(call, at)).collect::<Result<_, _>>()?;
    let pairs: Vec<(f64, &[u8])> =
        scores.into_iter().zip(call.args_from(first + 1).step_by(2)).collect();
    add(call, keys, reply, options, &pairs)
}

fn zincrby(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let options = Options { incr: true, ..Options::default() };
    let pair = (score(call, 2)?, call.arg(3));
    add(call, keys, reply, options, &[pair])
}

fn score(call: &Call<'_>, at: usize) -> Result<f64, CommandError> {
    float::parse(call.arg(at)).ok_or(CommandError::NotAFloat)
}

/// Gives members scores, and replies with what came of it.
pub(in crate::commands) fn add(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    options: Options,
    pairs: &[(f64, &[u8])],
) -> Result<(), CommandError> {
    let (key, limits) = (call.key(1), limits(call));
    let (mut added, mut changed, mut last) = (0, 0, Ok(None));
    let longest = pairs.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
    let mut run = |zset: &mut Zset| {
        zset.expect(pairs.len(), longest, limits, call.hasher);
        for (score, name) in pairs {
            let update = zset.update(name, limits, call.hasher, |old| {
                last = options.decide(old, *score);
                *last.as_ref().unwrap_or(&None)
            });
            added += usize::from(update.added());
            changed += usize::from(update.changed());
        }
    };
    if options.xx {
        keys.edit_as(key, |zset, _| run(zset))?;
    } else {
        keys.edit_or_new(key, |zset, _| run(zset))?;
    }
    let last = last?;
    let event = if options.incr { Event::ZINCR } else { Event::ZADD };
    keys.changed(key, event, added + changed);
    match last {
        Some(score) if options.incr => reply.double(score),
        None if options.incr => reply.null(),
        _ => reply.int((added + if options.ch { changed } else { 0 }) as i64),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn only_changes_are_journaled_and_counted() {
        let mut store = Store::new();
        for line in ["ZADD z 1 a 2 b", "ZADD z 1 a", "ZADD z NX 5 a", "ZADD z XX 5 c"] {
            store.run(line);
        }
        assert_eq!(store.effects(), "ZADD z 1 a 2 b");
        store.run("ZADD z GT 0 a 3 b");
        store.run("ZINCRBY z 0 a");
        store.run("ZADD none XX 1 a");
        assert_eq!(store.effects(), "ZADD z GT 0 a 3 b");
        dialogue(&mut store, "> ZSCORE z b\n\"3\"\n> EXISTS none\n(integer) 0");
    }

    #[test]
    fn a_sum_that_is_no_number_changes_nothing() {
        let mut store = Store::new();
        store.run("ZADD z inf a");
        store.effects();
        dialogue(
            &mut store,
            "> ZINCRBY z -inf a\n(error) ERR resulting score is not a number (NaN)\n\
             > ZSCORE z a\n\"inf\"",
        );
        assert_eq!(store.effects(), "");
    }
}

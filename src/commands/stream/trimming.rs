//! Trimming: XTRIM, and the options that XADD shares with it.
//!
//! An approximate trim takes whole nodes, and looks at so many entries a call as LIMIT says, at a
//! hundred nodes where it says nothing. The journal has what it came to, as an exact trim.

use crate::commands::call::{Call, Options};
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::stream::{id, limits};
use crate::data::stream::{Bound, References, Stream, Trim};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// Entries that an approximate trim looks at, at the most, unless LIMIT says more.
const LIMIT_MAX: u64 = 1_000_000;

/// The same where nodes have no limit of entries.
const LIMIT_WITHOUT_NODES: u64 = 10_000;

const NODES_A_TRIM: u64 = 100;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("xtrim"),
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N), with N being the number of entries that go.",
    summary: "Deletes entries from the start of a stream.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
    flags: Flags::WRITE,
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key"), TRIM, REFERENCES.optional()],
    history: &[
        ("6.2.0", "The strategy `MINID` and the option `LIMIT`."),
        ("8.2.0", "The options `KEEPREF`, `DELREF` and `ACKED`."),
    ],
    run: Run::Keys(xtrim),
    ..Command::BASE
}];

/// How far to trim, for COMMAND DOCS.
pub(super) const TRIM: Arg = Arg::block(
    "trim",
    &[
        Arg::one_of(
            "strategy",
            &[Arg::word("maxlen", "MAXLEN"), Arg::word("minid", "MINID").since("6.2.0")],
        ),
        Arg::one_of("operator", &[Arg::word("equal", "="), Arg::word("approximately", "~")])
            .optional(),
        Arg::string("threshold"),
        Arg::integer("count").token("LIMIT").since("6.2.0").optional(),
    ],
);

/// What happens to references, for COMMAND DOCS.
pub(super) const REFERENCES: Arg = Arg::one_of(
    "condition",
    &[Arg::word("keepref", "KEEPREF"), Arg::word("delref", "DELREF"), Arg::word("acked", "ACKED")],
)
.since("8.2.0");

fn xtrim(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (mut options, mut asked) = (call.options(2), Trimming::default());
    while options.left() > 0 {
        if !asked.take(&mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    let trim = asked.resolve(call, keys.is_replay())?.ok_or(CommandError::Text(
        "ERR syntax error, XTRIM must be called with a trimming strategy",
    ))?;
    let (key, db) = (call.key(1), keys.db);
    let trimmed = keys.edit_as(key, |stream: &mut Stream, tools| {
        let trimmed = stream.trim(trim);
        if trimmed > 0 && trim.approximate {
            let outcome = Outcome::of(stream, trim);
            let mut words: Vec<&[u8]> = vec![b"XTRIM", key.name];
            words.extend(outcome.words());
            tools.effects.rewrite(db, &words);
        }
        trimmed
    })?;
    let trimmed = trimmed.unwrap_or(0);
    keys.changed(key, Event::XTRIM, trimmed as usize);
    reply.int(trimmed as i64);
    Ok(())
}

/// The options of a trim, read but not resolved.
#[derive(Debug, Default)]
pub(super) struct Trimming {
    bound: Option<Bound>,
    approximate: bool,
    limit: Option<u64>,
    references: Option<References>,
}

impl Trimming {
    /// Takes the next option if it is one of these.
    pub(super) fn take(&mut self, options: &mut Options<'_>) -> Result<bool, CommandError> {
        let follows = options.left() > 1;
        if follows && options.take_word("MAXLEN") {
            self.begin(options)?;
            let len = options.integer()?;
            let len = u64::try_from(len)
                .map_err(|_| CommandError::Text("ERR The MAXLEN argument must be >= 0."))?;
            self.bound = Some(Bound::Len(len));
        } else if follows && options.take_word("MINID") {
            self.begin(options)?;
            self.bound = Some(Bound::Id(id(options.value()?, 0)?));
        } else if follows && options.take_word("LIMIT") {
            let limit = u64::try_from(options.integer()?)
                .map_err(|_| CommandError::Text("ERR The LIMIT argument must be >= 0."))?;
            self.limit = Some(limit);
        } else if let Some(references) = take_references(options) {
            if self.references.replace(references).is_some() {
                return Err(CommandError::Syntax);
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// A strategy was named: it may be followed by an operator, and be the only one.
    fn begin(&mut self, options: &mut Options<'_>) -> Result<(), CommandError> {
        if self.bound.is_some() {
            return Err(CommandError::Text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        self.approximate = options.left() > 1 && options.take_word("~");
        if !self.approximate && options.left() > 1 {
            options.take_word("=");
        }
        Ok(())
    }

    /// The trim that was asked for. A journal may have a limit that no client may give.
    pub(super) fn resolve(
        &self,
        call: &Call<'_>,
        is_replay: bool,
    ) -> Result<Option<Trim>, CommandError> {
        let Some(bound) = self.bound else {
            return match self.limit {
                None => Ok(None),
                Some(_) => Err(CommandError::Text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
            };
        };
        if self.limit.is_some() && !self.approximate && !is_replay {
            return Err(CommandError::Text(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let limit = match self.limit {
            _ if is_replay || !self.approximate => None,
            Some(0) => None,
            Some(limit) => Some(limit),
            None => Some(match limits(call.settings).node_entries.saturating_mul(NODES_A_TRIM) {
                0 => LIMIT_WITHOUT_NODES,
                limit => limit.min(LIMIT_MAX),
            }),
        };
        let references = self.references.unwrap_or(References::Keep);
        Ok(Some(Trim { bound, approximate: self.approximate, limit, references }))
    }
}

/// Takes the next word if it says what happens to references.
pub(super) fn take_references(options: &mut Options<'_>) -> Option<References> {
    if options.take_word("KEEPREF") {
        Some(References::Keep)
    } else if options.take_word("DELREF") {
        Some(References::Delete)
    } else if options.take_word("ACKED") {
        Some(References::Obey)
    } else {
        None
    }
}

/// What a trim came to, in words: the exact trim that does the same.
pub(super) struct Outcome {
    strategy: &'static [u8],
    threshold: Vec<u8>,
    references: &'static [u8],
}

impl Outcome {
    /// Of a stream that was trimmed just now. Where entries stayed for their references, only the
    /// number of all says which went: the first ones that could.
    pub(super) fn of(stream: &Stream, trim: Trim) -> Outcome {
        let by_id = matches!(trim.bound, Bound::Id(_)) && trim.references != References::Obey;
        let threshold = match trim.bound {
            // Nothing is left: the bound itself is exact.
            Bound::Id(bound) if by_id && stream.entries() == 0 => bound.text().to_vec(),
            _ if by_id => stream.first_id().text().to_vec(),
            _ => stream.entries().to_string().into_bytes(),
        };
        Outcome {
            strategy: if by_id { b"MINID" } else { b"MAXLEN" },
            threshold,
            references: match trim.references {
                References::Keep => b"",
                References::Delete => b"DELREF",
                References::Obey => b"ACKED",
            },
        }
    }

    /// The options.
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        let words = [self.strategy, b"=", &self.threshold, self.references];
        words.into_iter().filter(|word| !word.is_empty())
    }
}

//! The scans of elements, HSCAN, SSCAN and ZSCAN, but for the elements: cursor, options, reply.
//!
//! A packed value gives all that it holds in one call, whatever the cursor. A table is scanned by
//! position, so an element that is there from start to end of a scan is met. As everywhere in
//! Redis, the key is looked at before the options: where there is none, any options will do.

use crate::base::{glob, integer};
use crate::commands::call::{Call, Options};
use crate::commands::command::{Access, Arg, Arity, Command, Flags, KeySpec};
use crate::commands::error::CommandError;
use crate::data::table::{Member, SCAN_BITS, Table};
use crate::keyspace::keys::Keys;
use crate::keyspace::object::{Ref, Typed};
use crate::resp::Reply;

/// What the declarations of these scans share.
pub(crate) const SCAN: Command = Command {
    since: "2.8.0",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    args: &Arg::joined::<4>(&[&[Arg::key("key")], &ARGS]),
    ..Command::BASE
};

/// The cursor and the options that all scans have, as arguments.
pub(crate) const ARGS: [Arg; 3] = [
    Arg::integer("cursor"),
    Arg::pattern("pattern").token("MATCH").optional(),
    Arg::integer("count").token("COUNT").optional(),
];

/// What stands beside each element in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing: there is only the name.
    Nothing,
    /// The value of a field, unless NOVALUES is said.
    Value,
    /// The score of a member, unless NOSCORES is said.
    Score,
}

/// The filter that all scans have: COUNT and MATCH.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    /// What names have to match; none where all do.
    pub(crate) pattern: Option<&'a [u8]>,
    /// How many elements to look at, about; at least 1.
    pub(crate) count: usize,
}

impl Default for Filter<'_> {
    fn default() -> Self {
        Filter { pattern: None, count: 10 }
    }
}

impl<'a> Filter<'a> {
    /// Takes the next option if it is one of the filter's.
    pub(crate) fn take(&mut self, options: &mut Options<'a>) -> Result<bool, CommandError> {
        if self.take_count(options)? {
            return Ok(true);
        }
        let is_pattern = options.left() > 1 && options.take_word("MATCH");
        if is_pattern {
            let pattern = options.value()?;
            self.pattern = (pattern != b"*").then_some(pattern);
        }
        Ok(is_pattern)
    }

    /// Takes the next option if it is COUNT.
    pub(crate) fn take_count(&mut self, options: &mut Options<'a>) -> Result<bool, CommandError> {
        let is_count = options.left() > 1 && options.take_word("COUNT");
        if is_count {
            let count = usize::try_from(options.integer()?).ok().filter(|count| *count > 0);
            self.count = count.ok_or(CommandError::Syntax)?;
        }
        Ok(is_count)
    }

    /// True when the pattern lets `name` pass.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

/// What is wrong with an option that the scan does not have.
pub(crate) fn unknown_option(options: &mut Options<'_>) -> CommandError {
    if options.take_word("NOVALUES") {
        CommandError::Text("ERR NOVALUES option can only be used in HSCAN")
    } else if options.take_word("NOSCORES") {
        CommandError::Text("ERR NOSCORES option can only be used in ZSCAN")
    } else {
        CommandError::Syntax
    }
}

/// Empty parts of a table that cost as much as one element.
const EMPTY_PARTS: usize = 10;

/// A scan of elements that runs.
pub(crate) struct Scan<'a> {
    filter: Filter<'a>,
    cursor: u64,
    next: u64,
    names_only: bool,
    resp3: bool,
    found: Vec<u8>,
    len: usize,
}

impl Scan<'_> {
    /// Adds an element to the reply if the pattern lets it pass; `beside` writes what stands beside
    /// the name, and is called only where that is wanted.
    pub(crate) fn add(&mut self, name: &[u8], beside: impl FnOnce(&mut Reply<'_>)) {
        if !self.filter.matches(name) {
            return;
        }
        let mut reply = Reply::new(&mut self.found, self.resp3);
        reply.bulk(name);
        self.len += 1;
        if !self.names_only {
            beside(&mut reply);
            self.len += 1;
        }
    }

    /// Hands members of a table to `each` from the cursor on, until it has been COUNT of them, and
    /// moves the cursor. What has expired `each` has to leave out.
    pub(crate) fn table<T: Member>(
        &mut self,
        table: &Table<T>,
        mut each: impl FnMut(&mut Self, &T),
    ) {
        if self.cursor >> SCAN_BITS != 0 {
            return;
        }
        let (mut position, mut spent) = (Some(self.cursor), 0);
        let effort = self.filter.count.saturating_mul(EMPTY_PARTS);
        while let Some(at) = position
            && spent < effort
        {
            let mut members = 0;
            position = table.scan(at, |member| {
                each(self, member);
                members += 1;
            });
            spent += usize::max(1, members * EMPTY_PARTS);
        }
        self.next = position.unwrap_or(0);
    }
}

/// Runs HSCAN, SSCAN or ZSCAN: `run` adds the elements of the value that the key holds.
pub(crate) fn scan<T: Typed>(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    beside: Beside,
    run: impl FnOnce(&Ref<'_, T>, &mut Scan<'_>),
) -> Result<(), CommandError> {
    let cursor = integer::parse_cursor(call.arg(2)).ok_or(CommandError::InvalidCursor)?;
    let value = keys.read_as::<T>(call.key(1))?;
    let mut scan = Scan {
        filter: Filter::default(),
        cursor,
        next: 0,
        names_only: beside == Beside::Nothing,
        resp3: reply.is_resp3(),
        found: Vec::new(),
        len: 0,
    };
    if let Some(value) = value {
        let mut options = call.options(3);
        while options.left() > 0 {
            if scan.filter.take(&mut options)? {
                continue;
            }
            let is_known = match beside {
                Beside::Nothing => false,
                Beside::Value => options.take_word("NOVALUES"),
                Beside::Score => options.take_word("NOSCORES"),
            };
            if !is_known {
                return Err(unknown_option(&mut options));
            }
            scan.names_only = true;
        }
        run(&value, &mut scan);
    }
    reply.array(2);
    reply.bulk(scan.next.to_string().as_bytes());
    reply.array(scan.len);
    reply.raw(&scan.found);
    Ok(())
}

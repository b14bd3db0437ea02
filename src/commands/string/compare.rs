//! Strings compared: LCS.
//!
//! LCS fills the table of dynamic programming, a number of 32 bits for each pair of prefixes, then
//! walks back from its last corner; the ranges come out last first, as Redis gives them. For LEN
//! alone one row is enough. The table is held under `proto-max-bulk-len` bytes in either case,
//! which also bounds the time.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::data::value::Value;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("lcs"),
    group: Group::String,
    since: "7.0.0",
    complexity: "O(N*M) with N and M the lengths of the two strings.",
    summary: "Gives the longest common subsequence of two strings.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec {
        find: Find::Range { last: 1, step: 1, limit: 0 },
        ..KeySpec::one(1, Access::RO.and(Access::READS))
    }],
    flags: Flags::READONLY,
    args: &[
        Arg::key("key1"),
        Arg::key("key2"),
        Arg::word("len", "LEN").optional(),
        Arg::word("idx", "IDX").optional(),
        Arg::integer("min-match-len").token("MINMATCHLEN").optional(),
        Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    run: Run::Keys(lcs),
    ..Command::BASE
}];

fn lcs(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut string = |index| match keys.read_string(call.key(index)) {
        Ok(value) => Ok(value.map_or_else(Vec::new, Value::to_vec)),
        Err(_) => Err(CommandError::Text("ERR The specified keys must contain string values")),
    };
    let (a, b) = (string(1)?, string(2)?);
    let asked = LcsOptions::parse(call)?;
    let count = Table::cells(&a, &b, call.settings.proto_max_bulk_len)?;
    if asked.len {
        reply.int(i64::from(common_len(&a, &b, |_| {})));
        return Ok(());
    }
    let table = Table::fill(&a, &b, count)?;
    let ranges = table.ranges(&a, &b);
    let len = table.at(a.len(), b.len());
    if asked.idx {
        asked.reply_ranges(reply, &ranges, len);
    } else {
        let mut common = Vec::with_capacity(len as usize);
        for range in ranges.iter().rev() {
            common.extend_from_slice(&a[range.a..range.a + range.len]);
        }
        reply.bulk(&common);
    }
    Ok(())
}

/// The options of LCS.
#[derive(Default)]
struct LcsOptions {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl LcsOptions {
    fn parse(call: &Call<'_>) -> Result<LcsOptions, CommandError> {
        let mut options = call.options(3);
        let mut asked = LcsOptions::default();
        while options.left() > 0 {
            if options.take_word("IDX") {
                asked.idx = true;
            } else if options.take_word("LEN") {
                asked.len = true;
            } else if options.take_word("WITHMATCHLEN") {
                asked.with_match_len = true;
            } else if options.take_word("MINMATCHLEN") {
                asked.min_match_len = usize::try_from(options.integer()?).unwrap_or(0);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if asked.idx && asked.len {
            return Err(CommandError::Text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(asked)
    }

    fn reply_ranges(&self, reply: &mut Reply<'_>, ranges: &[Range], len: u32) {
        let long_enough = || ranges.iter().filter(|range| range.len >= self.min_match_len);
        reply.map(2);
        reply.bulk(b"matches");
        reply.array(long_enough().count());
        for range in long_enough() {
            reply.array(if self.with_match_len { 3 } else { 2 });
            for start in [range.a, range.b] {
                reply.array(2);
                reply.int(start as i64);
                reply.int((start + range.len - 1) as i64);
            }
            if self.with_match_len {
                reply.int(range.len as i64);
            }
        }
        reply.bulk(b"len");
        reply.int(i64::from(len));
    }
}

const NO_MEMORY: CommandError =
    CommandError::Text("ERR Insufficient memory, failed allocating transient memory for LCS");

/// The length of the longest common subsequence; `each` sees the rows of the table in order. A row
/// belongs to a prefix of `a`, its cells to the prefixes of `b`.
fn common_len(a: &[u8], b: &[u8], mut each: impl FnMut(&[u32])) -> u32 {
    let mut row = vec![0; b.len() + 1];
    each(&row);
    for x in a {
        let (mut corner, mut left) = (0, 0);
        for (cell, y) in row[1..].iter_mut().zip(b) {
            let over = *cell;
            left = if x == y { corner + 1 } else { over.max(left) };
            (*cell, corner) = (left, over);
        }
        each(&row);
    }
    row[b.len()]
}

/// Bytes that both strings have in a row: where in each, and how many.
struct Range {
    a: usize,
    b: usize,
    len: usize,
}

/// For each pair of prefixes, the length of their longest common subsequence.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    /// How many cells the table of two strings has.
    fn cells(a: &[u8], b: &[u8], bytes_max: u64) -> Result<usize, CommandError> {
        const LEN_MAX: usize = u32::MAX as usize - 1;
        if a.len() >= LEN_MAX || b.len() >= LEN_MAX {
            return Err(CommandError::Text("ERR String too long for LCS"));
        }
        let count = (a.len() as u64 + 1) * (b.len() as u64 + 1);
        let bytes = count.checked_mul(size_of::<u32>() as u64);
        if bytes.is_none_or(|bytes| bytes > bytes_max) {
            return Err(CommandError::Text(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        }
        usize::try_from(count).map_err(|_| NO_MEMORY)
    }

    fn fill(a: &[u8], b: &[u8], count: usize) -> Result<Table, CommandError> {
        let mut cells = Vec::new();
        cells.try_reserve_exact(count).map_err(|_| NO_MEMORY)?;
        common_len(a, b, |row| cells.extend_from_slice(row));
        Ok(Table { cells, width: b.len() + 1 })
    }

    fn at(&self, a: usize, b: usize) -> u32 {
        self.cells[a * self.width + b]
    }

    /// The ranges of one longest common subsequence, last first.
    fn ranges(&self, a: &[u8], b: &[u8]) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        let (mut i, mut j, mut goes_on) = (a.len(), b.len(), false);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match ranges.last_mut().filter(|_| goes_on) {
                    Some(range) => *range = Range { a: i, b: j, len: range.len + 1 },
                    None => ranges.push(Range { a: i, b: j, len: 1 }),
                }
                goes_on = true;
            } else {
                if self.at(i - 1, j) > self.at(i, j - 1) {
                    i -= 1
                } else {
                    j -= 1
                }
                goes_on = false;
            }
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn common_subsequences_as_redis_finds_them() {
        dialogue(
            &mut Store::new(),
            r#"
            > MSET a ohmytext b mynewtext n 12345 m 1345
            OK
            > LCS a b
            "mytext"
            > LCS a b LEN
            (integer) 6
            > LCS n m
            "1345"
            > LCS a nothing
            ""
            > LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
            1) "matches"
            2) 1) 1) 1) (integer) 4
            2) (integer) 7
            2) 1) (integer) 5
            2) (integer) 8
            3) (integer) 4
            3) "len"
            4) (integer) 6
            > LCS n m IDX MINMATCHLEN -1
            1) "matches"
            2) 1) 1) 1) (integer) 2
            2) (integer) 4
            2) 1) (integer) 1
            2) (integer) 3
            2) 1) 1) (integer) 0
            2) (integer) 0
            2) 1) (integer) 0
            2) (integer) 0
            3) "len"
            4) (integer) 4
            > LCS nothing nothing IDX
            1) "matches"
            2) (empty array)
            3) "len"
            4) (integer) 0
            > LCS a b IDX LEN
            (error) ERR If you want both the length and indexes, please just use IDX.
            > LCS a b MINMATCHLEN
            (error) ERR syntax error
            > LCS a b MINMATCHLEN x
            (error) ERR value is not an integer or out of range
            "#,
        );
    }

    #[test]
    fn the_table_is_held_under_the_limit() {
        let mut store = Store::new();
        store.configure("proto-max-bulk-len", "1mb");
        store.run(&format!("MSET a {0} b {0}", "x".repeat(511)));
        assert_eq!(store.run("LCS a b LEN"), "(integer) 511");
        store.run("APPEND b y");
        assert_eq!(
            store.run("LCS a b"),
            "(error) ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
        );
    }
}

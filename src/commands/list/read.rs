//! Lists that are looked at: LINDEX, LLEN, LPOS, LRANGE.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::list::{place, range, reply_item};
use crate::data::Collection;
use crate::data::list::{End, List};
use crate::data::value::Value;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("lindex"),
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) with N packs on the way from the nearer end.",
        summary: "Gives the item with an index.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        args: &[Arg::key("key"), Arg::integer("index")],
        run: Run::Keys(lindex),
        ..Command::BASE
    },
    Command {
        name: Name("llen"),
        group: Group::List,
        since: "1.0.0",
        summary: "Gives the number of items.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO)],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(llen),
        ..Command::BASE
    },
    Command {
        name: Name("lpos"),
        group: Group::List,
        since: "6.0.6",
        complexity: "O(N) with N items compared.",
        summary: "Gives the indexes of items that are equal to another.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        args: &[
            Arg::key("key"),
            Arg::string("element"),
            Arg::integer("rank").token("RANK").optional(),
            Arg::integer("num-matches").token("COUNT").optional(),
            Arg::integer("len").token("MAXLEN").optional(),
        ],
        run: Run::Keys(lpos),
        ..Command::BASE
    },
    Command {
        name: Name("lrange"),
        group: Group::List,
        since: "1.0.0",
        complexity: "O(S+N) with S packs on the way to the first and N items given.",
        summary: "Gives the items between two indexes.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        run: Run::Keys(lrange),
        ..Command::BASE
    },
];

fn lindex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let Some(list) = keys.read_as::<List>(call.key(1))? else {
        reply.null();
        return Ok(());
    };
    let index = call.integer(2)?;
    match place(list.len(), index).and_then(|at| list.get(at)) {
        Some(item) => reply_item(reply, item),
        None => reply.null(),
    }
    Ok(())
}

fn llen(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(keys.read_as::<List>(call.key(1))?.map_or(0, |list| list.len()) as i64);
    Ok(())
}

fn lrange(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    let Some(list) = keys.read_as::<List>(call.key(1))? else {
        reply.array(0);
        return Ok(());
    };
    let (start, count) = range(list.len(), start, end);
    reply.array(count);
    list.walk(start, End::Back).take(count).for_each(|item| reply_item(reply, item));
    Ok(())
}

/// What LPOS looks for.
struct Search {
    /// The first match that counts, from 1 on, in the direction of the search.
    rank: u64,
    /// Where the search goes.
    towards: End,
    /// The most matches; none for all. Without the option one is given by itself.
    count: Option<Option<usize>>,
    /// The most items to compare.
    most: Option<usize>,
}

fn search(call: &Call<'_>) -> Result<Search, CommandError> {
    let mut search = Search { rank: 1, towards: End::Back, count: None, most: None };
    let mut options = call.options(3);
    let several = |number| (number > 0).then_some(number);
    while options.left() > 0 {
        if options.left() > 1 && options.take_word("RANK") {
            let rank = options.integer()?;
            if rank == 0 {
                return Err(CommandError::Text(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the \
                     second ... or use negative to start from the end of the list",
                ));
            }
            if rank == i64::MIN {
                return Err(CommandError::Text(
                    "ERR value is out of range, value must between -9223372036854775807 and \
                     9223372036854775807",
                ));
            }
            search.rank = rank.unsigned_abs();
            search.towards = if rank > 0 { End::Back } else { End::Front };
        } else if options.left() > 1 && options.take_word("COUNT") {
            search.count =
                Some(several(not_negative(options.integer(), "ERR COUNT can't be negative")?));
        } else if options.left() > 1 && options.take_word("MAXLEN") {
            search.most = several(not_negative(options.integer(), "ERR MAXLEN can't be negative")?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(search)
}

/// A number of items, or the one error for whatever else was given.
fn not_negative(
    number: Result<i64, CommandError>,
    error: &'static str,
) -> Result<usize, CommandError> {
    let number = number.ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(CommandError::Text(error))
}

fn lpos(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let search = search(call)?;
    let found = match keys.read_as::<List>(call.key(1))? {
        Some(list) => matches(&list, call.arg(2), &search),
        None => Vec::new(),
    };
    match (search.count, found.first()) {
        (None, None) => reply.null(),
        (None, Some(index)) => reply.int(*index as i64),
        (Some(_), _) => {
            reply.array(found.len());
            found.iter().for_each(|index| reply.int(*index as i64));
        }
    }
    Ok(())
}

/// The indexes of what was looked for, in the direction of the search.
fn matches(list: &List, wanted: &[u8], search: &Search) -> Vec<usize> {
    let wanted = Value::of(wanted);
    let len = list.len();
    let first = if search.towards == End::Back { 0 } else { len.saturating_sub(1) };
    let compared = list.walk(first, search.towards).take(search.most.unwrap_or(len));
    let skipped = usize::try_from(search.rank - 1).unwrap_or(usize::MAX);
    let count = search.count.unwrap_or(Some(1)).unwrap_or(len);
    let indexes = compared.enumerate().filter(|(_, item)| *item == wanted);
    let indexes = indexes.skip(skipped).take(count).map(|(step, _)| step.abs_diff(first));
    indexes.collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn items_are_counted_from_either_end() {
        let mut store = Store::new();
        store.run("RPUSH k a b 3 d");
        for (index, item) in [("0", "a"), ("3", "d"), ("-1", "d"), ("-4", "a"), ("2", "3")] {
            assert_eq!(store.run(&format!("LINDEX k {index}")), format!("\"{item}\""));
        }
        for index in ["4", "-5", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(store.run(&format!("LINDEX k {index}")), "(nil)");
        }
        for (range, items) in [
            ("0 -1", "1) \"a\"\n2) \"b\"\n3) \"3\"\n4) \"d\""),
            ("-100 0", "1) \"a\""),
            ("3 9223372036854775807", "1) \"d\""),
            ("-9223372036854775808 -9223372036854775808", "(empty array)"),
            ("4 5", "(empty array)"),
            ("2 1", "(empty array)"),
        ] {
            assert_eq!(store.run(&format!("LRANGE k {range}")), items, "{range}");
        }
        assert_eq!(store.run("LLEN k"), "(integer) 4");
        assert_eq!(store.effects(), "RPUSH k a b 3 d");
    }

    #[test]
    fn equal_items_are_found_in_both_directions() {
        let mut store = Store::new();
        store.run("RPUSH k a b c 1 2 3 c c");
        dialogue(
            &mut store,
            r#"
            > LPOS k c
            (integer) 2
            > LPOS k c RANK -1
            (integer) 7
            > LPOS k c RANK 3
            (integer) 7
            > LPOS k c RANK 4
            (nil)
            > LPOS k c COUNT 0
            1) (integer) 2
            2) (integer) 6
            3) (integer) 7
            > LPOS k c COUNT 2 RANK -2
            1) (integer) 6
            2) (integer) 2
            > LPOS k c COUNT 0 MAXLEN 7
            1) (integer) 2
            2) (integer) 6
            > LPOS k c MAXLEN 2
            (nil)
            > LPOS k 2 RANK -9223372036854775807
            (nil)
            > LPOS nothing c COUNT 0
            (empty array)
            "#,
        );
    }
}

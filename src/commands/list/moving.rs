//! Items moved from one list to another: LMOVE, LMOVEM, RPOPLPUSH.
//!
//! While both keys share a slot the command is journaled as it came; over two slots it is journaled
//! by value, as what is popped here and pushed there.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::list::pop::command_at;
use crate::commands::list::{ENDS, end, limits, popped_at, pushed_at};
use crate::data::Collection;
use crate::data::list::{End, Limits, List};
use crate::data::value::Value;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

pub(super) const KEYS: &[KeySpec] = &[
    KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE)),
    KeySpec::one(2, Access::RW.and(Access::INSERT)),
];

pub(super) const HOW_MANY: &[Arg] = &[
    Arg::one_of(
        "selector",
        &[Arg::integer("count").token("COUNT"), Arg::integer("exactly").token("EXACTLY")],
    ),
    Arg::one_of("ordering", &[Arg::word("obo", "OBO"), Arg::word("bulk", "BULK")]),
];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("lmove"),
        group: Group::List,
        since: "6.2.0",
        summary: "Moves the item at an end of a list to an end of another, and gives it.",
        arity: Arity::Exactly(5),
        keys: KEYS,
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
        ],
        run: Run::Keys(lmove),
        ..Command::BASE
    },
    Command {
        name: Name("lmovem"),
        group: Group::List,
        since: "8.10.0",
        complexity: "O(N) with N items moved.",
        summary: "Moves items from an end of a list to an end of another, and gives them.",
        arity: Arity::AtLeast(5),
        keys: KEYS,
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[
            Arg::key("source"),
            Arg::key_of("destination", 1),
            Arg::one_of("wherefrom", ENDS),
            Arg::one_of("whereto", ENDS),
            Arg::block("how-many", HOW_MANY).optional(),
        ],
        run: Run::Keys(lmovem),
        ..Command::BASE
    },
    Command {
        name: Name("rpoplpush"),
        group: Group::List,
        since: "1.2.0",
        summary: "Moves the last item of a list to the front of another, and gives it.",
        arity: Arity::Exactly(3),
        keys: KEYS,
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("source"), Arg::key_of("destination", 1)],
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: Run::Keys(rpoplpush),
        ..Command::BASE
    },
];

/// What is moved, and how.
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub(super) from: End,
    pub(super) to: End,
    /// The most items.
    count: usize,
    /// Fewer items are not moved at all.
    exactly: bool,
    /// They keep the order that they had; otherwise one is moved after another.
    in_bulk: bool,
}

impl Move {
    /// So many items are enough for it.
    pub(super) fn suits(self, items: usize) -> bool {
        !self.exactly || items >= self.count
    }

    /// One item.
    pub(super) fn one(from: End, to: End) -> Move {
        Move { from, to, count: 1, exactly: false, in_bulk: false }
    }
}

fn lmove(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    move_one(call, keys, reply, Move::one(end(call, 3)?, end(call, 4)?))
}

fn rpoplpush(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    move_one(call, keys, reply, Move::one(End::Back, End::Front))
}

fn move_one(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    how: Move,
) -> Result<(), CommandError> {
    match move_items(call, keys, how)? {
        Some(moved) => moved.iter().for_each(|item| reply.bulk(item)),
        None => reply.null(),
    }
    Ok(())
}

fn lmovem(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let how = asked(call, 5)?;
    match move_items(call, keys, how)? {
        Some(moved) => {
            reply.array(moved.len());
            moved.iter().for_each(|item| reply.bulk(item));
        }
        None => reply.null_array(),
    }
    Ok(())
}

/// What LMOVEM and BLMOVEM are asked for, the one with its options from argument `at` on.
pub(super) fn asked(call: &Call<'_>, at: usize) -> Result<Move, CommandError> {
    how_many(call, Move::one(end(call, 3)?, end(call, 4)?), at)
}

/// The options from argument `at` on: a count and an order, or nothing.
fn how_many(call: &Call<'_>, how: Move, at: usize) -> Result<Move, CommandError> {
    let mut options = call.options(at);
    if options.left() == 0 {
        return Ok(how);
    }
    let exactly = match () {
        () if options.take_word("COUNT") => false,
        () if options.take_word("EXACTLY") => true,
        () => return Err(CommandError::Syntax),
    };
    let count = integer::parse(options.value()?).and_then(|count| usize::try_from(count).ok());
    let in_bulk = match () {
        () if options.take_word("BULK") => true,
        () if options.take_word("OBO") => false,
        () => return Err(CommandError::Syntax),
    };
    if options.left() > 0 {
        return Err(CommandError::Syntax);
    }
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or(CommandError::Text("ERR count should be greater than 0"))?;
    Ok(Move { count, exactly, in_bulk, ..how })
}

/// Moves items from the list at argument 1 to the one at argument 2. Returns them in the order in
/// which they lie there; nothing when there are none, or not enough.
pub(super) fn move_items(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    how: Move,
) -> Result<Option<Vec<Vec<u8>>>, CommandError> {
    let (source, destination, limits) = (call.key(1), call.key(2), limits(call));
    let len = match keys.look_as::<List>(source)? {
        Some(list) if how.suits(list.len()) => list.len(),
        _ => return Ok(None),
    };
    if source.name != destination.name {
        keys.look_as::<List>(destination)?;
    }
    let count = how.count.min(len);
    let mut moved = Vec::new();
    keys.edit_as(source, |list: &mut List, tools| {
        let first = if how.from == End::Front { 0 } else { len - count };
        moved.extend(list.walk(first, End::Back).take(count).map(Value::to_vec));
        let cut = list.cut(first, count);
        cut.into_iter().for_each(|cut| tools.discarded.take_object(cut.into_object()));
        if source.name == destination.name {
            add(list, &mut moved, how, limits);
        }
        list.settle(limits);
    })?;
    if source.name != destination.name {
        keys.edit_or_new(destination, |list: &mut List, _| add(list, &mut moved, how, limits))?;
    }
    keys.touch(destination, pushed_at(how.to));
    keys.changed(source, popped_at(how.from), count);
    if source.slot != destination.slot {
        record_by_value(call, keys, how, &moved);
    }
    Ok(Some(moved))
}

/// Adds items, given in the order of their source, at an end; leaves them in the order in which
/// they lie there then.
fn add(list: &mut List, moved: &mut [Vec<u8>], how: Move, limits: Limits) {
    // One after another, what was taken from the back comes last first, and what is put at the
    // front comes to lie the other way round.
    if !how.in_bulk && how.from == how.to {
        moved.reverse();
    }
    let put = |list: &mut List, item: &Vec<u8>| {
        list.make_room(item.len(), 1, limits);
        list.push(how.to, item, limits);
    };
    match how.to {
        End::Front => moved.iter().rev().for_each(|item| put(list, item)),
        End::Back => moved.iter().for_each(|item| put(list, item)),
    }
}

/// Records what was popped and pushed, in the place of the call.
pub(super) fn record_by_value(call: &Call<'_>, keys: &mut Keys<'_>, how: Move, moved: &[Vec<u8>]) {
    let count = moved.len().to_string();
    let pop = command_at(how.from);
    let push: &[u8] = if how.to == End::Front { b"LPUSH" } else { b"RPUSH" };
    let mut pushed = vec![push, call.arg(2)];
    match how.to {
        End::Front => pushed.extend(moved.iter().rev().map(Vec::as_slice)),
        End::Back => pushed.extend(moved.iter().map(Vec::as_slice)),
    }
    let db = keys.db;
    let popped: &[&[u8]] = &[pop, call.arg(1), count.as_bytes()];
    keys.tools.effects.rewrite_together(&[(db, popped), (db, &pushed)]);
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn one_item_moves_between_ends() {
        let mut store = Store::new();
        store.run("RPUSH {t}a 1 2 3");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > LMOVE {t}a {t}b LEFT RIGHT
            "1"
            > RPOPLPUSH {t}a {t}b
            "3"
            > LMOVE {t}b {t}b left right
            "3"
            > LRANGE {t}b 0 -1
            1) "1"
            2) "3"
            > LMOVE {t}a {t}a RIGHT LEFT
            "2"
            > RPOPLPUSH nothing {t}b
            (nil)
            > LMOVE {t}a {t}b UP LEFT
            (error) ERR syntax error
            > SET {t}s x
            OK
            > LMOVE nothing {t}s LEFT LEFT
            (nil)
            > LMOVE {t}a {t}s LEFT LEFT
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > LMOVE {t}s {t}a LEFT LEFT
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > LRANGE {t}a 0 -1
            1) "2"
            "#,
        );
        assert_eq!(
            store.effects(),
            "LMOVE {t}a {t}b LEFT RIGHT\nRPOPLPUSH {t}a {t}b\nLMOVE {t}b {t}b left right\n\
             LMOVE {t}a {t}a RIGHT LEFT\nSET {t}s x"
        );
    }

    #[test]
    fn several_items_move_in_either_order() {
        for (how, there) in [
            ("LEFT LEFT COUNT 2 OBO", "2 1 5 6"),
            ("LEFT LEFT COUNT 2 BULK", "1 2 5 6"),
            ("LEFT RIGHT COUNT 2 OBO", "5 6 1 2"),
            ("LEFT RIGHT COUNT 2 BULK", "5 6 1 2"),
            ("RIGHT LEFT EXACTLY 2 OBO", "3 4 5 6"),
            ("RIGHT LEFT EXACTLY 2 BULK", "3 4 5 6"),
            ("RIGHT RIGHT EXACTLY 2 OBO", "5 6 4 3"),
            ("RIGHT RIGHT EXACTLY 2 BULK", "5 6 3 4"),
        ] {
            let mut shards = Shards::new(3);
            shards.run("RPUSH a 1 2 3 4");
            shards.run("RPUSH b 5 6");
            let moved = shards.run(&format!("LMOVEM a b {how}"));
            let words: Vec<&str> = there.split(' ').collect();
            let is_front = how.split(' ').nth(1) == Some("LEFT");
            let expected = if is_front { &words[..2] } else { &words[2..] };
            assert_eq!(moved, format!("1) \"{}\"\n2) \"{}\"", expected[0], expected[1]), "{how}");
            for (at, word) in words.iter().enumerate() {
                assert_eq!(shards.run(&format!("LINDEX b {at}")), format!("\"{word}\""), "{how}");
            }
        }
    }

    #[test]
    fn too_few_items_do_not_move_exactly() {
        let mut store = Store::new();
        store.run("RPUSH {t}a 1 2");
        dialogue(
            &mut store,
            r#"
            > LMOVEM {t}a {t}b LEFT LEFT EXACTLY 3 BULK
            (nil)
            > LMOVEM {t}a {t}b LEFT LEFT
            1) "1"
            > LMOVEM {t}a {t}b LEFT RIGHT COUNT 9 OBO
            1) "2"
            > LMOVEM {t}a {t}b LEFT RIGHT COUNT 9 OBO
            (nil)
            > LMOVEM {t}b {t}b LEFT LEFT COUNT 9 OBO
            1) "2"
            2) "1"
            > LMOVEM {t}b {t}b LEFT LEFT COUNT 9
            (error) ERR syntax error
            > LMOVEM {t}b {t}b LEFT LEFT COUNT 0 OBO
            (error) ERR count should be greater than 0
            > LMOVEM {t}b {t}b LEFT LEFT COUNT 1 OBO x
            (error) ERR syntax error
            "#,
        );
    }

    #[test]
    fn over_two_slots_the_effect_is_the_value() {
        let mut store = Store::new();
        store.run("RPUSH a 1 2");
        store.effects();
        store.run("LMOVE a b RIGHT LEFT");
        assert_eq!(store.effects(), "MULTI\nRPOP a 1\nLPUSH b 2\nEXEC");
        store.run("RPUSH a 2");
        store.effects();
        store.run("LMOVEM a b LEFT LEFT COUNT 2 OBO");
        assert_eq!(store.effects(), "MULTI\nLPOP a 2\nLPUSH b 1 2\nEXEC");
    }
}

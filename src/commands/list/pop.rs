//! Items taken from an end of a list: LMPOP, LPOP, RPOP.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::list::{ENDS, end, limits, popped_at, reply_item};
use crate::commands::picking::OfFirst;
use crate::data::Collection;
use crate::data::list::{End, Limits, List};
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

/// What LPOP and RPOP share.
const POP: Command = Command {
    group: Group::List,
    since: "1.0.0",
    complexity: "O(N) with N items given.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE))],
    flags: Flags::WRITE.and(Flags::FAST),
    args: &[Arg::key("key"), Arg::integer("count").optional().since("6.2.0")],
    history: &[("6.2.0", "Several items at once.")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("lmpop"),
        group: Group::List,
        since: "7.0.0",
        complexity: "O(N+M) with N keys and M items given.",
        summary: "Takes items from the first of several lists that has any.",
        arity: Arity::AtLeast(4),
        keys: &[KeySpec::counted(1, 1, Access::RW.and(Access::READS).and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", ENDS),
            Arg::integer("count").token("COUNT").optional(),
        ],
        run: Run::Keys(lmpop),
        ..Command::BASE
    },
    Command {
        name: Name("lpop"),
        summary: "Takes the first items of a list out and gives them.",
        run: Run::Keys(lpop),
        ..POP
    },
    Command {
        name: Name("rpop"),
        summary: "Takes the last items of a list out and gives them, the last one first.",
        run: Run::Keys(rpop),
        ..POP
    },
];

fn lpop(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    pop(call, keys, reply, End::Front)
}

fn rpop(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    pop(call, keys, reply, End::Back)
}

fn pop(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    from: End,
) -> Result<(), CommandError> {
    if call.len() > 3 {
        return Err(CommandError::WrongArity(call.command.name.as_str()));
    }
    let (key, limits) = (call.key(1), limits(call));
    if call.len() == 2 {
        if !pop_one(keys, key, from, limits, reply)? {
            reply.null();
        }
        return Ok(());
    }
    let count = call.count(2)?;
    if count == 0 {
        match keys.look_as::<List>(key)? {
            Some(_) => reply.array(0),
            None => reply.null_array(),
        }
        return Ok(());
    }
    if !pop_some(keys, key, from, count, limits, reply)? {
        reply.null_array();
    }
    Ok(())
}

/// Gives the item at an end of a list and takes it out. Returns false, having replied nothing, when
/// there is no list.
pub(super) fn pop_one(
    keys: &mut Keys<'_>,
    key: Key<'_>,
    from: End,
    limits: Limits,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let popped = keys.edit_as(key, |list: &mut List, _| {
        give_one(list, from, reply);
        list.settle(limits);
    })?;
    keys.changed(key, popped_at(from), usize::from(popped.is_some()));
    Ok(popped.is_some())
}

/// Gives the item at an end and takes it out.
fn give_one(list: &mut List, from: End, reply: &mut Reply<'_>) {
    let index = if from == End::Front { 0 } else { list.len().saturating_sub(1) };
    if let Some(item) = list.get(index) {
        reply_item(reply, item);
    }
    list.cut(index, 1);
}

/// Gives up to `count` items of a list as an array and takes them out. Returns false, having
/// replied nothing, when there is no list.
pub(super) fn pop_some(
    keys: &mut Keys<'_>,
    key: Key<'_>,
    from: End,
    count: usize,
    limits: Limits,
    reply: &mut Reply<'_>,
) -> Result<bool, CommandError> {
    let popped = keys.edit_as(key, |list: &mut List, tools| {
        let (len, count) = (list.len(), count.min(list.len()));
        reply.array(count);
        let (outer, towards) = match from {
            End::Front => (0, End::Back),
            End::Back => (len - 1, End::Front),
        };
        list.walk(outer, towards).take(count).for_each(|item| reply_item(reply, item));
        let first = if from == End::Front { 0 } else { len - count };
        let cut = list.cut(first, count);
        cut.into_iter().for_each(|cut| tools.discarded.take_object(cut.into_object()));
        list.settle(limits);
        count
    })?;
    keys.changed(key, popped_at(from), popped.unwrap_or(0));
    Ok(popped.is_some())
}

fn lmpop(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let asked = OfFirst::of(call, 1, end)?;
    if !pop_of_first(call, keys, reply, &asked)? {
        reply.null_array();
    }
    Ok(())
}

/// Gives items of the first list that has any and takes them out. Returns false, having replied
/// nothing, when none has.
pub(super) fn pop_of_first(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    asked: &OfFirst<End>,
) -> Result<bool, CommandError> {
    for at in asked.keys.clone() {
        let key = call.key(at);
        if keys.look_as::<List>(key)?.is_none() {
            continue;
        }
        reply.array(2);
        reply.bulk(key.name);
        let before = keys.changes;
        pop_some(keys, key, asked.end, asked.count, limits(call), reply)?;
        record_popped(keys, key, asked.end, (keys.changes - before) as usize);
        return Ok(true);
    }
    Ok(false)
}

/// Records which list it was that had items: a replay may not have the other keys beside it.
fn record_popped(keys: &mut Keys<'_>, key: Key<'_>, from: End, count: usize) {
    let (db, count) = (keys.db, count.to_string());
    keys.tools.effects.rewrite(db, &[command_at(from), key.name, count.as_bytes()]);
}

/// The command that takes items from an end.
pub(super) fn command_at(end: End) -> &'static [u8] {
    if end == End::Front { b"LPOP" } else { b"RPOP" }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn items_go_from_the_ends() {
        let mut store = Store::new();
        store.run("RPUSH k 1 2 3 4 5 6");
        dialogue(
            &mut store,
            r#"
            > LPOP k
            "1"
            > RPOP k
            "6"
            > RPOP k 2
            1) "5"
            2) "4"
            > LPOP k 0
            (empty array)
            > LPOP nothing
            (nil)
            > LPOP nothing 0
            (nil)
            > LPOP k -1
            (error) ERR value is out of range, must be positive
            > LPOP k x
            (error) ERR value is out of range, must be positive
            > LPOP k 1 2
            (error) ERR wrong number of arguments for 'lpop' command
            > LPOP k 9223372036854775807
            1) "2"
            2) "3"
            > EXISTS k
            (integer) 0
            "#,
        );
        let popped = "LPOP k\nRPOP k\nRPOP k 2\nLPOP k 9223372036854775807";
        assert_eq!(store.effects(), format!("RPUSH k 1 2 3 4 5 6\n{popped}"));
    }

    #[test]
    fn the_first_list_with_items_gives_them() {
        let mut shards = Shards::new(3);
        shards.run("RPUSH b 1 2 3");
        shards.run("RPUSH c 4");
        assert_eq!(shards.run("LMPOP 3 a b c LEFT"), "1) \"b\"\n2) 1) \"1\"");
        let both = "1) \"b\"\n2) 1) \"3\"\n   2) \"2\"";
        assert_eq!(shards.run("LMPOP 3 a b c right count 10"), both);
        assert_eq!(shards.run("LMPOP 2 a b LEFT"), "(nil)");
        assert_eq!(shards.run("LMPOP 3 a b c LEFT COUNT 1"), "1) \"c\"\n2) 1) \"4\"");
        assert_eq!(shards.run("DBSIZE"), "(integer) 0");
    }

    #[test]
    fn what_was_popped_is_journaled_for_its_key_alone() {
        let mut store = Store::new();
        store.run("RPUSH b 1 2 3");
        store.effects();
        store.run("LMPOP 2 a b RIGHT COUNT 2");
        store.run("LMPOP 1 a LEFT");
        assert_eq!(store.effects(), "RPOP b 2");
    }

    #[test]
    fn wrong_choices_are_refused() {
        dialogue(
            &mut Store::new(),
            r#"
            > LMPOP 0 a LEFT
            (error) ERR numkeys should be greater than 0
            > LMPOP x a LEFT
            (error) ERR numkeys should be greater than 0
            > LMPOP 9223372036854775807 a LEFT
            (error) ERR syntax error
            > LMPOP 1 a UP
            (error) ERR syntax error
            > LMPOP 1 a LEFT COUNT 0
            (error) ERR count should be greater than 0
            > LMPOP 1 a LEFT COUNT
            (error) ERR syntax error
            > LMPOP 1 a LEFT COUNT 1 COUNT 2
            (error) ERR syntax error
            "#,
        );
    }
}

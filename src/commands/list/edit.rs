//! Lists changed anywhere: LINSERT, LREM, LSET, LTRIM.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::list::{limits, place, range};
use crate::data::Collection;
use crate::data::list::{End, List};
use crate::keyspace::keys::{Keys, Tools};
use crate::keyspace::listener::Event;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("linsert"),
        group: Group::List,
        since: "2.2.0",
        complexity: "O(N) with N items up to the pivot.",
        summary: "Puts an item before or behind the first one that is equal to a pivot.",
        arity: Arity::Exactly(5),
        keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[
            Arg::key("key"),
            Arg::one_of("where", &[Arg::word("before", "BEFORE"), Arg::word("after", "AFTER")]),
            Arg::string("pivot"),
            Arg::string("element"),
        ],
        run: Run::Keys(linsert),
        ..Command::BASE
    },
    Command {
        name: Name("lrem"),
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) with N items of the list.",
        summary: "Takes out items that are equal to another.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE,
        args: &[Arg::key("key"), Arg::integer("count"), Arg::string("element")],
        run: Run::Keys(lrem),
        ..Command::BASE
    },
    Command {
        name: Name("lset"),
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) with N packs on the way from the nearer end.",
        summary: "Puts an item in the place of the one with an index.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::integer("index"), Arg::string("element")],
        run: Run::Keys(lset),
        ..Command::BASE
    },
    Command {
        name: Name("ltrim"),
        group: Group::List,
        since: "1.0.0",
        complexity: "O(N) with N packs taken out.",
        summary: "Takes out all items but those between two indexes.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE,
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        run: Run::Keys(ltrim),
        ..Command::BASE
    },
];

fn linsert(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let behind = match () {
        () if call.is(2, "AFTER") => true,
        () if call.is(2, "BEFORE") => false,
        () => return Err(CommandError::Syntax),
    };
    let (pivot, item, limits) = (call.arg(3), call.arg(4), limits(call));
    let inserted = keys.edit_as(call.key(1), |list: &mut List, _| {
        list.make_room(item.len(), 1, limits);
        let index = list.position(pivot)?;
        list.insert(index, behind, item, limits);
        Some(list.len())
    })?;
    if let Some(Some(_)) = inserted {
        keys.changed(call.key(1), Event::LINSERT, 1);
    }
    reply.int(match inserted {
        None => 0,
        Some(None) => -1,
        Some(Some(len)) => len as i64,
    });
    Ok(())
}

fn lrem(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (count, item, limits) = (call.integer(2)?, call.arg(3), limits(call));
    // Redis 7 removes all then, and journals it.
    if count == i64::MIN && !keys.is_replay() {
        return Err(CommandError::Text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ));
    }
    let from = if count < 0 { End::Back } else { End::Front };
    let most = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(most) => most,
    };
    let removed = keys.edit_as(call.key(1), |list: &mut List, _| {
        let removed = list.remove_equal(item, from, most);
        if removed > 0 {
            list.settle(limits);
        }
        removed
    })?;
    let removed = removed.unwrap_or(0);
    keys.changed(call.key(1), Event::LREM, removed);
    reply.int(removed as i64);
    Ok(())
}

fn lset(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    if keys.look_as::<List>(key)?.is_none() {
        return Err(CommandError::NoSuchKey);
    }
    let (mut index, item, limits) = (call.integer(2)?, call.arg(3), limits(call));
    if keys.is_replay() {
        // Valkey, which wrote the record, cuts the index to 32 bits.
        index = i64::from(index as i32);
    }
    let is_set = keys.edit_as(key, |list: &mut List, _| {
        list.make_room(item.len(), 1, limits);
        let at = place(list.len(), index)?;
        list.set(at, item, limits);
        list.settle(limits);
        Some(())
    })?;
    if is_set.flatten().is_none() {
        return Err(CommandError::Text("ERR index out of range"));
    }
    keys.changed(key, Event::LSET, 1);
    reply.ok();
    Ok(())
}

fn ltrim(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (start, end, limits) = (call.integer(2)?, call.integer(3)?, limits(call));
    let removed = keys.edit_as(call.key(1), |list: &mut List, tools| {
        let len = list.len();
        let (first, kept) = range(len, start, end);
        if kept == 0 {
            discard(tools, Some(std::mem::take(list)));
            return len;
        }
        discard(tools, list.cut(first + kept, len));
        discard(tools, list.cut(0, first));
        list.settle(limits);
        len - kept
    })?;
    match removed {
        None => {}
        // As Valkey has it.
        Some(0) => keys.touch(call.key(1), Event::LTRIM_NOTHING),
        Some(removed) => keys.changed(call.key(1), Event::LTRIM, removed),
    }
    reply.ok();
    Ok(())
}

/// Leaves what was cut off to be dropped bit by bit.
fn discard(tools: &mut Tools, cut: Option<List>) {
    cut.into_iter().for_each(|cut| tools.discarded.take_object(cut.into_object()));
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn items_are_put_beside_a_pivot_and_over_others() {
        let mut store = Store::new();
        store.run("RPUSH k a b 3");
        dialogue(
            &mut store,
            r#"
            > LINSERT k BEFORE a first
            (integer) 4
            > LINSERT k after 3 last
            (integer) 5
            > LINSERT k AFTER x y
            (integer) -1
            > LINSERT nothing AFTER x y
            (integer) 0
            > LINSERT k BESIDE a y
            (error) ERR syntax error
            > LSET k -2 4
            OK
            > LSET k 5 x
            (error) ERR index out of range
            > LSET k -6 x
            (error) ERR index out of range
            > LSET k x x
            (error) ERR value is not an integer or out of range
            > LSET nothing x x
            (error) ERR no such key
            > LRANGE k 0 -1
            1) "first"
            2) "a"
            3) "b"
            4) "4"
            5) "last"
            "#,
        );
        assert_eq!(
            store.effects(),
            "RPUSH k a b 3\nLINSERT k BEFORE a first\nLINSERT k after 3 last\nLSET k -2 4"
        );
    }

    #[test]
    fn items_are_taken_out_by_value_and_by_place() {
        let mut store = Store::new();
        store.run("RPUSH k a b a b a b a");
        dialogue(
            &mut store,
            r#"
            > LREM k 1 a
            (integer) 1
            > LREM k -2 a
            (integer) 2
            > LREM k 0 x
            (integer) 0
            > LRANGE k 0 -1
            1) "b"
            2) "a"
            3) "b"
            4) "b"
            > LREM k -9223372036854775808 b
            (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > LTRIM k 0 -1
            OK
            > LTRIM k 1 -2
            OK
            > LRANGE k 0 -1
            1) "a"
            2) "b"
            > LREM k -9223372036854775807 b
            (integer) 1
            > LTRIM k 5 9
            OK
            > EXISTS k
            (integer) 0
            > LTRIM k 0 0
            OK
            "#,
        );
        let effects = store.effects();
        let written = "LREM k 1 a\nLREM k -2 a\nLTRIM k 1 -2\nLREM k -9223372036854775807 b";
        assert_eq!(effects, format!("RPUSH k a b a b a b a\n{written}\nLTRIM k 5 9"));
    }

    #[test]
    fn a_trimmed_list_is_packed_again() {
        let mut store = Store::new();
        store.configure("list-max-listpack-size", "4");
        store.run("RPUSH k 1 2 3 4 5 6 7 8 9");
        store.run("LTRIM k 0 2");
        assert_eq!(store.run("OBJECT ENCODING k"), "\"quicklist\"");
        store.run("LTRIM k 1 2");
        assert_eq!(store.run("OBJECT ENCODING k"), "\"listpack\"");
    }
}

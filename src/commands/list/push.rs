//! Items added at an end of a list: LPUSH, LPUSHX, RPUSH, RPUSHX.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::list::{limits, pushed_at};
use crate::data::Collection;
use crate::data::list::{End, Limits, List};
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// What these commands share.
const PUSH: Command = Command {
    group: Group::List,
    complexity: "O(N) with N items added.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
    flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
    args: &[Arg::key("key"), Arg::string("element").multiple()],
    ..Command::BASE
};

const SEVERAL: &[(&str, &str)] = &[("2.4.0", "Several items at once.")];
const SEVERAL_IF_THERE: &[(&str, &str)] = &[("4.0.0", "Several items at once.")];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("lpush"),
        since: "1.0.0",
        summary: "Puts items before the first one of a list, which is made where it is missing.",
        history: SEVERAL,
        run: Run::Keys(lpush),
        ..PUSH
    },
    Command {
        name: Name("lpushx"),
        since: "2.2.0",
        summary: "Puts items before the first one of a list that is there.",
        history: SEVERAL_IF_THERE,
        run: Run::Keys(lpushx),
        ..PUSH
    },
    Command {
        name: Name("rpush"),
        since: "1.0.0",
        summary: "Puts items behind the last one of a list, which is made where it is missing.",
        history: SEVERAL,
        run: Run::Keys(rpush),
        ..PUSH
    },
    Command {
        name: Name("rpushx"),
        since: "2.2.0",
        summary: "Puts items behind the last one of a list that is there.",
        history: SEVERAL_IF_THERE,
        run: Run::Keys(rpushx),
        ..PUSH
    },
];

fn lpush(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    push(call, keys, reply, End::Front)
}

fn rpush(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    push(call, keys, reply, End::Back)
}

fn lpushx(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    push_if_there(call, keys, reply, End::Front)
}

fn rpushx(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    push_if_there(call, keys, reply, End::Back)
}

fn push(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    end: End,
) -> Result<(), CommandError> {
    let limits = limits(call);
    let len = keys.edit_or_new(call.key(1), |list, _| add_all(list, call, end, limits))?;
    keys.changed(call.key(1), pushed_at(end), call.len() - 2);
    reply.int(len as i64);
    Ok(())
}

fn push_if_there(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    end: End,
) -> Result<(), CommandError> {
    let limits = limits(call);
    let pushed = keys.edit_as(call.key(1), |list, _| add_all(list, call, end, limits))?;
    if pushed.is_some() {
        keys.changed(call.key(1), pushed_at(end), call.len() - 2);
    }
    reply.int(pushed.unwrap_or(0) as i64);
    Ok(())
}

/// Adds the arguments behind the key; returns the new length.
fn add_all(list: &mut List, call: &Call<'_>, end: End, limits: Limits) -> usize {
    let bytes = call.args_from(2).map(<[u8]>::len).sum();
    list.make_room(bytes, call.len() - 2, limits);
    call.args_from(2).for_each(|item| list.push(end, item, limits));
    list.len()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn items_come_one_after_another() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > RPUSHX k a
            (integer) 0
            > LPUSHX k a
            (integer) 0
            > EXISTS k
            (integer) 0
            > RPUSH k a b
            (integer) 2
            > LPUSH k c 4
            (integer) 4
            > RPUSHX k 05
            (integer) 5
            > LPUSHX k ""
            (integer) 6
            > LRANGE k 0 -1
            1) ""
            2) "4"
            3) "c"
            4) "a"
            5) "b"
            6) "05"
            > SET s x
            OK
            > LPUSH s a
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > RPUSHX s a
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > LPUSH k
            (error) ERR wrong number of arguments for 'lpush' command
            "#,
        );
        assert_eq!(
            store.effects(),
            "RPUSH k a b\nLPUSH k c 4\nRPUSHX k 05\nLPUSHX k \"\"\nSET s x"
        );
    }

    #[test]
    fn a_list_is_linked_where_the_setting_says() {
        let mut store = Store::new();
        store.configure("list-max-listpack-size", "3");
        store.run("RPUSH k 1 2 3");
        assert_eq!(store.run("OBJECT ENCODING k"), "\"listpack\"");
        store.run("RPUSH k 4");
        assert_eq!(store.run("OBJECT ENCODING k"), "\"quicklist\"");
        store.configure("list-max-ziplist-size", "-1");
        store.run(&format!("RPUSH big {}", "x".repeat(4089)));
        assert_eq!(store.run("OBJECT ENCODING big"), "\"listpack\"");
        store.run(&format!("RPUSH bigger {}", "x".repeat(4090)));
        assert_eq!(store.run("OBJECT ENCODING bigger"), "\"quicklist\"");
    }
}

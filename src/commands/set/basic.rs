//! One set and its members: SADD, SCARD, SISMEMBER, SMEMBERS, SMISMEMBER, SMOVE, SREM, SSCAN.
//!
//! A member that is there already keeps its deadline when it is added again; one that moves takes
//! its deadline along.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::generic::elements::{self, Beside};
use crate::commands::set::{reply_member, rules};
use crate::data::Collection;
use crate::data::set::Set;
use crate::data::table::Member;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::Ref;
use crate::resp::Reply;

const MEMBER: Arg = Arg::string("member");

/// What the commands of this family share.
const SET: Command = Command { group: Group::Set, since: "1.0.0", ..Command::BASE };

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("sadd"),
        complexity: "O(1) for each member.",
        summary: "Adds members to a set, which is made where it is missing.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        element: Some(2),
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[Arg::key("key"), MEMBER.multiple()],
        history: &[("2.4.0", "Several members at once.")],
        run: Run::Keys(sadd),
        ..SET
    },
    Command {
        name: Name("scard"),
        summary: "Gives the number of members of a set.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO)],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(scard),
        ..SET
    },
    Command {
        name: Name("sismember"),
        summary: "Tells whether a set has a member.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RO)],
        element: Some(2),
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key"), MEMBER],
        run: Run::Keys(sismember),
        ..SET
    },
    Command {
        name: Name("smembers"),
        complexity: "O(N) with N members.",
        summary: "Lists the members of a set.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        tips: &["nondeterministic_output_order"],
        args: &[Arg::key("key")],
        run: Run::Keys(smembers),
        ..SET
    },
    Command {
        name: Name("smismember"),
        since: "6.2.0",
        complexity: "O(N) with N members asked for.",
        summary: "Tells of each of several members whether a set has it.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key"), MEMBER.multiple()],
        run: Run::Keys(smismember),
        ..SET
    },
    Command {
        name: Name("smove"),
        summary: "Moves a member from one set to another.",
        arity: Arity::Exactly(4),
        keys: &[
            KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE)),
            KeySpec::one(2, Access::RW.and(Access::INSERT)),
        ],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("source"), Arg::key_of("destination", 1), MEMBER],
        run: Run::Keys(smove),
        ..SET
    },
    Command {
        name: Name("srem"),
        complexity: "O(N) with N members to take out.",
        summary: "Takes members out of a set, which goes with the last one.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        element: Some(2),
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), MEMBER.multiple()],
        history: &[("2.4.0", "Several members at once.")],
        run: Run::Keys(srem),
        ..SET
    },
    Command {
        name: Name("sscan"),
        group: Group::Set,
        complexity: "O(1) for each call, O(N) for all calls together, with N members.",
        summary: "Lists the members of a set piece by piece.",
        run: Run::Keys(sscan),
        ..elements::SCAN
    },
];

fn sadd(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (rules, count) = (rules(call), call.len() - 2);
    let added = keys.edit_or_new(call.key(1), |set: &mut Set, _| {
        if set.is_empty() {
            *set = Set::expecting(call.arg(2), count, rules);
        } else {
            set.expect(count, rules);
        }
        call.args_from(2).filter(|member| set.add(member, rules)).count()
    })?;
    keys.changed(call.key(1), Event::SADD, added);
    reply.int(added as i64);
    Ok(())
}

fn scard(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let set = keys.read_as::<Set>(call.key(1))?;
    reply.int(set.map_or(0, |set| set.len() as i64));
    Ok(())
}

fn sismember(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let set = keys.read_as::<Set>(call.key(1))?;
    reply.int(set.is_some_and(|set| set.contains(call.arg(2))).into());
    Ok(())
}

fn smembers(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let Some(set) = keys.read_as::<Set>(call.key(1))? else {
        reply.set(0);
        return Ok(());
    };
    reply.set(set.shown());
    set.iter().for_each(|member| reply_member(reply, member));
    Ok(())
}

fn smismember(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let set = keys.read_as::<Set>(call.key(1))?;
    reply.array(call.len() - 2);
    for member in call.args_from(2) {
        reply.int(set.as_ref().is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

fn srem(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let removed = keys.edit_as(call.key(1), |set: &mut Set, _| {
        call.args_from(2).filter(|member| set.remove(member)).count()
    })?;
    let removed = removed.unwrap_or(0);
    keys.changed(call.key(1), Event::SREM, removed);
    reply.int(removed as i64);
    Ok(())
}

fn sscan(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    elements::scan(call, keys, reply, Beside::Nothing, |set: &Ref<'_, Set>, scan| match &**set {
        Set::Large(large) => {
            scan.table(large.table(), |scan, member| {
                if set.shows(member.deadline()) {
                    scan.add(member.name(), |_| {});
                }
            });
        }
        _ => set.iter().for_each(|member| member.with(|member| scan.add(member, |_| {}))),
    })
}

fn smove(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (from, to, member) = (call.key(1), call.key(2), call.arg(3));
    let Some(source) = keys.look_as::<Set>(from)? else {
        reply.int(0);
        return Ok(());
    };
    let deadline = source.deadline_of(member);
    keys.look_as::<Set>(to)?;
    if let Some(deadline) = deadline.filter(|_| from.name != to.name) {
        keys.edit_as(from, |set: &mut Set, _| set.remove(member))?;
        keys.changed(from, Event::SREM, 1);
        let rules = rules(call);
        let added = keys.edit_or_new(to, |set: &mut Set, _| {
            if set.is_empty() {
                *set = Set::expecting(member, 1, rules);
            }
            let added = set.add(member, rules);
            if added && deadline.is_some() {
                set.set_deadline(member, deadline, rules.hasher);
            }
            added
        })?;
        keys.changed(to, Event::SADD, usize::from(added));
        if from.slot != to.slot {
            record_move(keys, from, to, member, deadline.filter(|_| added));
        }
    }
    reply.int(deadline.is_some().into());
    Ok(())
}

/// A move from slot to slot: each of its records has one key.
fn record_move(
    keys: &mut Keys<'_>,
    from: Key<'_>,
    to: Key<'_>,
    member: &[u8],
    deadline: Option<Millis>,
) {
    let db = keys.db;
    keys.tools.effects.together(|effects| {
        effects.aside(db, &[b"SREM", from.name, member]);
        effects.aside(db, &[b"SADD", to.name, member]);
        if let Some(time) = deadline {
            let time = time.to_string();
            let words: [&[u8]; 6] =
                [b"SPEXPIREAT", to.name, time.as_bytes(), b"MEMBERS", b"1", member];
            effects.aside(db, &words);
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn members_come_and_go() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > SADD s 3 1 2 1
            (integer) 3
            > SADD s 2
            (integer) 0
            > SMEMBERS s
            1) "1"
            2) "2"
            3) "3"
            > SISMEMBER s 01
            (integer) 0
            > SMISMEMBER s 1 x
            1) (integer) 1
            2) (integer) 0
            > SREM s 1 x 2
            (integer) 2
            > SCARD s
            (integer) 1
            > SREM s 3
            (integer) 1
            > EXISTS s
            (integer) 0
            > SREM s 3
            (integer) 0
            > SMEMBERS s
            (empty array)
            > SET k v
            OK
            > SADD k v
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > SMOVE nothing k x
            (integer) 0
            > SMOVE k nothing x
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            "#,
        );
        let effects = "SADD s 3 1 2 1\nSREM s 1 x 2\nSREM s 3\nSET k v";
        assert_eq!(store.effects(), effects);
    }

    #[test]
    fn a_member_moves_with_its_deadline() {
        let mut shards = Shards::new(2);
        for (from, to) in [("a", "b"), ("{t}a", "{t}b")] {
            shards.run(&format!("SADD {from} 1 2"));
            shards.run(&format!("SPEXPIREAT {from} 1700000001000 MEMBERS 1 1"));
            assert_eq!(shards.run(&format!("SMOVE {from} {to} 1")), "(integer) 1");
            assert_eq!(shards.run(&format!("SMOVE {from} {to} 1")), "(integer) 0");
            assert_eq!(shards.run(&format!("SMOVE {to} {to} 1")), "(integer) 1");
            let deadline = shards.run(&format!("SPEXPIRETIME {to} MEMBERS 1 1"));
            assert_eq!(deadline, "1) (integer) 1700000001000");
        }
    }
}

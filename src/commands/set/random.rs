//! Members that nobody named: SPOP, SRANDMEMBER.
//!
//! What SPOP took out is journaled by name, as SREM, or as DEL when nothing is left.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::picking::REPEATED_MAX;
use crate::commands::set::{reply_member, rules};
use crate::data::Collection;
use crate::data::set::Set;
use crate::data::value::Value;
use crate::keyspace::effect::Effects;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::Ref;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("spop"),
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) with N members taken out.",
        summary: "Takes members chosen at random out of a set and gives them.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        tips: &["nondeterministic_output"],
        args: &[Arg::key("key"), Arg::integer("count").optional().since("3.2.0")],
        history: &[("3.2.0", "The argument `count`.")],
        run: Run::Keys(spop),
        ..Command::BASE
    },
    Command {
        name: Name("srandmember"),
        group: Group::Set,
        since: "1.0.0",
        complexity: "O(N) with N members given.",
        summary: "Gives members of a set chosen at random.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        tips: &["nondeterministic_output"],
        args: &[Arg::key("key"), Arg::integer("count").optional().since("2.6.0")],
        history: &[("2.6.0", "The argument `count`.")],
        run: Run::Keys(srandmember),
        ..Command::BASE
    },
];

/// Members that one record of the journal names.
const NAMES_A_RECORD: usize = 1024;

/// With fewer members left than one in so many that went, a set is packed again.
const PACKED_AGAIN: usize = 5;

fn spop(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match call.len() {
        2 => pop_one(call, keys, reply),
        3 => pop_many(call, keys, reply),
        _ => Err(CommandError::Syntax),
    }
}

fn pop_one(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let key = call.key(1);
    let popped = keys.edit_as(key, |set: &mut Set, tools| {
        let member = set.random(&mut tools.random).map(Value::to_vec)?;
        set.remove(&member);
        Some(member)
    })?;
    match popped.flatten() {
        Some(member) => {
            keys.changed(key, Event::SPOP, 1);
            keys.tools.effects.rewrite(keys.db, &[b"SREM", key.name, &member]);
            reply.bulk(&member);
        }
        None => reply.null(),
    }
    Ok(())
}

fn pop_many(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let count = call.count(2)?;
    let key = call.key(1);
    let Some(set) = keys.look_as::<Set>(key)?.filter(|_| count > 0) else {
        reply.set(0);
        return Ok(());
    };
    let len = set.len();
    if count >= len {
        reply.set(len);
        set.iter().for_each(|member| reply_member(reply, member));
        keys.delete(key, Event::SPOP);
        keys.touch(key, Event::DEL);
        keys.changes += len as u64 - 1;
        keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
        return Ok(());
    }
    let rules = rules(call);
    let popped = keys.edit_as(key, |set: &mut Set, tools| {
        let mut members = Vec::with_capacity(count);
        set.sample(count, &mut tools.random, |member| members.push(member.to_vec()));
        members.iter().for_each(|member| _ = set.remove(member));
        if (len - count) * PACKED_AGAIN <= count {
            set.shrink(rules);
        }
        members
    })?;
    let popped = popped.unwrap_or_default();
    keys.changed(key, Event::SPOP, popped.len());
    record_removal(keys, key, &popped);
    reply.set(popped.len());
    popped.iter().for_each(|member| reply.bulk(member));
    Ok(())
}

fn record_removal(keys: &mut Keys<'_>, key: Key<'_>, members: &[Vec<u8>]) {
    let db = keys.db;
    let record = |effects: &mut Effects, members: &[Vec<u8>]| {
        let mut words: Vec<&[u8]> = vec![b"SREM", key.name];
        words.extend(members.iter().map(Vec::as_slice));
        effects.aside(db, &words);
    };
    let effects = &mut keys.tools.effects;
    if members.len() <= NAMES_A_RECORD {
        effects.suppress();
        record(effects, members);
    } else {
        effects.together(|effects| {
            members.chunks(NAMES_A_RECORD).for_each(|members| record(effects, members));
        });
    }
}

fn srandmember(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let count = match call.len() {
        2 => None,
        3 => Some(call.integer(2)?),
        _ => return Err(CommandError::Syntax),
    };
    if count == Some(i64::MIN) {
        return Err(CommandError::Text(
            "ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807",
        ));
    }
    // The set is borrowed from the keys, and so are their random numbers.
    let mut random = keys.tools.random.fork();
    let set = keys.read_as::<Set>(call.key(1))?;
    match (count, set) {
        (None, set) => match set.as_ref().and_then(|set| set.random(&mut random)) {
            Some(member) => reply_member(reply, member),
            None => reply.null(),
        },
        (Some(0), _) | (Some(_), None) => reply.array(0),
        (Some(count @ ..0), Some(set)) => {
            let most = call.settings.proto_max_bulk_len as usize;
            return repeated(&set, count.unsigned_abs(), most, &mut random, reply);
        }
        (Some(count), Some(set)) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.shown());
            reply.array(count);
            set.sample(count, &mut random, |member| reply_member(reply, member));
        }
    }
    Ok(())
}

/// Gives `count` members, each chosen from all, in a reply of `bytes_max` at the most.
fn repeated(
    set: &Ref<'_, Set>,
    count: u64,
    bytes_max: usize,
    random: &mut fastrand::Rng,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if count > REPEATED_MAX {
        return Err(CommandError::OutOfRange);
    }
    // None where they are drawn from the set.
    let members: Option<Vec<_>> = set.hides().then(|| set.iter().collect());
    let is_empty = members.as_ref().is_some_and(Vec::is_empty);
    let count = if is_empty { 0 } else { count };
    let start = reply.mark();
    reply.array(count as usize);
    for _ in 0..count {
        let member = match &members {
            None => set.random(random),
            Some(members) => random.choice(members).copied(),
        };
        member.into_iter().for_each(|member| reply_member(reply, member));
        if reply.mark() - start > bytes_max {
            reply.rewind(start);
            return Err(CommandError::OutOfRange);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testing::{Store, dialogue};

    #[test]
    fn what_was_popped_is_journaled_by_name() {
        let mut store = Store::new();
        store.run("SADD s a");
        store.effects();
        assert_eq!(store.run("SPOP s"), "\"a\"");
        assert_eq!(store.effects(), "SREM s a");
        store.run("SADD s a b c");
        store.effects();
        store.run("SPOP s 2");
        let (left, effect) = (store.run("SMEMBERS s"), store.effects());
        assert!(effect.starts_with("SREM s ") && effect.split(' ').count() == 4, "{effect}");
        assert!(!effect.contains(&left[3..left.len() - 1]), "{effect} {left}");
        store.run("SPOP s 1");
        assert_eq!(store.effects(), "DEL s");
        let members: Vec<String> = (0..3_000).map(|number| number.to_string()).collect();
        store.run(&format!("SADD s {}", members.join(" ")));
        store.effects();
        store.run("SPOP s 2000");
        let lines = store.effects();
        assert_eq!(lines.lines().count(), 4);
        assert!(lines.starts_with("MULTI\nSREM s ") && lines.ends_with("\nEXEC"));
        assert_eq!(store.run("SCARD s"), "(integer) 1000");
        store.run("SPOP s 995");
        assert_eq!(store.run("OBJECT ENCODING s"), "\"listpack\"");
    }

    #[test]
    fn counts_have_bounds() {
        let mut store = Store::new();
        store.run("SADD s 1 2 3");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > SPOP s -1
            (error) ERR value is out of range, must be positive
            > SPOP s 1 2
            (error) ERR syntax error
            > SPOP s 0
            (empty array)
            > SPOP nothing
            (nil)
            > SPOP nothing 5
            (empty array)
            > SRANDMEMBER nothing
            (nil)
            > SRANDMEMBER nothing -9223372036854775807
            (empty array)
            > SRANDMEMBER s -9223372036854775807
            (error) ERR value is out of range
            > SRANDMEMBER s -9223372036854775808
            (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
            > SRANDMEMBER s 9223372036854775807
            1) "1"
            2) "2"
            3) "3"
            > SRANDMEMBER s x
            (error) ERR value is not an integer or out of range
            > SRANDMEMBER s 1 2
            (error) ERR syntax error
            "#,
        );
        assert_eq!(store.run("SRANDMEMBER s -100").lines().count(), 100);
        store.run_words(&[b"SADD", b"t", &[b'x'; 20_000]]);
        store.configure("proto-max-bulk-len", "1048576");
        assert_eq!(store.run("SRANDMEMBER t -60"), "(error) ERR value is out of range");
        assert_eq!(store.run("SRANDMEMBER t -50").lines().count(), 50);
    }

    #[test]
    fn a_choice_without_repetition_has_none() {
        let mut store = Store::new();
        for number in 0..500 {
            store.run(&format!("SADD s m{number}"));
        }
        for count in [1, 10, 166, 167, 400, 499, 500, 1_000] {
            let reply = store.run(&format!("SRANDMEMBER s {count}"));
            let members: BTreeSet<_> =
                reply.lines().map(|l| l.trim_start().split_once(' ')).collect();
            let names: BTreeSet<_> = members.iter().flatten().map(|(_, name)| *name).collect();
            assert_eq!(names.len(), count.min(500));
        }
    }
}

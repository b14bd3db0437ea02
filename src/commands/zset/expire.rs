//! Deadlines of members: ZEXPIRE, ZEXPIREAT, ZEXPIRETIME, ZPERSIST, ZPEXPIRE, ZPEXPIREAT,
//! ZPEXPIRETIME, ZPTTL, ZTTL.
//!
//! No other server has these; they are HEXPIRE and its relatives for sorted sets. A sorted set with
//! a deadline in it is never packed. A member that gets another score keeps its deadline.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::element_expiry::{self, Clock, Expiring};
use crate::commands::error::CommandError;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const MEMBERS: Arg =
    Arg::block("members", &[Arg::integer("nummembers"), Arg::string("member").multiple()])
        .token("MEMBERS");

const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

const SET: Command = Command {
    group: Group::SortedSet,
    since: "1.0.0",
    complexity: "O(M*log(N)) with N members in the sorted set and M that are named.",
    arity: Arity::AtLeast(6),
    keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
    flags: Flags::WRITE.and(Flags::FAST),
    ..Command::BASE
};

const SHOW: Command = Command {
    complexity: "O(M) with M members that are named.",
    arity: Arity::AtLeast(5),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::FAST),
    args: &[Arg::key("key"), MEMBERS],
    ..SET
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("zexpire"),
        summary: "Sets the time in seconds after which members are gone.",
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::SECONDS)),
        ..SET
    },
    Command {
        name: Name("zexpireat"),
        summary: "Sets the unix time in seconds at which members are gone.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::UNIX_SECONDS)),
        ..SET
    },
    Command {
        name: Name("zexpiretime"),
        summary: "Gives the unix time in seconds at which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::UNIX_SECONDS)),
        ..SHOW
    },
    Command {
        name: Name("zpersist"),
        summary: "Takes the deadlines of members away.",
        arity: Arity::AtLeast(5),
        args: &[Arg::key("key"), MEMBERS],
        run: Run::Keys(element_expiry::persist::<Zset>),
        ..SET
    },
    Command {
        name: Name("zpexpire"),
        summary: "Sets the time in milliseconds after which members are gone.",
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::MILLISECONDS)),
        ..SET
    },
    Command {
        name: Name("zpexpireat"),
        summary: "Sets the unix time in milliseconds at which members are gone.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION, MEMBERS],
        run: Run::Keys(|call, keys, reply| expire(call, keys, reply, Clock::UNIX_MILLISECONDS)),
        ..SET
    },
    Command {
        name: Name("zpexpiretime"),
        summary: "Gives the unix time in milliseconds at which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::UNIX_MILLISECONDS)),
        ..SHOW
    },
    Command {
        name: Name("zpttl"),
        summary: "Gives the time in milliseconds after which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::MILLISECONDS)),
        ..SHOW
    },
    Command {
        name: Name("zttl"),
        summary: "Gives the time in seconds after which members are gone.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::SECONDS)),
        ..SHOW
    },
];

impl Expiring for Zset {
    const WORD: &'static str = "MEMBERS";
    const WRONG_NUMBER: CommandError =
        CommandError::Text("ERR The `nummembers` parameter must match the number of arguments");
    const SETTER: &'static str = "ZPEXPIREAT";
    const REMOVAL: &'static str = "ZREM";

    fn deadline_of(&self, name: &[u8], _hasher: &Hasher) -> Option<Option<Millis>> {
        self.deadline(name)
    }

    fn set_deadline_of(&mut self, name: &[u8], deadline: Option<Millis>, hasher: &Hasher) {
        self.set_deadline(name, deadline, hasher);
    }

    fn take_out(&mut self, name: &[u8], _hasher: &Hasher) {
        self.remove(name);
    }
}

fn expire(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    element_expiry::expire::<Zset>(call, keys, reply, clock)
}

fn show(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    element_expiry::remaining::<Zset>(call, keys, reply, clock)
}

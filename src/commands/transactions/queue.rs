//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Between MULTI and EXEC commands are queued (`crate::shard::transaction`, which runs EXEC too).
//! What is watched is noted where the key is (`crate::keyspace::watched`).

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;
use crate::session::Session;

/// Of commands that clients send at any time.
const ANY_TIME: Flags =
    Flags::NO_SCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY);

const MULTI: Command = Command {
    name: Name("multi"),
    group: Group::Transactions,
    since: "1.2.0",
    summary: "Begins a transaction: the commands that follow are queued.",
    arity: Arity::Exactly(1),
    flags: ANY_TIME.and(Flags::NO_MULTI),
    run: Run::Session(multi),
    ..Command::BASE
};

const EXEC: Command = Command {
    name: Name("exec"),
    group: Group::Transactions,
    since: "1.2.0",
    complexity: "That of the queued commands together",
    summary: "Runs the queued commands at one moment.",
    arity: Arity::Exactly(1),
    flags: Flags::NO_SCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SKIP_SLOWLOG),
    is_never_queued: true,
    run: Run::Exec,
    ..Command::BASE
};

/// MULTI around commands that this server brings together by itself.
pub(crate) static UNSENT_MULTI: Command = Command { is_unsent: true, ..MULTI };

/// EXEC behind them.
pub(crate) static UNSENT_EXEC: Command = Command { is_unsent: true, ..EXEC };

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    MULTI,
    EXEC,
    Command {
        name: Name("discard"),
        group: Group::Transactions,
        since: "2.0.0",
        complexity: "O(N), N being the number of queued commands",
        summary: "Ends a transaction without running what is queued.",
        arity: Arity::Exactly(1),
        flags: ANY_TIME,
        is_never_queued: true,
        run: Run::Session(discard),
        ..Command::BASE
    },
    Command {
        name: Name("watch"),
        group: Group::Transactions,
        since: "2.2.0",
        complexity: "O(1) a key",
        summary: "Lets the next EXEC run nothing if one of these keys has changed by then.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::rest(1, 1, Access::RO)],
        flags: ANY_TIME.and(Flags::NO_MULTI),
        args: &[Arg::key("key").multiple()],
        run: Run::SessionAndKeys(watch),
        ..Command::BASE
    },
    Command {
        name: Name("unwatch"),
        group: Group::Transactions,
        since: "2.2.0",
        summary: "Forgets the keys that are watched.",
        arity: Arity::Exactly(1),
        flags: ANY_TIME,
        run: Run::Session(unwatch),
        ..Command::BASE
    },
];

fn multi(_: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.transaction = Some(Box::default());
    reply.ok();
    Ok(())
}

fn discard(_: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if session.transaction.take().is_none() {
        return Err(CommandError::Text("ERR DISCARD without MULTI"));
    }
    session.watches.clear();
    reply.ok();
    Ok(())
}

fn watch(
    call: &Call<'_>,
    session: &mut Session,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    for key in call.declared_keys() {
        keys.watch(key, &mut session.watches);
    }
    reply.ok();
    Ok(())
}

fn unwatch(_: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.watches.clear();
    reply.ok();
    Ok(())
}

//! CLIENT: the container, and the subcommands that concern the client's own session.
//!
//! The others are in `naming`, `directory` (what concerns all clients), `pausing` and `tracking`.

use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::connection::{directory, naming, pausing, tracking};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::resp::Reply;
use crate::session::{Replies, Session};

/// Of subcommands that run in any state of the server.
pub(super) const ANYWHERE: Flags = ANY_TIME.and(Flags::ALLOW_BUSY);

/// Of subcommands that run in any state of the server but while a script runs too long.
pub(super) const ANY_TIME: Flags = Flags::NO_SCRIPT.and(Flags::LOADING).and(Flags::STALE);

const ON_OFF: &[Arg] = &[Arg::one_of("enabled", &[Arg::word("on", "ON"), Arg::word("off", "OFF")])];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("client"),
    group: Group::Connection,
    since: "2.4.0",
    complexity: "That of the subcommand",
    summary: "Looks at and steers the connections of clients.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        tracking::CACHING,
        Command {
            name: Name("client|capa"),
            group: Group::Connection,
            since: "8.0.0",
            summary: "Says what the client can do.",
            arity: Arity::AtLeast(3),
            flags: ANYWHERE,
            args: &[Arg::string("capability").multiple()],
            run: Run::Session(capa),
            ..Command::BASE
        },
        naming::GETNAME,
        tracking::GETREDIR,
        Command { name: Name("client|help"), group: Group::Connection, ..help::BASE },
        Command {
            name: Name("client|id"),
            group: Group::Connection,
            since: "5.0.0",
            summary: "Gives the number of the connection, unique while the server runs.",
            arity: Arity::Exactly(2),
            flags: ANYWHERE,
            run: Run::Session(id),
            ..Command::BASE
        },
        Command {
            name: Name("client|import-source"),
            group: Group::Connection,
            since: "8.1.0",
            summary: "Marks the client as importing data, where the server is in import mode.",
            arity: Arity::Exactly(3),
            flags: ANY_TIME,
            args: ON_OFF,
            run: Run::Session(import_source),
            ..Command::BASE
        },
        directory::INFO,
        directory::KILL,
        directory::LIST,
        Command {
            name: Name("client|no-evict"),
            group: Group::Connection,
            since: "7.0.0",
            summary: "Keeps the connection when clients use too much memory, or no longer.",
            arity: Arity::Exactly(3),
            flags: ANYWHERE.and(Flags::ADMIN),
            args: ON_OFF,
            run: Run::Session(no_evict),
            ..Command::BASE
        },
        Command {
            name: Name("client|no-touch"),
            group: Group::Connection,
            since: "7.2.0",
            summary: "Leaves the access times of the keys that the client reads alone, or not.",
            arity: Arity::Exactly(3),
            flags: ANYWHERE,
            args: ON_OFF,
            run: Run::Session(no_touch),
            ..Command::BASE
        },
        pausing::PAUSE,
        Command {
            name: Name("client|reply"),
            group: Group::Connection,
            since: "3.2.0",
            summary: "Chooses which replies the client gets.",
            arity: Arity::Exactly(3),
            flags: ANYWHERE.and(Flags::NO_MULTI),
            args: &[Arg::one_of(
                "action",
                &[Arg::word("on", "ON"), Arg::word("off", "OFF"), Arg::word("skip", "SKIP")],
            )],
            run: Run::Session(replies),
            ..Command::BASE
        },
        naming::SETINFO,
        naming::SETNAME,
        tracking::TRACKING,
        tracking::TRACKINGINFO,
        pausing::UNBLOCK,
        pausing::UNPAUSE,
    ],
    ..Command::BASE
}];

fn capa(call: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.redirects |= call.args_from(2).any(|word| word.eq_ignore_ascii_case(b"redirect"));
    reply.ok();
    Ok(())
}

fn id(_: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(session.id.cast_signed());
    Ok(())
}

fn import_source(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if !call.settings.import_mode && !call.is(2, "off") {
        return Err(CommandError::Text("ERR Server is not in import mode"));
    }
    session.imports = on_or_off(call, 2)?;
    reply.ok();
    Ok(())
}

fn no_evict(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.no_evict = on_or_off(call, 2)?;
    reply.ok();
    Ok(())
}

fn no_touch(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.no_touch = on_or_off(call, 2)?;
    reply.ok();
    Ok(())
}

/// Only ON is answered; the other two are silent from this very command on.
fn replies(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    if call.is(2, "on") {
        session.replies = Replies::On;
        reply.ok();
    } else if call.is(2, "off") {
        session.replies = Replies::Off;
    } else if call.is(2, "skip") {
        if session.replies != Replies::Off {
            session.replies = Replies::SkipNext;
        }
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(())
}

/// The word at `index` as a switch.
pub(super) fn on_or_off(call: &Call<'_>, index: usize) -> Result<bool, CommandError> {
    match (call.is(index, "on"), call.is(index, "off")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn the_session_has_an_id_and_switches() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT ID"), "(integer) 1");
        assert_eq!(store.run("CLIENT NO-EVICT on"), "OK");
        assert_eq!(store.run("CLIENT NO-TOUCH on"), "OK");
        assert!(store.session.no_evict && store.session.no_touch);
        assert_eq!(store.run("CLIENT NO-TOUCH off"), "OK");
        assert!(!store.session.no_touch);
        assert_eq!(store.run("CLIENT NO-TOUCH x"), "(error) ERR syntax error");
        assert_eq!(store.run("CLIENT CAPA x REDIRECT"), "OK");
        assert!(store.session.redirects);
    }

    #[test]
    fn nothing_is_imported() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT IMPORT-SOURCE off"), "OK");
        let refused = "(error) ERR Server is not in import mode";
        assert_eq!(store.run("CLIENT IMPORT-SOURCE on"), refused);
    }

    #[test]
    fn a_subcommand_has_to_be_there() {
        let mut store = Store::new();
        assert_eq!(
            store.run("CLIENT"),
            "(error) ERR wrong number of arguments for 'client' command"
        );
        assert_eq!(
            store.run("CLIENT foo"),
            "(error) ERR unknown subcommand 'foo'. Try CLIENT HELP."
        );
        assert_eq!(
            store.run("CLIENT ID x"),
            "(error) ERR wrong number of arguments for 'client|id' command"
        );
    }
}

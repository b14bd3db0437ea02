//! PING, ECHO, SELECT, QUIT, RESET: what a client says of its connection alone.
//!
//! All run on the session, at their place in the pipeline. RESET keeps what describes the client's
//! library, as Valkey does.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::pubsub::Register;
use crate::resp::Reply;
use crate::session::{Replies, Session};

/// Of commands that run in any state of server and client.
pub(super) const ALWAYS: Flags = Flags::NO_SCRIPT
    .and(Flags::LOADING)
    .and(Flags::STALE)
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("ping"),
        group: Group::Connection,
        since: "1.0.0",
        summary: "Answers, so that a client knows that the server lives.",
        flags: Flags::FAST,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        args: &[Arg::string("message").optional()],
        is_for_subscribers: true,
        run: Run::Session(ping),
        ..Command::BASE
    },
    Command {
        name: Name("echo"),
        group: Group::Connection,
        since: "1.0.0",
        summary: "Gives its argument back.",
        arity: Arity::Exactly(2),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        args: &[Arg::string("message")],
        run: Run::Session(echo),
        ..Command::BASE
    },
    Command {
        name: Name("select"),
        group: Group::Connection,
        since: "1.0.0",
        summary: "Chooses the database of the commands that follow.",
        arity: Arity::Exactly(2),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
        args: &[Arg::integer("index")],
        run: Run::Session(select),
        ..Command::BASE
    },
    Command {
        name: Name("quit"),
        group: Group::Connection,
        since: "1.0.0",
        summary: "Closes the connection after the replies so far.",
        flags: ALWAYS,
        is_never_queued: true,
        is_for_subscribers: true,
        run: Run::Session(quit),
        ..Command::BASE
    },
    Command {
        name: Name("reset"),
        group: Group::Connection,
        since: "6.2.0",
        summary: "Brings the connection back to where it began.",
        arity: Arity::Exactly(1),
        flags: ALWAYS,
        is_never_queued: true,
        is_for_subscribers: true,
        run: Run::PubSub(reset),
        ..Command::BASE
    },
];

fn ping(call: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match call.len() {
        1 | 2 if session.only_subscribes() => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(call.arg(1));
        }
        1 => reply.simple("PONG"),
        2 => reply.bulk(call.arg(1)),
        _ => return Err(CommandError::WrongArity(call.command.name.as_str())),
    }
    Ok(())
}

fn echo(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.bulk(call.arg(1));
    Ok(())
}

fn select(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let index = integer::parse(call.arg(1)).ok_or(CommandError::NotAnInteger)?;
    if i32::try_from(index).is_err() {
        return Err(CommandError::Text(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    session.db = u32::try_from(index)
        .ok()
        .filter(|db| *db < call.settings.databases)
        .ok_or(CommandError::DbIndexOutOfRange)?;
    reply.ok();
    Ok(())
}

fn quit(_: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    session.closing = true;
    reply.ok();
    Ok(())
}

fn reset(
    call: &Call<'_>,
    session: &mut Session,
    register: &mut Register,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    register.unsubscribe_all(&mut session.subscribed);
    session.tracking = None;
    session.db = 0;
    session.resp3 = false;
    session.user = "default".into();
    session.authenticated = call.settings.passwords.is_none_needed();
    session.names.client.clear();
    session.monitors = false;
    session.transaction = None;
    session.watches.clear();
    session.no_evict = false;
    session.no_touch = false;
    session.imports = false;
    session.reads_replicas = false;
    if session.replies != Replies::Skip {
        session.replies = Replies::On;
    }
    reply.simple("RESET");
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn words_come_back() {
        let mut store = Store::new();
        assert_eq!(store.run("PING"), "PONG");
        assert_eq!(store.run("PING hello"), "\"hello\"");
        assert_eq!(
            store.run("PING a b"),
            "(error) ERR wrong number of arguments for 'ping' command"
        );
        assert_eq!(store.run("ECHO \"a b\""), "\"a b\"");
        assert_eq!(store.run("ECHO"), "(error) ERR wrong number of arguments for 'echo' command");
    }

    #[test]
    fn a_database_is_chosen_by_its_number() {
        let mut store = Store::new();
        assert_eq!(store.run("SELECT 3"), "OK");
        assert_eq!(store.session.db, 3);
        for index in ["16", "-1"] {
            let reply = store.run(&format!("SELECT {index}"));
            assert_eq!(reply, "(error) ERR DB index is out of range");
        }
        for index in ["x", "1.0", "01"] {
            let reply = store.run(&format!("SELECT {index}"));
            assert_eq!(reply, "(error) ERR value is not an integer or out of range");
        }
        assert_eq!(
            store.run("SELECT 99999999999"),
            "(error) ERR value is out of range, value must between -2147483648 and 2147483647"
        );
        assert_eq!(store.session.db, 3);
    }

    #[test]
    fn quit_answers_and_closes() {
        let mut store = Store::new();
        assert_eq!(store.run("QUIT now"), "OK");
        assert!(store.session.closing);
    }

    #[test]
    fn reset_goes_back_to_the_beginning() {
        let mut store = Store::new();
        store.run("SELECT 3");
        store.run("HELLO 3 SETNAME n");
        store.run("CLIENT SETINFO LIB-NAME lib");
        store.run("CLIENT NO-TOUCH on");
        store.session.monitors = true;
        store.session.reads_replicas = true;
        assert_eq!(store.run("RESET"), "RESET");
        let session = &store.session;
        assert_eq!((session.db, session.resp3, session.monitors), (0, false, false));
        assert!(!session.reads_replicas);
        assert!(session.authenticated && !session.no_touch && session.names.client.is_empty());
        assert_eq!(session.names.library, b"lib");
    }

    #[test]
    fn reset_takes_the_authentication_back_where_there_is_a_password() {
        let mut store = Store::new();
        store.configure("requirepass", "secret");
        assert_eq!(store.run("RESET"), "RESET");
        assert!(!store.session.authenticated);
    }
}

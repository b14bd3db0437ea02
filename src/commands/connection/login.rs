//! AUTH and HELLO: who the client is and how it wants to be spoken to.
//!
//! There is one user, `default`, whose password is the setting `requirepass`, or stands in a line
//! of `user`; with none set, every password of that user is right. HELLO names this server `troupe`
//! and gives, as INFO does, the version of Redis that it is compatible with: clients choose what
//! they may send by that number, and this server's own would make them think it ancient.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::connection::basic::ALWAYS;
use crate::commands::connection::naming::{self, NOT_A_NAME};
use crate::commands::error::{CommandError, quoting};
use crate::resp::Reply;
use crate::session::Session;

/// The version of Redis that this server is compatible with.
pub const REDIS_VERSION: &str = "7.2.4";

const NO_PASSWORD: CommandError = CommandError::Text(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure \
     your configuration is correct?",
);
const BAD_VERSION: CommandError =
    CommandError::Text("ERR Protocol version is not an integer or out of range");
const NO_SUCH_VERSION: CommandError = CommandError::Text("NOPROTO unsupported protocol version");
const HELLO_FIRST: CommandError = CommandError::Text(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
     <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
     protocol version at the same time",
);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("auth"),
        group: Group::Connection,
        since: "1.0.0",
        complexity: "O(N), N being the number of passwords of the user",
        summary: "Proves who the client is.",
        arity: Arity::AtLeast(2),
        flags: ALWAYS.and(Flags::SENSITIVE),
        args: &[Arg::string("username").optional().since("6.0.0"), Arg::string("password")],
        history: &[("6.0.0", "A user can be named.")],
        run: Run::Session(auth),
        ..Command::BASE
    },
    Command {
        name: Name("hello"),
        group: Group::Connection,
        since: "6.0.0",
        summary: "Introduces client and server to one another.",
        flags: ALWAYS,
        secret: Some(is_credential),
        args: &[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block("auth", &[Arg::string("username"), Arg::string("password")])
                    .token("AUTH")
                    .optional(),
                Arg::string("clientname").token("SETNAME").optional(),
            ],
        )
        .optional()],
        history: &[
            ("8.1.0", "The availability zone is told, where one is set."),
            ("6.2.0", "`protover` can be left out."),
        ],
        run: Run::Session(hello),
        ..Command::BASE
    },
];

fn auth(call: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match call.len() {
        2 if call.settings.passwords.is_none_needed() => return Err(NO_PASSWORD),
        2 => log_in(call, session, b"default", call.arg(1))?,
        3 => log_in(call, session, call.arg(1), call.arg(2))?,
        _ => return Err(CommandError::Syntax),
    }
    reply.ok();
    Ok(())
}

fn hello(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut options = call.options(1);
    let resp3 = match options.take() {
        None => session.resp3,
        Some(version) => match integer::parse(version).ok_or(BAD_VERSION)? {
            2 => false,
            3 => true,
            _ => return Err(NO_SUCH_VERSION),
        },
    };
    let (mut user, mut name) = (None, None);
    while let Some(option) = options.take() {
        match &option.to_ascii_uppercase()[..] {
            b"AUTH" if options.left() >= 2 => user = options.take().zip(options.take()),
            b"SETNAME" if options.left() >= 1 => {
                name = options.take();
                if !name.is_some_and(naming::is_name) {
                    return Err(NOT_A_NAME);
                }
            }
            _ => {
                return Err(quoting("ERR Syntax error in HELLO option '{}'", &[option]));
            }
        }
    }
    if let Some((user, password)) = user {
        log_in(call, session, user, password)?;
    }
    if !session.authenticated {
        return Err(HELLO_FIRST);
    }
    if let Some(name) = name {
        session.names.client = name.to_vec();
    }
    session.resp3 = resp3;
    reply.speak(resp3);
    introduce(call, session, reply);
    Ok(())
}

/// True for the two words after AUTH.
fn is_credential(call: &Call<'_>, at: usize) -> bool {
    (2..at).any(|option| at - option <= 2 && call.is(option, "auth"))
}

/// What the server says of itself.
fn introduce(call: &Call<'_>, session: &Session, reply: &mut Reply<'_>) {
    let zone = call.settings.get("availability-zone").filter(|zone| !zone.is_empty());
    reply.map(7 + usize::from(zone.is_some()));
    for (name, value) in [("server", "troupe"), ("version", REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.int(if session.resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(session.id.cast_signed());
    let is_primary = call.settings.replication.replicaof.is_none();
    let role = if is_primary { "master" } else { "replica" };
    for (name, value) in [("mode", "standalone"), ("role", role)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    if let Some(zone) = zone {
        reply.bulk(b"availability_zone");
        reply.bulk(zone);
    }
}

/// Makes the client this user; it stays who it was when the password is wrong.
fn log_in(
    call: &Call<'_>,
    session: &mut Session,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    if user != b"default" || !call.settings.passwords.accept(password) {
        return Err(CommandError::WrongPass);
    }
    session.user = "default".into();
    session.authenticated = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::hooks::sample;
    use crate::testing::Store;

    const WRONG: &str = "(error) WRONGPASS invalid username-password pair or user is disabled.";

    #[test]
    fn without_a_password_anybody_is_the_default_user() {
        let mut store = Store::new();
        assert_eq!(
            store.run("AUTH x"),
            "(error) ERR AUTH <password> called without any password configured for the default \
             user. Are you sure your configuration is correct?"
        );
        assert_eq!(store.run("AUTH default x"), "OK");
        assert_eq!(store.run("AUTH somebody x"), WRONG);
        assert_eq!(store.run("AUTH a b c"), "(error) ERR syntax error");
    }

    #[test]
    fn the_password_is_asked_for() {
        let mut store = Store::new();
        store.configure("requirepass", "secret");
        store.session.authenticated = false;
        for wrong in ["AUTH x", "AUTH secre", "AUTH secretsecret", "AUTH default \"\""] {
            assert_eq!(store.run(wrong), WRONG, "{wrong}");
            assert!(!store.session.authenticated);
        }
        assert!(store.run("HELLO 3 SETNAME n").starts_with("(error) NOAUTH HELLO must be called"));
        assert!(!store.session.resp3 && store.session.names.client.is_empty());
        assert_eq!(store.run("HELLO 3 AUTH default x"), WRONG);
        assert_eq!(store.run("AUTH secret"), "OK");
        assert!(store.session.authenticated);
        assert_eq!(store.run("AUTH x"), WRONG);
        assert!(store.session.authenticated);
    }

    #[test]
    fn hello_logs_in_names_and_switches() {
        let mut store = Store::new();
        store.configure("requirepass", "secret");
        store.session.authenticated = false;
        let reply = store.run("HELLO 3 AUTH default secret SETNAME me");
        assert!(reply.contains("\"troupe\"") && reply.contains("\"7.2.4\""), "{reply}");
        assert!(store.session.authenticated && store.session.resp3);
        assert_eq!(store.session.names.client, b"me");
        store.run("HELLO 2");
        assert!(!store.session.resp3);
        store.run("HELLO");
        assert!(!store.session.resp3);
    }

    #[test]
    fn hello_refuses_what_it_does_not_know() {
        let mut store = Store::new();
        let refuses = |store: &mut Store, line: &str, error: &str| {
            assert_eq!(store.run(line), format!("(error) {error}"), "{line}");
            assert!(!store.session.resp3);
        };
        refuses(&mut store, "HELLO x", "ERR Protocol version is not an integer or out of range");
        refuses(&mut store, "HELLO 1", "NOPROTO unsupported protocol version");
        refuses(&mut store, "HELLO 4", "NOPROTO unsupported protocol version");
        refuses(&mut store, "HELLO 3 foo", "ERR Syntax error in HELLO option 'foo'");
        refuses(&mut store, "HELLO 3 auth a", "ERR Syntax error in HELLO option 'auth'");
        refuses(
            &mut store,
            "HELLO 3 SETNAME \"a b\"",
            "ERR Client names cannot contain spaces, newlines or special characters.",
        );
    }

    #[test]
    fn logs_hide_users_and_passwords_alone() {
        let call = sample::words(&["hello", "3", "auth", "me", "secret", "setname", "n"]);
        let hidden: Vec<usize> =
            (1..call.len()).filter(|at| super::is_credential(&call, *at)).collect();
        assert_eq!(hidden, [3, 4]);
    }
}

//! CLIENT GETNAME, SETNAME and SETINFO: what a client calls itself.
//!
//! A name is one word of printable ASCII, so that a line of CLIENT LIST stays one line.

use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Group, Name, Run};
use crate::commands::connection::client::ANYWHERE;
use crate::commands::error::{CommandError, quoting};
use crate::resp::Reply;
use crate::session::Session;

/// Why a name is refused.
pub(super) const NOT_A_NAME: CommandError =
    CommandError::Text("ERR Client names cannot contain spaces, newlines or special characters.");

pub(super) const GETNAME: Command = Command {
    name: Name("client|getname"),
    group: Group::Connection,
    since: "2.6.9",
    summary: "Gives the name of the connection.",
    arity: Arity::Exactly(2),
    flags: ANYWHERE,
    run: Run::Session(getname),
    ..Command::BASE
};

pub(super) const SETNAME: Command = Command {
    name: Name("client|setname"),
    group: Group::Connection,
    since: "2.6.9",
    summary: "Names the connection; an empty name takes the name away.",
    arity: Arity::Exactly(3),
    flags: ANYWHERE,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::string("connection-name")],
    run: Run::Session(setname),
    ..Command::BASE
};

pub(super) const SETINFO: Command = Command {
    name: Name("client|setinfo"),
    group: Group::Connection,
    since: "7.2.0",
    summary: "Says which library the client uses.",
    arity: Arity::Exactly(4),
    flags: ANYWHERE,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    args: &[Arg::one_of(
        "attr",
        &[Arg::string("libname").token("LIB-NAME"), Arg::string("libver").token("LIB-VER")],
    )],
    run: Run::Session(setinfo),
    ..Command::BASE
};

/// True for one word of printable ASCII, and for none.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_graphic)
}

fn getname(_: &Call<'_>, session: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match &session.names.client[..] {
        [] => reply.null(),
        name => reply.bulk(name),
    }
    Ok(())
}

fn setname(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let name = call.arg(2);
    if !is_name(name) {
        return Err(NOT_A_NAME);
    }
    session.names.client = name.to_vec();
    reply.ok();
    Ok(())
}

fn setinfo(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let option = call.arg(2);
    let place = if call.is(2, "lib-name") {
        &mut session.names.library
    } else if call.is(2, "lib-ver") {
        &mut session.names.version
    } else {
        return Err(quoting("ERR Unrecognized option '{}'", &[option]));
    };
    if !is_name(call.arg(3)) {
        let text = "ERR {} cannot contain spaces, newlines or special characters.";
        return Err(quoting(text, &[option]));
    }
    *place = call.arg(3).to_vec();
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn a_name_is_one_word() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT GETNAME"), "(nil)");
        assert_eq!(store.run("CLIENT SETNAME me"), "OK");
        assert_eq!(store.run("CLIENT GETNAME"), "\"me\"");
        for name in ["\"a b\"", "\"a\\n\"", "\"\\xc3\\xa9\""] {
            assert_eq!(
                store.run(&format!("CLIENT SETNAME {name}")),
                "(error) ERR Client names cannot contain spaces, newlines or special characters."
            );
        }
        assert_eq!(store.run("CLIENT SETNAME \"\""), "OK");
        assert_eq!(store.run("CLIENT GETNAME"), "(nil)");
    }

    #[test]
    fn a_library_says_its_name_and_version() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT SETINFO LIB-NAME lib"), "OK");
        assert_eq!(store.run("CLIENT SETINFO lib-ver 1.2"), "OK");
        assert_eq!(store.session.names.library, b"lib");
        assert_eq!(store.session.names.version, b"1.2");
        assert_eq!(
            store.run("CLIENT SETINFO LIB-NAME \"a b\""),
            "(error) ERR LIB-NAME cannot contain spaces, newlines or special characters."
        );
        assert_eq!(store.run("CLIENT SETINFO foo bar"), "(error) ERR Unrecognized option 'foo'");
    }
}

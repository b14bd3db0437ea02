//! CLIENT TRACKING, TRACKINGINFO, GETREDIR, CACHING: client-side caching.
//!
//! There is no tracking yet. Switching it off succeeds, asking about it tells that it is off, and
//! switching it on is an error, so that a client falls back instead of trusting a cache that
//! nobody invalidates.

use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Group, Name, Run};
use crate::commands::connection::client::{ANY_TIME, ANYWHERE, on_or_off};
use crate::commands::error::CommandError;
use crate::resp::Reply;
use crate::session::Session;

const NOT_TRACKING: CommandError = CommandError::Text(
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
     OPTOUT mode enabled",
);
const NOT_YET: CommandError =
    CommandError::Text("ERR client tracking is not supported by this version of Troupe");

pub(super) const CACHING: Command = Command {
    name: Name("client|caching"),
    group: Group::Connection,
    since: "6.0.0",
    summary: "Says whether the keys of the next command are tracked.",
    arity: Arity::Exactly(3),
    flags: ANYWHERE,
    args: &[Arg::one_of("mode", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])],
    run: Run::Session(caching),
    ..Command::BASE
};

pub(super) const GETREDIR: Command = Command {
    name: Name("client|getredir"),
    group: Group::Connection,
    since: "6.0.0",
    summary: "Gives the client that gets the invalidations of this one.",
    arity: Arity::Exactly(2),
    flags: ANYWHERE,
    run: Run::Session(getredir),
    ..Command::BASE
};

pub(super) const TRACKING: Command = Command {
    name: Name("client|tracking"),
    group: Group::Connection,
    since: "6.0.0",
    complexity: "O(1), and more with some options",
    summary: "Tells the client when keys that it read change, or no longer.",
    arity: Arity::AtLeast(3),
    flags: ANY_TIME,
    args: &[
        Arg::one_of("status", &[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
        Arg::integer("client-id").token("REDIRECT").optional(),
        Arg::string("prefix").token("PREFIX").optional().multiple_token(),
        Arg::word("bcast", "BCAST").optional(),
        Arg::word("optin", "OPTIN").optional(),
        Arg::word("optout", "OPTOUT").optional(),
        Arg::word("noloop", "NOLOOP").optional(),
    ],
    run: Run::Session(tracking),
    ..Command::BASE
};

pub(super) const TRACKINGINFO: Command = Command {
    name: Name("client|trackinginfo"),
    group: Group::Connection,
    since: "6.2.0",
    summary: "Tells how keys are tracked for the client.",
    arity: Arity::Exactly(2),
    flags: ANY_TIME,
    run: Run::Session(trackinginfo),
    ..Command::BASE
};

fn caching(_: &Call<'_>, _: &mut Session, _: &mut Reply<'_>) -> Result<(), CommandError> {
    Err(NOT_TRACKING)
}

fn getredir(_: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(-1);
    Ok(())
}

fn tracking(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut options = call.options(3);
    while let Some(option) = options.take() {
        match &option.to_ascii_lowercase()[..] {
            b"redirect" => drop(options.integer()?),
            b"prefix" => drop(options.value()?),
            b"bcast" | b"optin" | b"optout" | b"noloop" => {}
            _ => return Err(CommandError::Syntax),
        }
    }
    if on_or_off(call, 2)? {
        return Err(NOT_YET);
    }
    reply.ok();
    Ok(())
}

fn trackinginfo(_: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(1);
    reply.bulk(b"off");
    reply.bulk(b"redirect");
    reply.int(-1);
    reply.bulk(b"prefixes");
    reply.array(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn tracking_is_off() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT GETREDIR"), "(integer) -1");
        assert_eq!(
            store.run("CLIENT TRACKINGINFO"),
            "1) \"flags\"\n2) 1) \"off\"\n3) \"redirect\"\n4) (integer) -1\n5) \"prefixes\"\n6) \
             (empty array)"
        );
        assert_eq!(store.run("CLIENT TRACKING off"), "OK");
        assert_eq!(store.run("CLIENT TRACKING x"), "(error) ERR syntax error");
        assert_eq!(store.run("CLIENT TRACKING on foo"), "(error) ERR syntax error");
        let refused = "(error) ERR client tracking is not supported by this version of Troupe";
        assert_eq!(store.run("CLIENT TRACKING on BCAST PREFIX a"), refused);
        assert!(store.run("CLIENT CACHING yes").starts_with("(error) ERR CLIENT CACHING can be"));
    }
}

//! CLIENT INFO, LIST and KILL: the client among the others.
//!
//! Options are read here, in full, into a [`Filter`]; the connection at home asks every thread for
//! the rows that match. Options take effect in Valkey's order of checks: the first word that is
//! wrong decides the error.

use crate::base::integer;
use crate::commands::action::Action;
use crate::commands::call::{Call, Options};
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::connection::client::ANY_TIME;
use crate::commands::error::{CommandError, quoting};
use crate::commands::filter::{Condition, Filter, Kind, Property};
use crate::session::Session;

/// Letters that CLIENT LIST can show as flags.
const FLAGS: &[u8] = b"bcdeirtuxABEIMNOPRSTU";

/// Letters that CLIENT LIST can show as capabilities.
const CAPABILITIES: &[u8] = b"r";

pub(super) const INFO: Command = Command {
    name: Name("client|info"),
    group: Group::Connection,
    since: "6.2.0",
    summary: "Describes the connection in one line.",
    arity: Arity::Exactly(2),
    flags: ANY_TIME,
    tips: &["nondeterministic_output"],
    run: Run::Server(info),
    ..Command::BASE
};

pub(super) const KILL: Command = Command {
    name: Name("client|kill"),
    group: Group::Connection,
    since: "2.4.0",
    complexity: "O(N), N being the number of clients",
    summary: "Closes the connections that match.",
    arity: Arity::AtLeast(3),
    flags: ANY_TIME.and(Flags::ADMIN),
    args: KILL_ARGS,
    history: &[
        ("2.8.12", "Options beside the one address."),
        ("2.8.12", "The option `ID`."),
        ("3.2.0", "The type `master`."),
        ("5.0.0", "The type `replica`, which `slave` still means too."),
        ("6.2.0", "The option `LADDR`."),
        ("8.0.0", "The option `MAXAGE`."),
        ("8.0.0", "The type `primary`, which `master` still means too."),
        ("8.1.0", "Several numbers after `ID`."),
        ("9.0.0", "More options, and options that begin with `NOT-`."),
    ],
    run: Run::Server(kill),
    ..Command::BASE
};

pub(super) const LIST: Command = Command {
    name: Name("client|list"),
    group: Group::Connection,
    since: "2.4.0",
    complexity: "O(N), N being the number of clients",
    summary: "Describes the connections that match, a line each.",
    arity: Arity::AtLeast(2),
    flags: ANY_TIME.and(Flags::ADMIN),
    tips: &["nondeterministic_output"],
    args: LIST_ARGS,
    history: &[
        ("2.8.12", "The field `id`."),
        ("5.0.0", "The option `TYPE`."),
        ("6.0.0", "The field `user`."),
        ("6.2.0", "The fields `argv-mem`, `tot-mem`, `laddr` and `redir`, the option `ID`."),
        ("7.0.0", "The fields `resp`, `multi-mem`, `rbs` and `rbp`."),
        ("7.0.3", "The field `ssub`."),
        ("8.0.0", "The type `primary`, which `master` still means too."),
        ("8.1.0", "The options `USER`, `ADDR`, `LADDR`, `SKIPME` and `MAXAGE`."),
        ("9.0.0", "More options, and options that begin with `NOT-`."),
    ],
    run: Run::Server(list),
    ..Command::BASE
};

const KILL_ARGS: &[Arg] = &[Arg::one_of(
    "filter",
    &[
        Arg::string("old-format").shown("ip:port").deprecated("2.8.12"),
        Arg::one_of(
            "new-format",
            &Arg::joined::<27>(&[KILL_FILTER, FILTER, &[KILL_NOT_TYPE], NOT_FILTER]),
        )
        .multiple(),
    ],
)];

const KILL_FILTER: &[Arg] = &[
    Arg::integer("client-id").token("ID").optional().multiple().since("2.8.12"),
    Arg::one_of(
        "client-type",
        &[
            Arg::word("normal", "NORMAL"),
            Arg::word("master", "MASTER").since("3.2.0"),
            Arg::word("primary", "PRIMARY").since("8.0.0"),
            Arg::word("slave", "SLAVE"),
            Arg::word("replica", "REPLICA").since("5.0.0"),
            Arg::word("pubsub", "PUBSUB"),
        ],
    )
    .token("TYPE")
    .optional()
    .since("2.8.12"),
    Arg::string("username").token("USER").optional(),
    Arg::string("addr").shown("ip:port").token("ADDR").optional(),
    Arg::string("laddr").shown("ip:port").token("LADDR").optional().since("6.2.0"),
    Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])
        .token("SKIPME")
        .optional(),
    Arg::integer("maxage").token("MAXAGE").optional().since("8.0.0"),
];

const KILL_NOT_TYPE: Arg = Arg::one_of(
    "not-client-type",
    &[
        Arg::word("normal", "NORMAL"),
        Arg::word("master", "MASTER"),
        Arg::word("primary", "PRIMARY"),
        Arg::word("slave", "SLAVE"),
        Arg::word("replica", "REPLICA"),
        Arg::word("pubsub", "PUBSUB"),
    ],
)
.token("NOT-TYPE")
.optional()
.since("9.0.0");

const LIST_ARGS: &[Arg] = &Arg::joined::<27>(&[LIST_FILTER, FILTER, &[LIST_NOT_TYPE], NOT_FILTER]);

const LIST_FILTER: &[Arg] = &[
    Arg::one_of(
        "client-type",
        &[
            Arg::word("normal", "NORMAL"),
            Arg::word("master", "MASTER"),
            Arg::word("replica", "REPLICA"),
            Arg::word("pubsub", "PUBSUB"),
        ],
    )
    .token("TYPE")
    .optional()
    .since("5.0.0"),
    Arg::integer("client-id").token("ID").optional().multiple().since("6.2.0"),
    Arg::string("username").token("USER").optional().since("8.1.0"),
    Arg::string("addr").shown("ip:port").token("ADDR").optional().since("8.1.0"),
    Arg::string("laddr").shown("ip:port").token("LADDR").optional().since("8.1.0"),
    Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])
        .token("SKIPME")
        .optional()
        .since("8.1.0"),
    Arg::integer("maxage").token("MAXAGE").optional().since("8.1.0"),
];

/// What LIST and KILL share.
const FILTER: &[Arg] = &[
    Arg::string("name").token("NAME").optional().since("9.0.0"),
    Arg::integer("idle").token("IDLE").optional().since("9.0.0"),
    Arg::string("flags").token("FLAGS").optional().since("9.0.0"),
    Arg::string("lib-name").token("LIB-NAME").optional().since("9.0.0"),
    Arg::string("lib-ver").token("LIB-VER").optional().since("9.0.0"),
    Arg::integer("db").token("DB").optional().since("9.0.0"),
    Arg::string("capa").token("CAPA").optional().since("9.0.0"),
    Arg::string("ip").token("IP").optional().since("9.0.0"),
];

const LIST_NOT_TYPE: Arg = Arg::one_of(
    "not-client-type",
    &[
        Arg::word("normal", "NORMAL"),
        Arg::word("master", "MASTER"),
        Arg::word("replica", "REPLICA"),
        Arg::word("pubsub", "PUBSUB"),
    ],
)
.token("NOT-TYPE")
.optional()
.since("9.0.0");

/// What LIST and KILL share of the words with `NOT-`.
const NOT_FILTER: &[Arg] = &[
    Arg::integer("not-client-id").token("NOT-ID").optional().multiple().since("9.0.0"),
    Arg::string("not-username").token("NOT-USER").optional().since("9.0.0"),
    Arg::string("not-addr").shown("ip:port").token("NOT-ADDR").optional().since("9.0.0"),
    Arg::string("not-laddr").shown("ip:port").token("NOT-LADDR").optional().since("9.0.0"),
    Arg::string("not-name").token("NOT-NAME").optional().since("9.0.0"),
    Arg::string("not-flags").token("NOT-FLAGS").optional().since("9.0.0"),
    Arg::string("not-lib-name").token("NOT-LIB-NAME").optional().since("9.0.0"),
    Arg::string("not-lib-ver").token("NOT-LIB-VER").optional().since("9.0.0"),
    Arg::integer("not-db").token("NOT-DB").optional().since("9.0.0"),
    Arg::string("not-capa").token("NOT-CAPA").optional().since("9.0.0"),
    Arg::string("not-ip").token("NOT-IP").optional().since("9.0.0"),
];

fn info(_: &Call<'_>, _: &Session) -> Result<Action, CommandError> {
    Ok(Action::ClientInfo)
}

fn list(call: &Call<'_>, session: &Session) -> Result<Action, CommandError> {
    Ok(Action::ClientList(filter(call, session, false)?))
}

fn kill(call: &Call<'_>, session: &Session) -> Result<Action, CommandError> {
    if call.len() > 3 {
        return Ok(Action::ClientKill { filter: filter(call, session, true)?, old_form: false });
    }
    let mut filter = Filter { now: call.now, ..Filter::default() };
    let property = Property::Address(call.arg(2).to_vec());
    filter.add(Condition { property, wanted: true });
    Ok(Action::ClientKill { filter, old_form: true })
}

/// Reads the options of LIST and KILL. `spares` says whether the client spares itself when it does
/// not say.
fn filter(call: &Call<'_>, session: &Session, spares: bool) -> Result<Filter, CommandError> {
    let mut filter =
        Filter { now: call.now, spared: spares.then_some(session.id), ..Filter::default() };
    let mut options = call.options(2);
    while let Some(option) = options.take() {
        let option = option.to_ascii_lowercase();
        if options.left() == 0 {
            return Err(CommandError::Syntax);
        }
        if option == b"skipme" {
            filter.spared = skip_me(options.value()?)?.then_some(session.id);
            continue;
        }
        let (wanted, property) = match option.strip_prefix(b"not-") {
            None => (true, property(&option, call, &mut options)?),
            Some(b"maxage" | b"idle") => return Err(CommandError::Syntax),
            Some(option) => (false, property(option, call, &mut options)?),
        };
        filter.add(Condition { property, wanted });
    }
    Ok(filter)
}

fn skip_me(word: &[u8]) -> Result<bool, CommandError> {
    match &word.to_ascii_lowercase()[..] {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

fn property(
    option: &[u8],
    call: &Call<'_>,
    options: &mut Options<'_>,
) -> Result<Property, CommandError> {
    if option == b"id" {
        return ids(call, options);
    }
    let value = options.value()?;
    Ok(match option {
        b"type" => Property::Kind(
            Kind::named(value).ok_or_else(|| quoting("ERR Unknown client type '{}'", &[value]))?,
        ),
        b"user" if value == b"default" => Property::User(value.to_vec()),
        b"user" => return Err(quoting("ERR No such user '{}'", &[value])),
        b"addr" => Property::Address(value.to_vec()),
        b"laddr" => Property::Local(value.to_vec()),
        b"ip" => Property::Ip(value.to_vec()),
        b"name" => Property::Name(value.to_vec()),
        b"lib-name" => Property::Library(value.to_vec()),
        b"lib-ver" => Property::LibraryVersion(value.to_vec()),
        b"flags" if value.iter().all(|letter| FLAGS.contains(letter)) => {
            Property::Flags(value.to_vec())
        }
        b"flags" => {
            return Err(quoting("ERR Unknown flags found in the provided filter: {}", &[value]));
        }
        b"capa" if value.iter().all(|letter| CAPABILITIES.contains(letter)) => {
            Property::Capabilities(value.to_vec())
        }
        b"capa" => {
            return Err(quoting("ERR Unknown capa found in the provided filter: {}", &[value]));
        }
        b"db" => Property::Db(db(value, call.settings.databases)?),
        b"maxage" => Property::Age(seconds("maxage", value)?),
        b"idle" => Property::Idle(seconds("idle", value)?),
        _ => return Err(CommandError::Syntax),
    })
}

/// One number, and all that follow it.
fn ids(call: &Call<'_>, options: &mut Options<'_>) -> Result<Property, CommandError> {
    let mut ids = Vec::new();
    while let Some(id) = integer::parse(call.arg(options.position())) {
        match u64::try_from(id) {
            Ok(id) if id > 0 => ids.push(id),
            _ => return Err(CommandError::Text("ERR client-id should be greater than 0")),
        }
        options.take();
    }
    if ids.is_empty() { Err(CommandError::Syntax) } else { Ok(Property::Id(ids)) }
}

fn seconds(option: &str, value: &[u8]) -> Result<i64, CommandError> {
    match integer::parse(value) {
        None => {
            Err(CommandError::Quoted(format!("ERR {option} is not an integer or out of range")))
        }
        Some(seconds) if seconds > 0 => Ok(seconds),
        Some(_) => Err(CommandError::Quoted(format!("ERR {option} should be greater than 0"))),
    }
}

fn db(value: &[u8], databases: u32) -> Result<u32, CommandError> {
    let index = integer::parse(value)
        .filter(|index| i32::try_from(*index).is_ok())
        .ok_or(CommandError::Text("ERR DB is not an integer or out of range"))?;
    u32::try_from(index).ok().filter(|db| *db < databases).ok_or_else(|| {
        let last = databases.saturating_sub(1);
        CommandError::Quoted(format!("ERR DB number should be between 0 and {last}"))
    })
}

#[cfg(test)]
mod tests {

    use crate::testing::Store;

    #[test]
    fn options_become_a_filter() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT INFO"), "(action) ClientInfo");
        let list = store.run("CLIENT LIST ID 3 4 TYPE normal NOT-NAME me SKIPME yes");
        let expected = "(action) ClientList(Filter { conditions: [\
            Condition { property: Id([3, 4]), wanted: true }, \
            Condition { property: Kind(Normal), wanted: true }, \
            Condition { property: Name([109, 101]), wanted: false }], spared: Some(1), ";
        assert!(list.starts_with(expected), "{list}");
        let kill = store.run("CLIENT KILL ADDR 1.2.3.4:5 MAXAGE 9");
        assert!(kill.contains("spared: Some(1)") && kill.ends_with("old_form: false }"), "{kill}");
        let kill = store.run("CLIENT KILL 1.2.3.4:5");
        assert!(kill.contains("spared: None") && kill.ends_with("old_form: true }"), "{kill}");
        assert!(store.run("CLIENT KILL ID").ends_with("old_form: true }"));
    }

    #[test]
    fn the_first_wrong_word_decides() {
        let mut store = Store::new();
        for (options, error) in [
            ("foo", "ERR syntax error"),
            ("foo bar", "ERR syntax error"),
            ("ID", "ERR syntax error"),
            ("ID x", "ERR syntax error"),
            ("ID 1 2 x", "ERR syntax error"),
            ("ID 0", "ERR client-id should be greater than 0"),
            ("NOT-ID -1", "ERR client-id should be greater than 0"),
            ("TYPE foo", "ERR Unknown client type 'foo'"),
            ("NOT-USER foo", "ERR No such user 'foo'"),
            ("MAXAGE x", "ERR maxage is not an integer or out of range"),
            ("MAXAGE 0", "ERR maxage should be greater than 0"),
            ("IDLE x", "ERR idle is not an integer or out of range"),
            ("NOT-IDLE 3", "ERR syntax error"),
            ("NOT-MAXAGE 3", "ERR syntax error"),
            ("NOT-SKIPME yes", "ERR syntax error"),
            ("SKIPME foo", "ERR syntax error"),
            ("FLAGS NZ", "ERR Unknown flags found in the provided filter: NZ"),
            ("CAPA x", "ERR Unknown capa found in the provided filter: x"),
            ("DB x", "ERR DB is not an integer or out of range"),
            ("DB 16", "ERR DB number should be between 0 and 15"),
            ("DB -1", "ERR DB number should be between 0 and 15"),
        ] {
            assert_eq!(store.run(&format!("CLIENT LIST {options}")), format!("(error) {error}"));
        }
        assert_eq!(store.run("CLIENT KILL foo bar"), "(error) ERR syntax error");
        assert_eq!(store.run("CLIENT KILL ID 1 2 foo"), "(error) ERR syntax error");
    }
}

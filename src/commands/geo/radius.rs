//! Members in a circle, as older clients ask for them: GEORADIUS, GEORADIUSBYMEMBER,
//! GEORADIUSBYMEMBER_RO, GEORADIUS_RO.

use crate::commands::command::{
    Access, Arg, Arity, Begin, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::geo::position::UNIT;
use crate::commands::geo::search::{self, Form};
use crate::commands::geo::searching::{COUNT, ORDER, WITHCOORD, WITHDIST, WITHHASH};

const COMPLEXITY: &str =
    "O(N+log(M)) with N members in the cells around the circle and M in the sorted set.";

const SOURCE: KeySpec = KeySpec::one(1, Access::RO.and(Access::READS));

const fn stored(word: &'static str, from: i16) -> KeySpec {
    KeySpec {
        access: Access::OW.and(Access::UPDATE).and(Access::VARIABLE_FLAGS),
        begin: Begin::Keyword(word, from),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        notes: "",
    }
}

const STORE: Arg = Arg::one_of(
    "store",
    &[
        Arg::key_of("storekey", 1).token("STORE").shown("key"),
        Arg::key_of("storedistkey", 2).token("STOREDIST").shown("key"),
    ],
)
.optional();

const POSITION: &[Arg] =
    &[Arg::key("key"), Arg::double("longitude"), Arg::double("latitude"), RADIUS];
const MEMBER: &[Arg] = &[Arg::key("key"), Arg::string("member"), RADIUS];
const RADIUS: Arg = Arg::double("radius");

const SHOWN: &[Arg] = &[UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER];
const STORED: &[Arg] = &Arg::joined::<7>(&[SHOWN, &[STORE]]);

const WRITE: Command = Command {
    group: Group::Geo,
    since: "3.2.0",
    complexity: COMPLEXITY,
    further: Some(destination),
    varying_access: Some(|_| Access::OW.and(Access::UPDATE)),
    flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::MOVABLE_KEYS),
    ..Command::BASE
};

const READ: Command = Command {
    group: Group::Geo,
    since: "3.2.10",
    complexity: COMPLEXITY,
    keys: &[SOURCE],
    flags: Flags::READONLY,
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("georadius"),
        summary: "Gives or stores the members in a circle around a position.",
        arity: Arity::AtLeast(6),
        keys: &[SOURCE, stored("STORE", 6), stored("STOREDIST", 6)],
        args: &Arg::joined::<11>(&[POSITION, STORED]),
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        run: Run::Keys(|call, keys, reply| search::run(call, keys, reply, Form::Radius(true))),
        ..WRITE
    },
    Command {
        name: Name("georadius_ro"),
        summary: "Gives the members in a circle around a position.",
        arity: Arity::AtLeast(6),
        args: &Arg::joined::<10>(&[POSITION, SHOWN]),
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        run: Run::Keys(|call, keys, reply| search::run(call, keys, reply, Form::Radius(false))),
        ..READ
    },
    Command {
        name: Name("georadiusbymember"),
        summary: "Gives or stores the members in a circle around a member.",
        arity: Arity::AtLeast(5),
        keys: &[SOURCE, stored("STORE", 5), stored("STOREDIST", 5)],
        args: &Arg::joined::<10>(&[MEMBER, STORED]),
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        run: Run::Keys(|call, keys, reply| {
            search::run(call, keys, reply, Form::RadiusByMember(true))
        }),
        ..WRITE
    },
    Command {
        name: Name("georadiusbymember_ro"),
        summary: "Gives the members in a circle around a member.",
        arity: Arity::AtLeast(5),
        args: &Arg::joined::<9>(&[MEMBER, SHOWN]),
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: Run::Keys(|call, keys, reply| {
            search::run(call, keys, reply, Form::RadiusByMember(false))
        }),
        ..READ
    },
];

/// The key behind STORE or STOREDIST: of several the last, which is the one that is written. A word
/// behind either is a key, whatever it says.
fn destination(words: &[&[u8]]) -> Vec<usize> {
    let (mut found, mut at) = (None, 5);
    while at + 1 < words.len() {
        let is = |option: &str| words[at].eq_ignore_ascii_case(option.as_bytes());
        if is("STORE") || is("STOREDIST") {
            at += 1;
            found = Some(at);
        }
        at += 1;
    }
    found.into_iter().collect()
}

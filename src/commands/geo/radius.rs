//! Members in a circle, as older clients ask for them: GEORADIUS, GEORADIUSBYMEMBER,
//! GEORADIUSBYMEMBER_RO, GEORADIUS_RO.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Begin, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::geo::position::UNIT;
use crate::commands::geo::search::{self, Form};
use crate::commands::geo::searching::{COUNT, ORDER, WITHCOORD, WITHDIST, WITHHASH};
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

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

const LONGITUDE: Arg = Arg::double("longitude");
const LATITUDE: Arg = Arg::double("latitude");
const RADIUS: Arg = Arg::double("radius");
const MEMBER: Arg = Arg::string("member");

const WRITE: Command = Command {
    group: Group::Geo,
    since: "3.2.0",
    complexity: COMPLEXITY,
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
        args: &[
            Arg::key("key"),
            LONGITUDE,
            LATITUDE,
            RADIUS,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT,
            ORDER,
            STORE,
        ],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        run: Run::Keys(georadius),
        ..WRITE
    },
    Command {
        name: Name("georadius_ro"),
        summary: "Gives the members in a circle around a position.",
        arity: Arity::AtLeast(6),
        args: &[
            Arg::key("key"),
            LONGITUDE,
            LATITUDE,
            RADIUS,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT,
            ORDER,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        run: Run::Keys(georadius_ro),
        ..READ
    },
    Command {
        name: Name("georadiusbymember"),
        summary: "Gives or stores the members in a circle around a member.",
        arity: Arity::AtLeast(5),
        keys: &[SOURCE, stored("STORE", 5), stored("STOREDIST", 5)],
        args: &[
            Arg::key("key"),
            MEMBER,
            RADIUS,
            UNIT,
            WITHCOORD,
            WITHDIST,
            WITHHASH,
            COUNT,
            ORDER,
            STORE,
        ],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        run: Run::Keys(georadiusbymember),
        ..WRITE
    },
    Command {
        name: Name("georadiusbymember_ro"),
        summary: "Gives the members in a circle around a member.",
        arity: Arity::AtLeast(5),
        args: &[Arg::key("key"), MEMBER, RADIUS, UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: Run::Keys(georadiusbymember_ro),
        ..READ
    },
];

fn georadius(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    search::run(call, keys, reply, Form::Radius(true))
}

fn georadius_ro(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    search::run(call, keys, reply, Form::Radius(false))
}

fn georadiusbymember(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    search::run(call, keys, reply, Form::RadiusByMember(true))
}

fn georadiusbymember_ro(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    search::run(call, keys, reply, Form::RadiusByMember(false))
}

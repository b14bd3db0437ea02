//! Members in an area: GEOSEARCH, GEOSEARCHSTORE.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::geo::position::UNIT;
use crate::commands::geo::search::{self, Form};
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const COMPLEXITY: &str =
    "O(N+log(M)) with N members in the cells around the area and M in the sorted set.";

const FROM: Arg = Arg::one_of(
    "from",
    &[
        Arg::string("member").token("FROMMEMBER"),
        Arg::block("fromlonlat", &[Arg::double("longitude"), Arg::double("latitude")])
            .token("FROMLONLAT"),
    ],
)
.optional();

const BY: Arg = Arg::one_of(
    "by",
    &[
        Arg::block("circle", &[Arg::double("radius").token("BYRADIUS"), UNIT]),
        Arg::block("box", &[Arg::double("width").token("BYBOX"), Arg::double("height"), UNIT]),
        Arg::block(
            "polygon",
            &[
                Arg::integer("num-vertices").token("BYPOLYGON"),
                Arg::block("vertices", &[Arg::double("longitude"), Arg::double("latitude")])
                    .multiple(),
            ],
        )
        .since("9.0.0"),
    ],
);

pub(super) const ORDER: Arg =
    Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional();

pub(super) const COUNT: Arg = Arg::block(
    "count-block",
    &[Arg::integer("count").token("COUNT"), Arg::word("any", "ANY").optional()],
)
.optional();

pub(super) const WITHCOORD: Arg = Arg::word("withcoord", "WITHCOORD").optional();
pub(super) const WITHDIST: Arg = Arg::word("withdist", "WITHDIST").optional();
pub(super) const WITHHASH: Arg = Arg::word("withhash", "WITHHASH").optional();

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("geosearch"),
        group: Group::Geo,
        since: "6.2.0",
        complexity: COMPLEXITY,
        summary: "Gives the members in a circle, a box or a polygon.",
        arity: Arity::AtLeast(7),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        args: &[Arg::key("key"), FROM, BY, ORDER, COUNT, WITHCOORD, WITHDIST, WITHHASH],
        history: &[("9.0.0", "The option `BYPOLYGON`.")],
        run: Run::Keys(geosearch),
        ..Command::BASE
    },
    Command {
        name: Name("geosearchstore"),
        group: Group::Geo,
        since: "6.2.0",
        complexity: COMPLEXITY,
        summary: "Stores the members in a circle, a box or a polygon.",
        arity: Arity::AtLeast(8),
        keys: &[
            KeySpec::one(1, Access::OW.and(Access::UPDATE)),
            KeySpec::one(2, Access::RO.and(Access::READS)),
        ],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[
            Arg::key("destination"),
            Arg::key_of("source", 1),
            FROM,
            BY,
            ORDER,
            COUNT,
            Arg::word("storedist", "STOREDIST").optional(),
        ],
        history: &[("9.0.0", "The option `BYPOLYGON`.")],
        run: Run::Keys(geosearchstore),
        ..Command::BASE
    },
];

fn geosearch(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    search::run(call, keys, reply, Form::Search)
}

fn geosearchstore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    search::run(call, keys, reply, Form::SearchStore)
}

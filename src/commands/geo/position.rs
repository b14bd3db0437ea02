//! Positions of members: GEOADD, GEODIST, GEOHASH, GEOPOS.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::geo::{point, reply_distance, reply_point, unit};
use crate::commands::zset::add::{Options, add};
use crate::data::geo::Point;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const READ: Command = Command {
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(1) for each member.",
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    args: &[Arg::key("key"), Arg::string("member").optional().multiple()],
    ..Command::BASE
};

pub(super) const UNIT: Arg = Arg::one_of(
    "unit",
    &[Arg::word("m", "M"), Arg::word("km", "KM"), Arg::word("ft", "FT"), Arg::word("mi", "MI")],
);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("geoadd"),
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(log(N)) for each member, with N members in the sorted set.",
        summary: "Adds members with their positions, or gives members other positions.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .optional()
                .since("6.2.0"),
            Arg::word("change", "CH").optional().since("6.2.0"),
            Arg::block(
                "data",
                &[Arg::double("longitude"), Arg::double("latitude"), Arg::string("member")],
            )
            .multiple(),
        ],
        history: &[("6.2.0", "The options `CH`, `NX` and `XX`.")],
        run: Run::Keys(geoadd),
        ..Command::BASE
    },
    Command {
        name: Name("geodist"),
        complexity: "O(1)",
        summary: "Gives the distance between two members.",
        arity: Arity::AtLeast(4),
        args: &[Arg::key("key"), Arg::string("member1"), Arg::string("member2"), UNIT.optional()],
        run: Run::Keys(geodist),
        ..READ
    },
    Command {
        name: Name("geohash"),
        summary: "Gives the geohashes of members.",
        arity: Arity::AtLeast(2),
        run: Run::Keys(geohash),
        ..READ
    },
    Command {
        name: Name("geopos"),
        summary: "Gives the longitudes and latitudes of members.",
        arity: Arity::AtLeast(2),
        run: Run::Keys(geopos),
        ..READ
    },
];

fn geoadd(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut options = Options::default();
    let is_option = |word: &&[u8]| {
        let known: [&[u8]; 3] = [b"nx", b"xx", b"ch"];
        known.iter().any(|known| word.eq_ignore_ascii_case(known))
    };
    let words = call.args_from(2).take_while(is_option).inspect(|word| {
        options.take(word);
    });
    let first = 2 + words.count();
    if !(call.len() - first).is_multiple_of(3) || options.contradicts() {
        return Err(CommandError::Syntax);
    }
    let mut pairs = Vec::with_capacity((call.len() - first) / 3);
    for at in (first..call.len()).step_by(3) {
        let point = point(call.arg(at), call.arg(at + 1))?;
        pairs.push((point.score(), call.arg(at + 2)));
    }
    if pairs.is_empty() {
        return Err(CommandError::Syntax);
    }
    add(call, keys, reply, options, &pairs)
}

fn geodist(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let metres = match call.len() {
        4 => 1.0,
        5 => unit(call.arg(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let zset = keys.read_as::<Zset>(call.key(1))?;
    let position = |at| zset.as_ref()?.score(call.arg(at)).map(Point::of_score);
    match (position(2), position(3)) {
        (Some(from), Some(to)) => reply_distance(reply, from.distance(to) / metres),
        _ => reply.null(),
    }
    Ok(())
}

fn geohash(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    each_position(call, keys, reply, |reply, point| match point {
        Some(point) => reply.bulk(&point.geohash()),
        None => reply.null(),
    })
}

fn geopos(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    each_position(call, keys, reply, |reply, point| match point {
        Some(point) => reply_point(reply, point),
        None => reply.null_array(),
    })
}

fn each_position(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    show: impl Fn(&mut Reply<'_>, Option<Point>),
) -> Result<(), CommandError> {
    let zset = keys.read_as::<Zset>(call.key(1))?;
    reply.array(call.len() - 2);
    for name in call.args_from(2) {
        let score = zset.as_ref().and_then(|zset| zset.score(name));
        show(reply, score.map(Point::of_score));
    }
    Ok(())
}

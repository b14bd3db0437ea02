//! Members piece by piece: ZSCAN.

use crate::base::float;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::generic::elements::{self, Beside};
use crate::data::table::Member as _;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("zscan"),
    group: Group::SortedSet,
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for all calls together, with N members.",
    summary: "Lists the members of a sorted set with their scores piece by piece.",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY,
    tips: &["nondeterministic_output"],
    args: &[
        Arg::key("key"),
        Arg::integer("cursor"),
        Arg::pattern("pattern").token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
        Arg::word("noscores", "NOSCORES").optional().since("8.1.0"),
    ],
    history: &[("8.1.0", "The option `NOSCORES`.")],
    run: Run::Keys(zscan),
    ..Command::BASE
}];

fn zscan(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    elements::scan(call, keys, reply, Beside::Score, |zset: &Zset, scan| match zset.table() {
        Some(table) => scan.table(table, |scan, member| {
            scan.add(member.name(), |reply| write_score(reply, member.score()));
        }),
        None => zset.each(|name, score| scan.add(name, |reply| write_score(reply, score))),
    })
}

/// Scores are strings here in both versions of the protocol.
fn write_score(reply: &mut Reply<'_>, score: f64) {
    reply.bulk(float::Text::of(score).as_bytes());
}

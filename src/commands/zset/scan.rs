//! Members piece by piece: ZSCAN.

use crate::base::float;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Command, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::generic::elements::{self, Beside};
use crate::data::table::Member as _;
use crate::data::zset::Zset;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Ref;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("zscan"),
    group: Group::SortedSet,
    complexity: "O(1) for each call, O(N) for all calls together, with N members.",
    summary: "Lists the members of a sorted set with their scores piece by piece.",
    args: &Arg::joined::<5>(&[
        elements::SCAN.args,
        &[Arg::word("noscores", "NOSCORES").optional().since("8.1.0")],
    ]),
    history: &[("8.1.0", "The option `NOSCORES`.")],
    run: Run::Keys(zscan),
    ..elements::SCAN
}];

fn zscan(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    elements::scan(call, keys, reply, Beside::Score, |zset: &Ref<'_, Zset>, scan| {
        match zset.table() {
            Some(table) => scan.table(table, |scan, member| {
                if zset.shows(member.deadline()) {
                    scan.add(member.name(), |reply| write_score(reply, member.score()));
                }
            }),
            None => zset.each(|name, score| scan.add(name, |reply| write_score(reply, score))),
        }
    })
}

/// Scores are strings here in both versions of the protocol.
fn write_score(reply: &mut Reply<'_>, score: f64) {
    reply.bulk(float::Text::of(score).as_bytes());
}

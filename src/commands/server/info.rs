//! What the server says of itself: INFO, TIME, LASTSAVE, LOLWUT. ROLE is with replication.
//!
//! A divergence: TIME shows the time of the batch, which has milliseconds; its microseconds end in
//! three zeros.

use crate::base::integer;
use crate::commands::action::{Action, Gathered, names_section};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Categories, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::question::{Detail, Question};
use crate::resp::Reply;
use crate::session::Session;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("info"),
        group: Group::Server,
        since: "1.0.0",
        summary: "Tells what the server is, does and has done.",
        history: &[("7.0.0", "Several sections in one call.")],
        arity: Arity::AtLeast(1),
        flags: Flags::LOADING.and(Flags::STALE),
        categories: Categories::DANGEROUS,
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        args: &[Arg::string("section").optional().multiple()],
        run: Run::Server(info),
        ..Command::BASE
    },
    Command {
        name: Name("lastsave"),
        group: Group::Server,
        since: "1.0.0",
        summary: "Gives the unix time when the data set was last saved.",
        arity: Arity::Exactly(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        categories: Categories::ADMIN.and(Categories::DANGEROUS),
        tips: &["nondeterministic_output"],
        run: Run::Server(lastsave),
        ..Command::BASE
    },
    Command {
        name: Name("lolwut"),
        group: Group::Server,
        since: "5.0.0",
        complexity: "",
        summary: "Draws a picture and names the version of the server.",
        arity: Arity::AtLeast(1),
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::integer("version").token("VERSION").optional()],
        run: Run::Session(lolwut),
        ..Command::BASE
    },
    Command {
        name: Name("time"),
        group: Group::Server,
        since: "2.6.0",
        summary: "Gives the time of the server.",
        arity: Arity::Exactly(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        tips: &["nondeterministic_output"],
        run: Run::Session(time),
        ..Command::BASE
    },
];

fn info(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let sections: Vec<_> = call.args_from(1).map(<[u8]>::to_vec).collect();
    // The sections that tell of each command are no default ones.
    let names = |section| names_section(&sections, section);
    let detail = match (names("latencystats"), names("commandstats")) {
        (true, _) => Detail::Latencies,
        (_, true) => Detail::Commands,
        _ => Detail::Sums,
    };
    Ok(Action::Gather(Question::Report(detail), Gathered::Info(sections)))
}

fn lastsave(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::Nothing, Gathered::LastSave))
}

fn time(
    call: &Call<'_>,
    _session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.array(2);
    reply.bulk_int(call.now.as_secs());
    reply.bulk_int(call.now.0.rem_euclid(1_000) * 1_000);
    Ok(())
}

/// `LOLWUT [VERSION n] [columns]`: the number of the version chooses how many players stand on the
/// stage.
fn lolwut(
    call: &Call<'_>,
    _session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    const PLAYERS_MAX: i64 = 9;
    let mut options = call.options(1);
    let mut players = 5;
    if options.take_word("VERSION") {
        players = options.integer()?;
    }
    while let Some(word) = options.take() {
        integer::parse(word).ok_or(CommandError::NotAnInteger)?;
    }
    let players = players.clamp(1, PLAYERS_MAX) as usize;
    reply.verbatim(b"txt", stage(players).as_bytes());
    Ok(())
}

fn stage(players: usize) -> String {
    let width = players * 6 + 2;
    let row = |figure: &str| format!(" |{}  |\n", format!("  {figure} ").repeat(players));
    format!(
        " .{line}.\n{curtain}{heads}{arms}{legs} '{line}'\nA troupe of {players}. Troupe ver. {}\n",
        env!("CARGO_PKG_VERSION"),
        line = "=".repeat(width),
        curtain = format_args!(" |{}|\n", "~".repeat(width)),
        heads = row(" o "),
        arms = row("/|\\"),
        legs = row("/ \\"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Store, dialogue};

    #[test]
    fn the_server_tells_of_itself() {
        dialogue(
            &mut Store::new(),
            r#"
            > info
            (action) Gather(Report(Sums), Info([]))
            > info cpu
            (action) Gather(Report(Sums), Info([[99, 112, 117]]))
            > info cpu All
            (action) Gather(Report(Latencies), Info([[99, 112, 117], [65, 108, 108]]))
            > lastsave
            (action) Gather(Nothing, LastSave)
            > role
            (action) Gather(Nothing, Role)
            > time
            1) "1700000000"
            2) "0"
            > lolwut version x
            (error) ERR value is not an integer or out of range
            "#,
        );
    }

    #[test]
    fn the_stage_has_straight_sides() {
        for players in [1, 5, 9] {
            let stage = stage(players);
            let mut widths = stage.lines().take(6).map(|line| line.trim_end().len());
            let first = widths.next();
            assert!(widths.all(|width| Some(width) == first), "{stage}");
        }
    }
}

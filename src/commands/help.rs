//! HELP of any container, made from the declarations of its subcommands, or written by hand where
//! Valkey's words are not its declarations'.
//!
//! A subcommand is a line with its arguments and an indented line with its summary, as the replies
//! of Redis look.

use crate::commands::call::Call;
use crate::commands::command::{Arg, ArgKind, Arity, Command, Flags, Run};
use crate::commands::error::CommandError;
use crate::commands::registry;
use crate::resp::Reply;

/// What the HELP of all containers shares.
pub(super) const BASE: Command = Command {
    since: "5.0.0",
    summary: "Shows this text.",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.and(Flags::STALE),
    run: Run::Session(|call, _, reply| declared(call, reply)),
    ..Command::BASE
};

/// HELP in the words of the declarations, its own last.
fn declared(call: &Call<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let container = registry::named(container(call).as_bytes());
    let subcommands = container.map_or(&[][..], |container| container.subcommands);
    let (last, others): (Vec<&Command>, Vec<&Command>) =
        subcommands.iter().partition(|sub| std::ptr::eq(*sub, call.command));
    let lines = others.into_iter().chain(last).map(|sub| (usage(sub), sub.summary));
    say(call, lines, reply);
    Ok(())
}

/// HELP in words by hand: a usage, and below it in one or more lines what it does. `HELP` itself is
/// added.
pub(super) fn of_lines(
    call: &Call<'_>,
    lines: &[(&str, &str)],
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let lines = lines.iter().chain(&[("HELP", "Print this help.")]);
    say(call, lines.map(|(usage, what)| ((*usage).to_owned(), *what)), reply);
    Ok(())
}

fn say<'a>(call: &Call<'_>, lines: impl Iterator<Item = (String, &'a str)>, reply: &mut Reply<'_>) {
    let name = String::from_utf8_lossy(call.arg(0)).to_ascii_uppercase();
    let mut all = vec![format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for (usage, what) in lines {
        all.push(usage);
        all.extend(what.lines().map(|line| format!("    {line}")));
    }
    reply.array(all.len());
    all.iter().for_each(|line| reply.simple(line));
}

/// The container of a subcommand.
fn container<'a>(call: &Call<'a>) -> &'a str {
    call.command.name.as_str().split('|').next().unwrap_or_default()
}

/// The last word of the name, then the arguments.
fn usage(command: &Command) -> String {
    let mut words = vec![command.name.last_word().to_ascii_uppercase()];
    words.extend(command.args.iter().map(argument));
    words.join(" ")
}

/// An argument as documentation writes it: `[TYPE <normal|pubsub>]`, `key [key ...]`.
fn argument(arg: &Arg) -> String {
    let value = match arg.kind {
        ArgKind::PureToken => String::new(),
        ArgKind::OneOf(args) => {
            let choices: Vec<String> = args.iter().map(argument).collect();
            if arg.optional && arg.token.is_none() {
                choices.join("|")
            } else {
                format!("<{}>", choices.join("|"))
            }
        }
        ArgKind::Block(args) => args.iter().map(argument).collect::<Vec<_>>().join(" "),
        _ => format!("<{}>", arg.shown),
    };
    let token = arg.token.unwrap_or_default();
    let between = if token.is_empty() || value.is_empty() { "" } else { " " };
    let mut text = format!("{token}{between}{value}");
    if arg.multiple {
        let again = if arg.multiple_token { &text } else { &value };
        text = format!("{text} [{again} ...]");
    }
    if arg.optional { format!("[{text}]") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Store;

    #[test]
    fn help_lists_the_subcommands_and_itself_last() {
        let help = Store::new().run("CLIENT HELP");
        let first = "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
        assert!(help.contains(first), "{help}");
        assert!(help.contains("REPLY <ON|OFF|SKIP>"), "{help}");
        let lines: Vec<&str> = help.lines().collect();
        assert!(lines[lines.len() - 2].ends_with("HELP"), "{help}");
    }

    #[test]
    fn arguments_are_written_as_in_documentation() {
        let usage = |arg: Arg| argument(&arg);
        assert_eq!(usage(Arg::integer("n").token("COUNT").optional()), "[COUNT <n>]");
        assert_eq!(usage(Arg::key("key").multiple()), "<key> [<key> ...]");
        assert_eq!(
            usage(Arg::string("p").token("PREFIX").multiple_token()),
            "PREFIX <p> [PREFIX <p> ...]"
        );
        const CHOICES: &[Arg] = &[Arg::word("a", "A"), Arg::word("b", "B")];
        assert_eq!(usage(Arg::one_of("x", CHOICES).optional()), "[A|B]");
    }
}

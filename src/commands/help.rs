//! HELP of any container, made from the declarations of its subcommands.
//!
//! A subcommand is a line with its arguments and an indented line with its summary, as the replies
//! of Redis look. The words are the declarations' own, so there is no second text to keep true.

use crate::commands::call::Call;
use crate::commands::command::{Arg, ArgKind, Command};
use crate::commands::error::CommandError;
use crate::commands::registry;
use crate::resp::Reply;
use crate::session::Session;

/// Runs the subcommand HELP of the container that it belongs to.
pub(super) fn help(
    call: &Call<'_>,
    _: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let subcommands =
        registry::named(container(call).as_bytes()).map_or(&[][..], |c| c.subcommands);
    let mut lines = vec![head(call)];
    let (last, others): (Vec<&Command>, Vec<&Command>) =
        subcommands.iter().partition(|sub| std::ptr::eq(*sub, call.command));
    for sub in others.into_iter().chain(last) {
        lines.push(usage(sub));
        lines.push(format!("    {}", sub.summary));
    }
    say(&lines.iter().map(String::as_str).collect::<Vec<_>>(), reply);
    Ok(())
}

/// As [`help`], where the words are not the declarations': each line a usage, below it what it
/// does. `HELP` itself is added.
pub(super) fn of_lines(
    call: &Call<'_>,
    lines: &[(&str, &str)],
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut all = vec![head(call)];
    for (usage, what) in lines.iter().chain(&[("HELP", "Print this help.")]) {
        all.extend([(*usage).to_owned(), format!("    {what}")]);
    }
    say(&all.iter().map(String::as_str).collect::<Vec<_>>(), reply);
    Ok(())
}

/// The container of a subcommand.
fn container<'a>(call: &Call<'a>) -> &'a str {
    call.command.name.as_str().split('|').next().unwrap_or_default()
}

fn head(call: &Call<'_>) -> String {
    let name = container(call).to_ascii_uppercase();
    format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
}

/// Replies with lines that are written by hand: HELP of those containers whose words in Valkey are
/// not their declarations'.
pub(super) fn say(lines: &[&str], reply: &mut Reply<'_>) {
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.simple(line));
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

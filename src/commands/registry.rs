//! All commands, and how one is found.
//!
//! The families are listed here; the names are hashed once. Lookup is by the first word, then, for
//! a container, by the second. What a client calls a command by may be another name than the
//! declared one: [`Renames`] is asked first, where there are any.

use std::collections::HashMap;
use std::sync::LazyLock;

use ahash::RandomState;

use crate::commands::command::{Arity, Command, Run};
use crate::commands::error::{
    CommandError, unknown_command, unknown_subcommand, unknown_subcommand_or_arity,
};
use crate::commands::{
    bitmap, connection, generic, geo, hash, hyperloglog, list, server, set, stream, string, zset,
};
use crate::resp::Span;
use crate::settings::Renames;

/// Every family of commands, in the order of the documentation.
pub static FAMILIES: &[&[Command]] = &[
    bitmap::bit::COMMANDS,
    bitmap::combine::COMMANDS,
    bitmap::count::COMMANDS,
    bitmap::field::COMMANDS,
    connection::basic::COMMANDS,
    connection::client::COMMANDS,
    connection::login::COMMANDS,
    generic::existence::COMMANDS,
    generic::expire::COMMANDS,
    generic::object::COMMANDS,
    generic::rename::COMMANDS,
    generic::scan::COMMANDS,
    generic::sort::COMMANDS,
    geo::position::COMMANDS,
    geo::radius::COMMANDS,
    geo::searching::COMMANDS,
    hash::basic::COMMANDS,
    hash::counter::COMMANDS,
    hash::expiry::COMMANDS,
    hash::timed::COMMANDS,
    hash::whole::COMMANDS,
    hyperloglog::basic::COMMANDS,
    hyperloglog::debug::COMMANDS,
    list::edit::COMMANDS,
    list::moving::COMMANDS,
    list::pop::COMMANDS,
    list::push::COMMANDS,
    list::read::COMMANDS,
    server::absent::COMMANDS,
    server::config::COMMANDS,
    server::control::COMMANDS,
    server::data::COMMANDS,
    server::debug::COMMANDS,
    server::info::COMMANDS,
    server::introspection::COMMANDS,
    server::latency::COMMANDS,
    server::logs::COMMANDS,
    server::memory::COMMANDS,
    set::algebra::COMMANDS,
    set::basic::COMMANDS,
    set::expiry::COMMANDS,
    set::random::COMMANDS,
    stream::adding::COMMANDS,
    stream::claim::COMMANDS,
    stream::deleting::COMMANDS,
    stream::group::COMMANDS,
    stream::info::COMMANDS,
    stream::pending::COMMANDS,
    stream::range::COMMANDS,
    stream::read::COMMANDS,
    stream::trimming::COMMANDS,
    string::basic::COMMANDS,
    string::bounded::COMMANDS,
    string::compare::COMMANDS,
    string::conditional::COMMANDS,
    string::counter::COMMANDS,
    string::many::COMMANDS,
    string::range::COMMANDS,
    string::set::COMMANDS,
    zset::add::COMMANDS,
    zset::combine::COMMANDS,
    zset::count::COMMANDS,
    zset::expire::COMMANDS,
    zset::member::COMMANDS,
    zset::pop::COMMANDS,
    zset::random::COMMANDS,
    zset::range::COMMANDS,
    zset::scan::COMMANDS,
];

/// Longest name of a command or subcommand.
const NAME_MAX: usize = 32;

struct Index {
    all: Vec<&'static Command>,
    by_name: HashMap<&'static [u8], &'static Command, RandomState>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index {
        all: Vec::new(),
        by_name: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)),
    };
    for command in FAMILIES.iter().copied().flatten() {
        index.all.push(command);
        index.by_name.insert(command.name.as_str().as_bytes(), command);
        for sub in command.subcommands {
            index.all.push(sub);
            index.by_name.insert(sub.name.as_str().as_bytes(), sub);
        }
    }
    index
});

/// What a lookup gives.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// The command or subcommand.
    Command(&'static Command),
    /// There is none; [`refusal`] says why.
    Nothing,
}

/// All commands and subcommands; the position of one is its number.
pub fn all() -> &'static [&'static Command] {
    &INDEX.all
}

/// The commands without their subcommands.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().copied().flatten()
}

/// The command or subcommand with this declared full name (`get`, `config|get`), in any case.
pub fn named(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; 2 * NAME_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    INDEX.by_name.get(&*lower).copied()
}

/// The command or subcommand that clients call by this full name, in any case.
pub fn called(name: &[u8], renames: &Renames) -> Option<&'static Command> {
    if renames.is_empty() {
        return named(name);
    }
    let word = name.split(|byte| *byte == b'|').next().unwrap_or_default();
    match renames.declared(name) {
        // A new name may have a bar in it, and is a command's all the same.
        Some(declared) if declared != name => named(declared),
        _ if word.len() == name.len() => named(renames.declared(name)?),
        _ => subcommand(named(renames.declared(word)?)?, &name[word.len() + 1..]),
    }
}

/// The command that clients call by this word. Subcommands have no name that a request may begin
/// with.
#[inline]
fn command(word: &[u8], renames: &Renames) -> Option<&'static Command> {
    let name = if renames.is_empty() { word } else { renames.declared(word)? };
    named(name).filter(|_| !name.contains(&b'|'))
}

/// As [`find`], where the request before was for `last`: those of a pipeline are mostly alike.
#[inline]
pub fn find_again(
    last: Option<&'static Command>,
    bytes: &[u8],
    spans: &[Span],
    renames: &Renames,
) -> Found {
    if let (Some(command), Some(first)) = (last, spans.first())
        && command.subcommands.is_empty()
        && !command.name.as_str().contains('|')
        && first.of(bytes).eq_ignore_ascii_case(command.name.as_str().as_bytes())
        && renames.is_empty()
        && command.accepts(spans.len())
    {
        return Found::Command(command);
    }
    find(bytes, spans, renames)
}

/// Finds what a request asks for; nothing where it is unknown or its arity is wrong.
pub fn find(bytes: &[u8], spans: &[Span], renames: &Renames) -> Found {
    let Some(first) = spans.first() else { return Found::Nothing };
    let found = match command(first.of(bytes), renames) {
        Some(container) if !container.subcommands.is_empty() && spans.len() > 1 => {
            let sub = subcommand(container, spans[1].of(bytes));
            match container.run {
                Run::Container => sub,
                _ => sub.filter(|sub| sub.accepts(spans.len())).or(Some(container)),
            }
        }
        found => found,
    };
    match found {
        Some(command) if command.accepts(spans.len()) => Found::Command(command),
        _ => Found::Nothing,
    }
}

/// As [`find`], for a record of a journal: it holds commands as clients called them, and what the
/// server itself put in the place of a command by its declared name.
pub fn find_journaled(bytes: &[u8], spans: &[Span], renames: &Renames) -> Found {
    match find(bytes, spans, renames) {
        Found::Nothing if !renames.is_empty() => find(bytes, spans, &Renames::default()),
        found => found,
    }
}

/// The subcommand of a container, in any case.
pub fn subcommand(container: &Command, sub: &[u8]) -> Option<&'static Command> {
    let mut name = [0; 2 * NAME_MAX];
    let prefix = container.name.as_str().as_bytes();
    let len = prefix.len() + 1 + sub.len();
    let name = name.get_mut(..len)?;
    name[..prefix.len()].copy_from_slice(prefix);
    name[prefix.len()] = b'|';
    name[prefix.len() + 1..].copy_from_slice(sub);
    named(name)
}

/// Why a request was not found: the error that Redis gives.
pub fn refusal(bytes: &[u8], spans: &[Span], renames: &Renames) -> CommandError {
    let word = |at: usize| spans.get(at).map_or(&[][..], |span: &Span| span.of(bytes));
    match command(word(0), renames) {
        None => unknown_command(word(0), spans.iter().skip(1).map(|span| span.of(bytes))),
        Some(container) if container.hides_subcommands && spans.len() > 1 => {
            unknown_subcommand_or_arity(word(0), word(1))
        }
        Some(container) if !container.subcommands.is_empty() && spans.len() > 1 => {
            match subcommand(container, word(1)) {
                None => unknown_subcommand(word(0), word(1)),
                Some(sub) => CommandError::WrongArity(sub.name.as_str()),
            }
        }
        Some(command) => CommandError::WrongArity(command.name.as_str()),
    }
}

/// True for a first word that no client of this protocol sends: somebody makes a browser talk to
/// the server.
pub fn is_attack(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"POST") || word.eq_ignore_ascii_case(b"Host:")
}

/// The arity of a command that is asked for by number of words, for generators of test programs.
pub fn arity_of(name: &[u8]) -> Option<Arity> {
    named(name).map(|command| command.arity)
}

#[cfg(test)]
mod tests;

//! All commands, and how one is found.
//!
//! The families are listed here; the names are hashed once. Lookup is by the first word, then, for
//! a container, by the second. What a client calls a command by may be another name than the
//! declared one: [`Renames`] is asked first, where there are any.

use std::sync::LazyLock;

use crate::commands::command::{Arity, Command, Run};
use crate::commands::error::{
    CommandError, unknown_command, unknown_subcommand, unknown_subcommand_or_arity,
};
use crate::commands::{
    bitmap, connection, generic, geo, hash, hyperloglog, list, pubsub, scripting, server, set,
    stream, string, transactions, zset,
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
    connection::waiting::COMMANDS,
    generic::bless::COMMANDS,
    generic::dump::COMMANDS,
    generic::existence::COMMANDS,
    generic::expire::COMMANDS,
    generic::migrate::COMMANDS,
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
    list::blocking::COMMANDS,
    list::edit::COMMANDS,
    list::moving::COMMANDS,
    list::pop::COMMANDS,
    list::push::COMMANDS,
    list::read::COMMANDS,
    pubsub::publishing::COMMANDS,
    pubsub::subscribing::COMMANDS,
    scripting::eval::COMMANDS,
    scripting::function::COMMANDS,
    scripting::script::COMMANDS,
    server::absent::COMMANDS,
    server::config::COMMANDS,
    server::control::COMMANDS,
    server::data::COMMANDS,
    server::debug::COMMANDS,
    server::hotkeys::COMMANDS,
    server::info::COMMANDS,
    server::introspection::COMMANDS,
    server::latency::COMMANDS,
    server::logs::COMMANDS,
    server::memory::COMMANDS,
    server::replication::COMMANDS,
    server::saving::COMMANDS,
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
    transactions::queue::COMMANDS,
    zset::add::COMMANDS,
    zset::blocking::COMMANDS,
    zset::combine::COMMANDS,
    zset::count::COMMANDS,
    zset::expire::COMMANDS,
    zset::member::COMMANDS,
    zset::pop::COMMANDS,
    zset::random::COMMANDS,
    zset::range::COMMANDS,
    zset::scan::COMMANDS,
];

/// Places for names, a power of two: many more than names, so that few have to share.
const PLACES: usize = 2_048;

/// A command and its name.
type Named = (&'static [u8], &'static Command);

struct Index {
    all: Vec<&'static Command>,
    /// Each command with its name, at the place of its hash or at the next that was free.
    places: Box<[Option<Named>; PLACES]>,
}

impl Index {
    fn new() -> Index {
        let mut index = Index { all: Vec::new(), places: Box::new([None; PLACES]) };
        for command in commands() {
            index.all.push(command);
            index.all.extend(command.subcommands);
            let name = command.name.as_str().as_bytes();
            let free = places_of(name).find(|place| index.places[*place].is_none());
            index.places[free.expect("there are more places than commands")] =
                Some((name, command));
        }
        index
    }

    /// The command that is declared with this name, in any case.
    #[inline]
    fn get(&self, name: &[u8]) -> Option<&'static Command> {
        for place in places_of(name) {
            let (known, command) = self.places[place]?;
            if known.eq_ignore_ascii_case(name) {
                return Some(command);
            }
        }
        None
    }
}

/// Where a name may stand, in order. Those that differ in nothing but case have the same places.
/// Three letters and the length tell most commands apart.
#[inline]
fn places_of(name: &[u8]) -> impl Iterator<Item = usize> {
    let letter = |at: usize| name.get(at).map_or(0, |byte| usize::from(byte | 0x20));
    let len = name.len();
    let letters = [letter(0), letter(len / 2), letter(len.wrapping_sub(1))];
    let hash = letters.iter().fold(len, |hash, letter| hash.wrapping_mul(31) ^ letter);
    (0..PLACES).map(move |further| hash.wrapping_add(further) % PLACES)
}

static INDEX: LazyLock<Index> = LazyLock::new(Index::new);

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
    match name.iter().position(|byte| *byte == b'|') {
        None => INDEX.get(name),
        Some(bar) => subcommand(INDEX.get(&name[..bar])?, &name[bar + 1..]),
    }
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
    INDEX.get(if renames.is_empty() { word } else { renames.declared(word)? })
}

/// Finds what the requests of a pipeline ask for. They are mostly alike, so the first word of the
/// last one is compared before anything is looked up.
#[derive(Debug)]
pub struct Finder<'a> {
    renames: &'a Renames,
    last: Option<(&'a [u8], &'static Command)>,
}

impl<'a> Finder<'a> {
    /// A finder for clients that call commands so.
    pub fn new(renames: &'a Renames) -> Finder<'a> {
        Finder { renames, last: None }
    }

    /// What a request asks for; nothing where it is unknown or its arity is wrong.
    #[inline]
    pub fn find(&mut self, bytes: &'a [u8], spans: &[Span]) -> Found {
        let Some(first) = spans.first() else { return Found::Nothing };
        let word = first.of(bytes);
        if self.last.is_none_or(|(last, _)| last != word) {
            self.last = command(word, self.renames).map(|command| (word, command));
        }
        match self.last {
            Some((_, command)) if command.subcommands.is_empty() => Found::of(command, spans),
            Some((_, container)) => find_inside(container, bytes, spans),
            None => Found::Nothing,
        }
    }
}

impl Found {
    #[inline]
    fn of(command: &'static Command, spans: &[Span]) -> Found {
        if command.accepts(spans.len()) { Found::Command(command) } else { Found::Nothing }
    }
}

/// Finds what a request asks for; nothing where it is unknown or its arity is wrong.
pub fn find(bytes: &[u8], spans: &[Span], renames: &Renames) -> Found {
    Finder::new(renames).find(bytes, spans)
}

/// What a request asks for that begins with the name of a container.
fn find_inside(container: &'static Command, bytes: &[u8], spans: &[Span]) -> Found {
    let sub = spans.get(1).and_then(|word| subcommand(container, word.of(bytes)));
    let found = match container.run {
        _ if spans.len() < 2 => Some(container),
        Run::Container => sub,
        _ => sub.filter(|sub| sub.accepts(spans.len())).or(Some(container)),
    };
    found.map_or(Found::Nothing, |command| Found::of(command, spans))
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
    let is_it = |command: &&Command| command.name.last_word().as_bytes().eq_ignore_ascii_case(sub);
    container.subcommands.iter().find(is_it)
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

//! MIGRATE: keys go to another server, and are gone here when that has them.
//!
//! The command keeps the slots of its keys from the moment at which it reads them until it knows
//! what the other server has taken. So no key changes meanwhile, and what is sent is what is
//! deleted. Other slots go on. What is sent is made here, and what comes back is read here; the
//! thread of the shard does no more than to exchange bytes.
//!
//! It is journaled as DEL of what the other server has taken.
//!
//! Divergences: each call has a connection of its own; only an answer that begins with `+` says
//! that a key was taken, so that a server of another kind takes none.

use std::ops::Range;

use bytes::Bytes;

use crate::base::integer;
use crate::commands::action::{Action, Exchange};
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Begin, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::generic::dump;
use crate::commands::walk::Walk;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::{Reply, encode};

/// Where the options begin.
const OPTIONS: usize = 6;

/// The patience with a server where none is asked for, in milliseconds.
const PATIENCE_MS: u64 = 1_000;

const READING: CommandError =
    CommandError::Text("IOERR error or timeout reading to target instance");
const NOT_EMPTY: CommandError = CommandError::Text(
    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
);

const ACCESS: Access = Access::RW.and(Access::READS).and(Access::DELETE);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("migrate"),
    group: Group::Generic,
    since: "2.6.0",
    complexity: "That of DUMP, RESTORE and DEL for each key.",
    summary: "Moves keys to another server.",
    arity: Arity::AtLeast(6),
    keys: &[
        KeySpec::one(3, ACCESS),
        KeySpec {
            begin: Begin::Keyword("KEYS", -2),
            ..KeySpec::rest(0, 1, ACCESS.and(Access::INCOMPLETE))
        },
    ],
    further: Some(keys_of),
    finds_all_keys: true,
    flags: Flags::WRITE.and(Flags::MOVABLE_KEYS),
    categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
    tips: &["nondeterministic_output"],
    args: &[
        Arg::string("host"),
        Arg::integer("port"),
        Arg::one_of("key-selector", &[Arg::key("key"), Arg::word("empty-string", "")]),
        Arg::integer("destination-db"),
        Arg::integer("timeout"),
        Arg::word("copy", "COPY").since("3.0.0").optional(),
        Arg::word("replace", "REPLACE").since("3.0.0").optional(),
        Arg::one_of(
            "authentication",
            &[
                Arg::string("auth").shown("password").token("AUTH").since("4.0.7"),
                Arg::block("auth2", &[Arg::string("username"), Arg::string("password")])
                    .token("AUTH2")
                    .since("6.0.0"),
            ],
        )
        .optional(),
        Arg::key_of("keys", 1).token("KEYS").since("3.0.6").optional().multiple(),
    ],
    history: &[
        ("3.0.0", "COPY and REPLACE."),
        ("3.0.6", "KEYS."),
        ("4.0.7", "AUTH."),
        ("6.0.0", "AUTH2."),
    ],
    secret: Some(is_credential),
    run: Run::Held(migrate),
    ..Command::BASE
}];

/// The words of a call behind its numbers.
struct Words<'a> {
    copies: bool,
    replaces: bool,
    /// A user, where one is named, and a password.
    credentials: Option<(Option<&'a [u8]>, &'a [u8])>,
    /// Where the keys stand.
    keys: Range<usize>,
}

impl<'a> Words<'a> {
    fn of(call: &Call<'a>) -> Result<Words<'a>, CommandError> {
        let mut words = Words { copies: false, replaces: false, credentials: None, keys: 3..4 };
        let mut options = call.options(OPTIONS);
        while options.left() > 0 {
            if options.take_word("COPY") {
                words.copies = true;
            } else if options.take_word("REPLACE") {
                words.replaces = true;
            } else if options.take_word("AUTH") {
                words.credentials = Some((None, options.value()?));
            } else if options.take_word("AUTH2") {
                words.credentials = Some((Some(options.value()?), options.value()?));
            } else if options.take_word("KEYS") {
                if !call.arg(3).is_empty() {
                    return Err(NOT_EMPTY);
                }
                words.keys = options.position()..call.len();
                break;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(words)
    }

    /// Requests ahead of those of the keys, each answered by a line.
    fn lines_ahead(&self) -> usize {
        1 + usize::from(self.credentials.is_some())
    }
}

/// Where the keys behind KEYS begin; the word may also stand for a user or a password.
fn behind_word<'a>(word: impl Fn(usize) -> Option<&'a [u8]>) -> Option<usize> {
    let mut at = OPTIONS;
    loop {
        let option = word(at)?;
        at += match () {
            () if option.eq_ignore_ascii_case(b"KEYS") => return Some(at + 1),
            () if option.eq_ignore_ascii_case(b"AUTH") => 2,
            () if option.eq_ignore_ascii_case(b"AUTH2") => 3,
            () => 1,
        };
    }
}

/// The key, or those behind KEYS where it is the empty text.
fn keys_of(words: &[&[u8]]) -> Vec<usize> {
    let is_empty = words.get(3).is_some_and(|word| word.is_empty());
    match behind_word(|at| words.get(at).copied()).filter(|_| is_empty) {
        Some(begin) => (begin..words.len()).collect(),
        None => (3..words.len().min(4)).collect(),
    }
}

/// True for what follows AUTH and AUTH2.
fn is_credential(call: &Call<'_>, index: usize) -> bool {
    let mut at = OPTIONS;
    while at < index && !call.is(at, "KEYS") {
        let taken = match () {
            () if call.is(at, "AUTH") => 1,
            () if call.is(at, "AUTH2") => 2,
            () => 0,
        };
        if (at + 1..=at + taken).contains(&index) {
            return true;
        }
        at += 1 + taken;
    }
    false
}

/// Sends the keys, and deletes those that were taken when the answer is there.
fn migrate(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let words = Words::of(call)?;
    match walk.answer.take() {
        None => send(call, &words, keys, walk, reply),
        Some(answer) => {
            take(&words, &answer?, keys, walk)?;
            reply.ok();
            Ok(None)
        }
    }
}

/// Makes the requests; the walk keeps the names of the keys that are there.
fn send(
    call: &Call<'_>,
    words: &Words<'_>,
    keys: &mut Keys<'_>,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let (timeout, db) = (call.integer(5)?, call.integer(4)?);
    walk.found.clear();
    let mut request = Vec::new();
    match words.credentials {
        Some((Some(user), password)) => encode::command(&mut request, &[b"AUTH", user, password]),
        Some((None, password)) => encode::command(&mut request, &[b"AUTH", password]),
        None => {}
    }
    encode::command(&mut request, &[b"SELECT", db.to_string().as_bytes()]);
    for at in words.keys.clone() {
        let (key, now) = (call.key(at), keys.now);
        let Some(entry) = keys.read(key) else { continue };
        let left = entry.deadline().map_or(0, |deadline| deadline.since(now).max(1));
        let (left, payload) = (left.to_string(), dump::payload(call, entry)?);
        let mut restore = vec![&b"RESTORE"[..], key.name, left.as_bytes(), &payload];
        if words.replaces {
            restore.push(b"REPLACE");
        }
        encode::command(&mut request, &restore);
        walk.found.push(key.name.to_vec());
    }
    if walk.found.is_empty() {
        reply.simple("NOKEY");
        return Ok(None);
    }
    Ok(Some(Action::Exchange(Exchange {
        host: call.arg(1).to_vec(),
        port: integer::parse(call.arg(2)).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        request: Bytes::from(request),
        lines: words.lines_ahead() + walk.found.len(),
        patience_ms: u64::try_from(timeout).ok().filter(|ms| *ms > 0).unwrap_or(PATIENCE_MS),
    })))
}

/// Deletes what the other server has taken, by its answer.
///
/// # Errors
/// What went wrong first. Some keys may have been taken even so.
fn take(
    words: &Words<'_>,
    answer: &[u8],
    keys: &mut Keys<'_>,
    walk: &mut Walk,
) -> Result<(), CommandError> {
    // What stands behind the last end of a line is none.
    let mut lines: Vec<&[u8]> = answer.split(|byte| *byte == b'\n').collect();
    lines.pop();
    let mut lines = lines.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let ahead: Vec<&[u8]> = lines.by_ref().take(words.lines_ahead()).collect();
    let refused = ahead.iter().find(|line| !is_ok(line)).copied();
    let (mut error, mut gone) = (None, vec![&b"DEL"[..]]);
    for name in &walk.found {
        let Some(line) = lines.next() else {
            error = error.or(Some(READING));
            break;
        };
        match refused.or(Some(line).filter(|line| !is_ok(line))) {
            Some(why) => error = error.or_else(|| Some(refusal(why))),
            None if words.copies => {}
            None => {
                let key = Key::new(name, keys.space.hasher());
                if keys.delete(key, Event::DEL) {
                    gone.push(name);
                }
            }
        }
    }
    if gone.len() > 1 {
        keys.tools.effects.rewrite(keys.db, &gone);
    }
    error.map_or(Ok(()), Err)
}

fn is_ok(line: &[u8]) -> bool {
    line.starts_with(b"+")
}

fn refusal(line: &[u8]) -> CommandError {
    let said = line.strip_prefix(b"-").unwrap_or(line);
    CommandError::QuotedBytes([b"ERR Target instance replied with error: ", said].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::sample;
    use crate::testing::{Store, dialogue};

    #[test]
    fn words_are_checked_before_anything_is_sent() {
        dialogue(
            &mut Store::new(),
            "
            > migrate host 7 k 0 10
            NOKEY
            > migrate host 7 k x 10
            (error) ERR value is not an integer or out of range
            > migrate host 7 k 0 10 keys a
            (error) ERR When using MIGRATE KEYS option, the key argument must be set to the empty string
            > migrate host 7 k 0 10 AUTH
            (error) ERR syntax error
            > migrate host 7 k 0 10 AUTH2 a
            (error) ERR syntax error
            > migrate host 7 k 0 10 NOPE
            (error) ERR syntax error
            > migrate host 7 '' 0 10 COPY KEYS
            NOKEY
            ",
        );
    }

    #[test]
    fn keys_stand_behind_a_word_that_may_be_a_password() {
        let keys = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            keys_of(&words)
        };
        assert_eq!(keys("migrate h 1  0 10 copy keys a b"), [8, 9]);
        assert_eq!(keys("migrate h 1  0 10 auth keys keys a"), [9]);
        assert_eq!(keys("migrate h 1  0 10 auth2 keys keys replace"), [3]);
        assert_eq!(keys("migrate h 1 x 0 10 keys a"), [3]);
    }

    #[test]
    fn no_log_shows_a_password() {
        let words = ["migrate", "h", "1", "", "0", "10", "auth2", "me", "pw", "keys", "auth", "k"];
        let call = sample::words(&words);
        let hidden: Vec<usize> = (0..words.len()).filter(|at| is_credential(&call, *at)).collect();
        assert_eq!(hidden, [7, 8]);
    }
}

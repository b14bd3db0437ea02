//! When two replies of scripts say the same.
//!
//! Maps and sets have no order. In an error of the engine itself ours does not name the variable,
//! and the compiler's texts are its own: those differences are on purpose
//! (`tests/scripts/README.md`). Errors are compared without them.

use super::super::Command;
use crate::support::reply::Reply;

/// Whether both replies say the same.
pub(super) fn same(ours: &Reply, theirs: &Reply) -> bool {
    ours == theirs || plain(ours) == plain(theirs)
}

/// The same of what a key holds at the end: what a script sets is an embedded string in Valkey 9.1,
/// number or not.
pub(super) fn same_content(command: &Command, ours: &Reply, theirs: &Reply) -> bool {
    let is_string =
        |reply: &Reply| reply.bytes().is_some_and(|text| [&b"int"[..], b"embstr"].contains(&text));
    super::super::same(command, ours, theirs)
        || command[0] == b"OBJECT" && is_string(ours) && is_string(theirs)
}

/// A reply without what may differ.
fn plain(reply: &Reply) -> Reply {
    match reply {
        Reply::Error(text) => Reply::Error(plain_text(text)),
        Reply::Bulk(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Reply::Bulk(plain_text(text).into()),
            Err(_) => reply.clone(),
        },
        Reply::Simple(text) => Reply::Simple(plain_text(text)),
        Reply::Array(items) => Reply::Array(items.iter().map(plain).collect()),
        Reply::Set(items) => {
            let mut items: Vec<Reply> = items.iter().map(plain).collect();
            items.sort_by_key(Reply::printed);
            Reply::Set(items)
        }
        Reply::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (plain(key), plain(value)));
            let mut pairs: Vec<(Reply, Reply)> = pairs.collect();
            pairs.sort_by_key(|(key, _)| key.printed());
            Reply::Map(pairs)
        }
        _ => reply.clone(),
    }
}

/// Errors of the compiler, up to its own words.
const COMPILER: &str = "Error compiling ";

/// A text without the words of an engine that may differ.
fn plain_text(text: &str) -> String {
    if let Some((before, _)) = text.split_once(COMPILER) {
        return format!("{before}{COMPILER}");
    }
    let mut text = text.to_owned();
    for kind in ["local", "global", "field", "upvalue", "method"] {
        without_name(&mut text, kind);
    }
    indexed(&mut text);
    without_operand(&mut text);
    text
}

/// Which operand is told of when both are wrong, or a text that is no number is one.
fn without_operand(text: &mut String) {
    const START: &str = "attempt to perform arithmetic on a ";
    let Some(at) = text.find(START).map(|at| at + START.len()) else { return };
    if let Some(len) = text[at..].find(" value") {
        text.replace_range(at..at + len, "wrong");
    }
}

/// `attempt to index nil with 'x'`, which is ours, as `attempt to index a nil value`.
fn indexed(text: &mut String) {
    const START: &str = "attempt to index ";
    let Some(at) = text.find(START) else { return };
    let rest = &text[at + START.len()..];
    if let Some((kind, with)) = rest.split_once(" with ")
        && kind.bytes().all(|byte| byte.is_ascii_lowercase())
    {
        let end = with.find(" script: on ").map_or("", |at| &with[at..]);
        *text = format!("{}{START}a {kind} value{end}", &text[..at]);
    }
}

/// `local 'x' (a nil value)` as `a nil value`.
fn without_name(text: &mut String, kind: &str) {
    let start = format!("{kind} '");
    while let Some(at) = text.find(&start) {
        let behind = at + start.len();
        let Some(name) = text[behind..].find("' (a ") else { return };
        let Some(end) = text[behind + name..].find(" value)") else { return };
        let what = text[behind + name + 3..behind + name + end + 6].to_owned();
        text.replace_range(at..behind + name + end + 7, &what);
    }
}

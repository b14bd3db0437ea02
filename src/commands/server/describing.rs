//! What COMMAND INFO says of a command: the ten fields that clients route by.

use crate::commands::command::{Begin, Command, Find, Flags, KeySpec};
use crate::commands::positions;
use crate::resp::Reply;

/// Writes one command with its subcommands.
pub(super) fn describe(command: &Command, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(command.name.as_str().as_bytes());
    reply.int(command.arity.as_integer());
    statuses(command.flags.except(Flags::UNTOLD).names(), reply);
    let (first, last, step) = positions::range(command);
    [first, last, step].into_iter().for_each(|number| reply.int(number));
    statuses(command.acl_categories().names(), reply);
    reply.set(command.tips.len());
    command.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.keys.len());
    command.keys.iter().for_each(|spec| describe_keys(spec, reply));
    reply.array(command.shown_subcommands().len());
    command.shown_subcommands().iter().for_each(|sub| describe(sub, reply));
}

/// A set of words.
pub(super) fn statuses(names: impl Iterator<Item = &'static str>, reply: &mut Reply<'_>) {
    let names: Vec<&str> = names.collect();
    reply.set(names.len());
    names.iter().for_each(|name| reply.simple(name));
}

fn describe_keys(spec: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(if spec.notes.is_empty() { 3 } else { 4 });
    if !spec.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(spec.notes.as_bytes());
    }
    reply.bulk(b"flags");
    statuses(spec.access.names(), reply);
    reply.bulk(b"begin_search");
    match spec.begin {
        Begin::Index(index) => search("index", &[("index", index.into())], reply),
        Begin::Keyword(word, from) => {
            kind("keyword", reply);
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            number("startfrom", from.into(), reply);
        }
        Begin::Unknown => search("unknown", &[], reply),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        Find::Range { last, step, limit } => {
            let spec =
                [("lastkey", last.into()), ("keystep", step.into()), ("limit", limit.into())];
            search("range", &spec, reply);
        }
        Find::KeyNum { at, first, step } => {
            let spec =
                [("keynumidx", at.into()), ("firstkey", first.into()), ("keystep", step.into())];
            search("keynum", &spec, reply);
        }
        Find::Unknown => search("unknown", &[], reply),
    }
}

fn search(name: &str, spec: &[(&str, i64)], reply: &mut Reply<'_>) {
    kind(name, reply);
    reply.map(spec.len());
    spec.iter().for_each(|(name, value)| number(name, *value, reply));
}

fn kind(name: &str, reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(name.as_bytes());
    reply.bulk(b"spec");
}

fn number(name: &str, value: i64, reply: &mut Reply<'_>) {
    reply.bulk(name.as_bytes());
    reply.int(value);
}

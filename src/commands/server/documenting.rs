//! What COMMAND DOCS says of a command: what redis-cli shows as hints.
//!
//! Fields that are empty are left out, as in Redis. The number of fields is counted as they are
//! written, so that no list of them has to be kept in step.

use crate::commands::command::{Arg, ArgKind, Command};
use crate::commands::server::describing::statuses;
use crate::resp::Reply;

/// Writes the documentation of one command with its subcommands.
pub(super) fn document(command: &Command, reply: &mut Reply<'_>) {
    let map = reply.array_later(5);
    let mut fields = 0;
    let mut text = |name: &str, value: &str, reply: &mut Reply<'_>| {
        if !value.is_empty() {
            fields += 1;
            pair(name, value, reply);
        }
    };
    text("summary", command.summary, reply);
    text("since", command.since, reply);
    text("group", command.group.as_str(), reply);
    text("complexity", command.complexity, reply);
    if let Some((since, replaced_by)) = command.deprecated {
        reply.bulk(b"doc_flags");
        statuses(["deprecated"].into_iter(), reply);
        pair("deprecated_since", since, reply);
        pair("replaced_by", replaced_by, reply);
        fields += 3;
    }
    if !command.history.is_empty() {
        reply.bulk(b"history");
        history(command.history, reply);
        fields += 1;
    }
    if !command.args.is_empty() {
        reply.bulk(b"arguments");
        arguments(command.args, reply);
        fields += 1;
    }
    if !command.shown_subcommands().is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.shown_subcommands().len());
        for sub in command.shown_subcommands() {
            reply.bulk(sub.name.as_str().as_bytes());
            document(sub, reply);
        }
        fields += 1;
    }
    reply.set_len_of_map(map, fields);
}

fn history(entries: &[(&str, &str)], reply: &mut Reply<'_>) {
    reply.set(entries.len());
    for (version, change) in entries {
        reply.array(2);
        reply.bulk(version.as_bytes());
        reply.bulk(change.as_bytes());
    }
}

fn arguments(args: &[Arg], reply: &mut Reply<'_>) {
    reply.array(args.len());
    args.iter().for_each(|arg| argument(arg, reply));
}

fn argument(arg: &Arg, reply: &mut Reply<'_>) {
    let map = reply.array_later(4);
    let mut fields = 2;
    pair("name", arg.name, reply);
    pair("type", arg.kind.as_str(), reply);
    let parts = match arg.kind {
        ArgKind::OneOf(parts) | ArgKind::Block(parts) => parts,
        _ => {
            pair("display_text", arg.shown, reply);
            fields += 1;
            &[]
        }
    };
    if let ArgKind::Key(spec) = arg.kind {
        reply.bulk(b"key_spec_index");
        reply.int(spec.into());
        fields += 1;
    }
    if let Some(token) = arg.token {
        pair("token", token, reply);
        fields += 1;
    }
    for (name, version) in [("since", arg.since), ("deprecated_since", arg.deprecated)] {
        if !version.is_empty() {
            pair(name, version, reply);
            fields += 1;
        }
    }
    let flags = [
        (arg.optional, "optional"),
        (arg.multiple, "multiple"),
        (arg.multiple_token, "multiple_token"),
    ];
    if flags.iter().any(|(is_set, _)| *is_set) {
        reply.bulk(b"flags");
        statuses(flags.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)), reply);
        fields += 1;
    }
    if !parts.is_empty() {
        reply.bulk(b"arguments");
        arguments(parts, reply);
        fields += 1;
    }
    reply.set_len_of_map(map, fields);
}

fn pair(name: &str, value: &str, reply: &mut Reply<'_>) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

//! The ends of numbers, in every place of every command: ours answers as Valkey does.
//!
//! Each word of each sample invocation is replaced in turn by 0, -1, 1, the ends of the integers of
//! 32 and 64 bits and their neighbours, 2^53 and its, the ends of times, and what only looks like a
//! number. Both servers get the same keys before, and the digests of them are compared behind it.
//! What only ours has must answer, and answer no panic.
//!
//! Every command of COMMAND LIST and every subcommand is in the table of samples or in that of what
//! is left out, with the reason: a new one fails the test until it is.

pub(crate) mod samples;

use std::collections::BTreeSet;

use crate::differential::same;
use crate::support::client::{Client, encode, shown};
use crate::support::oracle::Oracle;
use crate::support::reply::{Reply, words};
use crate::support::server::{Options, Server};

use samples::{ANY_REPLY, KEYS, LEFT_OUT, SAMPLES, SETUP, UNDONE, UNEQUAL};

/// The ends of numbers, and those of times: in milliseconds, in seconds, and of what is added to
/// the time now, which is taken to be between 2019 and 2033.
pub(crate) const EDGES: [&str; 39] = [
    "0",
    "-1",
    "1",
    "-2147483649",
    "-2147483648",
    "-2147483647",
    "2147483646",
    "2147483647",
    "2147483648",
    "4294967294",
    "4294967295",
    "4294967296",
    "-9223372036854775809",
    "-9223372036854775808",
    "-9223372036854775807",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "9223372036854775",
    "9223372036854776",
    "-9223372036854775",
    "-9223372036854776",
    "9223370000000000",
    "9223370500000000",
    "9223370000000000000",
    "9223370500000000000",
    "-0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "",
];

/// What is a number to some readers and none to others, and marks that stand before numbers.
pub(crate) const ODD: [&str; 22] = [
    " 1", "1 ", "+1", "01", "-01", "1.0", "1.5", "1e2", "1E308", "-1e308", "5e-324", "1e-400",
    "0x10", "+inf", "Infinity", "-nan", "(1", "[1", "-", "+", "$", "#",
];

type Command = Vec<Vec<u8>>;

/// Invocations that are sent in one write.
const AT_ONCE: usize = 16;

/// Differences that are shown.
const SHOWN: usize = 60;

/// A sample with one word replaced, unless that is listed as unequal or without bound.
fn variants(sample: &str) -> Vec<Command> {
    let sample_words = words(sample).unwrap();
    let mut variants = vec![sample_words.clone()];
    for place in 1..sample_words.len() {
        let edges = EDGES.iter().chain(&ODD);
        for edge in edges.filter(|edge| !is_left_out(sample, place, edge)) {
            let mut variant = sample_words.clone();
            variant[place] = (*edge).into();
            variants.push(variant);
        }
    }
    variants
}

fn is_left_out(sample: &str, place: usize, edge: &str) -> bool {
    let name = sample.split(' ').next();
    UNEQUAL.iter().any(|(unequal, at, edges, _)| {
        let is_meant = sample == *unequal || name == Some(*unequal);
        is_meant && *at == place && edges.contains(&edge)
    })
}

/// The reply to each variant of a sample and the digest behind it. What only reads finds the keys
/// that it needs when they are set once in a while.
fn answers(
    client: &mut Client,
    sample: &str,
    variants: &[Command],
    only_reads: bool,
) -> Vec<[Reply; 2]> {
    let edges: Command = EDGES.iter().chain(&ODD).map(|edge| (*edge).into()).collect();
    let deletion = [words(&format!("DEL {KEYS}")).unwrap(), edges.clone()];
    let setup: Vec<Command> = SETUP.iter().map(|line| words(line).unwrap()).collect();
    let setup = [vec![words("SELECT 0").unwrap(), deletion.concat()], setup].concat();
    let before: Vec<u8> = setup.iter().flat_map(|line| encode(line)).collect();
    let undoing = UNDONE.iter().filter(|(beginning, _)| sample.starts_with(beginning));
    let undoing: Vec<Command> = undoing.map(|(_, line)| words(line).unwrap()).collect();
    let digest = words(&format!("DEBUG DIGEST-VALUE {KEYS}")).unwrap();
    let after: Vec<Command> = [undoing.clone(), vec![[digest, edges].concat()]].concat();
    let after: Vec<u8> = after.iter().flat_map(|line| encode(line)).collect();
    client.line("FLUSHALL");
    let mut answers = Vec::new();
    for some in variants.chunks(AT_ONCE) {
        let is_set = |at: usize| at == 0 || !only_reads;
        let mut requests = Vec::new();
        for (at, variant) in some.iter().enumerate() {
            let before = if is_set(at) { &before[..] } else { &[] };
            requests.extend([before, &encode(variant), &after].concat());
        }
        client.send_raw(&requests).unwrap();
        for (at, variant) in some.iter().enumerate() {
            let mut reply =
                || client.read().unwrap_or_else(|err| panic!("{}: {err}", shown(variant)));
            let before = setup.iter().filter(|_| is_set(at));
            before.for_each(|line| assert_well(line, &reply()));
            let answer = reply();
            undoing.iter().for_each(|line| assert_well(line, &reply()));
            answers.push([answer, reply()]);
        }
    }
    answers
}

fn assert_well(line: &Command, reply: &Reply) {
    assert!(reply.error().is_none(), "{}: {reply:?}", shown(line));
}

/// Whether a command has the flag that says so.
fn only_reads(client: &mut Client, name: &str) -> bool {
    let reply = client.call(&["COMMAND", "INFO", name]);
    let flags = reply.members()[0].members()[2].members();
    flags.iter().any(|flag| flag.text() == "readonly")
}

/// Whether a reply, equal or not, is one that no command may give.
fn is_panic(reply: &Reply) -> bool {
    reply.error().is_some_and(|text| text.contains("internal error"))
}

/// What differs for one sample.
fn differences(sample: &str, ours: &mut Client, theirs: &mut Client) -> Vec<String> {
    let variants = variants(sample);
    let takes_any = ANY_REPLY.iter().any(|name| sample.starts_with(name));
    let is_equal = |command: &Command, ours: &Reply, theirs: &Reply| match (ours, theirs) {
        _ if is_panic(ours) => false,
        (Reply::Error(_), _) | (_, Reply::Error(_)) => ours == theirs,
        _ => takes_any || same(command, ours, theirs),
    };
    let only_reads = only_reads(ours, &name_of(sample));
    let theirs = answers(theirs, sample, &variants, only_reads);
    let pairs = answers(ours, sample, &variants, only_reads).into_iter().zip(theirs);
    let mut differences = Vec::new();
    for (command, ([ours, our_digest], [theirs, their_digest])) in variants.iter().zip(pairs) {
        let (shown, text) = (shown(command), |reply: &Reply| reply.printed());
        if !is_equal(command, &ours, &theirs) {
            differences.push(format!("{shown}\nours {}\ntheirs {}", text(&ours), text(&theirs)));
        } else if our_digest != their_digest && !takes_any {
            differences.push(format!("{shown}: {}, but the contents differ", text(&ours)));
        }
    }
    differences
}

pub(crate) fn command_list(server: &Server) -> BTreeSet<String> {
    let list = server.client().line("COMMAND LIST");
    list.members().iter().map(Reply::text).collect()
}

fn name_of(sample: &str) -> String {
    sample.split(' ').next().unwrap_or_default().to_lowercase()
}

/// As COMMAND LIST names the subcommand of a sample, if it is of one.
fn subcommand_of(sample: &str) -> String {
    sample.splitn(3, ' ').take(2).collect::<Vec<_>>().join("|").to_lowercase()
}

#[test]
fn ends_of_numbers_are_answered_as_valkey_answers_them() {
    let Some(oracle) = Oracle::Valkey.start() else { return };
    let server = Options::shards(2).debug().start();
    let theirs = command_list(&oracle);
    let (mut client, mut oracle_client) = (server.client(), oracle.client());
    let (mut found, mut count) = (Vec::new(), 0);
    for sample in SAMPLES {
        count += variants(sample).len();
        if theirs.contains(&name_of(sample)) {
            found.extend(differences(sample, &mut client, &mut oracle_client));
            continue;
        }
        let variants = variants(sample);
        let answers = answers(&mut client, sample, &variants, false);
        for (command, replies) in variants.iter().zip(answers) {
            if replies.iter().any(is_panic) {
                found.push(format!("{}: {}", shown(command), replies[0].printed()));
            }
        }
    }
    let total = found.len();
    found.truncate(SHOWN);
    assert!(total == 0, "{}\n{total} of {count} invocations differ", found.join("\n"));
    println!("{count} invocations answered");
}

#[test]
fn every_command_has_a_sample_with_ends_of_numbers() {
    let server = Options::shards(1).start();
    let names = SAMPLES.iter().flat_map(|sample| [name_of(sample), subcommand_of(sample)]);
    let sampled: BTreeSet<String> = names.collect();
    let left_out: BTreeSet<&str> =
        LEFT_OUT.iter().flat_map(|(names, _)| names.split(' ')).collect();
    let missing: Vec<String> = command_list(&server)
        .into_iter()
        .filter(|name| !sampled.contains(name) && !name.ends_with("|help"))
        .filter(|name| !left_out.contains(name.as_str()))
        .filter(|name| !left_out.contains(name.split('|').next().unwrap_or_default()))
        .collect();
    assert!(missing.is_empty(), "no sample in tests/edges/samples.rs: {missing:?}");
}

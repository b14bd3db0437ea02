//! CLIENT TRACKING, TRACKINGINFO, GETREDIR, CACHING: client-side caching.
//!
//! What is asked for here stands in the session ([`Tracking`]). Options take effect in Valkey's
//! order of checks: a client that is named and is not there is noticed where it is named.

use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Group, Name, Run};
use crate::commands::connection::client::{ANY_TIME, ANYWHERE, on_or_off};
use crate::commands::error::{CommandError, quoting};
use crate::commands::walk::Walk;
use crate::pubsub::{self, Kind, Mode, NAMED, Redirect, Register, Tracking};
use crate::resp::Reply;
use crate::route::Home;
use crate::session::Session;

const NOT_TRACKING: CommandError = CommandError::Text(
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
     OPTOUT mode enabled",
);
const NOT_OPTIN: CommandError = CommandError::Text(
    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
);
const NOT_OPTOUT: CommandError = CommandError::Text(
    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
);
const TWICE: CommandError =
    CommandError::Text("ERR A client can only redirect to a single other client");
const NOBODY: CommandError =
    CommandError::Text("ERR The client ID you want redirect to does not exist");
const NO_BCAST: CommandError =
    CommandError::Text("ERR PREFIX option requires BCAST mode to be enabled");
const OTHER_BCAST: CommandError = CommandError::Text(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
     re-enabling it with a different mode.",
);
const BCAST_AND_OPT: CommandError =
    CommandError::Text("ERR OPTIN and OPTOUT are not compatible with BCAST");
const BOTH: CommandError =
    CommandError::Text("ERR You can't specify both OPTIN mode and OPTOUT mode");
const OTHER_OPT: CommandError = CommandError::Text(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
     re-enabling it with a different mode.",
);

pub(super) const CACHING: Command = Command {
    name: Name("client|caching"),
    group: Group::Connection,
    since: "6.0.0",
    summary: "Says whether the keys of the next command are tracked.",
    arity: Arity::Exactly(3),
    flags: ANYWHERE,
    args: &[Arg::one_of("mode", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])],
    run: Run::Session(caching),
    ..Command::BASE
};

pub(super) const GETREDIR: Command = Command {
    name: Name("client|getredir"),
    group: Group::Connection,
    since: "6.0.0",
    summary: "Gives the client that gets the invalidations of this one.",
    arity: Arity::Exactly(2),
    flags: ANYWHERE,
    run: Run::Session(getredir),
    ..Command::BASE
};

pub(super) const TRACKING: Command = Command {
    name: Name("client|tracking"),
    group: Group::Connection,
    since: "6.0.0",
    complexity: "O(1), and more with some options",
    summary: "Tells the client when keys that it read change, or no longer.",
    arity: Arity::AtLeast(3),
    flags: ANY_TIME,
    args: &[
        Arg::one_of("status", &[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
        Arg::integer("client-id").token("REDIRECT").optional(),
        Arg::string("prefix").token("PREFIX").optional().multiple_token(),
        Arg::word("bcast", "BCAST").optional(),
        Arg::word("optin", "OPTIN").optional(),
        Arg::word("optout", "OPTOUT").optional(),
        Arg::word("noloop", "NOLOOP").optional(),
    ],
    run: Run::Asks(tracking),
    ..Command::BASE
};

pub(super) const TRACKINGINFO: Command = Command {
    name: Name("client|trackinginfo"),
    group: Group::Connection,
    since: "6.2.0",
    summary: "Tells how keys are tracked for the client.",
    arity: Arity::Exactly(2),
    flags: ANY_TIME,
    run: Run::Session(trackinginfo),
    ..Command::BASE
};

fn caching(
    call: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let tracking = session.tracking.as_deref_mut().ok_or(NOT_TRACKING)?;
    match (call.is(2, "yes"), call.is(2, "no")) {
        (true, _) if tracking.mode != Mode::OptIn => return Err(NOT_OPTIN),
        (_, true) if tracking.mode != Mode::OptOut => return Err(NOT_OPTOUT),
        (false, false) => return Err(CommandError::Syntax),
        _ => tracking.is_said = true,
    }
    reply.ok();
    Ok(())
}

/// The number of the client that is told in the place of this one: 0 for itself, -1 for nobody.
fn told(session: &Session) -> i64 {
    session.tracking.as_deref().map_or(-1, |tracking| tracking.told_client().cast_signed())
}

fn getredir(
    _: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.int(told(session));
    Ok(())
}

fn trackinginfo(
    _: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut flags = Vec::new();
    match session.tracking.as_deref() {
        None => flags.push("off"),
        Some(tracking) => {
            flags.push("on");
            flags.extend(match tracking.mode {
                Mode::Read => &[][..],
                Mode::Broadcast => &["bcast"],
                Mode::OptIn => &["optin", "caching-yes"][..1 + usize::from(tracking.is_said)],
                Mode::OptOut => &["optout", "caching-no"][..1 + usize::from(tracking.is_said)],
            });
            flags.extend(tracking.skips_own.then_some("noloop"));
            flags.extend(tracking.is_broken.then_some("broken_redirect"));
        }
    }
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(told(session));
    reply.bulk(b"prefixes");
    let prefixes = session.subscribed.names(Kind::Prefix);
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

/// The words of CLIENT TRACKING.
#[derive(Debug, Default)]
struct Words<'a> {
    redirect: Option<Redirect>,
    prefixes: Vec<&'a [u8]>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

/// What has been read of them.
enum Parsed<'a> {
    All(Words<'a>),
    /// Whether there is a client with this number has to be known first.
    Needs(u64),
}

impl<'a> Words<'a> {
    /// Reads them. `found` is where the client is that they name, once that is known.
    fn parse(call: &Call<'a>, found: Option<Option<Home>>) -> Result<Parsed<'a>, CommandError> {
        let mut words = Words::default();
        let mut options = call.options(3);
        while let Some(option) = options.take() {
            match &option.to_ascii_lowercase()[..] {
                b"redirect" if options.left() > 0 => {
                    if words.redirect.is_some() {
                        return Err(TWICE);
                    }
                    let client = u64::try_from(options.integer()?).map_err(|_| NOBODY)?;
                    let Some(found) = found else { return Ok(Parsed::Needs(client)) };
                    words.redirect = Some(Redirect { client, home: found.ok_or(NOBODY)? });
                }
                b"prefix" if options.left() > 0 => words.prefixes.push(options.value()?),
                b"bcast" => words.bcast = true,
                b"optin" => words.optin = true,
                b"optout" => words.optout = true,
                b"noloop" => words.noloop = true,
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(Parsed::All(words))
    }

    /// Checks what they ask for against each other, and against what is tracked already.
    fn check(&self, session: &Session) -> Result<Mode, CommandError> {
        let before = session.tracking.as_ref().map(|tracking| tracking.mode);
        if !self.bcast && !self.prefixes.is_empty() {
            return Err(NO_BCAST);
        }
        if before.is_some_and(|mode| (mode == Mode::Broadcast) != self.bcast) {
            return Err(OTHER_BCAST);
        }
        if self.bcast && (self.optin || self.optout) {
            return Err(BCAST_AND_OPT);
        }
        let mode = match (self.bcast, self.optin, self.optout) {
            (true, ..) => Mode::Broadcast,
            (_, true, true) => return Err(BOTH),
            (_, true, _) => Mode::OptIn,
            (_, _, true) => Mode::OptOut,
            (false, false, false) => Mode::Read,
        };
        if matches!(
            (before, mode),
            (Some(Mode::OptIn), Mode::OptOut) | (Some(Mode::OptOut), Mode::OptIn)
        ) {
            return Err(OTHER_OPT);
        }
        self.check_prefixes(session)?;
        Ok(mode)
    }

    /// No prefix of a client may begin with another one.
    fn check_prefixes(&self, session: &Session) -> Result<(), CommandError> {
        let known = session.subscribed.names(Kind::Prefix);
        let among_themselves = first_overlap(&self.prefixes);
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = overlap_with_known(&known, prefix) {
                return Err(quoting(
                    "ERR Prefix '{}' overlaps with an existing prefix '{}'. Prefixes for a single \
                     client must not overlap.",
                    &[prefix, other],
                ));
            }
            if let Some((_, other)) = among_themselves.filter(|(first, _)| *first == at) {
                return Err(quoting(
                    "ERR Prefix '{}' overlaps with another provided prefix '{}'. Prefixes for a \
                     single client must not overlap.",
                    &[prefix, self.prefixes[other]],
                ));
            }
        }
        Ok(())
    }
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The first of these with which a prefix overlaps. They are in order, and do not overlap but for
/// the empty one.
fn overlap_with_known<'a>(known: &'a [pubsub::Name], prefix: &[u8]) -> Option<&'a [u8]> {
    let after = known.partition_point(|other| **other <= *prefix);
    let last_before = after.saturating_sub(1);
    let near = known.first().into_iter().chain(known[last_before..].iter().take(2));
    near.map(|other| &**other).find(|other| overlap(prefix, other))
}

/// The first of these that overlaps with a later one, and that one.
fn first_overlap(prefixes: &[&[u8]]) -> Option<(usize, usize)> {
    let mut sorted: Vec<(&[u8], usize)> = prefixes.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    // In this order a prefix stands ahead of all that begin with it, without others in between.
    let mut root = sorted.first()?;
    let mut first = None;
    for one in &sorted[1..] {
        if one.0.starts_with(root.0) {
            first = first.into_iter().chain([root.1, one.1]).min();
        } else {
            root = one;
        }
    }
    let first = first?;
    let other = (first + 1..prefixes.len()).find(|at| overlap(prefixes[first], prefixes[*at]))?;
    Some((first, other))
}

fn tracking(
    call: &Call<'_>,
    session: &mut Session,
    register: &mut Register,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    let found = walk.answer.take().transpose()?;
    let words = match Words::parse(call, found.map(|answer| Home::from_bytes(&answer)))? {
        Parsed::All(words) => words,
        Parsed::Needs(client) => return Ok(Some(Action::FindClient(client))),
    };
    if on_or_off(call, 2)? {
        let mode = words.check(session)?;
        begin(&words, mode, session, register);
    } else {
        end(session, register);
    }
    reply.ok();
    Ok(None)
}

fn begin(words: &Words<'_>, mode: Mode, session: &mut Session, register: &mut Register) {
    let Session { id, home, subscribed, tracking, .. } = session;
    let mut subscribe = |kind, name| register.subscribe(*id, *home, subscribed, kind, name);
    subscribe(Kind::Cached, b"");
    if mode == Mode::Broadcast && words.prefixes.is_empty() {
        subscribe(Kind::Prefix, b"");
    }
    words.prefixes.iter().for_each(|prefix| subscribe(Kind::Prefix, prefix));
    match words.redirect {
        Some(_) => subscribe(Kind::Cached, NAMED),
        None => drop(register.unsubscribe(subscribed, Kind::Cached, NAMED)),
    }
    let is_said = tracking.as_ref().is_some_and(|before| before.is_said);
    *tracking = Some(Box::new(Tracking {
        mode,
        skips_own: words.noloop,
        redirect: words.redirect,
        is_broken: false,
        is_said,
    }));
}

/// Nothing is tracked for the client any more.
fn end(session: &mut Session, register: &mut Register) {
    let Session { subscribed, tracking, .. } = session;
    *tracking = None;
    for kind in [Kind::Prefix, Kind::Cached] {
        for name in subscribed.names(kind) {
            register.unsubscribe(subscribed, kind, &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Store, dialogue};

    #[test]
    fn what_is_asked_for_is_shown_until_it_is_over() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > CLIENT GETREDIR
            (integer) -1
            > CLIENT TRACKINGINFO
            1) "flags"
            2) 1) "off"
            3) "redirect"
            4) (integer) -1
            5) "prefixes"
            6) (empty array)
            > CLIENT TRACKING off
            OK
            > CLIENT TRACKING on OPTIN NOLOOP
            OK
            > CLIENT CACHING yes
            OK
            > CLIENT TRACKINGINFO
            1) "flags"
            2) 1) "on"
               2) "optin"
               3) "caching-yes"
               4) "noloop"
            3) "redirect"
            4) (integer) 0
            5) "prefixes"
            6) (empty array)
            > PING
            PONG
            > CLIENT TRACKING on OPTIN
            OK
            > CLIENT TRACKINGINFO
            1) "flags"
            2) 1) "on"
               2) "optin"
            3) "redirect"
            4) (integer) 0
            5) "prefixes"
            6) (empty array)
            > RESET
            RESET
            > CLIENT TRACKING on BCAST PREFIX b PREFIX a
            OK
            > CLIENT TRACKING on BCAST PREFIX c
            OK
            > CLIENT TRACKINGINFO
            1) "flags"
            2) 1) "on"
               2) "bcast"
            3) "redirect"
            4) (integer) 0
            5) "prefixes"
            6) 1) "a"
               2) "b"
               3) "c"
            > CLIENT TRACKING off
            OK
            > CLIENT GETREDIR
            (integer) -1
            "#,
        );
        assert!(store.session.subscribed.names(Kind::Cached).is_empty());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > CLIENT TRACKING x
            (error) ERR syntax error
            > CLIENT TRACKING on foo
            (error) ERR syntax error
            > CLIENT TRACKING on REDIRECT
            (error) ERR syntax error
            > CLIENT TRACKING on REDIRECT x
            (error) ERR value is not an integer or out of range
            > CLIENT TRACKING off REDIRECT -1
            (error) ERR The client ID you want redirect to does not exist
            > CLIENT TRACKING on PREFIX a
            (error) ERR PREFIX option requires BCAST mode to be enabled
            > CLIENT TRACKING on BCAST OPTIN
            (error) ERR OPTIN and OPTOUT are not compatible with BCAST
            > CLIENT TRACKING on OPTIN OPTOUT
            (error) ERR You can't specify both OPTIN mode and OPTOUT mode
            > CLIENT TRACKING on BCAST PREFIX FOO PREFIX FO
            (error) ERR Prefix 'FOO' overlaps with another provided prefix 'FO'. Prefixes for a single client must not overlap.
            > CLIENT CACHING yes
            (error) ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
            > CLIENT TRACKING on OPTIN
            OK
            > CLIENT TRACKING on OPTOUT
            (error) ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.
            > CLIENT TRACKING on BCAST
            (error) ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.
            > CLIENT CACHING no
            (error) ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
            > CLIENT CACHING foo
            (error) ERR syntax error
            > CLIENT TRACKING on
            OK
            > CLIENT CACHING yes
            (error) ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
            > CLIENT TRACKING off
            OK
            > CLIENT TRACKING on BCAST PREFIX a
            OK
            > CLIENT TRACKING on BCAST PREFIX aa
            (error) ERR Prefix 'aa' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.
            "#,
        );
    }

    #[test]
    fn overlaps_are_those_that_a_comparison_of_all_finds() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let names: Vec<Vec<u8>> = (0..random.usize(..6))
                .map(|_| (0..random.usize(..4)).map(|_| random.u8(b'a'..=b'b')).collect())
                .collect();
            let prefixes: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
            let pairs =
                (0..prefixes.len()).flat_map(|a| (a + 1..prefixes.len()).map(move |b| (a, b)));
            let expected = pairs.into_iter().find(|(a, b)| overlap(prefixes[*a], prefixes[*b]));
            assert_eq!(first_overlap(&prefixes), expected, "{prefixes:?}");

            let mut known: Vec<pubsub::Name> = Vec::new();
            for name in &prefixes {
                if name.is_empty()
                    || known.iter().all(|other| other.is_empty() || !overlap(other, name))
                {
                    known.push((*name).into());
                }
            }
            known.sort_unstable();
            known.dedup();
            for prefix in [&b""[..], b"a", b"b", b"ab", b"aba", b"bbbb"] {
                let expected =
                    known.iter().find(|other| overlap(other, prefix)).map(|other| &**other);
                assert_eq!(overlap_with_known(&known, prefix), expected, "{known:?} {prefix:?}");
            }
        }
    }

    #[test]
    fn who_is_named_is_looked_for() {
        let mut store = Store::new();
        assert_eq!(store.run("CLIENT TRACKING on BCAST REDIRECT 7"), "(action) FindClient(7)");
    }
}

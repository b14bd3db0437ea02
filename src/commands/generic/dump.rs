//! Keys as payloads that other servers read: DUMP, RESTORE and RESTORE-ASKING.
//!
//! A payload is what `src/rdb` says. DUMP writes the oldest version that has the value, so that
//! most servers can read it. RESTORE reads those of Redis 5 to 8 and of Valkey up to 9.2, also
//! where Valkey refuses versions of Redis; what is wrong with a payload is always an error.
//!
//! RESTORE is journaled with its payload, and its deadline as a point in time. No payload says
//! that a key is blessed; a key whose place RESTORE takes stays so.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::rdb::{self, Dialect, Forms, NoPlace, PayloadError};
use crate::resp::Reply;

const RESTORE: Command = Command {
    group: Group::Generic,
    since: "2.6.0",
    complexity: "O(N) with N elements, O(N*log(N)) of a sorted set.",
    arity: Arity::AtLeast(4),
    keys: &[KeySpec::one(1, Access::OW.and(Access::UPDATE))],
    flags: Flags::WRITE.and(Flags::DENY_OOM),
    categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
    args: &[
        Arg::key("key"),
        Arg::integer("ttl"),
        Arg::string("serialized-value"),
        Arg::word("replace", "REPLACE").since("3.0.0").optional(),
        Arg::word("absttl", "ABSTTL").since("5.0.0").optional(),
        Arg::integer("seconds").token("IDLETIME").since("5.0.0").optional(),
        Arg::integer("frequency").token("FREQ").since("5.0.0").optional(),
    ],
    history: &[
        ("3.0.0", "REPLACE takes the place of a key that is there."),
        ("5.0.0", "ABSTTL, IDLETIME and FREQ."),
    ],
    run: Run::Keys(restore),
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("dump"),
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) with N elements.",
        summary: "Gives the value of a key in a form that RESTORE takes.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY,
        categories: Categories::KEYSPACE,
        tips: &["nondeterministic_output"],
        args: &[Arg::key("key")],
        run: Run::Keys(dump),
        ..Command::BASE
    },
    Command { name: Name("restore"), summary: "Makes a key of what DUMP has given.", ..RESTORE },
    Command {
        name: Name("restore-asking"),
        group: Group::Server,
        since: "3.0.0",
        summary: "Is RESTORE as servers of a cluster send it.",
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::ASKING),
        ..RESTORE
    },
];

fn dump(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let Some(entry) = keys.read(call.key(1)) else {
        reply.null();
        return Ok(());
    };
    reply.bulk(&payload(call, entry)?);
    Ok(())
}

/// The payload of a value.
///
/// # Errors
/// It holds what has no place in one.
pub(super) fn payload(call: &Call<'_>, entry: &Entry) -> Result<Vec<u8>, CommandError> {
    let timed = Dialect::timed(call.settings.rdb_version);
    rdb::dump(entry, call.settings.rdbcompression, timed).map_err(|it| match it {
        NoPlace::TimedMembers => CommandError::Text(
            "ERR no payload has a place for the deadlines of members: take them away with SPERSIST \
             or ZPERSIST first",
        ),
        NoPlace::Released => CommandError::Text(
            "ERR no payload has a place for pending entries that no consumer has: claim or \
             acknowledge them first",
        ),
    })
}

/// What a client says of the key beside its value.
#[derive(Clone, Copy, Debug, Default)]
struct Words {
    replaces: bool,
    is_absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Words {
    fn of(call: &Call<'_>) -> Result<Words, CommandError> {
        let mut words = Words::default();
        let mut options = call.options(4);
        while options.left() > 0 {
            let has_value = options.left() > 1;
            if options.take_word("REPLACE") {
                words.replaces = true;
            } else if options.take_word("ABSTTL") {
                words.is_absolute = true;
            } else if has_value && words.frequency.is_none() && options.take_word("IDLETIME") {
                words.idle_seconds =
                    Some(u64::try_from(options.integer()?).map_err(|_| {
                        CommandError::Text("ERR Invalid IDLETIME value, must be >= 0")
                    })?);
            } else if has_value && words.idle_seconds.is_none() && options.take_word("FREQ") {
                words.frequency = Some(u8::try_from(options.integer()?).map_err(|_| {
                    CommandError::Text("ERR Invalid FREQ value, must be >= 0 and <= 255")
                })?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(words)
    }
}

/// When the key expires: at a point in time, or so many milliseconds from now. In a journal of
/// Redis the point may be below zero: a sum there that wrapped around, by which the key was gone.
fn deadline(
    call: &Call<'_>,
    words: Words,
    is_replay: bool,
) -> Result<Option<Millis>, CommandError> {
    match call.integer(2)? {
        time @ ..0 if words.is_absolute && is_replay => Ok(Some(Millis(time))),
        ..0 => Err(CommandError::Text("ERR Invalid TTL value, must be >= 0")),
        0 => Ok(None),
        time if words.is_absolute => Ok(Some(Millis(time))),
        span => Ok(Some(call.now.saturating_add(span))),
    }
}

fn restore(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (key, words) = (call.key(1), Words::of(call)?);
    let there = keys.look(key);
    let is_blessed = there.is_some_and(Entry::is_blessed);
    if there.is_some() && !words.replaces {
        return Err(CommandError::Text("BUSYKEY Target key name already exists."));
    }
    let deadline = deadline(call, words, keys.is_replay())?;
    let forms = Forms::of(call.settings, call.hasher);
    let restored = rdb::restore(call.arg(3), keys.tools.takes_any_checksum, forms);
    let loaded = restored.map_err(|error| match error {
        PayloadError::Foot(_) => {
            CommandError::Text("ERR DUMP payload version or checksum are wrong")
        }
        PayloadError::Value(error) => CommandError::BadPayload(Box::new(error)),
    })?;
    let mut entry = loaded.into_entry(key.name, deadline);
    entry.bless(is_blessed);
    let (clock, now) = (keys.tools.clock, keys.now);
    if deadline.is_some_and(|deadline| keys.is_past(deadline)) {
        keys.tools.discarded.take_entry(entry);
        if keys.delete(key, Event::DEL) {
            keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
        }
    } else {
        clock.start_as(&mut entry, now, words.idle_seconds, words.frequency);
        let was = keys.put(key, entry);
        keys.touch(key, Event::RESTORE);
        keys.note_overwritten(key, was);
        record(call, keys, key, words, deadline);
    }
    reply.ok();
    Ok(())
}

/// Records the call as it came, but with a deadline that means the same whenever it is read.
fn record(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    key: Key<'_>,
    words: Words,
    deadline: Option<Millis>,
) {
    let Some(deadline) = deadline.filter(|_| !words.is_absolute) else { return };
    let time = deadline.to_string();
    let mut record = vec![&b"RESTORE"[..], key.name, time.as_bytes()];
    record.extend(call.args_from(3));
    record.push(b"ABSTTL");
    keys.tools.effects.rewrite(keys.db, &record);
}

#[cfg(test)]
mod tests {
    use crate::testing::{START, Store, dialogue};

    /// What DUMP gives for the string `zpkm`, whose checksum is text too.
    const PAYLOAD: &str = r#""\x00\x04zpkm\n\x00waJPplEK""#;

    fn restored(line: &str) -> (Store, String) {
        let mut store = Store::new();
        store.run("SET there 1");
        store.effects();
        let reply = store.run(&line.replace("PAYLOAD", PAYLOAD));
        (store, reply)
    }

    #[test]
    fn a_key_is_made_of_what_another_was() {
        let mut store = Store::new();
        let lines = [
            "SET k v",
            "RPUSH l a 1 b",
            "SADD s 1 2 3",
            "SADD t a b c",
            "ZADD z 1 a 2.5 b",
            "HSET h f v",
            "HSETEX timed EX 100 FIELDS 2 f v g w",
            "XADD x 1-1 f v",
            "XGROUP CREATE x g 0",
            "XREADGROUP GROUP g c STREAMS x >",
        ];
        lines.iter().for_each(|line| drop(store.run(line)));
        for key in ["k", "l", "s", "t", "z", "h", "timed", "x"] {
            let payload = store.run(&format!("DUMP {key}"));
            assert_eq!(store.run(&format!("RESTORE copy 0 {payload} REPLACE")), "OK", "{key}");
            let digest = |store: &mut Store, key| store.run(&format!("DEBUG DIGEST-VALUE {key}"));
            assert_eq!(digest(&mut store, "copy"), digest(&mut store, key), "{key}");
            assert_eq!(store.run("DUMP copy"), payload);
        }
        assert_eq!(store.run("XPENDING copy g"), store.run("XPENDING x g"));
        assert_eq!(store.run("DUMP nothing"), "(nil)");
    }

    #[test]
    fn what_has_no_place_in_a_payload_is_named() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > SADD s a b
            (integer) 2
            > SEXPIRE s 100 MEMBERS 1 a
            1) (integer) 1
            > DUMP s
            (error) ERR no payload has a place for the deadlines of members: take them away with SPERSIST or ZPERSIST first
            > SPERSIST s MEMBERS 1 a
            1) (integer) 1
            > DUMP s
            "\x02\x02\x01a\x01b\n\x00\xfed!%\xeb\x03=\r"
            > XADD x 1-1 f v
            "1-1"
            > XGROUP CREATE x g 0
            OK
            > XNACK x g FAIL IDS 1 1-1 FORCE
            (integer) 1
            > DUMP x
            (error) ERR no payload has a place for pending entries that no consumer has: claim or acknowledge them first
            "#,
        );
    }

    #[test]
    fn deadlines_are_journaled_as_points_in_time() {
        for (line, wanted) in [
            ("RESTORE k 0 PAYLOAD", "RESTORE k 0 PAYLOAD"),
            ("RESTORE k 5000 PAYLOAD", "RESTORE k 1700000005000 PAYLOAD ABSTTL"),
            (
                "RESTORE k 5000 PAYLOAD replace IDLETIME 7",
                "RESTORE k 1700000005000 PAYLOAD replace IDLETIME 7 ABSTTL",
            ),
            ("RESTORE k 1700000005000 PAYLOAD ABSTTL", "RESTORE k 1700000005000 PAYLOAD ABSTTL"),
            ("RESTORE k 5 PAYLOAD ABSTTL", ""),
            ("RESTORE there 5 PAYLOAD ABSTTL REPLACE", "DEL there"),
            ("RESTORE there 5 PAYLOAD ABSTTL", ""),
        ] {
            let (mut store, _) = restored(line);
            let said = store.effects();
            let (before, behind) = wanted.split_once("PAYLOAD").unwrap_or((wanted, ""));
            let (before, behind) = (before.trim_end(), behind.trim_start());
            assert!(said.starts_with(before) && said.ends_with(behind), "{line}: {said}");
            assert_eq!(said.is_empty(), wanted.is_empty(), "{line}: {said}");
        }
    }

    #[test]
    fn a_deadline_is_kept_and_one_that_has_passed_leaves_nothing() {
        let (mut store, reply) = restored("RESTORE k 5000 PAYLOAD");
        assert_eq!((reply.as_str(), store.run("PTTL k").as_str()), ("OK", "(integer) 5000"));
        let (mut store, reply) = restored("RESTORE k 9223372036854775807 PAYLOAD");
        assert_eq!((reply.as_str(), store.run("GET k").as_str()), ("OK", "\"zpkm\""));
        let (mut store, reply) = restored("RESTORE there 5 PAYLOAD ABSTTL REPLACE");
        assert_eq!((reply.as_str(), store.run("EXISTS there").as_str()), ("OK", "(integer) 0"));
        for time in [5, -5] {
            let line = format!("RESTORE k {time} {PAYLOAD} ABSTTL");
            let mut store = Store::loaded(&format!("{line}\nAPPEND k w"), START);
            assert_eq!(store.run("EXISTS k"), "(integer) 0");
        }
    }
}

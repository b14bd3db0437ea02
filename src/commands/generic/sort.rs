//! The elements of a collection in order: SORT, SORT_RO.
//!
//! A pattern of BY or GET names a key for each element, and those keys lie anywhere: a call meets
//! their slots while it looks, and runs again with them. What STORE stores is journaled by value:
//! it depends on keys that a replay does not have beside it.
//!
//! Equal elements keep their order. Texts that are not stored are compared up to their first zero
//! byte, as Valkey does in the locale "C".

use std::cmp::Ordering;

use crate::base::float;
use crate::commands::call::{Call, Options};
use crate::commands::command::{
    Access, Arg, Arity, Begin, Categories, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::recreate;
use crate::data::list::{End, Limits, List};
use crate::data::set::Set;
use crate::data::value::Value;
use crate::data::zset::Zset;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::{Object, Typed};
use crate::resp::Reply;

const fn unknown(access: Access, notes: &'static str) -> KeySpec {
    KeySpec { access, begin: Begin::Unknown, find: Find::Unknown, notes }
}

const PATTERN_KEYS: KeySpec =
    unknown(Access::RO.and(Access::READS), "The keys that BY and GET name by a pattern.");

/// SORT is the same, and can store.
const SORT_RO: Command = Command {
    name: Name("sort_ro"),
    group: Group::Generic,
    since: "7.0.0",
    complexity: "O(N+M*log(M)) with N elements, of which M are given; O(N) without sorting.",
    summary: "Gives the elements of a list, a set or a sorted set in order.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS)), PATTERN_KEYS],
    anywhere: Some(|words| behind(words, &["BY", "GET"]).any(|at| words[at].contains(&b'*'))),
    flags: Flags::READONLY.and(Flags::MOVABLE_KEYS),
    categories: Categories::SET
        .and(Categories::SORTED_SET)
        .and(Categories::LIST)
        .and(Categories::DANGEROUS),
    args: &[
        Arg::key("key"),
        Arg::pattern("by-pattern").shown("pattern").token("BY").optional(),
        Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")])
            .token("LIMIT")
            .optional(),
        Arg::pattern("get-pattern").shown("pattern").token("GET").multiple_token().optional(),
        Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
        Arg::word("sorting", "ALPHA").optional(),
    ],
    run: Run::Keys(sort_ro),
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("sort"),
        since: "1.0.0",
        summary: "Gives or stores the elements of a list, a set or a sorted set in order.",
        keys: &[
            KeySpec::one(1, Access::RO.and(Access::READS)),
            PATTERN_KEYS,
            unknown(Access::OW.and(Access::UPDATE), "The key behind STORE."),
        ],
        further: Some(|words| behind(words, &["STORE"]).last().into_iter().collect()),
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::MOVABLE_KEYS),
        args: &Arg::joined::<7>(&[
            SORT_RO.args,
            &[Arg::key_of("destination", 2).token("STORE").optional()],
        ]),
        run: Run::Keys(sort),
        ..SORT_RO
    },
    SORT_RO,
];

/// Where what stands behind these options is.
fn behind<'a>(words: &'a [&[u8]], wanted: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    let mut at = 2;
    std::iter::from_fn(move || {
        while let Some(word) = words.get(at) {
            let is = |option: &&str| word.eq_ignore_ascii_case(option.as_bytes());
            at += match () {
                () if is(&"LIMIT") => 3,
                () if ["BY", "GET", "STORE"].iter().any(is) => 2,
                () => 1,
            };
            if wanted.iter().any(is) && at <= words.len() {
                return Some(at - 1);
            }
        }
        None
    })
}

/// What elements are compared by.
#[derive(Clone, Copy)]
enum By<'a> {
    Themselves,
    /// They stay as they are.
    Nothing,
    Pattern(&'a [u8]),
}

/// A call, read.
struct Plan<'a> {
    by: By<'a>,
    offset: i64,
    count: i64,
    gets: Vec<&'a [u8]>,
    descends: bool,
    is_alpha: bool,
    destination: Option<usize>,
}

impl<'a> Plan<'a> {
    fn of(call: &Call<'a>, stores: bool) -> Result<Plan<'a>, CommandError> {
        let mut plan = Plan {
            by: By::Themselves,
            offset: 0,
            count: -1,
            gets: Vec::new(),
            descends: false,
            is_alpha: false,
            destination: None,
        };
        let mut options = call.options(2);
        while options.left() > 0 {
            plan.take(&mut options, stores)?;
        }
        Ok(plan)
    }

    fn take(&mut self, options: &mut Options<'a>, stores: bool) -> Result<(), CommandError> {
        let left = options.left() - 1;
        match () {
            () if options.take_word("ASC") => self.descends = false,
            () if options.take_word("DESC") => self.descends = true,
            () if options.take_word("ALPHA") => self.is_alpha = true,
            () if left >= 2 && options.take_word("LIMIT") => {
                (self.offset, self.count) = (options.integer()?, options.integer()?);
            }
            () if stores && left >= 1 && options.take_word("STORE") => {
                self.destination = Some(options.position());
                options.value()?;
            }
            () if left >= 1 && options.take_word("BY") => {
                let pattern = options.value()?;
                self.by = if pattern.contains(&b'*') { By::Pattern(pattern) } else { By::Nothing };
            }
            () if left >= 1 && options.take_word("GET") => self.gets.push(options.value()?),
            () => return Err(CommandError::Syntax),
        }
        Ok(())
    }

    /// Which of `len` elements in order are wanted: the first and how many.
    fn part(&self, len: usize) -> (usize, usize) {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        (start, count.min(len - start))
    }
}

fn sort(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let plan = Plan::of(call, true)?;
    let sorted = sorted(call, keys, &plan)?;
    match plan.destination {
        None => give(call, keys, reply, &plan, &sorted),
        Some(at) => store(call, keys, reply, &plan, &sorted, call.key(at)),
    }
    Ok(())
}

fn sort_ro(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let plan = Plan::of(call, false)?;
    let sorted = sorted(call, keys, &plan)?;
    give(call, keys, reply, &plan, &sorted);
    Ok(())
}

fn give(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    plan: &Plan<'_>,
    sorted: &[Vec<u8>],
) {
    reply.array(sorted.len() * plan.gets.len().max(1));
    for element in sorted {
        if plan.gets.is_empty() {
            reply.bulk(element);
        }
        for pattern in &plan.gets {
            match named(call, keys, pattern, element) {
                Some(value) => reply.bulk(&value),
                None => reply.null(),
            }
        }
    }
}

fn store(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    plan: &Plan<'_>,
    sorted: &[Vec<u8>],
    destination: Key<'_>,
) {
    let limits = Limits::of(call.settings.list_max_listpack_size);
    let mut list = List::default();
    let mut add = |item: &[u8]| {
        list.make_room(item.len(), 1, limits);
        list.push(End::Back, item, limits);
    };
    let mut len = 0;
    for element in sorted {
        if plan.gets.is_empty() {
            add(element);
        }
        let values = plan.gets.iter().map(|pattern| named(call, keys, pattern, element));
        values.for_each(|value| add(&value.unwrap_or_default()));
        len += plan.gets.len().max(1);
    }
    list.pack_if_within(limits);
    if !keys.lacks_any() && keys.set_object(destination, list.into_object(), Event::SORTSTORE) {
        recreate::rewrite(keys, destination);
    }
    reply.int(len as i64);
}

/// An element with what it is compared by.
struct Weighed {
    element: Vec<u8>,
    weight: Weight,
}

enum Weight {
    Number(f64),
    /// A text that was looked up; the element itself where it was not.
    Text(Option<Vec<u8>>),
    Own,
}

/// The elements that are wanted, in order.
fn sorted(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    plan: &Plan<'_>,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let key = call.key(1);
    let found = if keys.exists(key) { elements(keys, key)? } else { Found::default() };
    let Found { mut elements, is_ordered } = found;
    let (start, count) = plan.part(elements.len());
    let (mut by, mut is_alpha) = (plan.by, plan.is_alpha);
    let is_kept = plan.destination.is_some() || keys.is_in_script();
    if matches!(by, By::Nothing) && !is_ordered && is_kept {
        // What is stored, or what a script goes by, must not depend on how a set lies in memory.
        (by, is_alpha) = (By::Themselves, true);
    }
    if let By::Nothing = by {
        if plan.descends && is_ordered {
            elements.reverse();
        }
    } else {
        elements = ordered(call, keys, plan, by, is_alpha, elements)?;
    }
    if keys.lacks_any() {
        // The order is not known yet.
        return Ok(Vec::new());
    }
    elements.truncate(start + count);
    elements.drain(..start);
    Ok(elements)
}

fn ordered(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    plan: &Plan<'_>,
    by: By<'_>,
    is_alpha: bool,
    elements: Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let mut weighed = Vec::with_capacity(elements.len());
    for element in elements {
        let weight = match by {
            By::Pattern(pattern) => {
                let text = named(call, keys, pattern, &element);
                if is_alpha { Weight::Text(text) } else { Weight::Number(score(text.as_deref())?) }
            }
            _ if is_alpha => Weight::Own,
            _ => Weight::Number(score(Some(&element))?),
        };
        weighed.push(Weighed { element, weight });
    }
    let whole = plan.destination.is_some();
    weighed.sort_by(|a, b| {
        let order = compare(a, b, whole);
        if plan.descends { order.reverse() } else { order }
    });
    Ok(weighed.into_iter().map(|weighed| weighed.element).collect())
}

fn score(text: Option<&[u8]>) -> Result<f64, CommandError> {
    let Some(text) = text else { return Ok(0.0) };
    float::parse(text)
        .ok_or(CommandError::Text("ERR One or more scores can't be converted into double"))
}

fn compare(a: &Weighed, b: &Weighed, whole: bool) -> Ordering {
    let texts = |a: &[u8], b: &[u8]| if whole { a.cmp(b) } else { shown(a).cmp(shown(b)) };
    match (&a.weight, &b.weight) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.element.cmp(&b.element))
        }
        (Weight::Text(Some(x)), Weight::Text(Some(y))) => texts(x, y),
        (Weight::Text(x), Weight::Text(y)) => x.is_some().cmp(&y.is_some()),
        _ => texts(&a.element, &b.element),
    }
}

/// A text up to its first zero byte.
fn shown(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// The elements of a collection, and whether it has an order of its own.
#[derive(Default)]
struct Found {
    elements: Vec<Vec<u8>>,
    is_ordered: bool,
}

fn elements(keys: &Keys<'_>, key: Key<'_>) -> Result<Found, CommandError> {
    let mut elements = Vec::new();
    if let Ok(set) = keys.peek_as::<Set>(key) {
        elements.extend(set.iter().flat_map(|set| set.iter()).map(Value::to_vec));
        return Ok(Found { elements, is_ordered: false });
    }
    if let Ok(zset) = keys.peek_as::<Zset>(key) {
        zset.iter().for_each(|zset| zset.each(|name, _| elements.push(name.to_vec())));
    } else {
        let list = keys.peek_as::<List>(key)?;
        elements.extend(list.iter().flat_map(|list| list.iter()).map(Value::to_vec));
    }
    Ok(Found { elements, is_ordered: true })
}

/// The string that a pattern names for an element: `#` the element itself, `weight_*` what the key
/// holds that has the element in the place of the star, and `hash_*->field` a field of it.
fn named(call: &Call<'_>, keys: &mut Keys<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (before, after) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = after.windows(2).position(|pair| pair == b"->");
    let (after, field) = match arrow {
        Some(at) if at + 2 < after.len() => (&after[..at], Some(&after[at + 2..])),
        _ => (after, None),
    };
    let name = [before, element, after].concat();
    let key = Key::new(&name, call.hasher);
    let now = keys.now;
    let entry = keys.read_through(key)?;
    match (field, entry.object().as_deref()) {
        (None, _) => entry.string().map(Value::to_vec),
        (Some(field), Some(Object::Hash(hash))) => {
            let item = hash.get(field)?;
            let is_expired = item.deadline.is_some_and(|deadline| deadline <= now);
            (!is_expired).then(|| item.value.to_vec())
        }
        (Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn elements_are_ordered_and_limited() {
        let mut store = Store::new();
        store.run("RPUSH k 3 1 10 2");
        dialogue(
            &mut store,
            r#"
            > SORT k
            1) "1"
            2) "2"
            3) "3"
            4) "10"
            > SORT k ALPHA DESC LIMIT 1 2
            1) "2"
            2) "10"
            > SORT_RO k LIMIT 3 -1
            1) "10"
            > SORT k BY nosort DESC LIMIT 0 1
            1) "2"
            > SORT k LIMIT 9223372036854775807 9223372036854775807
            (empty array)
            > SORT nothing
            (empty array)
            > SORT_RO k STORE x
            (error) ERR syntax error
            > SORT k LIMIT 1
            (error) ERR syntax error
            > SORT k LIMIT 1 x
            (error) ERR value is not an integer or out of range
            > SET s x
            OK
            > SORT s BY nosort
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > RPUSH k x
            (integer) 5
            > SORT k
            (error) ERR One or more scores can't be converted into double
            "#,
        );
    }

    #[test]
    fn patterns_reach_keys_on_all_shards() {
        let mut shards = Shards::new(3);
        for number in 0..40 {
            shards.run(&format!("RPUSH k {number}"));
            shards.run(&format!("SET weight_{number} {}", 100 - number));
            shards.run(&format!("SET name_{number}_x n{number}"));
        }
        let sorted = shards.run("SORT k BY weight_* LIMIT 0 2 GET # GET name_*_x GET no_* GET no");
        let lines: Vec<&str> = sorted.lines().collect();
        let words = "1) \"39\"|2) \"n39\"|3) (nil)|4) (nil)|5) \"38\"|6) \"n38\"|7) (nil)|8) (nil)";
        assert_eq!(lines.join("|"), words);
        assert_eq!(shards.run("SORT k BY weight_* STORE other"), "(integer) 40");
        assert_eq!(shards.run("LINDEX other 0"), "\"39\"");
        assert_eq!(shards.run("SORT k DESC STORE third"), "(integer) 40");
        assert_eq!(shards.run("LINDEX third 39"), "\"0\"");
        assert_eq!(shards.run("SORT k BY weight_* LIMIT 38 5 GET #"), "1) \"1\"\n2) \"0\"");
        assert_eq!(shards.run("SORT k GET no_* STORE k"), "(integer) 40");
        assert_eq!(shards.run("LINDEX k 1"), "\"\"");
    }

    #[test]
    fn what_is_stored_is_journaled_by_value() {
        let mut store = Store::new();
        store.run("RPUSH k 2 1");
        store.effects();
        store.run("SORT k STORE d");
        assert_eq!(store.effects(), "MULTI\nDEL d\nRPUSH d 1 2\nEXEC");
        store.run("SORT nothing STORE d");
        store.run("SORT nothing STORE d");
        store.run("SORT k");
        assert_eq!(store.effects(), "DEL d");
    }

    #[test]
    fn keys_are_told() {
        let mut store = Store::new();
        let keys = "COMMAND GETKEYS SORT a BY x LIMIT STORE 2 GET STORE STORE d STORE e";
        assert_eq!(store.run(keys), "1) \"a\"\n2) \"e\"");
        assert_eq!(
            store.run("COMMAND GETKEYSANDFLAGS SORT a STORE d"),
            "1) 1) \"a\"\n   2) 1) RO\n      2) access\n2) 1) \"d\"\n   2) 1) OW\n      2) update"
        );
    }
}

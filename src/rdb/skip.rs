//! Where a value ends, found without making it.
//!
//! So a file can be cut up on one thread, and its values made on others. Only lengths and counts
//! are looked at: what stands inside a string is for whoever reads the value.

use crate::rdb::dialect::{Kind, StreamForm};
use crate::rdb::error::RdbError;
use crate::rdb::module;
use crate::rdb::source::Source;

/// Lengths of a score that is a text which mean that there is none.
const SCORES_WITHOUT_TEXT: std::ops::RangeInclusive<u8> = 253..=255;

/// Reads over the value of a kind.
pub(super) fn value(source: &mut Source<'_>, kind: Kind) -> Result<(), RdbError> {
    match kind {
        Kind::String
        | Kind::ListOfZiplist
        | Kind::SetOfInts
        | Kind::SetListpack
        | Kind::ZsetZiplist
        | Kind::ZsetListpack
        | Kind::HashZipmap
        | Kind::HashZiplist
        | Kind::HashListpack => source.skip_string(),
        Kind::List | Kind::Set | Kind::ListOfZiplists => each(source, 1, Source::skip_string),
        Kind::ListOfNodes => each(source, 2, |source| {
            source.length()?;
            source.skip_string()
        }),
        Kind::ZsetOfTexts => each(source, 2, |source| {
            source.skip_string()?;
            match source.byte()? {
                len if SCORES_WITHOUT_TEXT.contains(&len) => Ok(()),
                len => source.take(len.into()).map(drop),
            }
        }),
        Kind::Zset => each(source, 2, |source| {
            source.skip_string()?;
            source.array::<8>().map(drop)
        }),
        Kind::Hash => each(source, 2, |source| {
            source.skip_string()?;
            source.skip_string()
        }),
        Kind::HashOfRedis { has_least } => {
            skip_least(source, has_least)?;
            each(source, 3, |source| {
                source.length()?;
                source.skip_string()?;
                source.skip_string()
            })
        }
        Kind::HashListpackOfRedis { has_least } => {
            skip_least(source, has_least)?;
            source.skip_string()
        }
        Kind::HashOfValkey => each(source, 10, |source| {
            source.skip_string()?;
            source.skip_string()?;
            source.long().map(drop)
        }),
        Kind::Stream(form) => stream(source, form),
        Kind::Module => module::skip(source).map(drop),
    }
}

/// Calls `skip` as often as the count says that comes next: things of `least` bytes or more.
fn each<'a>(
    source: &mut Source<'a>,
    least: u64,
    mut skip: impl FnMut(&mut Source<'a>) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    for _ in 0..source.count(least)? {
        skip(source)?;
    }
    Ok(())
}

fn skip_least(source: &mut Source<'_>, has_least: bool) -> Result<(), RdbError> {
    if has_least { source.long().map(drop) } else { Ok(()) }
}

fn lengths(source: &mut Source<'_>, count: usize) -> Result<(), RdbError> {
    (0..count).try_for_each(|_| source.length().map(drop))
}

fn stream(source: &mut Source<'_>, form: StreamForm) -> Result<(), RdbError> {
    let is_counted = form >= StreamForm::Counted;
    each(source, 3, |source| {
        source.skip_string()?;
        source.skip_string()
    })?;
    // How many entries there are, and the last id; the first id, the highest deleted one, and how
    // many entries were added.
    lengths(source, if is_counted { 8 } else { 3 })?;
    each(source, 5, |source| {
        source.skip_string()?;
        // The last id that was read, and how many entries that were.
        lengths(source, if is_counted { 3 } else { 2 })?;
        each(source, 25, |source| {
            source.array::<24>()?;
            source.length().map(drop)
        })?;
        each(source, 10, |source| {
            source.skip_string()?;
            source.long()?;
            if form >= StreamForm::Active {
                source.long()?;
            }
            each(source, 16, |source| source.array::<16>().map(drop))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::Entry;
    use crate::keyspace::entry::NewValue;
    use crate::rdb::dialect::Dialect;
    use crate::rdb::error::Fault;
    use crate::rdb::payload::tests::{FOREIGN, unhex};
    use crate::rdb::samples::{self, KINDS, entry, forms, hasher, string};
    use crate::rdb::{read, write};

    /// A stream without entries, with a pending one and a consumer that was active.
    const ACTIVE: &str = concat!(
        "15000005010000000000",
        "0101670501010100000000000000050000000000000001",
        "4d0000000000000003",
        "0101634d000000000000004e00000000000000",
        "0100000000000000050000000000000001",
    );

    /// Reads over a value behind its type and reads it: both end at the same place, before which
    /// there is no end.
    fn check(bytes: &[u8], dialect: Dialect) {
        let hasher = hasher();
        let mut full = Source::new(bytes);
        read::typed(&mut full, dialect, forms(&hasher)).expect("it is sound");
        let skip = |mut source: Source<'_>| {
            let kind = dialect.kind(source.byte()?).map_err(|fault| fault.at(0))?;
            value(&mut source, kind).map(|()| source.used())
        };
        // What stands behind it is nobody's.
        let longer = [bytes, b"abc"].concat();
        assert_eq!(skip(Source::new(&longer)), Ok(full.used()), "{bytes:?}");
        for cut in 0..full.used() {
            let error = skip(Source::new(&bytes[..cut])).expect_err("it is cut");
            assert_eq!(error.fault, Fault::Truncated, "{bytes:?} at {cut}");
            let rest = (bytes.len() - cut) as u64;
            let error = skip(Source::part(&bytes[..cut], 0, rest)).expect_err("it is cut");
            assert_eq!(error.fault, Fault::More, "{bytes:?} at {cut}");
        }
    }

    #[test]
    fn a_value_ends_where_reading_it_ends() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..400 {
            let count = random.usize(1..[4, 12, 40][round % 3]);
            let there = match round as u8 % (KINDS + 1) {
                KINDS => {
                    let text = string(&mut random);
                    Entry::new(b"k", NewValue::Bytes(&text), None, 0)
                }
                kind => entry(samples::value(kind, count, &mut random)),
            };
            for timed in [Dialect::TIMED, Dialect::REDIS_TIMED] {
                let mut bytes = Vec::new();
                let dialect = write::typed(&mut bytes, None, &there, random.bool(), timed);
                check(&bytes, dialect);
            }
        }
        for (hex, version, _) in FOREIGN {
            check(&unhex(hex), Dialect::of_version(*version).expect("it is known"));
        }
        check(&unhex(ACTIVE), Dialect::of_version(11).expect("it is known"));
    }

    /// What cannot be found damaged without reading it may be read over; never beyond the end, and
    /// never to another end than that of what is sound.
    #[test]
    fn damage_is_an_error_or_a_value_that_ends() {
        let mut random = fastrand::Rng::with_seed(2);
        let hasher = hasher();
        let (mut refused, mut skipped) = (0, 0);
        for kind in 0..KINDS {
            let mut bytes = Vec::new();
            let there = entry(samples::value(kind, 9, &mut random));
            let dialect = write::typed(&mut bytes, None, &there, true, Dialect::TIMED);
            for at in 0..bytes.len() {
                for change in [1, 0x80, 0xff, random.u8(1..)] {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= change;
                    let mut source = Source::new(&flipped);
                    let kind = source.byte().and_then(|it| dialect.kind(it).map_err(|it| it.at(0)));
                    let end =
                        kind.and_then(|kind| value(&mut source, kind)).map(|()| source.used());
                    let mut full = Source::new(&flipped);
                    if read::typed(&mut full, dialect, forms(&hasher)).is_ok() {
                        assert_eq!(end, Ok(full.used()), "{flipped:?}");
                    }
                    *(if end.is_ok() { &mut skipped } else { &mut refused }) += 1;
                }
            }
        }
        assert!(refused > 100 && skipped > 1_000, "{refused} refused, {skipped} skipped");
    }
}

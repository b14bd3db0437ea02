//! INFO keyspace: the databases that hold keys.

use super::{Lines, Source};

pub(super) fn keyspace(source: &Source<'_>, lines: &mut Lines<'_>) {
    for (db, counts) in &source.totals.databases {
        if counts.len == 0 {
            continue;
        }
        let mean = counts.deadline_sum.checked_div(counts.expires as i128).unwrap_or(0);
        let ttl_ms = if counts.expires == 0 { 0 } else { mean - i128::from(source.facts.now.0) };
        lines.field(
            &format!("db{db}"),
            format_args!(
                "keys={},expires={},avg_ttl={},keys_with_volatile_items={}",
                counts.len,
                counts.expires,
                ttl_ms.max(0),
                counts.timed,
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::base::millis::Millis;
    use crate::data::table::Counts;
    use crate::stats::facts::Facts;
    use crate::stats::info::{Source, text};
    use crate::stats::totals::Totals;

    #[test]
    fn the_mean_deadline_is_shown_as_a_time_to_live() {
        let facts = Facts { now: Millis(1_000), ..Facts::default() };
        let filled =
            Counts { len: 3, expires: 2, timed: 1, deadline_sum: 5_000, ..Counts::default() };
        let one = Counts { len: 1, ..Counts::default() };
        let databases = [(0, filled), (1, Counts::default()), (2, one)].into();
        let totals = Totals { databases, ..Totals::default() };
        assert_eq!(
            text(&[b"keyspace".to_vec()], &Source { facts: &facts, totals: &totals }),
            "# Keyspace\r\ndb0:keys=3,expires=2,avg_ttl=1500,keys_with_volatile_items=1\r\n\
             db2:keys=1,expires=0,avg_ttl=0,keys_with_volatile_items=0\r\n"
        );
    }
}

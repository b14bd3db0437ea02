//! INFO commandstats, errorstats, latencystats.

use super::{Lines, Source};
use crate::commands::registry;
use crate::counted::Tally;

pub(super) fn commandstats(source: &Source<'_>, lines: &mut Lines<'_>) {
    for (name, tally) in used(source) {
        lines.field(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                tally.calls,
                tally.micros(),
                tally.micros_per_call(),
                tally.rejected,
                tally.failed,
            ),
        );
    }
}

pub(super) fn errorstats(source: &Source<'_>, lines: &mut Lines<'_>) {
    for (word, count) in source.totals.statistics.errors.iter() {
        lines.field(&format!("errorstat_{}", plain(word)), format_args!("count={count}"));
    }
}

pub(super) fn latencystats(source: &Source<'_>, lines: &mut Lines<'_>) {
    let percentiles = &source.facts.settings.latency_tracking_info_percentiles;
    for (name, tally) in used(source) {
        let Some(latency) = &tally.latency else { continue };
        let shown: Vec<String> = percentiles
            .iter()
            .map(|percentile| {
                let nanos = latency.value_at_percentile(*percentile);
                format!("p{percentile}={:.3}", nanos as f64 / 1_000.0)
            })
            .collect();
        lines.field(&format!("latency_percentiles_usec_{name}"), shown.join(","));
    }
}

/// The commands that were called, with what they did.
fn used<'a>(source: &Source<'a>) -> impl Iterator<Item = (&'static str, &'a Tally)> + use<'a> {
    let tallies = source.totals.statistics.commands.iter();
    let named = registry::all().iter().map(|command| command.name.as_str());
    named.zip(tallies).filter(|(_, tally)| !tally.is_empty())
}

/// A word without what would end the field.
fn plain(word: &str) -> String {
    word.chars().map(|c| if c.is_control() || c == ':' { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::facts::Facts;
    use crate::stats::info::text;
    use crate::stats::totals::Totals;

    #[test]
    fn fields_are_as_monitoring_reads_them() {
        let mut totals = Totals::default();
        let get = registry::all().iter().position(|c| c.name.as_str() == "get").unwrap();
        totals.statistics.commands.resize(registry::all().len(), Tally::default());
        totals.statistics.commands[get].ran(25_000, true);
        totals.statistics.commands[get].rejected = 2;
        totals.statistics.errors.add("ERR", 3);
        let facts = Facts::default();
        let source = Source { facts: &facts, totals: &totals };
        let asked: Vec<Vec<u8>> =
            ["commandstats", "errorstats", "latencystats"].map(|s| s.as_bytes().to_vec()).into();
        assert_eq!(
            text(&asked, &source),
            "# Commandstats\r\n\
             cmdstat_get:calls=1,usec=25,usec_per_call=25.00,rejected_calls=2,failed_calls=0\r\n\
             \r\n# Errorstats\r\nerrorstat_ERR:count=3\r\n\
             \r\n# Latencystats\r\n\
             latency_percentiles_usec_get:p50=25.087,p99=25.087,p99.9=25.087\r\n"
        );
    }
}

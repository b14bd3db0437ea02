//! The replies of LATENCY: histograms of commands, and slow events as lists, picture and advice.

use crate::base::millis::Millis;
use crate::commands::command::Command;
use crate::commands::number::numbers;
use crate::commands::registry;
use crate::counted::spikes::{Series, Spikes};
use crate::counted::{Statistics, Tally};
use crate::resp::Reply;

/// Rows of the picture, and the marks of a row, lowest first.
const ROWS: usize = 4;
const MARKS: [char; 3] = ['_', 'o', '#'];

/// LATENCY HISTOGRAM of the commands that `asked` names; of all if it names none.
pub(super) fn histogram(asked: &[Vec<u8>], statistics: &Statistics, reply: &mut Reply<'_>) {
    let commands: Vec<&'static Command> = if asked.is_empty() {
        registry::all().to_vec()
    } else {
        let named = asked.iter().filter_map(|name| registry::named(name));
        named.flat_map(|command| std::iter::once(command).chain(command.subcommands)).collect()
    };
    let tallied: Vec<(&Command, &Tally)> = commands
        .into_iter()
        .filter_map(|command| Some((command, statistics.commands.get(number(command)?)?)))
        .filter(|(_, tally)| tally.latency.is_some())
        .collect();
    reply.map(tallied.len());
    for (command, tally) in tallied {
        reply.bulk(command.name.as_str().as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(tally.latency.as_ref().map_or(0, |latency| whole(latency.len())));
        reply.bulk(b"histogram_usec");
        let distribution = tally.distribution();
        reply.map(distribution.len());
        for (micros, count) in distribution {
            reply.int(whole(micros));
            reply.int(whole(count));
        }
    }
}

/// The number of a command, also of one that is reached through its container's table.
fn number(command: &Command) -> Option<usize> {
    registry::named(command.name.as_str().as_bytes()).map(|command| numbers().of(command))
}

/// LATENCY LATEST.
pub(super) fn latest(spikes: &Spikes, reply: &mut Reply<'_>) {
    reply.array(spikes.iter().count());
    for (event, series) in spikes.iter() {
        let last = series.samples.back();
        reply.array(6);
        reply.bulk(event.as_str().as_bytes());
        reply.int(last.map_or(0, |sample| sample.at));
        reply.int(last.map_or(0, |sample| whole(sample.millis)));
        reply.int(whole(series.max));
        reply.int(whole(series.sum));
        reply.int(whole(series.count));
    }
}

/// LATENCY HISTORY.
pub(super) fn history(series: Option<&Series>, reply: &mut Reply<'_>) {
    let samples = series.map(|series| &series.samples);
    reply.array(samples.map_or(0, |samples| samples.len()));
    for sample in samples.into_iter().flatten() {
        reply.array(2);
        reply.int(sample.at);
        reply.int(whole(sample.millis));
    }
}

/// LATENCY GRAPH: a column a sample, its height by its time, its age below it from top to bottom.
pub(super) fn graph(name: &str, series: &Series, now: Millis) -> String {
    let times = || series.samples.iter().map(|sample| sample.millis);
    let (low, high) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let mut out =
        format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", series.max);
    out.push_str(&"-".repeat(80));
    out.push('\n');
    let levels = ROWS * MARKS.len();
    let height = |millis: u64| match high - low {
        0 => 0,
        range => ((millis - low) * (levels as u64 - 1) / range) as usize,
    };
    for row in (0..ROWS).rev() {
        let columns = times().map(|millis| {
            let level = height(millis);
            if level / MARKS.len() == row { MARKS[level % MARKS.len()] } else { ' ' }
        });
        out.extend(columns);
        out.push('\n');
    }
    let ages: Vec<Vec<char>> =
        series.samples.iter().map(|sample| age(now.as_secs() - sample.at)).collect();
    for line in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        out.push('\n');
        out.extend(ages.iter().map(|age| age.get(line).copied().unwrap_or(' ')));
    }
    out.push('\n');
    out
}

/// An age in its largest whole unit.
fn age(seconds: i64) -> Vec<char> {
    let seconds = seconds.max(0);
    let text = match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    };
    text.chars().collect()
}

/// LATENCY DOCTOR.
pub(super) fn doctor(spikes: &Spikes, threshold_ms: u64) -> String {
    if threshold_ms == 0 {
        return "Slow events are not recorded: latency-monitor-threshold is 0. CONFIG SET \
                latency-monitor-threshold <milliseconds> turns recording on.\n"
            .to_owned();
    }
    if spikes.iter().next().is_none() {
        return format!("No event took {threshold_ms} ms or longer since the last reset.\n");
    }
    let mut out = "Events that took too long:\n\n".to_owned();
    for (number, (event, series)) in spikes.iter().enumerate() {
        let samples = series.samples.len() as u64;
        let first = series.samples.front().map_or(0, |sample| sample.at);
        let last = series.samples.back().map_or(0, |sample| sample.at);
        let period = (last - first).max(1) as f64 / samples.max(1) as f64;
        out.push_str(&format!(
            "{}. {}: {} times, {} ms on average, {} ms at the most, every {period:.2} seconds.\n",
            number + 1,
            event.as_str(),
            series.count,
            series.sum.checked_div(series.count).unwrap_or(0),
            series.max,
        ));
    }
    out.push_str(
        "\nSLOWLOG GET shows the commands that ran long. A command over many keys or a large value \
         holds up its shard: use SCAN for KEYS, and smaller values.\n",
    );
    out
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Event;

    fn spikes(samples: &[(i64, u64)]) -> Spikes {
        let mut spikes = Spikes::default();
        for (at, millis) in samples {
            spikes.record(Event::Command, Millis::from_secs(*at), *millis);
        }
        spikes
    }

    fn text(write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, false));
        String::from_utf8(out).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn latest_tells_time_last_worst_sum_and_count() {
        let spikes = spikes(&[(1, 30), (2, 24), (2, 10)]);
        assert_eq!(text(|r| latest(&spikes, r)), "*1 *6 $7 command :2 :24 :30 :64 :3 ");
        let series = spikes.of(Event::Command);
        assert_eq!(text(|r| history(series, r)), "*2 *2 :1 :30 *2 :2 :24 ");
        assert_eq!(text(|r| history(None, r)), "*0 ");
    }

    #[test]
    fn the_picture_rises_with_the_time() {
        let spikes = spikes(&[(0, 1), (61, 12)]);
        let picture = graph("command", spikes.of(Event::Command).unwrap(), Millis::from_secs(61));
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines[0], "command - high 12 ms, low 1 ms (all time high 12 ms)");
        assert_eq!(lines[2..], [" #", "  ", "  ", "_ ", "", "10", "ms"]);
    }

    #[test]
    fn the_doctor_knows_when_nothing_is_recorded() {
        assert!(doctor(&Spikes::default(), 0).contains("latency-monitor-threshold is 0"));
        assert!(doctor(&Spikes::default(), 5).contains("No event took 5 ms"));
        assert!(doctor(&spikes(&[(1, 30)]), 5).contains("1. command: 1 times, 30 ms"));
    }
}

//! The sink behind LATENCY: commands that took `latency-monitor-threshold` or longer.

use crate::commands::command::Flags;
use crate::counted::spikes::Spikes;
use crate::hook::answer::Answer;
use crate::hook::push::Push;
use crate::hook::{Called, Outcome, Published, Sees, Sink};
use crate::question::Event;
use crate::question::Question;

/// Nanoseconds of a millisecond.
const MILLI: u64 = 1_000_000;

/// Records the slow commands of a shard.
#[derive(Debug, Default)]
pub struct SlowCommands {
    spikes: Spikes,
}

impl Sink for SlowCommands {
    fn adapt(&mut self, published: &Published<'_>) -> Sees {
        match published.settings.latency_monitor_threshold {
            0 => Sees::NONE,
            millis => Sees { nanos: millis.saturating_mul(MILLI), ..Sees::NONE },
        }
    }

    #[inline]
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        let threshold = called.call.settings.latency_monitor_threshold;
        if called.nanos / MILLI < threshold || matches!(called.outcome, Outcome::Refused(_)) {
            return;
        }
        let is_fast = called.call.command.flags.has(Flags::FAST);
        let event = if is_fast { Event::FastCommand } else { Event::Command };
        self.spikes.record(event, called.now, called.nanos / MILLI);
    }

    fn answer(&mut self, question: &Question) -> Option<Answer> {
        match question {
            Question::Spikes => Some(Answer::Spikes(Box::new(self.spikes.clone()))),
            Question::ForgetSpikes(events) => Some(Answer::Forgotten(self.spikes.forget(*events))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::call::Call;
    use crate::hooks::sample;
    use crate::settings::Settings;

    #[test]
    fn nothing_is_recorded_without_a_threshold() {
        let (mut slow, session) = (SlowCommands::default(), sample::session());
        let call = sample::words(&["get", "k"]);
        let mut settings = Settings::default();
        assert_eq!(sample::sees(&mut slow, &settings), Sees::NONE);
        settings.latency_monitor_threshold = 5;
        assert_eq!(sample::sees(&mut slow, &settings).nanos, 5_000_000);
        let call = Call { settings: &settings, ..call };
        slow.called(&sample::ran(&call, &session, 4_999), &mut Vec::new());
        assert!(slow.spikes.of(Event::FastCommand).is_none());
        slow.called(&sample::ran(&call, &session, 5_999), &mut Vec::new());
        assert_eq!(slow.spikes.of(Event::FastCommand).unwrap().max, 5);
    }
}

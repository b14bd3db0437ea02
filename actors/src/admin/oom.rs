//! `oom-score-adj`: how readily the system ends this process when memory runs out.
//!
//! The kernel reads the score from a file, -1000 (never) to 1000 (first). What stands there when
//! the setting is turned on is the base: relative scores go over it, and turning the setting off
//! puts it back. Until then the file is left alone. Absent: the scores of a replica and of a
//! background process, since there is neither.

use std::fs;
use std::io;

use tracing::warn;
use troupe::settings::{OomScore, Settings};

/// Where the kernel reads the score of a process from.
const FILE: &str = "/proc/self/oom_score_adj";
/// Scores that the kernel takes, to either side of zero.
const SCORE_MAX: i32 = 1000;

/// The score of this process.
#[derive(Debug, Default)]
pub(super) struct Score {
    base: Option<i32>,
}

impl Score {
    /// Makes the score what the settings say.
    ///
    /// # Errors
    /// The file cannot be read or written: a lower score than before takes privileges. It is in the
    /// log then, and nothing has changed.
    pub(super) fn follow(&mut self, settings: &Settings) -> io::Result<()> {
        self.write(settings).inspect_err(|error| warn!("{FILE}: {error}"))
    }

    fn write(&mut self, settings: &Settings) -> io::Result<()> {
        let own = settings.oom_score_adj_values.first().copied().unwrap_or_default();
        let (score, base) = match (settings.oom_score_adj, self.base) {
            (OomScore::No, None) => return Ok(()),
            (OomScore::No, Some(base)) => (base, None),
            (how, base) => {
                let base = base.map_or_else(read, Ok)?;
                let score = if how == OomScore::Relative { own.saturating_add(base) } else { own };
                (score, Some(base))
            }
        };
        fs::write(FILE, format!("{}\n", score.clamp(-SCORE_MAX, SCORE_MAX)))?;
        self.base = base;
        Ok(())
    }
}

fn read() -> io::Result<i32> {
    let text = fs::read_to_string(FILE)?;
    text.trim_ascii().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_goes_over_the_base_and_back() {
        let base = read().unwrap();
        let mut settings = Settings::default();
        let mut score = Score::default();
        score.follow(&settings).unwrap();
        assert_eq!((score.base, read().unwrap()), (None, base));
        let mut follow = |how: &str, own: i32| {
            settings.set("oom-score-adj", &[how]).unwrap();
            settings.set("oom-score-adj-values", &[own.to_string().as_str(), "0", "0"]).unwrap();
            score.follow(&settings).unwrap();
            read().unwrap()
        };
        assert_eq!(follow("yes", 7), SCORE_MAX.min(base + 7));
        assert_eq!(follow("relative", 9), SCORE_MAX.min(base + 9));
        assert_eq!(follow("absolute", SCORE_MAX + 1), SCORE_MAX);
        assert_eq!(follow("no", 9), base);
    }
}

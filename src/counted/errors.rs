//! Error replies by their first word.
//!
//! Scripts can make up any word, so the number of words is bounded; what comes after the last one
//! is counted under a word of its own, as Valkey does.

use std::collections::BTreeMap;

/// Words that are told apart.
const WORDS_MAX: usize = 128;

/// What is counted together when there are too many words.
const OVERFLOW: &str = "ERRORSTATS_OVERFLOW";

/// Error replies by their first word.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    counts: BTreeMap<String, u64>,
}

impl Errors {
    /// Counts `count` errors that begin with `word`.
    pub fn add(&mut self, word: &str, count: u64) {
        let word = if self.counts.len() < WORDS_MAX || self.counts.contains_key(word) {
            word
        } else {
            OVERFLOW
        };
        match self.counts.get_mut(word) {
            Some(counted) => *counted += count,
            None => {
                self.counts.insert(word.to_owned(), count);
            }
        }
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The words with their numbers, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(word, count)| (word.as_str(), *count))
    }

    /// Adds those of another shard.
    pub fn merge(&mut self, other: &Errors) {
        other.iter().for_each(|(word, count)| self.add(word, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_words_is_bounded() {
        let mut errors = Errors::default();
        (0..200).for_each(|number| errors.add(&format!("E{number}"), 1));
        errors.add("E0", 1);
        assert_eq!(errors.counts.len(), WORDS_MAX + 1);
        assert_eq!(errors.total(), 201);
        let counts: BTreeMap<&str, u64> = errors.iter().collect();
        assert_eq!((counts["E0"], counts[OVERFLOW]), (2, 72));
    }
}

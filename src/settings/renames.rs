//! `rename-command`: the names that clients call commands by.
//!
//! A command that is renamed is found by its new name alone, and one that is renamed to nothing by
//! none. What a command is called in errors, statistics and COMMAND stays its declared name, as in
//! Redis. Here only names are mapped; whether there are such commands the registry knows.

use std::collections::HashMap;
use std::sync::Arc;

use super::conf;

/// What clients call commands by, where that is not their declared name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renames(Arc<Names>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    /// Names in lower case, each with the declared name that it stands for now, if any.
    declared: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// The length of the longest of them: a word that is longer is none, whatever it costs to
    /// compare it.
    longest: usize,
}

impl Renames {
    /// The names that follow from lines of an old and a new name.
    pub(super) fn of(lines: &str) -> Renames {
        let mut renames = Renames::default();
        for line in lines.lines() {
            let words = conf::split_words(line.as_bytes()).unwrap_or_default();
            if let [from, to] = &words[..] {
                renames.add(from, to);
            }
        }
        renames
    }

    /// Gives what is called `from` the name `to`, or none where that is empty.
    pub fn add(&mut self, from: &[u8], to: &[u8]) {
        let Some(declared) = self.declared(from).map(<[u8]>::to_ascii_lowercase) else { return };
        let names = Arc::make_mut(&mut self.0);
        names.declared.insert(from.to_ascii_lowercase(), None);
        if !to.is_empty() {
            names.declared.insert(to.to_ascii_lowercase(), Some(declared));
        }
        names.longest = names.longest.max(from.len()).max(to.len());
    }

    /// True when every command is called by its declared name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.longest == 0
    }

    /// True when there is a name that clients call the command with this declared name by.
    pub fn calls(&self, declared: &[u8]) -> bool {
        let stands = |meant: &Option<Vec<u8>>| meant.as_deref() == Some(declared);
        !self.0.declared.contains_key(declared) || self.0.declared.values().any(stands)
    }

    /// The declared name of what clients call `name`, in any letter case; none where it is taken
    /// away.
    #[inline]
    pub fn declared<'a>(&'a self, name: &'a [u8]) -> Option<&'a [u8]> {
        if name.len() > self.0.longest {
            return Some(name);
        }
        match self.0.declared.get(&name.to_ascii_lowercase()) {
            Some(declared) => declared.as_deref(),
            None => Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> impl Fn(&str) -> String {
        let renames = Renames::of(lines);
        move |name| match renames.declared(name.as_bytes()) {
            Some(declared) => String::from_utf8_lossy(declared).into_owned(),
            None => "(none)".to_owned(),
        }
    }

    #[test]
    fn a_command_is_found_by_its_new_name_alone() {
        let found = of("FLUSHALL \"\"\nConfig \"My Config\"\nget GET");
        assert_eq!(found("flushall"), "(none)");
        assert_eq!(found("CONFIG"), "(none)");
        assert_eq!(found("my config"), "config");
        assert_eq!(found("GET"), "get");
        assert_eq!(found("set"), "set");
        assert_eq!(found(&"x".repeat(1_000)), "x".repeat(1_000));
        assert!(Renames::of("").is_empty() && !Renames::of("a \"\"").is_empty());
    }

    #[test]
    fn lines_are_followed_in_order() {
        let found = of("get a\na b\nb get\nset c\nset d");
        assert_eq!(["a", "b", "get"].map(&found), ["(none)", "(none)", "get"]);
        assert_eq!(["set", "c", "d"].map(&found), ["(none)", "set", "d"]);
    }
}

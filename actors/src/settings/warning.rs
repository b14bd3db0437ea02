//! What a start says of directives without effect: a few lines, by reason.

use super::layer::Line;

/// The most lines. The rest of the reasons share the last one.
const LINES_MAX: usize = 4;

/// The directives that have no effect, each with the reason.
#[derive(Debug, Default)]
pub(super) struct Idle(Vec<(&'static str, Vec<String>)>);

impl Idle {
    /// Notes a directive.
    pub(super) fn add(&mut self, why: &'static str, line: &Line) {
        let said = format!("'{}' ({})", line.name, line.place);
        match self.0.iter_mut().find(|(known, _)| *known == why) {
            Some((_, group)) => group.push(said),
            None => self.0.push((why, vec![said])),
        }
    }

    /// A line for each reason, the most frequent first.
    pub(super) fn lines(mut self) -> Vec<String> {
        self.0.sort_by_key(|(_, group)| std::cmp::Reverse(group.len()));
        let rest = if self.0.len() > LINES_MAX { self.0.split_off(LINES_MAX - 1) } else { vec![] };
        let have = |group: &[String]| {
            let are =
                if group.len() == 1 { "is accepted but has" } else { "are accepted but have" };
            format!("{} {are} no effect", group.join(", "))
        };
        let line = |(why, group): &(&str, Vec<String>)| format!("{}: {why}", have(group));
        let mut lines: Vec<String> = self.0.iter().map(line).collect();
        if !rest.is_empty() {
            lines.push(rest.iter().map(line).collect::<Vec<_>>().join("; "));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DirectivePlace;

    fn line(name: &str) -> Line {
        let place = DirectivePlace::File { name: "a.conf".to_owned(), line: 3 };
        Line { place, text: String::new(), name: name.to_owned(), words: Vec::new() }
    }

    #[test]
    fn directives_are_gathered_by_reason() {
        let mut idle = Idle::default();
        for (why, name) in [("one", "a"), ("two", "b"), ("two", "c")] {
            idle.add(why, &line(name));
        }
        assert_eq!(
            idle.lines(),
            [
                "'b' (a.conf:3), 'c' (a.conf:3) are accepted but have no effect: two",
                "'a' (a.conf:3) is accepted but has no effect: one",
            ]
        );
    }

    #[test]
    fn many_reasons_share_the_last_line() {
        let mut idle = Idle::default();
        for why in ["one", "two", "three", "four"] {
            idle.add(why, &line(why));
        }
        assert_eq!(idle.lines().len(), LINES_MAX);
        let mut idle = Idle::default();
        for why in ["one", "two", "three", "four", "five", "six"] {
            idle.add(why, &line(why));
        }
        let lines = idle.lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines[3].contains("'four'") && lines[3].ends_with("no effect: six"), "{lines:?}");
    }
}

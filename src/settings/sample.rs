//! `config/troupe.toml`, as it follows from the table: every setting that CONFIG knows.
//!
//! After a change of the table, print the new text with
//! `cargo test -p troupe print_the_sample -- --ignored --nocapture` and put it into the file.

use super::kind::{Kind, Unit};
use super::table::GROUPS;
use super::{Setting, Support, When, rewrite};

const HEAD: &str = "\
# Every setting that Troupe serves, with its default. The names are Redis's where Redis has the
# setting; `troupe` reads redis.conf too. Over this file go the environment (TROUPE_MAXCLIENTS=100)
# and the command line (--maxclients 100). Other directives of Redis are taken too, with a warning
# where they have no effect.
";

fn sample() -> String {
    let mut text = HEAD.to_owned();
    for (title, settings) in GROUPS {
        let shown = |setting: &&Setting| {
            let has_effect = matches!(setting.support, Support::Ours | Support::Served);
            has_effect && !setting.hidden && setting.when != When::FileOnly
        };
        let settings: Vec<&Setting> = settings.iter().filter(shown).collect();
        if settings.is_empty() {
            continue;
        }
        text += &format!("\n#### {title}\n");
        for setting in settings {
            let value = rewrite::toml_value(setting, setting.default);
            text += &format!("\n# {}{}\n{} = {value}\n", setting.doc, range(setting), setting.name);
        }
    }
    text
}

fn range(setting: &Setting) -> String {
    match setting.kind {
        Kind::Choice(words) => format!(" ({})", words.join(", ")),
        Kind::Choices(words) => format!(" ({})", words.join(", ")),
        Kind::Integer { unit: Unit::None, .. } => String::new(),
        Kind::Integer { unit, .. } => format!(" (in {})", unit.name()),
        Kind::Memory { .. } => " (in bytes, or as \"64mb\")".to_owned(),
        _ => String::new(),
    }
}

#[test]
fn the_file_is_equal_to_the_table() {
    let file = include_str!("../../config/troupe.toml");
    assert_eq!(file, sample(), "see the head of {}", file!());
}

#[test]
#[ignore = "prints the file for whoever changed the table"]
fn print_the_sample() {
    print!("{}", sample());
}

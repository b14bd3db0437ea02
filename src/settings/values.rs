//! All values, checked, with the typed ones beside them.
//!
//! Every value is kept as its canonical text, in the order of the table; what the server uses is
//! read from those texts into [`Fields`] each time that something was set. So there is one truth,
//! and the fields cannot be changed past the table: `Settings` lends them for reading only
//! (`Deref`).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use crate::base::glob;

use super::fields::Fields;
use super::kind::SettingError;
use super::setting::{Setting, Standing, When};
use super::table;

/// The settings of a server, whole and checked.
#[derive(Clone, PartialEq)]
pub struct Settings {
    texts: Vec<String>,
    fields: Fields,
}

impl Default for Settings {
    fn default() -> Settings {
        let texts: Vec<String> =
            table::all().iter().map(|setting| setting.default.to_owned()).collect();
        let fields = Fields::of(&Texts(&texts));
        Settings { texts, fields }
    }
}

/// Shows what differs from the defaults, without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_map();
        for setting in table::all().iter().filter(|setting| self.is_changed(setting)) {
            let text = if setting.secret { "(not shown)" } else { self.text(setting) };
            shown.entry(&setting.name, &text);
        }
        shown.finish()
    }
}

impl Deref for Settings {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

/// Tests of the core set bounds that the table would not allow, to reach them with few bytes.
#[cfg(test)]
impl std::ops::DerefMut for Settings {
    fn deref_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

impl Settings {
    /// Sets one directive from its words, as at the start of the server: `when` and `protected` are
    /// not asked. Nothing is changed if a word is wrong.
    pub fn set(&mut self, name: &str, words: &[&str]) -> Result<(), SettingError> {
        self.set_lines(name, &[words])
    }

    /// Sets one directive from all lines that name it. Of most directives the last line counts; of
    /// some the lines add up, and an empty `save` forgets those before it.
    pub fn set_lines(&mut self, name: &str, lines: &[&[&str]]) -> Result<(), SettingError> {
        let place = table::place(name).ok_or(SettingError::Unknown)?;
        let setting = table::all()[place];
        let mut text = self.texts[place].clone();
        for (index, words) in lines.iter().enumerate() {
            let line = setting.kind.check(words, &text)?;
            let adds = index > 0 && setting.name == "save" && !line.is_empty() && !text.is_empty();
            text = if adds { format!("{text} {line}") } else { line };
        }
        self.replace(place, text)
    }

    fn replace(&mut self, place: usize, text: String) -> Result<(), SettingError> {
        let setting = table::all()[place];
        if let Standing::Refused(remedy) = setting.standing
            && text != setting.default
        {
            return Err(SettingError::Refused(remedy));
        }
        if self.texts[place] != text {
            self.texts[place] = text;
            self.fields = Fields::of(&Texts(&self.texts));
        }
        Ok(())
    }

    /// The value as CONFIG GET prints it, for any name or alias that CONFIG knows.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = table::place(name)?;
        (table::all()[place].when != When::FileOnly).then(|| self.texts[place].as_str())
    }

    /// The text of a setting, those of files alone included.
    pub(super) fn text(&self, setting: &Setting) -> &str {
        let place = table::place(setting.name).expect("a setting of the table has a place in it");
        &self.texts[place]
    }

    /// Whether a setting differs from its default.
    pub fn is_changed(&self, setting: &Setting) -> bool {
        self.text(setting) != setting.default
    }

    /// What CONFIG GET answers to `patterns`: names and values, sorted, each once. A pattern
    /// without wildcards finds hidden settings too.
    pub fn matching(&self, patterns: &[&[u8]]) -> Vec<(&'static str, &str)> {
        let mut found = BTreeMap::new();
        for pattern in patterns {
            if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
                let name = std::str::from_utf8(pattern).unwrap_or_default();
                if let (Some(setting), Some(value)) = (table::find(name), self.get(name)) {
                    found.insert(setting.spelling(name), value);
                }
                continue;
            }
            for (setting, text) in table::all().iter().zip(&self.texts) {
                if setting.hidden || setting.when == When::FileOnly {
                    continue;
                }
                let names =
                    setting.names().filter(|name| glob::matches(pattern, name.as_bytes(), true));
                found.extend(names.map(|name| (name, text.as_str())));
            }
        }
        found.into_iter().collect()
    }
}

/// The canonical texts, read as types. A name or a text that does not fit is a mistake in the code:
/// the test of the defaults finds it.
pub(super) struct Texts<'a>(&'a [String]);

impl<'a> Texts<'a> {
    pub(super) fn text(&self, name: &str) -> &'a str {
        &self.0[table::place(name).expect("a field is named as in the table")]
    }

    pub(super) fn owned(&self, name: &str) -> String {
        self.text(name).to_owned()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == "yes"
    }

    /// A number; one too large for the field's type is as large as that type can be.
    pub(super) fn number<N: TryFrom<i128>>(&self, name: &str) -> N {
        let number: i128 = self.text(name).parse().expect("a checked number");
        N::try_from(number).ok().expect("the table's range fits the field")
    }

    pub(super) fn choice<C: super::choice::Choice>(&self, name: &str) -> C {
        C::of(self.text(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_follow_the_texts() {
        let mut settings = Settings::default();
        assert_eq!(settings.port, 6379);
        settings.set("Port", &["7000"]).expect("a right port");
        settings.set("maxmemory", &["1gb"]).expect("a right amount");
        assert_eq!((settings.port, settings.maxmemory), (7000, 1 << 30));
        assert_eq!(settings.get("maxmemory"), Some("1073741824"));
    }

    #[test]
    fn a_wrong_value_changes_nothing() {
        let mut settings = Settings::default();
        assert!(settings.set("port", &["abc"]).is_err());
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.set("nope", &["1"]), Err(SettingError::Unknown));
    }

    #[test]
    fn the_largest_numbers_of_the_table_fit_the_fields() {
        let mut settings = Settings::default();
        for setting in table::all() {
            let (least, most) = match setting.kind {
                crate::settings::Kind::Integer { min, max, .. } => {
                    (min.to_string(), max.to_string())
                }
                crate::settings::Kind::Memory { min, max } => (min.to_string(), max.to_string()),
                crate::settings::Kind::Octal => ("0".into(), "777".into()),
                _ => continue,
            };
            if !matches!(setting.standing, Standing::Refused(_)) {
                settings.set(setting.name, &[&least]).expect(setting.name);
                settings.set(setting.name, &[&most]).expect(setting.name);
            }
        }
    }

    #[test]
    fn save_lines_add_up_until_an_empty_one() {
        let mut settings = Settings::default();
        let mut save = |lines: &[&[&str]]| {
            settings.set_lines("save", lines).expect("right lines");
            settings.get("save").expect("known").to_owned()
        };
        assert_eq!(save(&[&["3600", "1"], &["60", "2"]]), "3600 1 60 2");
        assert_eq!(save(&[&["3600", "1"], &[""], &["60", "2"]]), "60 2");
        assert_eq!(save(&[&[""]]), "");
    }

    #[test]
    fn refused_settings_take_their_default_only() {
        let mut settings = Settings::default();
        settings.set("cluster-enabled", &["no"]).expect("the default");
        let refused = settings.set("cluster-enabled", &["yes"]);
        assert!(matches!(refused, Err(SettingError::Refused(_))));
        for (name, words) in [("rename-command", ["FLUSHALL", ""]), ("slaveof", ["a", "1"])] {
            let refused = settings.set(name, &words);
            assert!(matches!(refused, Err(SettingError::Refused(_))), "{name}: {refused:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = Settings::default();
        settings.set("requirepass", &["hidden"]).expect("a password");
        settings.set("port", &["1"]).expect("a port");
        assert_eq!(format!("{settings:?}"), "{\"port\": \"1\", \"requirepass\": \"(not shown)\"}");
    }

    #[test]
    fn config_get_sorts_and_names_aliases_as_asked() {
        let settings = Settings::default();
        let names = |patterns: &[&[u8]]| -> Vec<&str> {
            settings.matching(patterns).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[b"SLAVEOF", b"maxmemory", b"maxmemory"]), ["maxmemory", "slaveof"]);
        assert_eq!(
            names(&[b"list*"]),
            ["list-compress-depth", "list-max-listpack-size", "list-max-ziplist-size"]
        );
        assert_eq!(names(&[b"rename-command", b"user", b"nope", b"\xff"]), [""; 0]);
        assert_eq!(names(&[b"rdb-key-save-delay"]), ["rdb-key-save-delay"]);
        assert!(!names(&[b"*"]).contains(&"rdb-key-save-delay"));
    }
}

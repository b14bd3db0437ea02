//! All values, checked, with the typed ones beside them.
//!
//! Every value is kept in its canonical form, in the order of the table; what the server uses is
//! read from there into [`Fields`] each time that something was set. So there is one truth,
//! and the fields cannot be changed past the table: `Settings` lends them for reading only
//! (`Deref`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::base::glob;

use super::fields::Fields;
use super::kind::SettingError;
use super::setting::{Setting, Support, When};
use super::{table, users};

/// The settings of a server, whole and checked.
#[derive(Clone, PartialEq)]
pub struct Settings {
    values: Vec<Vec<u8>>,
    fields: Fields,
}

impl Default for Settings {
    fn default() -> Settings {
        let of = |setting: &&Setting| setting.default.as_bytes().to_vec();
        let values: Vec<Vec<u8>> = table::all().iter().map(of).collect();
        let fields = Fields::of(&Values(&values));
        Settings { values, fields }
    }
}

/// Shows what differs from the defaults, without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_map();
        for setting in table::all().iter().filter(|setting| self.is_changed(setting)) {
            let value = if setting.secret { b"(not shown)" } else { self.value(setting) };
            shown.entry(&setting.name, &String::from_utf8_lossy(value));
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
    pub fn set(&mut self, name: &str, words: &[impl AsRef<[u8]>]) -> Result<(), SettingError> {
        self.set_lines(name, &[words])
    }

    /// Sets one directive from all lines that name it. Of most directives the last line counts; of
    /// some the lines add up, and an empty `save` forgets those before it.
    pub fn set_lines<W: AsRef<[u8]>>(
        &mut self,
        name: &str,
        lines: &[impl AsRef<[W]>],
    ) -> Result<(), SettingError> {
        let place = table::place(name).ok_or(SettingError::Unknown)?;
        let setting = table::all()[place];
        let mut value = self.values[place].clone();
        for (index, words) in lines.iter().enumerate() {
            let words: Vec<&[u8]> = words.as_ref().iter().map(AsRef::as_ref).collect();
            let line = setting.kind.check(&words, &value)?;
            let adds = index > 0 && setting.name == "save" && !line.is_empty() && !value.is_empty();
            value = if adds { [&value[..], b" ", &line].concat() } else { line };
        }
        self.replace(place, value)
    }

    fn replace(&mut self, place: usize, value: Vec<u8>) -> Result<(), SettingError> {
        let setting = table::all()[place];
        if let Support::Refused(remedy) = setting.support
            && value != setting.default.as_bytes()
        {
            return Err(SettingError::Refused(remedy));
        }
        if self.values[place] != value {
            self.values[place] = value;
            self.fields = Fields::of(&Values(&self.values));
        }
        Ok(())
    }

    /// What `user default` says follows from `requirepass`, where there is such a line: from the
    /// moment on in which CONFIG SET changes the password.
    pub(super) fn renew_user(&mut self) {
        let place = table::place("user").expect("a setting of the table");
        if !self.values[place].is_empty() {
            self.values[place] = users::line_of(Values(&self.values).bytes("requirepass")).into();
            self.fields = Fields::of(&Values(&self.values));
        }
    }

    /// The value as CONFIG GET prints it, for any name or alias that CONFIG knows.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let place = table::place(name)?;
        (table::all()[place].when != When::FileOnly).then(|| self.values[place].as_slice())
    }

    /// The value as text that is shown to people; empty for a name that CONFIG does not know.
    pub fn shown(&self, name: &str) -> Cow<'_, str> {
        String::from_utf8_lossy(self.get(name).unwrap_or_default())
    }

    /// The value of a setting, those of files alone included.
    pub(super) fn value(&self, setting: &Setting) -> &[u8] {
        let place = table::place(setting.name).expect("a setting of the table has a place in it");
        &self.values[place]
    }

    /// Whether a setting differs from its default.
    pub fn is_changed(&self, setting: &Setting) -> bool {
        self.value(setting) != setting.default.as_bytes()
    }

    /// What CONFIG GET answers to `patterns`: names and values, sorted by name, each setting once
    /// a name. A pattern without wildcards finds hidden settings too, and a name that is asked for
    /// is given back in the letter case of the question.
    pub fn matching<'a>(&'a self, patterns: &[&'a [u8]]) -> Vec<(&'a [u8], &'a [u8])> {
        let mut found: HashMap<&str, (&[u8], &[u8])> = HashMap::new();
        for pattern in patterns {
            if !pattern.iter().any(|byte| b"*?[".contains(byte)) {
                let name = std::str::from_utf8(pattern).unwrap_or_default();
                if let (Some(setting), Some(value)) = (table::find(name), self.get(name)) {
                    found.entry(setting.spelling(name)).or_insert((pattern, value));
                }
                continue;
            }
            for (setting, value) in table::all().iter().zip(&self.values) {
                if setting.hidden || setting.when == When::FileOnly {
                    continue;
                }
                for name in setting.names() {
                    if glob::matches(pattern, name.as_bytes(), true) {
                        found.entry(name).or_insert((name.as_bytes(), value));
                    }
                }
            }
        }
        let mut found: Vec<(&[u8], &[u8])> = found.into_values().collect();
        found.sort_unstable();
        found
    }
}

/// The canonical values, read as types. A name or a value that does not fit is a mistake in the
/// code: the test of the defaults finds it.
pub(super) struct Values<'a>(&'a [Vec<u8>]);

impl<'a> Values<'a> {
    pub(super) fn bytes(&self, name: &str) -> &'a [u8] {
        &self.0[table::place(name).expect("a field is named as in the table")]
    }

    pub(super) fn text(&self, name: &str) -> &'a str {
        std::str::from_utf8(self.bytes(name)).expect("only a value of bytes may be no text")
    }

    pub(super) fn owned(&self, name: &str) -> String {
        self.text(name).to_owned()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        OsStr::from_bytes(self.bytes(name)).into()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.bytes(name) == b"yes"
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
    fn the_fields_follow_the_values() {
        let mut settings = Settings::default();
        assert_eq!(settings.port, 6379);
        settings.set("Port", &["7000"]).expect("a right port");
        settings.set("maxmemory", &["1gb"]).expect("a right amount");
        assert_eq!((settings.port, settings.maxmemory), (7000, 1 << 30));
        assert_eq!(settings.get("maxmemory"), Some(&b"1073741824"[..]));
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
            if !matches!(setting.support, Support::Refused(_)) {
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
            String::from_utf8_lossy(settings.get("save").expect("known")).into_owned()
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
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = Settings::default();
        settings.set("requirepass", &["hidden"]).expect("a password");
        settings.set("port", &["1"]).expect("a port");
        assert_eq!(format!("{settings:?}"), "{\"port\": \"1\", \"requirepass\": \"(not shown)\"}");
    }

    #[test]
    fn config_get_sorts_and_names_settings_as_asked() {
        let settings = Settings::default();
        let names = |patterns: &[&[u8]]| -> Vec<String> {
            let found = settings.matching(patterns).into_iter();
            found.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
        };
        assert_eq!(names(&[b"SLAVEOF", b"maxmemory", b"maxmemory"]), ["SLAVEOF", "maxmemory"]);
        assert_eq!(names(&[b"MaxClients", b"maxclients", b"maxclient*"]), ["MaxClients"]);
        assert_eq!(names(&[b"maxclient*", b"MaxClients"]), ["maxclients"]);
        assert_eq!(names(&[b"Slaveof", b"ReplicaOf"]), ["ReplicaOf", "Slaveof"]);
        assert_eq!(
            names(&[b"LIST*"]),
            ["list-compress-depth", "list-max-listpack-size", "list-max-ziplist-size"]
        );
        assert_eq!(names(&[b"rename-command", b"user", b"nope", b"\xff"]), [""; 0]);
        assert_eq!(names(&[b"rdb-key-save-delay"]), ["rdb-key-save-delay"]);
        assert!(!names(&[b"*"]).contains(&"rdb-key-save-delay".to_owned()));
    }

    #[test]
    fn passwords_and_paths_are_bytes() {
        let mut settings = Settings::default();
        settings.set("requirepass", &[b"a\xff"]).expect("a password");
        settings.set("dir", &[b"/tmp/\xe9"]).expect("a path");
        assert!(settings.passwords.accept(b"a\xff") && !settings.passwords.accept(b"a"));
        assert_eq!(settings.dir.as_os_str().as_bytes(), b"/tmp/\xe9");
        assert_eq!(settings.get("dir"), Some(&b"/tmp/\xe9"[..]));
        assert_eq!(settings.set("bind", &[b"\xff"]), Err(SettingError::NotText));
    }
}

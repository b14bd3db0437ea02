//! CONFIG SET: several settings at once, all or none, with Redis's error texts.
//!
//! How it goes: first the names are looked at in order, and the first one that is unknown, fixed,
//! locked or repeated ends it; then the values are set in order on a copy. So an error always means
//! that nothing has changed.

use super::kind::SettingError;
use super::setting::{Setting, When};
use super::{Settings, table};

/// Settings after a change, with what was named.
#[derive(Debug)]
pub struct Applied {
    /// The new settings, whole.
    pub settings: Settings,
    /// The settings whose value is another now. One that is `Accepted` deserves a warning.
    pub changed: Vec<&'static Setting>,
}

/// Why CONFIG SET changed nothing, as the client reads it. As in Redis a name stands there as it
/// was given, but in lower case where it is the value that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigSetError {
    /// CONFIG does not know the name: the whole text, which quotes it byte for byte.
    #[error("{}", String::from_utf8_lossy(.0))]
    Unknown(Vec<u8>),
    /// The setting is fixed at start.
    #[error("{} - can't set immutable config", failed(.0))]
    Immutable(String),
    /// The setting is locked by `enable-protected-configs`.
    #[error("{} - can't set protected config", failed(.0))]
    Protected(String),
    /// The name was given before.
    #[error("{} - duplicate parameter", failed(.0))]
    Duplicate(String),
    /// The value is wrong.
    #[error("{} - {error}", failed(.name))]
    Value {
        /// The name that was given, in the table's spelling.
        name: &'static str,
        /// What is wrong with it.
        error: SettingError,
    },
}

fn unknown(name: &[u8]) -> ConfigSetError {
    // As a text of C ends.
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let before = b"ERR Unknown option or number of arguments for CONFIG SET - '";
    ConfigSetError::Unknown([before, name, b"'"].concat())
}

fn failed(name: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}')")
}

impl Settings {
    /// Carries out CONFIG SET of names and values. `local` says whether the client connects from
    /// this machine, which `enable-protected-configs local` asks for.
    pub fn apply(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Applied, ConfigSetError> {
        let mut asked: Vec<(&'static str, &'static Setting)> = Vec::with_capacity(pairs.len());
        for (given, _) in pairs {
            let (name, setting) = self.settable(given, local)?;
            if asked.iter().any(|(before, _)| *before == name) {
                return Err(ConfigSetError::Duplicate(text(given)));
            }
            asked.push((name, setting));
        }
        let mut settings = self.clone();
        for ((_, value), (name, _)) in pairs.iter().zip(&asked) {
            let set = settings.set(name, &[value]);
            set.map_err(|error| ConfigSetError::Value { name, error })?;
            if *name == "requirepass" {
                settings.renew_user();
            }
        }
        let mut changed: Vec<&'static Setting> = Vec::new();
        for (_, setting) in asked {
            let known = changed.iter().any(|before| before.name == setting.name);
            if !known && settings.value(setting) != self.value(setting) {
                changed.push(setting);
            }
        }
        Ok(Applied { settings, changed })
    }

    fn settable(
        &self,
        name: &[u8],
        local: bool,
    ) -> Result<(&'static str, &'static Setting), ConfigSetError> {
        let known = std::str::from_utf8(name).map_err(|_| unknown(name))?;
        let setting = table::find(known).ok_or_else(|| unknown(name))?;
        match setting.when {
            When::FileOnly => Err(unknown(name)),
            When::Start => Err(ConfigSetError::Immutable(text(name))),
            When::Runtime if setting.protected && !self.enable_protected_configs.allows(local) => {
                Err(ConfigSetError::Protected(text(name)))
            }
            When::Runtime => Ok((setting.spelling(known), setting)),
        }
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> String {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        match Settings::default().apply(&pairs, true) {
            Ok(applied) => applied.changed.iter().map(|setting| setting.name).collect(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn all_or_nothing() {
        assert_eq!(said(&[("MAXCLIENTS", "9")]), "maxclients");
        assert_eq!(said(&[("maxclients", "10000")]), "");
        assert_eq!(
            said(&[("maxclients", "9"), ("timeout", "x")]),
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be \
             parsed into an integer"
        );
    }

    #[test]
    fn the_first_wrong_name_counts() {
        assert_eq!(
            said(&[("timeout", "x"), ("databases", "3"), ("nope", "1")]),
            "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set \
             immutable config"
        );
        assert_eq!(
            said(&[("nope", "1"), ("databases", "3")]),
            "ERR Unknown option or number of arguments for CONFIG SET - 'nope'"
        );
        assert_eq!(
            said(&[("dir", "/tmp")]),
            "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected \
             config"
        );
        assert_eq!(
            said(&[("timeout", "1"), ("TIMEOUT", "2")]),
            "ERR CONFIG SET failed (possibly related to argument 'TIMEOUT') - duplicate parameter"
        );
        assert_eq!(
            said(&[("SlaveOf", "x")]),
            "ERR CONFIG SET failed (possibly related to argument 'SlaveOf') - can't set immutable \
             config"
        );
        assert_eq!(
            said(&[("user", "default")]),
            "ERR Unknown option or number of arguments for CONFIG SET - 'user'"
        );
    }

    #[test]
    fn two_names_of_one_setting_are_no_duplicate() {
        let pairs = [("hash-max-ziplist-entries", "1"), ("hash-max-listpack-entries", "2")];
        assert_eq!(said(&pairs), "hash-max-listpack-entries");
    }

    #[test]
    fn a_locked_setting_opens_for_this_machine() {
        let mut settings = Settings::default();
        settings.set("enable-protected-configs", &["local"]).expect("a choice");
        let dir: &[(&[u8], &[u8])] = &[(b"dir", b"/tmp")];
        assert!(settings.apply(dir, true).is_ok());
        assert!(settings.apply(dir, false).is_err());
    }

    #[test]
    fn a_password_may_have_any_bytes() {
        let pairs: &[(&[u8], &[u8])] = &[(b"requirepass", b"\xff")];
        let applied = Settings::default().apply(pairs, true).expect("a password");
        assert!(applied.settings.passwords.accept(b"\xff"));
        let pairs: &[(&[u8], &[u8])] = &[(b"timeout", b"\xff")];
        let error = Settings::default().apply(pairs, true).expect_err("no number").to_string();
        assert!(error.ends_with("argument couldn't be parsed into an integer"), "{error}");
    }

    #[test]
    fn a_new_password_goes_over_what_was_said_of_the_user() {
        let mut settings = Settings::default();
        let rules = ["default", "on", ">old", ">older", "~*", "&*", "+@all"];
        settings.set("user", &rules).expect("every right");
        for (password, other) in [("new", "old"), ("newer", "new")] {
            let pair: (&[u8], &[u8]) = (b"requirepass", password.as_bytes());
            settings = settings.apply(&[pair], true).expect("a password").settings;
            let accepts = |password: &str| settings.passwords.accept(password.as_bytes());
            assert!(accepts(password) && !accepts(other) && !accepts("older"));
        }
        let open = settings.apply(&[(b"requirepass", b"")], true).expect("none").settings;
        assert!(open.passwords.is_none_needed());
    }
}

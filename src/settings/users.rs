//! `user` lines: the default user, who has every right here.
//!
//! Redis and Valkey write such a line into every file that they rewrite, and into an `aclfile`. Its
//! rules are followed from left to right, as there, from a user that may do nothing. They must
//! come to the user that there is: on, with every key, channel, command and database, and with
//! some way to log in. Anything less cannot be kept, so it is refused.
//!
//! The canonical value is one line of a few rules, with passwords as SHA-256 in hexadecimal.

use sha2::{Digest as _, Sha256};

use super::kind::SettingError;

/// The SHA-256 of a password.
type PasswordHash = [u8; 32];

/// What is said of lines that give less than every right.
const RESTRICTED: SettingError = SettingError::Refused(
    "Troupe has one user, who has every right: write 'user default on nopass ~* &* +@all', or the \
     same with a password ('>password' or '#' and its SHA-256) in the place of 'nopass'",
);
const OTHER_USER: SettingError = SettingError::Refused(
    "Troupe has one user, 'default': remove the line and let its clients log in as that one",
);
const NO_WAY_IN: SettingError = SettingError::Special(
    "nobody could log in: give the user a password ('>password'), or 'nopass'",
);
const TWICE: SettingError = SettingError::Special("duplicate user");
const NO_RULE: SettingError = SettingError::Special("Syntax error in a rule of the user");

/// The passwords with which a client is the default user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passwords(Vec<PasswordHash>);

impl Passwords {
    /// Those that the canonical line of `user` gives or, where there is none, `requirepass`.
    pub(super) fn of(user: &str, requirepass: &[u8]) -> Passwords {
        Passwords(match (user, requirepass) {
            ("", b"") => Vec::new(),
            ("", password) => vec![hash(password)],
            (line, _) => hashes(line),
        })
    }

    /// True when a client is the default user without a word.
    pub fn is_none_needed(&self) -> bool {
        self.0.is_empty()
    }

    /// True when the password is right. What a comparison of hashes takes tells nothing of the
    /// passwords.
    pub fn accept(&self, password: &[u8]) -> bool {
        self.is_none_needed() || self.0.contains(&hash(password))
    }
}

fn hash(password: &[u8]) -> PasswordHash {
    Sha256::digest(password).into()
}

/// The line that says of the default user what `requirepass` says.
pub(super) fn line_of(requirepass: &[u8]) -> String {
    line(&Passwords::of("", requirepass).0)
}

/// The line of the default user with these passwords; any password is right where there are none.
fn line(hashes: &[PasswordHash]) -> String {
    let hex = |hash: &PasswordHash| -> String {
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("#{digits}")
    };
    let passwords = match hashes {
        [] => "nopass".to_owned(),
        hashes => hashes.iter().map(hex).collect::<Vec<_>>().join(" "),
    };
    format!("default on {passwords} ~* &* +@all")
}

/// The passwords in a canonical line.
fn hashes(line: &str) -> Vec<PasswordHash> {
    line.split(' ').filter_map(|rule| hash_of(rule.strip_prefix('#')?.as_bytes())).collect()
}

/// The canonical line of the words behind `user`.
pub(super) fn check(words: &[&[u8]], old: &[u8]) -> Result<Vec<u8>, SettingError> {
    let [name, rules @ ..] = words else { return Err(SettingError::WordCount) };
    if *name != b"default" {
        return Err(OTHER_USER);
    }
    let mut user = User::default();
    let mut in_selector = false;
    for rule in rules {
        // A selector adds rights, and every right is asked of the user itself.
        in_selector |= rule.starts_with(b"(");
        if !in_selector {
            user.follow(rule)?;
        }
        in_selector &= !rule.ends_with(b")");
    }
    if !user.may_all() || in_selector {
        return Err(RESTRICTED);
    }
    let line = match (user.needs_no_password, &user.passwords[..]) {
        (true, _) => line(&[]),
        (false, []) => return Err(NO_WAY_IN),
        (false, hashes) => line(hashes),
    };
    // CONFIG REWRITE says once more what an included file has said.
    if old.is_empty() || old == line.as_bytes() { Ok(line.into_bytes()) } else { Err(TWICE) }
}

/// A user while its rules are followed.
#[derive(Debug, Default)]
struct User {
    is_on: bool,
    needs_no_password: bool,
    passwords: Vec<PasswordHash>,
    has_keys: bool,
    has_channels: bool,
    has_commands: bool,
    lacks_databases: bool,
    /// Commands and categories that were taken away one by one.
    lacks: Vec<Vec<u8>>,
}

impl User {
    fn may_all(&self) -> bool {
        let commands = self.has_commands && self.lacks.is_empty();
        self.is_on && self.has_keys && self.has_channels && commands && !self.lacks_databases
    }

    fn follow(&mut self, rule: &[u8]) -> Result<(), SettingError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"on" => self.is_on = true,
            b"off" => self.is_on = false,
            b"reset" => *self = User::default(),
            b"nopass" | b"resetpass" => {
                self.passwords.clear();
                self.needs_no_password = rule.eq_ignore_ascii_case(b"nopass");
            }
            b"~*" | b"allkeys" | b"%rw~*" | b"%wr~*" => self.has_keys = true,
            b"resetkeys" => self.has_keys = false,
            b"&*" | b"allchannels" => self.has_channels = true,
            b"resetchannels" => self.has_channels = false,
            b"+@all" | b"allcommands" => {
                self.has_commands = true;
                self.lacks.clear();
            }
            b"-@all" | b"nocommands" => self.has_commands = false,
            b"alldbs" => self.lacks_databases = false,
            b"resetdbs" => self.lacks_databases = true,
            b"sanitize-payload" | b"skip-sanitize-payload" | b"clearselectors" => {}
            [b'-', what @ ..] => self.lacks.push(what.to_vec()),
            [b'+', what @ ..] => self.lacks.retain(|lacking| lacking != what),
            [b'~' | b'%', ..] if !self.has_keys => {}
            [b'&', ..] if !self.has_channels => {}
            [b'd', b'b', b'=', ..] => self.lacks_databases = true,
            _ => return self.follow_password(rule),
        }
        Ok(())
    }

    fn follow_password(&mut self, rule: &[u8]) -> Result<(), SettingError> {
        let (mark, word) = rule.split_first().ok_or(NO_RULE)?;
        let hash = match mark {
            b'>' | b'<' => hash(word),
            b'#' | b'!' => hash_of(word).ok_or(NO_RULE)?,
            _ => return Err(NO_RULE),
        };
        let known = self.passwords.iter().position(|password| *password == hash);
        match (mark, known) {
            (b'>' | b'#', None) => self.passwords.push(hash),
            (b'>' | b'#', Some(_)) => {}
            (_, Some(place)) => drop(self.passwords.remove(place)),
            (_, None) => return Err(NO_RULE),
        }
        if matches!(mark, b'>' | b'#') {
            self.needs_no_password = false;
        }
        Ok(())
    }
}

/// A hash from its digits, which must be lower case as in Redis.
fn hash_of(digits: &[u8]) -> Option<PasswordHash> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut hash = PasswordHash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "default on nopass ~* &* +@all";
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn said(line: &str) -> Result<String, SettingError> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        check(&words, b"").map(|line| String::from_utf8(line).expect("text"))
    }

    #[test]
    fn what_means_the_default_user_as_it_is() {
        for line in [
            "default on nopass ~* &* +@all",
            "default on nopass sanitize-payload ~* &* +@all",
            "default +@all &* ~* skip-sanitize-payload nopass ON",
            "default ALLKEYS AllChannels allcommands on nopass alldbs",
            "default off -@all resetkeys resetchannels reset on nopass %RW~* &* +@all",
            "default on nopass &a resetchannels &* nocommands +@all ~a ~*",
            "default on nopass ~* &* +@all -get -@write +@write +get",
            "default on nopass ~* &* +@all (+get ~x) (~y) clearselectors",
            "default on >secret nopass ~* &* +@all resetdbs alldbs",
        ] {
            assert_eq!(said(line).as_deref(), Ok(OPEN), "{line}");
        }
    }

    #[test]
    fn passwords_are_kept_as_hashes() {
        let closed = format!("default on #{SECRET} ~* &* +@all");
        for line in [
            "default on >secret ~* &* +@all".to_owned(),
            format!("default on nopass #{SECRET} ~* &* +@all"),
            "default on >secret >secret >other <other ~* &* +@all".to_owned(),
            closed.clone(),
        ] {
            assert_eq!(said(&line), Ok(closed.clone()), "{line}");
        }
        assert_eq!(hashes(&closed), [hash(b"secret")]);
        assert_eq!(line(&hashes(&closed)), closed);
        assert_eq!(hashes(OPEN), [[0; 32]; 0]);
        let two = said("default on >a >b ~* &* +@all").expect("two passwords");
        assert_eq!(hashes(&two), [hash(b"a"), hash(b"b")]);
    }

    #[test]
    fn a_line_goes_over_the_setting() {
        assert!(Passwords::of("", b"").accept(b"x"));
        let closed = Passwords::of("", b"a\xff");
        assert!(closed.accept(b"a\xff") && !closed.accept(b"a") && !closed.accept(b""));
        assert!(Passwords::of(OPEN, b"a").is_none_needed());
        let other = said("default on >b >c ~* &* +@all").expect("right rules");
        let other = Passwords::of(&other, b"a");
        assert!(other.accept(b"b") && other.accept(b"c") && !other.accept(b"a"));
        assert_eq!(line_of(b""), OPEN);
        assert_eq!(Passwords::of(&line_of(b"a"), b""), Passwords::of("", b"a"));
    }

    #[test]
    fn less_than_every_right_is_refused() {
        for line in [
            "default on nopass",
            "default off nopass ~* &* +@all",
            "default on nopass ~a &* +@all",
            "default on nopass %R~* &* +@all",
            "default on nopass ~* &a +@all",
            "default on nopass ~* &* +get",
            "default on nopass ~* &* +@all -@dangerous",
            "default on nopass ~* &* +@all -config +set",
            "default on nopass ~* &* +@all db=0",
            "default on nopass (~* &* +@all)",
            "default on nopass ~* &* +@all (~*",
        ] {
            assert_eq!(said(line), Err(RESTRICTED), "{line}");
        }
        assert_eq!(said("alice on nopass ~* &* +@all"), Err(OTHER_USER));
        assert_eq!(said("default on ~* &* +@all"), Err(NO_WAY_IN));
        assert_eq!(said("default on >a resetpass ~* &* +@all"), Err(NO_WAY_IN));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for rule in ["foo", "#12", "<x", "!12", "", "+@all ~* ~a", "#G"] {
            assert_eq!(said(&format!("default on nopass {rule}")), Err(NO_RULE), "{rule}");
        }
        let words: Vec<&[u8]> = OPEN.split(' ').map(str::as_bytes).collect();
        assert_eq!(check(&words, line_of(b"a").as_bytes()), Err(TWICE));
        assert_eq!(check(&words, OPEN.as_bytes()).as_deref(), Ok(OPEN.as_bytes()));
        assert_eq!(check(&[], b""), Err(SettingError::WordCount));
    }
}

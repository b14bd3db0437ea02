//! What the table says of one directive.
//!
//! A declaration is written as a chain that starts with the kind and the default, so that a line of
//! the table reads like a sentence. What most directives share is the start value: fixed at start,
//! served. All parts are constants: the table costs nothing at start.

use super::kind::{Kind, Unit};
use super::special::Special;

/// When a directive may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At start only; CONFIG SET answers that it is immutable.
    Start,
    /// At start and by CONFIG SET.
    Runtime,
    /// In a file or on the command line only; CONFIG does not know the name, as in Redis.
    FileOnly,
}

/// What Troupe does with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// A setting of Troupe that Redis does not have.
    Ours,
    /// Works as in Redis.
    Served,
    /// Kept and answered, but without effect: naming it gives one warning with this reason.
    Accepted(&'static str),
    /// Any value but the default stops the start with this remedy, because leaving it without
    /// effect would harm.
    Refused(&'static str),
}

/// One directive.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The directive's name, in lower case.
    pub name: &'static str,
    /// Other names of the same setting.
    pub aliases: &'static [&'static str],
    /// Which values are right.
    pub kind: Kind,
    /// The default, as CONFIG GET prints it.
    pub default: &'static str,
    /// When it may be given.
    pub when: When,
    /// What Troupe does with it.
    pub support: Support,
    /// CONFIG SET needs `enable-protected-configs`.
    pub protected: bool,
    /// Holds a password or another secret: never logged.
    pub secret: bool,
    /// Answered by CONFIG GET only when asked by its exact name.
    pub hidden: bool,
    /// What it is for, in one sentence.
    pub doc: &'static str,
}

impl Setting {
    pub(super) const fn of(kind: Kind, name: &'static str, default: &'static str) -> Setting {
        Setting {
            name,
            aliases: &[],
            kind,
            default,
            when: When::Start,
            support: Support::Served,
            protected: false,
            secret: false,
            hidden: false,
            doc: "",
        }
    }

    pub(super) const fn also(mut self, aliases: &'static [&'static str]) -> Setting {
        self.aliases = aliases;
        self
    }

    pub(super) const fn runtime(mut self) -> Setting {
        self.when = When::Runtime;
        self
    }

    pub(super) const fn file_only(mut self) -> Setting {
        self.when = When::FileOnly;
        self
    }

    pub(super) const fn ours(mut self) -> Setting {
        self.support = Support::Ours;
        self
    }

    pub(super) const fn accepted(mut self, why: &'static str) -> Setting {
        self.support = Support::Accepted(why);
        self
    }

    pub(super) const fn refused(mut self, remedy: &'static str) -> Setting {
        self.support = Support::Refused(remedy);
        self
    }

    pub(super) const fn protected(mut self) -> Setting {
        self.protected = true;
        self
    }

    pub(super) const fn secret(mut self) -> Setting {
        self.secret = true;
        self
    }

    pub(super) const fn hidden(mut self) -> Setting {
        self.hidden = true;
        self
    }

    pub(super) const fn doc(mut self, doc: &'static str) -> Setting {
        self.doc = doc;
        self
    }

    /// The names of the setting: its own, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The name under which the setting was asked for, in the table's spelling.
    pub fn spelling(&self, asked: &str) -> &'static str {
        self.names().find(|name| name.eq_ignore_ascii_case(asked)).unwrap_or(self.name)
    }

    /// Whether a directive that is given again adds to the earlier one instead of replacing it.
    pub fn adds_up(&self) -> bool {
        matches!(self.kind, Kind::Special(_)) && super::special::adds_up(self.name)
    }
}

// The starts of a chain, one for each common kind.

pub(super) const fn flag(name: &'static str, default: &'static str) -> Setting {
    Setting::of(Kind::Flag, name, default)
}

pub(super) const fn text(name: &'static str, default: &'static str) -> Setting {
    Setting::of(Kind::Text, name, default)
}

pub(super) const fn words(name: &'static str, default: &'static str) -> Setting {
    Setting::of(Kind::Words, name, default)
}

/// The name of a file, with what is said of a path.
pub(super) const fn file_name(
    name: &'static str,
    default: &'static str,
    wrong: &'static str,
) -> Setting {
    Setting::of(Kind::Special(Special::FileName(wrong)), name, default)
}

pub(super) const fn choice(
    name: &'static str,
    default: &'static str,
    of: &'static [&'static str],
) -> Setting {
    Setting::of(Kind::Choice(of), name, default)
}

pub(super) const fn port(name: &'static str, default: &'static str) -> Setting {
    number(name, default, 0, 65535, Unit::None)
}

pub(super) const fn memory(name: &'static str, default: &'static str, min: u64) -> Setting {
    Setting::of(Kind::Memory { min, max: i64::MAX as u64 }, name, default)
}

/// A whole number from 0 to the largest `int` of C, which bounds most of Redis's settings.
pub(super) const fn count(name: &'static str, default: &'static str, unit: Unit) -> Setting {
    number(name, default, 0, i32::MAX as i64, unit)
}

/// A whole number from 0 to the largest `long` of C.
pub(super) const fn long(name: &'static str, default: &'static str, unit: Unit) -> Setting {
    number(name, default, 0, i64::MAX, unit)
}

pub(super) const fn number(
    name: &'static str,
    default: &'static str,
    min: i64,
    max: i64,
    unit: Unit,
) -> Setting {
    Setting::of(Kind::Integer { min, max, unit }, name, default)
}

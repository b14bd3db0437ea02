//! The first line of a script or a library: its engine, its name, its flags.

use super::error::ScriptError;
use crate::resp::inline::Words;

/// What a script or a function declares about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// It writes nothing.
    NoWrites,
    /// It may run when memory is short.
    AllowOom,
    /// It may run on a replica that has lost its primary.
    AllowStale,
    /// It must not run in a cluster.
    NoCluster,
    /// It may touch keys of several slots.
    AllowCrossSlotKeys,
}

const FLAGS: [(Flag, &str); 5] = [
    (Flag::NoWrites, "no-writes"),
    (Flag::AllowOom, "allow-oom"),
    (Flag::AllowStale, "allow-stale"),
    (Flag::NoCluster, "no-cluster"),
    (Flag::AllowCrossSlotKeys, "allow-cross-slot-keys"),
];

/// A set of flags, and whether any could have been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    bits: u8,
    declared: bool,
}

impl Flags {
    /// A script without a shebang: what it does is found out while it runs.
    pub const UNDECLARED: Flags = Flags { bits: 0, declared: false };

    /// A script with a shebang, or a function, that sets none.
    pub const NONE: Flags = Flags { bits: 0, declared: true };

    /// What the shebang of a script declares. None where there is none that can be read.
    pub fn of_script(body: &[u8]) -> Option<Flags> {
        of_script(body).ok().map(|shebang| shebang.flags)
    }

    /// Whether it has a flag.
    pub fn has(self, flag: Flag) -> bool {
        self.bits & (1 << flag as u8) != 0
    }

    /// Whether what it does not declare may be refused before it runs.
    pub fn is_declared(self) -> bool {
        self.declared
    }

    /// The names of its flags, in the order in which FUNCTION LIST gives them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }

    pub(super) fn with(self, flag: Flag) -> Flags {
        Flags { bits: self.bits | 1 << flag as u8, ..self }
    }
}

impl Flag {
    /// The flag of a name as a shebang has it.
    fn exactly(name: &[u8]) -> Option<Flag> {
        FLAGS.into_iter().find(|(_, known)| known.as_bytes() == name).map(|(flag, _)| flag)
    }

    /// The flag of a name as `register_function` has it, in any case.
    pub(super) fn named(name: &[u8]) -> Option<Flag> {
        let is_it = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        FLAGS.into_iter().find(|(_, known)| is_it(known)).map(|(flag, _)| flag)
    }
}

/// What a script begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shebang {
    /// Its flags.
    pub(super) flags: Flags,
    /// Bytes of the first line, its line feed not counted: the program begins there, so that its
    /// lines keep their numbers.
    pub(super) len: usize,
}

/// Reads the shebang of a script, if it has one.
pub(super) fn of_script(body: &[u8]) -> Result<Shebang, ScriptError> {
    if !body.starts_with(b"#!") {
        return Ok(Shebang { flags: Flags::UNDECLARED, len: 0 });
    }
    let (words, len) = words(body).ok_or(ScriptError::Shebang)?;
    let words = words.ok_or(ScriptError::ShebangEngine)?;
    let mut words = words.iter();
    let engine = words.next().unwrap_or_default().strip_prefix(b"#!").unwrap_or_default();
    if engine != b"lua" {
        return Err(ScriptError::UnknownEngine(text(engine)));
    }
    let mut flags = Flags::NONE;
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(ScriptError::UnknownOption(text(word)));
        };
        if list.is_empty() {
            continue;
        }
        for name in list.split(|byte| *byte == b',') {
            let flag = Flag::exactly(name).ok_or_else(|| ScriptError::UnknownFlag(text(name)))?;
            flags = flags.with(flag);
        }
    }
    Ok(Shebang { flags, len })
}

/// Reads the shebang of a library: its name, and the bytes of the line.
pub(super) fn of_library(code: &[u8]) -> Result<(String, usize), ScriptError> {
    if !code.starts_with(b"#!") {
        return Err(ScriptError::NoMetadata);
    }
    let (words, len) = words(code).ok_or(ScriptError::Metadata)?;
    let words = words.ok_or(ScriptError::Metadata)?;
    let mut words = words.iter();
    let engine = words.next().unwrap_or_default().strip_prefix(b"#!").unwrap_or_default();
    let mut name = None;
    for word in words {
        match word.split_at_checked("name=".len()) {
            Some((option, value)) if option.eq_ignore_ascii_case(b"name=") => {
                if name.replace(value).is_some() {
                    return Err(ScriptError::NamedTwice);
                }
            }
            _ => return Err(ScriptError::MetadataValue(text(word))),
        }
    }
    let name = name.ok_or(ScriptError::NoName)?;
    if !is_name(name) {
        return Err(ScriptError::LibraryName);
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(ScriptError::NoEngine(text(engine)));
    }
    Ok((text(name), len))
}

/// Whether a library or a function may have this name.
pub(super) fn is_name(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    !name.is_empty() && name.iter().all(is_part)
}

/// The words of the first line, none if a quote in it is open, and its length; none without a line
/// feed.
fn words(code: &[u8]) -> Option<(Option<Words>, usize)> {
    let len = code.iter().position(|byte| *byte == b'\n')?;
    let mut words = Words::default();
    let split = words.split(&code[..len]);
    Some((split.is_ok().then_some(words).filter(|words| !words.is_empty()), len))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_declares_what_it_does() {
        let of = |body: &str| of_script(body.as_bytes());
        assert_eq!(of("return 1"), Ok(Shebang { flags: Flags::UNDECLARED, len: 0 }));
        assert_eq!(of("#!lua\nreturn 1"), Ok(Shebang { flags: Flags::NONE, len: 5 }));
        let flags = of("#!lua flags=no-writes,allow-oom\nreturn 1").unwrap().flags;
        assert!(flags.has(Flag::NoWrites) && flags.has(Flag::AllowOom) && flags.is_declared());
        assert!(!flags.has(Flag::AllowStale));
        assert_eq!(flags.names().collect::<Vec<_>>(), ["no-writes", "allow-oom"]);
        assert_eq!(of("#!lua flags=\nreturn 1").unwrap().flags, Flags::NONE);
    }

    #[test]
    fn a_shebang_that_is_none_is_refused() {
        let said = |body: &str| of_script(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(said("#!lua"), "ERR Invalid script shebang");
        assert_eq!(said("#!lua \"\n"), "ERR Invalid engine in script shebang");
        assert_eq!(said("#!lua name=x\n"), "ERR Unknown lua shebang option: name=x");
        assert_eq!(said("#!lua flags=x\n"), "ERR Unexpected flag in script shebang: x");
    }

    #[test]
    fn a_library_has_a_name() {
        let of = |code: &str| of_library(code.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(of("#!lua name=lib\nx"), Ok(("lib".to_owned(), 14)));
        assert_eq!(of("#!LUA NAME=lib\nx"), Ok(("lib".to_owned(), 14)));
        let said = |code: &str| of(code).unwrap_err();
        assert_eq!(said("x"), "ERR Missing library metadata");
        assert_eq!(said("#!lua name=x"), "ERR Invalid library metadata");
        assert_eq!(said("#!lua\n"), "ERR Library name was not given");
        assert_eq!(said("#!lua foo=x\n"), "ERR Invalid metadata value given: foo=x");
        assert_eq!(said("#!bash name=x\n"), "ERR Engine 'bash' not found");
        let twice = "ERR Invalid metadata value, name argument was given multiple times";
        assert_eq!(said("#!lua name=a name=b\n"), twice);
        assert!(said("#!lua name=a-b\n").starts_with("ERR Library names can only contain"));
    }
}

//! What `rename-command` may say: which commands there are to rename, and which names are free.
//!
//! A command that Redis or Valkey has and this server has not may be renamed or taken away too: no
//! client can call it, before or after. A divergence: a name that a command is declared by stays
//! reserved for it when it is renamed, so that a journal means the same by it at all times.

use super::registry;
use crate::settings::Renames;

const NO_SUCH_COMMAND: &str = "No such command in rename-command";
const NAME_TAKEN: &str = "Target command name already exists";

/// The commands of Redis and Valkey that are not here, sorted. A test holds them to the recorded
/// declarations of Valkey.
const ABSENT: &[&str] = &[
    "acl",
    "clusterscan",
    "failover",
    "vadd",
    "vcard",
    "vdim",
    "vemb",
    "vgetattr",
    "vinfo",
    "vismember",
    "vlinks",
    "vrandmember",
    "vrem",
    "vsetattr",
    "vsim",
];

/// Says of the old and new names of `rename-command`, in order, the first that is wrong: its place
/// and what is wrong with it.
///
/// # Errors
/// When a command does not exist (any more), or a new name is another's.
pub fn check<'a>(
    renames: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), (usize, &'static str)> {
    let mut before = Renames::default();
    for (place, (from, to)) in renames.into_iter().enumerate() {
        let declared = before.declared(from).filter(|name| exists(name));
        let declared = declared.ok_or((place, NO_SUCH_COMMAND))?.to_ascii_lowercase();
        let is_free = |name: &[u8]| !exists(name) || name.eq_ignore_ascii_case(&declared);
        // As it is declared, and as clients call it by now; nothing is called by no name.
        let meant = [to, before.declared(to).unwrap_or_default()];
        if !meant.into_iter().all(is_free) {
            return Err((place, NAME_TAKEN));
        }
        before.add(from, to);
    }
    Ok(())
}

/// True when Redis, Valkey or this server declares a command of this name.
fn exists(name: &[u8]) -> bool {
    let is_absent = || ABSENT.iter().any(|absent| name.eq_ignore_ascii_case(absent.as_bytes()));
    !name.contains(&b'|') && (registry::named(name).is_some() || is_absent())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../tests/data/commands-valkey-9.1.2.tsv");

    fn said(lines: &[(&str, &str)]) -> Result<(), (usize, &'static str)> {
        check(lines.iter().map(|(from, to)| (from.as_bytes(), to.as_bytes())))
    }

    #[test]
    fn every_command_of_valkey_is_here_or_known_to_be_absent() {
        assert!(ABSENT.is_sorted());
        for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split('\t').next().unwrap_or_default();
            let is_here = registry::named(name.as_bytes()).is_some();
            assert!(name.contains('|') || is_here != ABSENT.contains(&name), "{name}");
        }
    }

    #[test]
    fn commands_are_renamed_in_order() {
        assert_eq!(said(&[("FLUSHALL", ""), ("config", "My Config"), ("My Config", "x")]), Ok(()));
        assert_eq!(
            said(&[("EVAL", ""), ("bgsave", "x"), ("get", "GET"), ("set", "\u{fc}")]),
            Ok(())
        );
        assert_eq!(said(&[("get", "a"), ("a", "get")]), Ok(()));
    }

    #[test]
    fn what_is_not_there_or_taken_is_refused() {
        for lines in [
            &[("get", "a"), ("nosuch", "b")] as &[_],
            &[("get", ""), ("GET", "")],
            &[("get", "a"), ("get", "b")],
            &[("get", "a"), ("config|get", "b")],
            &[("get", "a"), ("", "b")],
        ] {
            assert_eq!(said(lines), Err((1, NO_SUCH_COMMAND)), "{lines:?}");
        }
        for lines in [
            &[("get", "a"), ("set", "incr")] as &[_],
            &[("get", "a"), ("set", "A")],
            &[("get", "a"), ("set", "EVAL")],
            &[("get", "a"), ("set", "get")],
        ] {
            assert_eq!(said(lines), Err((1, NAME_TAKEN)), "{lines:?}");
        }
    }
}

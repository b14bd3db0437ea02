//! Configuration files on the disk: reading them, telling their syntax, and what `include` means.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use troupe::base::glob;
use troupe::settings::Syntax;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a file holds, or what is wrong with it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, std::io::Error> {
    let mut content = Vec::new();
    let length = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if length as u64 > FILE_BYTES_MAX {
        let text = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// As [`read`], with a sentence for the operator.
pub(super) fn open(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.display();
    read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("can't open config file '{name}': no such file"),
        _ => format!("can't open config file '{name}': {error}"),
    })
}

/// How a file is written: its ending says it, or else its first line that says anything.
pub(super) fn syntax(name: &Path, content: &[u8]) -> Syntax {
    match name.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("toml") => return Syntax::Toml,
        Some(ending) if ending.eq_ignore_ascii_case("conf") => return Syntax::Conf,
        _ => {}
    }
    let mut lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#")).unwrap_or_default();
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_\"'".contains(byte);
    let equals = first.iter().position(|byte| *byte == b'=');
    let assigns = equals.is_some_and(|equals| {
        let key = first[..equals].trim_ascii();
        !key.is_empty() && key.iter().all(bare)
    });
    if assigns || first.starts_with(b"[") { Syntax::Toml } else { Syntax::Conf }
}

/// The files that an `include` names, each with its name and what it holds. A pattern may match
/// none; a name without wildcards must be there.
pub(super) fn include(pattern: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let paths = match is_wild(pattern) {
        true => expand(pattern),
        false => vec![PathBuf::from(OsStr::from_bytes(pattern))],
    };
    let read = |path: PathBuf| Ok((path.display().to_string(), open(&path)?));
    paths.into_iter().map(read).collect()
}

fn is_wild(name: &[u8]) -> bool {
    name.iter().any(|byte| b"*?[".contains(byte))
}

/// The names that a pattern matches, sorted, part by part of the path as a shell does it.
fn expand(pattern: &[u8]) -> Vec<PathBuf> {
    let root = if pattern.starts_with(b"/") { "/" } else { "" };
    let mut found = vec![PathBuf::from(root)];
    for part in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        let names = |folder: &Path| match is_wild(part) {
            true => matching(folder, part),
            false => vec![OsStr::from_bytes(part).to_owned()],
        };
        let inside = |folder: &PathBuf| -> Vec<PathBuf> {
            names(folder).into_iter().map(|name| folder.join(name)).collect()
        };
        found = found.iter().flat_map(inside).filter(|path| path.exists()).collect();
    }
    found.sort();
    found
}

fn matching(folder: &Path, part: &[u8]) -> Vec<OsString> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let shown = |name: &OsString| {
        (part.starts_with(b".") || !name.as_bytes().starts_with(b"."))
            && glob::matches(part, name.as_bytes(), false)
    };
    names.filter(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_told_by_ending_then_by_content() {
        let syntax = |name: &str, text: &str| syntax(Path::new(name), text.as_bytes());
        assert_eq!(syntax("a.toml", "port 1"), Syntax::Toml);
        assert_eq!(syntax("a.conf", "port = 1"), Syntax::Conf);
        assert_eq!(syntax("", "# x\n\nport = 1"), Syntax::Toml);
        assert_eq!(syntax("", "port 1"), Syntax::Conf);
        assert_eq!(syntax("", "requirepass a=b"), Syntax::Conf);
        assert_eq!(syntax("", ""), Syntax::Conf);
    }

    #[test]
    fn patterns_are_expanded_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["2.conf", "1.conf", ".hidden.conf", "x.txt"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let base = folder.path().to_str().unwrap();
        let include = |pattern: &str| include(format!("{base}/{pattern}").as_bytes());
        let texts = |pattern: &str| -> Vec<Vec<u8>> {
            include(pattern).unwrap().into_iter().map(|it| it.1).collect()
        };
        assert_eq!(texts("*.conf"), [b"1.conf", b"2.conf"]);
        assert_eq!(texts("none*"), [b""; 0]);
        assert!(include("none").unwrap_err().contains("no such file"));
    }
}

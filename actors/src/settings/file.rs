//! Configuration files on the disk: reading them, telling their syntax, and what `include` means.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use troupe::base::glob;
use troupe::settings::Syntax;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The text of a file, or what is wrong with it.
pub(super) fn read(name: &str) -> Result<String, String> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("can't open config file '{name}': no such file"),
        std::io::ErrorKind::InvalidData => format!("config file '{name}' is not UTF-8 text"),
        _ => format!("can't open config file '{name}': {error}"),
    };
    let mut text = String::new();
    let file = File::open(name).map_err(refused)?;
    let length = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(refused)?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(format!("config file '{name}' is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// How a file is written: its ending says it, or else its first line that says anything.
pub(super) fn syntax(name: &str, text: &str) -> Syntax {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("toml") => return Syntax::Toml,
        Some(ending) if ending.eq_ignore_ascii_case("conf") => return Syntax::Conf,
        _ => {}
    }
    let mut lines = text.lines().map(str::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_\"' ".contains(&byte);
    let assigns = first.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim_ascii();
        !key.is_empty() && key.bytes().all(bare) && !key.contains(' ')
    });
    if assigns || first.starts_with('[') { Syntax::Toml } else { Syntax::Conf }
}

/// The files that an `include` names, each with its text. A pattern may match none; a name without
/// wildcards must be there.
pub(super) fn include(pattern: &str) -> Result<Vec<(String, String)>, String> {
    let names =
        if pattern.contains(['*', '?', '[']) { expand(pattern) } else { vec![pattern.to_owned()] };
    names.into_iter().map(|name| read(&name).map(|text| (name, text))).collect()
}

/// The names that a pattern matches, sorted, part by part of the path as a shell does it.
fn expand(pattern: &str) -> Vec<String> {
    let root = if pattern.starts_with('/') { "/" } else { "" };
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let wild = part.contains(['*', '?', '[']);
        let join = |folder: &str, name: &str| match folder {
            "" | "/" => format!("{folder}{name}"),
            _ => format!("{folder}/{name}"),
        };
        found = found
            .iter()
            .flat_map(|folder| {
                let names = if wild { matching(folder, part) } else { vec![part.to_owned()] };
                names.into_iter().map(|name| join(folder, &name)).collect::<Vec<_>>()
            })
            .filter(|path| Path::new(path).exists())
            .collect();
    }
    found.sort();
    found
}

fn matching(folder: &str, part: &str) -> Vec<String> {
    let folder = if folder.is_empty() { "." } else { folder };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let shown = |name: &String| {
        (part.starts_with('.') || !name.starts_with('.'))
            && glob::matches(part.as_bytes(), name.as_bytes(), false)
    };
    names.filter(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_told_by_ending_then_by_content() {
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
        let texts = |pattern: &str| -> Vec<String> {
            include(&format!("{base}/{pattern}")).unwrap().into_iter().map(|it| it.1).collect()
        };
        assert_eq!(texts("*.conf"), ["1.conf", "2.conf"]);
        assert_eq!(texts("none*"), [""; 0]);
        assert!(include(&format!("{base}/none")).unwrap_err().contains("no such file"));
    }
}

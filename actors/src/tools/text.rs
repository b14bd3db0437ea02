//! A report as text, for people.

use std::fmt::Write as _;

use troupe::check::report::{Amount, FileReport, Report, Severity};

/// The whole report.
pub(super) fn of(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.files {
        // Writing to a String cannot fail.
        let _ = write_file(&mut text, file);
    }
    let end = match report.worst() {
        None => "All is sound.",
        Some(Severity::Note) => "All is sound, but for what is noted.",
        Some(Severity::Foreign) => "Nothing is damaged, but this server cannot keep all of it.",
        Some(Severity::Unreadable) => "Not all of it could be read.",
        Some(_) if report.is_mendable() => "It is damaged, and --fix mends it.",
        Some(_) => "It is damaged, and --fix cannot mend it.",
    };
    text + end + "\n"
}

fn write_file(out: &mut String, file: &FileReport) -> std::fmt::Result {
    writeln!(out, "{}: {} bytes", file.path.display(), file.length)?;
    if let Some(manifest) = &file.manifest {
        writeln!(out, "  a manifest")?;
        let files = (manifest.base.iter().map(|file| ("base", file)))
            .chain(manifest.increments.iter().map(|file| ("increment", file)))
            .chain(manifest.history.iter().map(|file| ("out of use", file)));
        for (role, listed) in files {
            writeln!(out, "    {role:<12} {} (seq {})", listed.name, listed.seq)?;
        }
    }
    if let Some(dialect) = file.dialect {
        writeln!(out, "  an RDB file of {dialect}")?;
        for (name, said) in &file.fields {
            writeln!(out, "    {} {}", name.escape_ascii(), said.escape_ascii())?;
        }
        write_keys(out, file)?;
    }
    if file.is_journal() {
        let count: u64 = file.commands.values().map(|amount| amount.count).sum();
        writeln!(out, "  a journal: {count} records, {} transactions", file.transactions)?;
        write_amounts(out, file.commands.iter())?;
    }
    for finding in &file.findings {
        let mended = if finding.cut.is_some() { " (--fix mends it)" } else { "" };
        writeln!(out, "  {}{mended}: {}", name_of(finding.severity), finding.what)?;
    }
    if file.unnamed > 0 {
        writeln!(out, "  and {} findings more", file.unnamed)?;
    }
    Ok(())
}

fn write_keys(out: &mut String, file: &FileReport) -> std::fmt::Result {
    for (db, database) in &file.databases {
        let keys: u64 = database.types.values().map(|amount| amount.count).sum();
        writeln!(out, "  database {db}: {keys} keys, {} with deadlines", database.timed)?;
        write_amounts(out, database.types.iter())?;
    }
    for library in &file.libraries {
        writeln!(out, "  a library of functions: {library}")?;
    }
    for module in &file.modules {
        writeln!(out, "  data of the module type {module}, which are not kept")?;
    }
    Ok(())
}

fn write_amounts<'a>(
    out: &mut String,
    amounts: impl Iterator<Item = (&'a &'static str, &'a Amount)>,
) -> std::fmt::Result {
    for (name, Amount { count, bytes }) in amounts {
        writeln!(out, "    {name:<12} {count:>12} {bytes:>16} bytes")?;
    }
    Ok(())
}

/// The word for how bad something is.
pub(super) fn name_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Foreign => "foreign",
        Severity::Unreadable => "unreadable",
        Severity::Torn => "torn",
        Severity::Damaged => "damaged",
    }
}

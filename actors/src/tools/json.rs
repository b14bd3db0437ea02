//! A report as one JSON document, for programs. Bytes that are no text stand in it as `\xNN`.

use serde_json::{Map, Value, json};
use troupe::aof::manifest;
use troupe::check::report::{Amount, FileReport, Finding, Report};

use super::text::name_of;

/// The whole report.
pub(super) fn of(report: &Report) -> String {
    let document = json!({
        "worst": report.worst().map(name_of),
        "mendable": report.is_mendable(),
        "files": report.files.iter().map(file).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn file(file: &FileReport) -> Value {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let fields = file.fields.iter().map(|(name, said)| (text(name), json!(text(said))));
    let databases = file.databases.iter().map(|(db, database)| {
        json!({ "number": db, "timed": database.timed, "types": amounts(database.types.iter()) })
    });
    json!({
        "path": file.path.display().to_string(),
        "length": file.length,
        "manifest": file.manifest.as_ref().map(|it| json!({
            "base": it.base.as_ref().map(listed),
            "increments": it.increments.iter().map(listed).collect::<Vec<_>>(),
            "history": it.history.iter().map(listed).collect::<Vec<_>>(),
        })),
        "rdb": file.dialect.map(|dialect| json!({
            "family": dialect.family.name(),
            "version": dialect.version,
            "fields": fields.collect::<Map<_, _>>(),
            "libraries": file.libraries,
            "modules": file.modules,
            "databases": databases.collect::<Vec<_>>(),
        })),
        "journal": file.is_journal().then(|| json!({
            "transactions": file.transactions,
            "commands": amounts(file.commands.iter()),
        })),
        "worst": file.worst.map(name_of),
        "findings": file.findings.iter().map(finding).collect::<Vec<_>>(),
        "unnamed": file.unnamed,
    })
}

fn listed(file: &manifest::File) -> Value {
    json!({ "name": file.name, "seq": file.seq })
}

fn amounts<'a>(amounts: impl Iterator<Item = (&'a &'static str, &'a Amount)>) -> Value {
    let each = amounts.map(|(name, Amount { count, bytes })| {
        ((*name).to_owned(), json!({ "count": count, "bytes": bytes }))
    });
    Value::Object(each.collect())
}

fn finding(finding: &Finding) -> Value {
    let Finding { severity, offset, what, cut } = finding;
    json!({
        "severity": name_of(*severity),
        "offset": offset,
        "what": what,
        "cut": cut.as_ref().map(|cut| json!({ "to": cut.valid_up_to, "drops": cut.dropped })),
    })
}

//! Usage records: the entries of the audit log about data pipelines, as flat records with the same fields everywhere.

use crate::args::UsageFormat;
use serde_json::{Map, Value, json};
use terrace_engine::store::AuditLink;

/// The fields of a record, in order. A field that is not known is null, and empty in CSV.
const FIELDS: [&str; 33] = [
    "id",
    "ts",
    "user",
    "auth_provider",
    "org",
    "action",
    "cluster",
    "namespace",
    "pipeline_id",
    "run_id",
    "worker",
    "db",
    "source_ref",
    "source_sha",
    "image",
    "outcome",
    "exit_code",
    "queued_at",
    "started_at",
    "finished_at",
    "duration_ms",
    "cpu_seconds",
    "mem_peak_bytes",
    "rows",
    "bytes",
    "bytes_synced",
    "limit",
    "quota_limit",
    "quota_remaining",
    "client_version",
    "ip",
    "error",
    "suppressed",
];

/// The line with the names of the fields.
pub(super) fn header() -> String {
    FIELDS.join(",") + "\r\n"
}

/// The record of an entry as a line; `None` for entries that are not about pipelines.
///
/// # Errors
/// When the entry is not a JSON object.
pub(super) fn line(link: &AuditLink, format: UsageFormat) -> serde_json::Result<Option<String>> {
    let mut entry: Map<String, Value> = serde_json::from_str(&link.entry)?;
    let Some(Value::Object(mut usage)) = entry.remove("usage") else { return Ok(None) };
    let mut value = |field: &str| match field {
        "id" => json!(link.id),
        "ts" => json!(link.at),
        "user" => entry.remove("actor").unwrap_or_default(),
        "ip" => entry.remove("peer").unwrap_or_default(),
        "outcome" | "suppressed" => entry.remove(field).unwrap_or_default(),
        field => usage.remove(field).unwrap_or_default(),
    };
    Ok(Some(match format {
        UsageFormat::Jsonl => {
            let fields: Vec<String> = FIELDS.iter().map(|field| format!("\"{field}\":{}", value(field))).collect();
            format!("{{{}}}", fields.join(","))
        }
        UsageFormat::Csv => FIELDS.map(|field| cell(&value(field))).join(",") + "\r",
    }))
}

/// A value as a cell (RFC 4180).
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        // Spreadsheets evaluate a text that begins like a formula, and callers choose some of these texts.
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use terrace_engine::store::{AuditEntry, AuditOutcome, GENESIS, Usage};

    fn link(entry: &AuditEntry) -> AuditLink {
        AuditLink::after(0, GENESIS, Timestamp::UNIX_EPOCH, entry).unwrap()
    }

    fn of(usage: Usage) -> AuditLink {
        let peer = Some("192.0.2.1".to_owned());
        link(&AuditEntry { usage: Some(usage), peer, ..AuditEntry::new("ada", "run", AuditOutcome::Refused) })
    }

    #[test]
    fn record_has_all_fields_in_order() {
        let link = of(Usage { action: "run".to_owned(), rows: Some(7), ..Usage::default() });
        let text = line(&link, UsageFormat::Jsonl).unwrap().unwrap();
        let record: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(record.len(), FIELDS.len());
        let known: Vec<(&str, Value)> =
            FIELDS.iter().map(|field| (*field, record[*field].clone())).filter(|(_, value)| !value.is_null()).collect();
        let expected = [
            ("id", json!(link.id)),
            ("ts", json!("1970-01-01T00:00:00Z")),
            ("user", json!("ada")),
            ("action", json!("run")),
            ("outcome", json!("refused")),
            ("rows", json!(7)),
            ("ip", json!("192.0.2.1")),
        ];
        assert_eq!(known, expected);
        let order: Vec<usize> = FIELDS.iter().map(|field| text.find(&format!("\"{field}\":")).unwrap()).collect();
        assert!(order.is_sorted(), "{text}");
    }

    #[test]
    fn every_known_fact_has_a_field() {
        let text = |text: &str| Some(text.to_owned());
        let at = Some(Timestamp::UNIX_EPOCH);
        let usage = Usage {
            action: "run".to_owned(),
            auth_provider: text("token"),
            org: text("acme"),
            cluster: text("local"),
            namespace: text("etl"),
            pipeline_id: text("./a"),
            run_id: text("r"),
            worker: text("w"),
            db: text("d"),
            source_ref: text("refs/heads/main"),
            source_sha: text("0"),
            image: text("i@sha256:0"),
            exit_code: Some(3),
            queued_at: at,
            started_at: at,
            finished_at: at,
            duration_ms: Some(1),
            cpu_seconds: Some(1.into()),
            mem_peak_bytes: Some(1),
            rows: Some(1),
            bytes: Some(1),
            bytes_synced: Some(1),
            limit: text("rowsPerDay"),
            quota_limit: Some(1),
            quota_remaining: Some(0),
            client_version: text("curl"),
            error: text("no"),
        };
        let facts = serde_json::to_value(&usage).unwrap();
        let unknown: Vec<&String> =
            facts.as_object().unwrap().keys().filter(|name| !FIELDS.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        let usage = Usage {
            client_version: Some("=cmd|'/c calc'!A1".to_owned()),
            error: Some("row 1, \"a\"\nfailed".to_owned()),
            ..Usage::default()
        };
        let line = line(&of(usage), UsageFormat::Csv).unwrap().unwrap();
        assert!(line.ends_with(",'=cmd|'/c calc'!A1,192.0.2.1,\"row 1, \"\"a\"\"\nfailed\",\r"), "{line:?}");
        assert_eq!(header().trim_end().split(',').count(), FIELDS.len());
    }

    #[test]
    fn entries_about_other_things_have_no_record() {
        let other = link(&AuditEntry::new("ada", "apply", AuditOutcome::Done));
        assert_eq!(line(&other, UsageFormat::Jsonl).unwrap(), None);
    }
}

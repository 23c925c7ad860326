//! The remote side: a script for `local_command`, and its log.

use std::collections::BTreeMap;
use std::path::Path;

/// The script. An object exists unless the last log line of its key is a deletion. The log is the only data: one
/// appended line is one atomic effect.
pub(crate) const THING: &str = r#"#!/bin/sh
cat > /dev/null
[ -z "$SLOW" ] || sleep "$SLOW"
case $1 in
  create | update)
    printf '%s %s %s\n' "$1" "$KEY" "$VALUE" >> log
    printf '{"id": "%s", "value": "%s"}\n' "$KEY" "$VALUE" ;;
  delete)
    printf 'delete %s\n' "$KEY" >> log ;;
  read | find)
    awk -v key="$KEY" '
      $2 == key { answer = $1 == "delete" ? "null" : sprintf("{\"id\": \"%s\", \"value\": \"%s\"}", $2, $3) }
      END { print answer == "" ? "null" : answer }' log ;;
esac
"#;

/// The existing objects: values by key. Fails on an effect that must never happen.
pub(crate) fn objects(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let log = std::fs::read_to_string(folder.join("log")).map_err(|error| error.to_string())?;
    let mut objects = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let (verb, key, value) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let before = objects.get(key).map(String::as_str);
        match (verb, before) {
            (Some("create"), Some(_)) => return Err(format!("{key} was created twice")),
            (Some("update"), Some(before)) if before == value => return Err(format!("{key} was updated twice")),
            (Some("update"), None) => return Err(format!("{key} was updated but did not exist")),
            (Some("delete"), None) => return Err(format!("{key} was deleted twice")),
            (Some("create" | "update"), _) => {
                objects.insert(key.to_owned(), value.to_owned());
            }
            (Some("delete"), Some(_)) => {
                objects.remove(key);
            }
            _ => return Err(format!("invalid line: {line}")),
        }
    }
    Ok(objects)
}

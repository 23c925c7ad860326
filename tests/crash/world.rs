//! The remote side: a script that `local_command` runs, and the log that it writes.

use std::collections::BTreeMap;
use std::path::Path;

/// An object is there while the last line of the log about its key is no deletion: one appended line is one effect,
/// whole or not at all, and the log is all there is.
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

/// What is there: values by key. Says what must never have happened.
pub(crate) fn objects(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let log = std::fs::read_to_string(folder.join("log")).map_err(|error| error.to_string())?;
    let mut objects = BTreeMap::new();
    for line in log.lines() {
        let mut words = line.split(' ');
        let (verb, key, value) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let before = objects.get(key).map(String::as_str);
        match (verb, before) {
            (Some("create"), Some(_)) => return Err(format!("{key} was made twice")),
            (Some("update"), Some(before)) if before == value => return Err(format!("{key} was updated twice")),
            (Some("update"), None) => return Err(format!("{key} was updated and was not there")),
            (Some("delete"), None) => return Err(format!("{key} was deleted twice")),
            (Some("create" | "update"), _) => {
                objects.insert(key.to_owned(), value.to_owned());
            }
            (Some("delete"), Some(_)) => {
                objects.remove(key);
            }
            _ => return Err(format!("a line that is none: {line}")),
        }
    }
    Ok(objects)
}

//! Names of objects whose controller adds to them.

/// Longest name of a CronJob or a StatefulSet: names and labels of their Jobs and pods have eleven more characters.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#writing-a-cronjob-spec>
const LONGEST: usize = 52;

/// Longest name of a namespace: a label of DNS.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>
const LONGEST_NAMESPACE: usize = 63;

/// Refuses a text that no namespace can have as its name.
///
/// # Errors
/// The message and the hint.
pub fn check_namespace(namespace: &str) -> Result<(), (String, String)> {
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = namespace.len() <= LONGEST_NAMESPACE
        && namespace.starts_with(is_end)
        && namespace.ends_with(is_end)
        && namespace.chars().all(|c| is_end(c) || c == '-');
    let hint =
        format!("use at most {LONGEST_NAMESPACE} small letters, digits and `-`, with a letter or a digit at both ends");
    if is_name { Ok(()) } else { Err((format!("`{namespace}` cannot be the name of a namespace"), hint)) }
}

/// Refuses a name from which no name of an object of this kind can be made, after this prefix.
///
/// # Errors
/// The message and the hint.
pub fn check(kind: &str, prefix: &str, name: &str) -> Result<(), (String, String)> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.chars().all(is_plain) || name.ends_with('-') {
        let message = format!("`name` is `{name}`, and a {kind} cannot have this name");
        return Err((message, "use small letters, digits and `-`, and end with a letter or a digit".to_owned()));
    }
    let longest = LONGEST.saturating_sub(prefix.len());
    if name.len() > longest {
        let message = format!("`name` has {} characters: the name of a {kind} has no room for it", name.len());
        return Err((message, format!("use at most {longest} characters")));
    }
    Ok(())
}

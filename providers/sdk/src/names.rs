//! Names in messages: which there are, and which one was probably meant.

/// So many are listed; of the others it is said how many they are.
const MOST: usize = 40;

/// Names for "it has …": `` `A`, `B` and 3 more``, or "none".
#[must_use]
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.as_ref())).collect();
    match names.len().saturating_sub(MOST) {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The name that a person probably meant; case makes no difference.
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_far_as_anybody_reads() {
        assert_eq!(listed::<&str>(&[]), "none");
        assert_eq!(listed(&["a", "b"]), "`a`, `b`");
        let many: Vec<String> = (0..43).map(|number| number.to_string()).collect();
        assert!(listed(&many).ends_with("`39` and 3 more"));
    }

    #[test]
    fn the_closest_name_is_found_in_any_case_and_none_where_none_is_close() {
        assert_eq!(closest("VARCHR", ["TEXT", "varchar", "char"]), Some("varchar"));
        assert_eq!(closest("colour", ["id", "name"]), None);
    }
}

//! Names in messages: which there are, and which one was probably meant; [`NameRule`] is how a system compares them,
//! [`scripts`] checks the names of roles.

mod rule;
pub mod scripts;

pub use rule::NameRule;

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

/// A suggestion compares so many candidate names at most: a text with many names must not keep a server busy.
pub const MOST_CANDIDATES: usize = 1_000;

/// The longest name that is compared, in bytes. Comparing takes as long as both lengths multiplied, and no slip is longer.
const LONGEST: usize = 200;

/// The candidates that a suggestion for a name compares: the first [`MOST_CANDIDATES`], without names that are too long.
/// None where the name itself is too long.
pub fn candidates<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let most = if wanted.len() > LONGEST { 0 } else { MOST_CANDIDATES };
    names.into_iter().take(most).filter(|name| name.len() <= LONGEST)
}

/// The name that a person probably meant; case makes no difference. It compares [`candidates`] only.
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = if wanted.len() > LONGEST { String::new() } else { wanted.to_lowercase() };
    candidates(wanted, names)
        .map(|name| (likeness(&plain, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// How alike two names are, from 0 to 1. One slip of a finger is always close, also in a short name: `evn` for `env`.
fn likeness(wanted: &str, candidate: &str) -> f64 {
    let likeness = strsim::jaro_winkler(wanted, candidate);
    let is_slip = wanted.chars().count() > 2 && strsim::osa_distance(wanted, candidate) == 1;
    if is_slip { likeness.max(0.9) } else { likeness }
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
        assert_eq!(closest("evn", ["state", "env"]), Some("env"));
    }

    #[test]
    fn suggestion_stops_after_its_last_candidate() {
        let many: Vec<String> = (0..MOST_CANDIDATES).map(|number| format!("{number:08}")).collect();
        let names = || many.iter().map(String::as_str);
        assert_eq!(closest("colour", names().take(MOST_CANDIDATES - 1).chain(["color"])), Some("color"));
        assert_eq!(closest("colour", names().chain(["color"])), None);
        let mut compared = 0;
        assert_eq!(closest("colour", std::iter::repeat_with(|| "x").take(1_000_000).inspect(|_| compared += 1)), None);
        assert_eq!(compared, MOST_CANDIDATES);
    }

    #[test]
    fn suggestion_compares_no_long_names() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(closest(&long, [long.as_str(), "x"]), None);
        assert_eq!(closest("colour", [long.as_str(), "color"]), Some("color"));
    }
}

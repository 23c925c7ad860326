//! Import ids of what is in a database: the path of its file and the name.

use terrace_provider::object_id::decode;

/// Splits the id of an object in a database into path and name. The name is the last part; a path whose own slashes
/// were not encoded is understood too, since that is how a person types it. `None` when a part is missing.
pub(crate) fn split(id: &str) -> Option<(String, String)> {
    let (path, name) = id.rsplit_once('/')?;
    let (path, name) = (decode(path)?, decode(name)?);
    (!path.is_empty() && !name.is_empty()).then_some((path, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::object_id::join;

    #[test]
    fn ids_split_into_what_they_were_joined_from() {
        let id = join(["a/b c.db", "100%/x"]);
        assert_eq!(split(&id), Some(("a/b c.db".to_owned(), "100%/x".to_owned())));
    }

    #[test]
    fn plainly_typed_paths_are_understood() {
        assert_eq!(split("data/a.db/T"), Some(("data/a.db".to_owned(), "T".to_owned())));
    }

    #[test]
    fn damaged_ids_are_refused() {
        for id in ["", "a.db", "a.db/", "/T", "a%2/T", "a%zz/T", "a/%ff"] {
            assert_eq!(split(id), None, "{id}");
        }
    }
}

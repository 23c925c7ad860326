//! Import ids of objects in a database: the path of the file and the name.

use terrace_provider::object_id::decode;

/// Splits the id of an object in a database into path and name. The name is the last part. The path may have unencoded
/// slashes, as a user types it. `None` if a part is missing.
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
    fn id_splits_into_its_original_parts() {
        let id = join(["a/b c.db", "100%/x"]);
        assert_eq!(split(&id), Some(("a/b c.db".to_owned(), "100%/x".to_owned())));
    }

    #[test]
    fn unencoded_path_is_accepted() {
        assert_eq!(split("data/a.db/T"), Some(("data/a.db".to_owned(), "T".to_owned())));
    }

    #[test]
    fn invalid_ids_are_refused() {
        for id in ["", "a.db", "a.db/", "/T", "a%2/T", "a%zz/T", "a/%ff"] {
            assert_eq!(split(id), None, "{id}");
        }
    }
}

use super::*;

fn table(columns: &[(&str, Value)]) -> Result<Table, ProviderError> {
    let entries: Map = columns.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let column: Map = entries.into_iter().collect();
    let attributes =
        Map::from_iter([("name".to_owned(), "t".into()), ("columns".to_owned(), vec![Value::Map(column)].into())]);
    Table::from_attributes(&attributes)
}

fn with_default(default: &str) -> Result<Table, ProviderError> {
    table(&[("name", "a".into()), ("type", "TEXT".into()), ("default", default.into())])
}

#[test]
fn type_cannot_contain_a_constraint() {
    for ty in ["TEXT NOT NULL", "TEXT, b TEXT", "TEXT); DROP TABLE x; --", ""] {
        assert!(table(&[("name", "a".into()), ("type", ty.into())]).is_err(), "{ty}");
    }
}

#[test]
fn default_must_be_a_single_expression() {
    for default in ["0", "-1", "'it''s'", "CURRENT_TIMESTAMP", "lower('A') || 'b'", "NULL", "max(1, 2)"] {
        assert!(with_default(default).is_ok(), "{default}");
    }
    for default in ["", "1, b TEXT", "1)", "(1", "'a", "'a''", "1 -- x", "1; DROP TABLE x", "/* */"] {
        assert!(with_default(default).is_err(), "{default}");
    }
}

#[test]
fn literals_differ_from_expressions() {
    for (default, is_literal) in
        [("0", true), ("-1.5", true), ("'a'", true), ("true", true), ("1 + 1", false), ("CURRENT_DATE", false)]
    {
        assert_eq!(
            with_default(default).unwrap().columns.first().map(Column::has_literal_default),
            Some(is_literal),
            "{default}"
        );
    }
}

use super::*;

#[test]
fn own_definition_is_read_as_a_source() {
    let body = Body::Source { name: "it's a \"b\"".to_owned(), columns: vec!["x, y".to_owned(), "AS".to_owned()] };
    let view = View { name: "as ( v".to_owned(), comment: Some("AS SELECT\n(".to_owned()), body };
    assert_eq!(read_body(&view.ddl(None)), view.body);
}

#[test]
fn all_columns_are_written_as_a_star() {
    let body = Body::Source { name: "t".to_owned(), columns: Vec::new() };
    let view = View { name: "v".to_owned(), comment: None, body };
    assert!(view.ddl(None).ends_with("AS SELECT * FROM \"t\""));
    assert_eq!(read_body(&view.ddl(None)), view.body);
}

#[test]
fn any_other_query_is_a_statement() {
    for sql in ["SELECT a FROM \"t\"", "SELECT \"a\" FROM \"t\" WHERE 1", "SELECT \"a\" AS b FROM \"t\"", "VALUES (1)"]
    {
        let sql = format!("CREATE VIEW v(x) AS {sql}");
        assert!(matches!(read_body(&sql), Body::Statement(text) if sql.ends_with(&text)), "{sql}");
    }
}

#[test]
fn white_space_case_and_comments_do_not_matter() {
    assert!(is_same_statement("select a -- x\nFROM \"t\";", "SELECT a FROM  \"t\""));
    assert!(!is_same_statement("SELECT 'a'", "SELECT 'A'"));
}

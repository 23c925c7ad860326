use super::*;
use SqlDialect::{Databricks, Postgres, Snowflake, Sqlite};
use proptest::prelude::*;

fn texts(dialect: SqlDialect, text: &str) -> Vec<&str> {
    tokens(dialect, text).iter().map(|token| token.text).collect()
}

#[test]
fn quoted_text_is_one_token() {
    assert_eq!(texts(Postgres, "a||'it''s'::text"), ["a", "|", "|", "'it''s'", "::", "text"]);
    assert_eq!(texts(Postgres, r"E'a\'b' || $x$;$x$"), [r"E'a\'b'", "|", "|", "$x$;$x$"]);
    assert_eq!(
        texts(Postgres, "\"a\"\"b\".c /* x /* y */ z */ -- end"),
        ["\"a\"\"b\"", ".", "c", "/* x /* y */ z */", "-- end"]
    );
    assert_eq!(texts(Postgres, "1.5e-3+$1"), ["1.5e-3", "+", "$1"]);
    assert_eq!(texts(Postgres, "0x1E+5"), ["0x1E", "+", "5"]);
    assert_eq!(texts(Sqlite, "1e-- x"), ["1e", "-- x"]);
    assert_eq!(
        texts(Snowflake, "SELECT a,\"b\"\"c\" FROM x.y -- z\n;// s"),
        ["SELECT", "a", ",", "\"b\"\"c\"", "FROM", "x", ".", "y", "-- z", ";", "// s"]
    );
    assert_eq!(texts(Snowflake, r"'it''s \' all' /* ; */ 1.5"), [r"'it''s \' all'", "/* ; */", "1.5"]);
    assert_eq!(texts(Snowflake, "$$ ' $$ 'open"), ["$$ ' $$", "'open"]);
    assert_eq!(meaningful(Snowflake, "SELECT 1 -- x\n ; ;").len(), 2);
    assert_eq!(texts(Databricks, r#""it's \"" `a``b`"#), [r#""it's \"""#, "`a``b`"]);
}

#[test]
fn raw_text_of_databricks_has_no_escapes() {
    use TokenKind::{Text, Unclosed, Word};
    assert_eq!(texts(Databricks, r"a = r'C:\' OR b = R'x\'"), ["a", "=", r"r'C:\'", "OR", "b", "=", r"R'x\'"]);
    assert_eq!(texts(Databricks, "r\"it's\" r'a''b'"), ["r\"it's\"", "r'a'", "'b'"]);
    let kinds = |text| tokens(Databricks, text).iter().map(|token| token.kind).collect::<Vec<_>>();
    assert_eq!((kinds(r"r'\'"), kinds("r'a"), kinds("r")), (vec![Text], vec![Unclosed], vec![Word]));
    assert!(is_expression(Databricks, r"path LIKE r'C:\'") && !is_expression(Databricks, r"a = r'\', b"));
    // Other systems have no such texts.
    assert_eq!(texts(Snowflake, r"r'a'"), ["r", "'a'"]);
}

#[test]
fn name_of_databricks_may_begin_with_a_digit() {
    use TokenKind::{Number, Symbol, Word};
    let found = |text| tokens(Databricks, text).iter().map(|token| (token.kind, token.text)).collect::<Vec<_>>();
    assert_eq!(
        found("db.2020_sales.1st"),
        [(Word, "db"), (Symbol, "."), (Word, "2020_sales"), (Symbol, "."), (Word, "1st")]
    );
    assert_eq!(tokens(Databricks, "2020_sales").first().and_then(Token::name), Some("2020_sales".to_owned()));
    for number in ["1", "1.5", ".5", "1.", "1e5", "1.5e-3", "10L", "2s", "1.5BD", "3f", "1e5d"] {
        assert_eq!(found(number), [(Number, number)]);
    }
    for name in ["1e", "0x1E", "1_000", "1e5x", "2020ü"] {
        assert_eq!(found(name), [(Word, name)]);
    }
    assert_eq!(found("1-2"), [(Number, "1"), (Symbol, "-"), (Number, "2")]);
    assert_eq!(found("1.a"), [(Number, "1"), (Symbol, "."), (Word, "a")]);
}

#[test]
fn every_kind_of_token_is_recognised() {
    use TokenKind::{Comment, Number, QuotedName, Symbol, Text, Word};
    let found = tokens(Sqlite, "SELECT \"a\"\"b\", [c], `d` -- it's\n, 'it''s' /* ( */ 1.5e3;");
    assert_eq!(
        found.iter().map(|token| (token.kind, token.text)).collect::<Vec<_>>(),
        [
            (Word, "SELECT"),
            (QuotedName, "\"a\"\"b\""),
            (Symbol, ","),
            (QuotedName, "[c]"),
            (Symbol, ","),
            (QuotedName, "`d`"),
            (Comment, "-- it's"),
            (Symbol, ","),
            (Text, "'it''s'"),
            (Comment, "/* ( */"),
            (Number, "1.5e3"),
            (Symbol, ";"),
        ]
    );
}

#[test]
fn unclosed_quote_or_comment_is_found() {
    let last = |dialect, text| tokens(dialect, text).last().map(|token| (token.kind, token.end()));
    for (dialect, text) in [
        (Postgres, "'a"),
        (Postgres, "\"a"),
        (Postgres, "/* a"),
        (Postgres, "$a$ b"),
        (Postgres, r"E'\'"),
        (Postgres, "/* /* */"),
        (Sqlite, "x 'a''"),
        (Sqlite, "[a"),
        (Sqlite, "é\u{a0}`"),
        (Snowflake, r"'a\'"),
    ] {
        assert_eq!(last(dialect, text), Some((TokenKind::Unclosed, text.len())), "{text}");
    }
    // There, the end of the text ends the comment.
    assert_eq!(last(Sqlite, "/* a"), Some((TokenKind::Comment, 4)));
}

#[test]
fn name_has_no_quotes_and_the_case_of_the_system() {
    let names = |dialect, text| tokens(dialect, text).iter().filter_map(Token::name).collect::<Vec<_>>().join("|");
    assert_eq!(names(Sqlite, "A \"b\"\"c\" [d] `e``f` 'g'"), "A|b\"c|d|e`f|g");
    assert_eq!(names(Postgres, "A.\"B\" 'g'"), "a|B");
    assert_eq!(names(Snowflake, "a.\"b\" 'g'"), "A|b");
    assert_eq!(names(Databricks, "aB.`c``d` \"g\""), "aB|c`d");
}

#[test]
fn only_one_or_two_sizes_are_read() {
    let read = |text| sizes(&tokens(Sqlite, text));
    assert_eq!((read(""), read("(1)"), read("(1 , 2)")), (Some(vec![]), Some(vec![1]), Some(vec![1, 2])));
    for text in ["()", "(1,)", "(1,2,3)", "(x)", "(-1)", "(1 2)", "1", "(1", "(\"1\")"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn only_plain_column_lists_have_a_source() {
    let parse = |dialect, text| plain_query(&tokens(dialect, text)).map(|query| (query.columns, query.source));
    let query = |columns: &[&str], source: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Some((owned(columns), owned(source)))
    };
    assert_eq!(
        parse(Databricks, "SELECT `a``b`, `select` FROM `c`.`s`.`t``x`"),
        query(&["a`b", "select"], &["c", "s", "t`x"])
    );
    assert_eq!(parse(Databricks, "select * from c . s.`t` "), query(&[], &["c", "s", "t"]));
    assert_eq!(parse(Snowflake, "select a, \"b\" from t"), query(&["A", "b"], &["T"]));
    assert_eq!(parse(Postgres, " SELECT t.a,\n    t.\"B x\"\n   FROM s.t"), query(&["a", "B x"], &["s", "t"]));
    assert_eq!(parse(Postgres, "SELECT x.a FROM s.t"), None);
    for other in [
        "",
        "SELECT a AS b FROM c.s.t",
        "SELECT a FROM c.s.t WHERE a > 1",
        "SELECT a FROM c.s.t u",
        "SELECT t.a FROM c.s.t",
        "SELECT DISTINCT a FROM t",
        "SELECT 1 FROM t",
        "SELECT a",
        "SELECT `a FROM t",
        "VALUES (1)",
        "WITH x AS (SELECT 1) SELECT * FROM x",
    ] {
        assert_eq!(parse(Databricks, other), None, "{other}");
    }
}

#[test]
fn view_must_have_a_single_query() {
    let query = |dialect, text| single_query(dialect, text, "statement");
    assert_eq!(query(Postgres, " select a -- all\n from t ; -- end").unwrap(), "select a -- all\n from t");
    for dialect in [Postgres, Snowflake, Sqlite] {
        for text in [
            "",
            ";",
            "-- SELECT",
            "DELETE FROM t",
            "SELECT 1; DROP TABLE t",
            "SELECT 1) UNION (SELECT 2",
            "SELECT (1",
            "SELECT 'a",
            "SELECT '\0'",
            "(DROP TABLE t)",
        ] {
            assert!(query(dialect, text).is_err(), "{dialect:?} {text}");
        }
    }
    assert!(query(Snowflake, "(SELECT 1)").is_ok());
    assert!(query(Sqlite, "(SELECT 1)").is_err());
    assert!(query(Sqlite, "VALUES (1)").is_ok());
    assert!(query(Snowflake, "VALUES (1)").is_err());
}

#[test]
fn query_of_a_view_follows_its_as() {
    for definition in [
        r#"CREATE VIEW "D"."V" ("A", "b" COMMENT 'as') AS SELECT 1"#,
        "create view v(a comment 'x) as (', \"b\") comment = 'AS' as /* x */\nSELECT 1",
    ] {
        assert!(query_of_view(Snowflake, definition).ends_with("SELECT 1"), "{definition}");
        assert!(!query_of_view(Snowflake, definition).contains("as"), "{definition}");
    }
    assert_eq!(query_of_view(Sqlite, "CREATE TABLE t (a)"), "");
}

proptest! {
    #[test]
    fn tokens_cover_the_whole_text(text in "\\PC{0,60}") {
        for dialect in [Databricks, Postgres, Snowflake, Sqlite] {
            let found = tokens(dialect, &text);
            prop_assert!(found.iter().all(|token| text.get(token.start..token.end()) == Some(token.text)));
            let kept: String = found.iter().map(|token| token.text).collect();
            let without_space = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(without_space(&kept), without_space(&text));
        }
    }
}

use super::*;
use proptest::prelude::*;
use std::fmt::Write;

fn of(dialect: SqlDialect, query: &str) -> SqlReads {
    let defaults: &[&str] = match dialect {
        SqlDialect::Snowflake => &["DB", "S"],
        SqlDialect::Postgres | SqlDialect::Databricks => &["db", "s"],
        SqlDialect::Sqlite => &["main"],
    };
    SqlReads::of(dialect, query, defaults)
}

/// The names in one line, functions with `()`, then refusals: `!` for those that a setting can allow, `!!` for the
/// others.
fn summary(dialect: SqlDialect, query: &str) -> String {
    let found = of(dialect, query);
    let mut line = found.reads.iter().fold(String::new(), |mut line, read| {
        let _ = write!(line, "{}{} ", read.name.join("."), if read.is_function { "()" } else { "" });
        line
    });
    for refusal in &found.refused {
        let _ = write!(line, "{} {} ", if refusal.is_final { "!!" } else { "!" }, refusal.what);
    }
    line.trim_end().to_owned()
}

fn check(dialect: SqlDialect, cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        assert_eq!(summary(dialect, query), *expected, "{query}");
    }
}

#[test]
fn snowflake_names_are_completed_and_folded() {
    check(
        SqlDialect::Snowflake,
        &[
            ("SELECT 1", ""),
            ("SELECT * FROM t", "DB.S.T"),
            ("select * from s2.t", "DB.S2.T"),
            ("SELECT * FROM other.s2.t", "OTHER.S2.T"),
            ("SELECT * FROM other..t", "OTHER.PUBLIC.T"),
            ("SELECT * FROM \"t\", \"A.B\".\"c\"", "DB.S.t DB.A.B.c"),
            ("SELECT * FROM other . s2\n.\tt", "OTHER.S2.T"),
            ("SELECT * FROM /* own */ other /* x */ . -- y\n s2 . t", "OTHER.S2.T"),
            ("SELECT * FROM information_schema.tables", "DB.INFORMATION_SCHEMA.TABLES"),
            ("SELECT * FROM snowflake.account_usage.users", "SNOWFLAKE.ACCOUNT_USAGE.USERS"),
            ("SELECT x.* FROM t AS x; ", "DB.S.T"),
            (
                "FROM t SELECT a",
                "! the query cannot be parsed: Expected: SELECT, VALUES, or a subquery in the query body, found: FROM",
            ),
        ],
    );
}

#[test]
fn snowflake_reads_are_found_in_every_clause() {
    for query in [
        "SELECT (SELECT max(a) FROM x.y.z) FROM t",
        "SELECT * FROM t WHERE a IN (SELECT a FROM x.y.z)",
        "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM x.y.z)",
        "SELECT * FROM t WHERE a = ANY (SELECT a FROM x.y.z)",
        "SELECT * FROM t JOIN x.y.z USING (a)",
        "SELECT * FROM t LEFT JOIN (x.y.z JOIN t) ON true",
        "SELECT * FROM t, x.y.z",
        "SELECT * FROM t, LATERAL (SELECT * FROM x.y.z WHERE z.a = t.a)",
        "SELECT a FROM t UNION ALL SELECT a FROM x.y.z",
        "(SELECT a FROM x.y.z) EXCEPT (SELECT a FROM t)",
        "SELECT * FROM t ORDER BY (SELECT a FROM x.y.z)",
        "SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > (SELECT 1 FROM x.y.z)",
        "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY (SELECT 1 FROM x.y.z)) = 1",
        "SELECT CASE WHEN (SELECT true FROM x.y.z) THEN 1 END FROM t",
        "SELECT coalesce(a, (SELECT 1 FROM x.y.z)) FROM t",
        "SELECT * FROM x.y.z PIVOT (sum(a) FOR b IN ('x')) AS p JOIN t",
        "SELECT * FROM t PIVOT (sum(a) FOR b IN (SELECT b FROM x.y.z)) AS p",
        "SELECT * FROM x.y.z UNPIVOT (a FOR b IN (c, d)) JOIN t",
        "SELECT * FROM x.y.z AT (OFFSET => -60) JOIN t",
        "SELECT * FROM x.y.z BEFORE (STATEMENT => 'abc') JOIN t",
        "SELECT * FROM x.y.z SAMPLE (10) JOIN t",
        "SELECT * FROM t ASOF JOIN x.y.z MATCH_CONDITION (t.a >= z.a)",
        "WITH c AS (SELECT * FROM x.y.z) SELECT * FROM c, t",
        "SELECT * FROM (VALUES ((SELECT a FROM x.y.z))) AS v, t",
        "SELECT [ (SELECT a FROM x.y.z) ] FROM t",
        "SELECT {'a': (SELECT a FROM x.y.z)} FROM t",
        "SELECT * FROM t, LATERAL FLATTEN(input => (SELECT a FROM x.y.z)) f",
    ] {
        let mut names: Vec<String> =
            of(SqlDialect::Snowflake, query).reads.iter().map(|it| it.name.join(".")).collect();
        names.sort();
        names.dedup();
        assert_eq!(names, ["DB.S.T", "X.Y.Z"], "{query}: {}", summary(SqlDialect::Snowflake, query));
        assert_eq!(of(SqlDialect::Snowflake, query).refused, [], "{query}");
    }
}

#[test]
fn common_table_expressions_are_not_reads_in_their_scope() {
    check(
        SqlDialect::Snowflake,
        &[
            ("WITH c AS (SELECT 1 AS a) SELECT * FROM c", ""),
            ("WITH c AS (SELECT 1 AS a), d AS (SELECT * FROM c) SELECT * FROM d JOIN c", ""),
            // Before its definition, and within itself, the name is a table.
            ("WITH d AS (SELECT * FROM c), c AS (SELECT 1 AS a) SELECT * FROM d", "DB.S.C"),
            ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "DB.S.T"),
            ("WITH RECURSIVE c AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM c) SELECT * FROM c", ""),
            // Also outside of its query, and if the name has a schema.
            ("SELECT * FROM (WITH c AS (SELECT 1 AS a) SELECT * FROM c) x, c", "DB.S.C"),
            ("WITH c AS (SELECT 1 AS a) SELECT * FROM s2.c", "DB.S2.C"),
            ("WITH \"c\" AS (SELECT 1 AS a) SELECT * FROM c", "DB.S.C"),
            ("WITH c AS (SELECT 1 AS a) SELECT * FROM (SELECT * FROM C) x", ""),
        ],
    );
}

#[test]
fn ambiguous_names_are_refused() {
    check(
        SqlDialect::Snowflake,
        &[
            ("SELECT * FROM @stage", "! the query reads a stage"),
            ("SELECT $1 FROM @db.s.stage/file.csv (FILE_FORMAT => 'x')", "! the query reads a stage"),
            ("SELECT * FROM IDENTIFIER($name)", "! the query holds the variable `$name`"),
            ("SELECT * FROM t WHERE a = ?", "! the query holds the variable `?`"),
            ("SELECT * FROM TABLE(RESULT_SCAN('x'))", "! the function `RESULT_SCAN` may read any table"),
            ("SELECT * FROM TABLE(TO_QUERY('SELECT 1'))", "! the function `TO_QUERY` may read any table"),
            ("SELECT * FROM TABLE('db.s.t')", "! `TABLE(…)` names its table at run time"),
            ("SELECT GET_DDL('table', 'x.y.z')", "! the function `GET_DDL` reaches the objects in its arguments"),
            ("SELECT SYSTEM$TYPEOF(1)", "! the function `SYSTEM$TYPEOF` reaches the objects in its arguments"),
            ("SELECT x.y.seq.NEXTVAL", "! the query takes numbers of a sequence"),
            ("SELECT * FROM a.b.c.d", "! `a.b.c.d` is a name with too many parts"),
            ("SELECT * FROM größe", "! the character `ö` is not SQL ! the character `ß` is not SQL"),
            ("SELECT * FROM \"größe\"", "DB.S.größe"),
            ("SELECT 1 /* a /* b */ FROM t */", "! a comment holds a second comment, or a hint"),
            ("SELECT 1 # x", "! a comment begins with `#`"),
            ("SELECT $x$ a $x$", "! a text in dollars has a name between them"),
            ("SELECT a\u{a0}FROM t", "! the query holds the invisible character U+00A0"),
            ("SELECT a -- x\r FROM t", "! the query holds the invisible character U+000D"),
            ("SELECT a\u{200b} FROM t", "! the query holds the invisible character U+200B"),
            ("SELECT a\0 FROM t", "! the query holds the invisible character U+0000"),
        ],
    );
    for query in [
        "SELECT * FROM IDENTIFIER('x.y.z')",
        "SELECT * FROM TABLE(IDENTIFIER('x.y.z'))",
        "SELECT IDENTIFIER('a') FROM t",
    ] {
        assert!(
            !of(SqlDialect::Snowflake, query).refused.is_empty(),
            "{query}: {}",
            summary(SqlDialect::Snowflake, query)
        );
    }
}

#[test]
fn functions_with_a_schema_are_reads() {
    check(
        SqlDialect::Snowflake,
        &[
            ("SELECT upper(a), count(*) FROM t", "DB.S.T"),
            ("SELECT x.y.f(a) FROM t", "X.Y.F() DB.S.T"),
            ("SELECT snowflake.cortex.complete('m', 'p')", "SNOWFLAKE.CORTEX.COMPLETE()"),
            ("SELECT * FROM TABLE(FLATTEN(input => [1]))", ""),
            ("SELECT * FROM t, LATERAL FLATTEN(input => t.a) f", "DB.S.T"),
            ("SELECT * FROM TABLE(information_schema.query_history())", "DB.INFORMATION_SCHEMA.QUERY_HISTORY()"),
            ("SELECT * FROM TABLE(x.y.f(1))", "X.Y.F()"),
        ],
    );
}

#[test]
fn statements_that_write_are_never_allowed() {
    for dialect in [SqlDialect::Snowflake, SqlDialect::Postgres, SqlDialect::Databricks, SqlDialect::Sqlite] {
        for query in [
            "DROP TABLE t",
            "DELETE FROM t",
            "INSERT INTO t SELECT 1",
            "UPDATE t SET a = 1",
            "CREATE TABLE x (a INT)",
            "SELECT 1; SELECT 2",
            "SELECT 1; DROP TABLE t",
            "GRANT SELECT ON t TO r",
            "",
            ";",
            "-- nothing",
            // Also if it cannot be parsed, or hides a name.
            "SELECT * FROM @s; DROP TABLE t",
            "SELECT FROM FROM; DROP TABLE t",
            "SHOW TABLES",
            "BEGIN DROP TABLE t; END",
            "EXPLAIN SELECT 1",
        ] {
            let found = of(dialect, query);
            assert!(
                found.refused.iter().any(|refusal| refusal.is_final),
                "{dialect:?} {query}: {}",
                summary(dialect, query)
            );
        }
    }
    assert!(summary(SqlDialect::Postgres, "SELECT * INTO x FROM t").contains("!! `SELECT INTO` writes"));
    assert!(summary(SqlDialect::Postgres, "SELECT * FROM t FOR UPDATE").contains("!! the query locks rows"));
    let deleting = "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d";
    assert!(summary(SqlDialect::Postgres, deleting).contains("!! "), "{}", summary(SqlDialect::Postgres, deleting));
}

#[test]
fn postgres_names_are_folded_to_lower_case() {
    check(
        SqlDialect::Postgres,
        &[
            ("SELECT * FROM T, \"T\"", "db.s.t db.s.T"),
            ("SELECT * FROM Other.T", "db.other.t"),
            ("SELECT * FROM information_schema.columns", "db.information_schema.columns"),
            ("SELECT 1 UNION TABLE t", "! the query reads by `TABLE name`"),
            ("SELECT * FROM größe", "! `größe` is a name with letters beyond ASCII, which must be quoted"),
            ("SELECT * FROM generate_series(1, 2) g", ""),
            ("SELECT pg_catalog.lower('A')", ""),
            ("SELECT * FROM pg_ls_dir('/')", "! the function `pg_ls_dir` may read any table"),
            (
                "SELECT pg_read_file('/etc/passwd')",
                "! the function `pg_read_file` reaches the objects in its arguments",
            ),
            (
                "SELECT pg_catalog.pg_read_file('x')",
                "! the function `pg_catalog.pg_read_file` reaches the objects in its arguments",
            ),
            (
                "SELECT query_to_xml('SELECT 1', true, true, '')",
                "! the function `query_to_xml` reaches the objects in its arguments",
            ),
            ("SELECT * FROM dblink('x', 'y') AS t(a int)", "! the function `dblink` may read any table"),
            ("SELECT nextval('x.seq')", "! the function `nextval` reaches the objects in its arguments"),
            ("SELECT a FROM t, LATERAL (SELECT * FROM x.y WHERE b = t.a) l", "db.s.t db.x.y"),
        ],
    );
    let long = format!("SELECT * FROM {}", "a".repeat(64));
    assert!(summary(SqlDialect::Postgres, &long).ends_with("is a name of more than 63 bytes"));
}

#[test]
fn databricks_and_sqlite_names_ignore_case() {
    check(
        SqlDialect::Databricks,
        &[
            ("SELECT * FROM `Other`.`S`.T", "other.s.t"),
            ("SELECT * FROM parquet.`/mnt/x`", "db.parquet./mnt/x"),
            ("SELECT * FROM read_files('/mnt')", "! the function `read_files` may read any table"),
            ("SELECT secret('a', 'b')", "! the function `secret` reaches the objects in its arguments"),
            ("SELECT * FROM t LATERAL VIEW explode(a) x AS y", "db.s.t"),
        ],
    );
    check(
        SqlDialect::Sqlite,
        &[
            ("SELECT * FROM [T], `U`, \"V\"", "main.t main.u main.v"),
            ("SELECT * FROM temp.t", "temp.t"),
            ("SELECT load_extension('x')", "! the function `load_extension` reaches the objects in its arguments"),
            ("SELECT * FROM pragma_table_info('t')", "! the function `pragma_table_info` may read any table"),
        ],
    );
}

#[test]
fn reads_have_the_line_of_the_query() {
    let found = of(SqlDialect::Snowflake, "SELECT *\nFROM t\nJOIN x.y.z\n  ON true");
    assert_eq!(found.reads.iter().map(|read| read.line).collect::<Vec<_>>(), [2, 3]);
    let found = of(SqlDialect::Snowflake, "SELECT *\nFROM t\nWHERE )");
    assert_eq!(found.refused.iter().map(|it| it.line).collect::<Vec<_>>(), [3]);
}

#[test]
fn large_and_deep_queries_are_refused() {
    let repeat = |text: &str, times: usize| text.repeat(times);
    for query in [
        format!("SELECT {}1", repeat("1+", 2_450)),
        format!("SELECT {}1", repeat("1+", 100_000)),
        format!("SELECT {}1{}", repeat("(", 5_000), repeat(")", 5_000)),
        format!("SELECT {}1", repeat("NOT ", 4_900)),
        format!("SELECT {}1", repeat("- ", 4_900)),
        format!("SELECT 1{}", repeat(" UNION SELECT 1", 1_600)),
        format!("SELECT * FROM {}t{}", repeat("(", 40), repeat(")", 40)),
        format!("SELECT * FROM {}t{}", repeat("((SELECT * FROM ", 15), repeat(") JOIN t)", 15)),
        format!("SELECT {}1{}", repeat("f(", 45), repeat(")", 45)),
        format!("SELECT {}1{}", repeat("CASE WHEN ", 45), repeat(" THEN 1 END", 45)),
        format!("SELECT {}1{}", repeat("(SELECT ", 45), repeat(")", 45)),
        format!("SELECT {}", repeat("'a", 2_000)),
        format!("SELECT 1{}", repeat("::INT", 1_600)),
        format!("SELECT a{}", repeat("[1]", 1_600)),
        format!("SELECT a{}", repeat(" IS NULL", 1_600)),
        format!("SELECT a{}", repeat(" ISNULL", 4_900)),
        format!("SELECT a{}", repeat(" !", 4_900)),
        format!("SELECT a{}", repeat(" COLLATE c", 2_450)),
        format!("SELECT * FROM t{}", repeat(" PIVOT (sum(a) FOR b IN (1))", 350)),
        format!("SELECT * FROM t{}", repeat(" JOIN t", 1_600)),
        format!("WITH {} SELECT 1", repeat("a AS (SELECT 1), ", 700)),
        format!("SELECT {}", repeat("[", 4_900)),
        format!("SELECT {}", repeat("{'a':", 1_600)),
    ] {
        for dialect in [SqlDialect::Snowflake, SqlDialect::Postgres, SqlDialect::Databricks, SqlDialect::Sqlite] {
            let found = of(dialect, &query);
            assert!(
                !found.refused.iter().any(|refusal| refusal.what.contains("gave up")),
                "{dialect:?} {}",
                &query[..40]
            );
        }
    }
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SELECT",
        "*",
        "FROM",
        "t",
        "x.y.z",
        "secret.s.t",
        ",",
        "(",
        ")",
        "WITH",
        "c",
        "AS",
        "UNION",
        "JOIN",
        "ON",
        "WHERE",
        "IN",
        "'a'",
        "\"q\"",
        "LATERAL",
        "TABLE",
        "IDENTIFIER",
        "1",
        ";",
        "--",
        "\n",
        "/*",
        "*/",
        "$$",
        "@s",
        "=>",
        "CASE",
        "WHEN",
        "END",
        ".",
        "PIVOT",
        "FLATTEN",
        "VALUES",
        "::",
        "[",
        "]",
        "{",
        "}",
        "NOT",
        "AND",
        "=",
        "DELETE",
        "INTO",
        "LIMIT",
        "OVER",
        "`",
        "'",
        "\\",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

/// Wraps a read of `SECRET.S.T` in other clauses of a query.
fn wrapped() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "SELECT a FROM secret.s.t",
        "SELECT a FROM SECRET . S . T x",
        "SELECT a FROM /* c */ \"SECRET\".\"S\".\"T\"",
        "SELECT a FROM secret.s.t AT (OFFSET => -1)",
        "SELECT t.a FROM own JOIN secret.s.t ON true",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 12, 1, |inner| {
        (inner, 0..9_usize).prop_map(|(inner, shape)| match shape {
            0 => format!("SELECT a FROM ({inner}) AS x"),
            1 => format!("SELECT a FROM own WHERE a IN ({inner})"),
            2 => format!("WITH t AS ({inner}) SELECT a FROM t"),
            3 => format!("SELECT a FROM own UNION ALL ({inner})"),
            4 => format!("SELECT ({inner}) AS a FROM own"),
            5 => format!("SELECT a FROM own, LATERAL ({inner}) AS x"),
            6 => format!("SELECT a FROM own WHERE EXISTS ({inner})"),
            7 => format!(
                "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL {inner}), secret AS (SELECT 1 AS a) SELECT a FROM t"
            ),
            _ => format!("SELECT CASE WHEN a = ({inner}) THEN 1 END AS a FROM own"),
        })
    })
}

proptest! {
    #[test]
    fn any_text_gets_a_result(text in ".{0,200}") {
        for dialect in [SqlDialect::Snowflake, SqlDialect::Postgres, SqlDialect::Databricks, SqlDialect::Sqlite] {
            let _ = of(dialect, &text);
        }
    }

    #[test]
    fn any_words_get_a_result(text in words()) {
        for dialect in [SqlDialect::Snowflake, SqlDialect::Postgres, SqlDialect::Databricks, SqlDialect::Sqlite] {
            let _ = of(dialect, &text);
        }
    }

    #[test]
    fn wrapped_read_is_found(query in wrapped()) {
        let found = of(SqlDialect::Snowflake, &query);
        let is_found = found.reads.iter().any(|read| read.name == ["SECRET", "S", "T"]);
        prop_assert!(is_found || !found.refused.is_empty(), "{query}");
    }
}

"""Custom views of descriptors that read what their data product has no right to."""
import json
import re

from harness import attack, equal, product, project, terrace

HEAD = "CREATE VIEW SALES.ORDERS_1.V AS\n"
FOREIGN = (
    "SELECT * FROM HR.PAY_1.SALARIES",
    "SELECT * FROM hr /* ours */ . -- ours\n pay_1 . salaries",
    'SELECT * FROM "HR"."PAY_1"."SALARIES"',
    "SELECT * FROM HR..SALARIES",
    "SELECT * FROM PAY_1.SALARIES",
    "WITH SALARIES AS (SELECT 1 AS A) SELECT * FROM HR.PAY_1.SALARIES",
    "WITH S AS (SELECT * FROM HR.PAY_1.SALARIES) SELECT * FROM S",
    "SELECT (SELECT MAX(A) FROM HR.PAY_1.SALARIES) FROM ORDERS",
    "SELECT * FROM ORDERS WHERE EXISTS (SELECT 1 FROM HR.PAY_1.SALARIES)",
    "SELECT * FROM ORDERS, LATERAL (SELECT * FROM HR.PAY_1.SALARIES)",
    "SELECT 1 UNION ALL SELECT A FROM HR.PAY_1.SALARIES",
    "SELECT * FROM HR.PAY_1.SALARIES AT (OFFSET => -60)",
    "SELECT * FROM IDENTIFIER('HR.PAY_1.SALARIES')",
    "SELECT * FROM TABLE('HR.PAY_1.SALARIES')",
    "SELECT * FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))",
    "SELECT * FROM TABLE(HR.PAY_1.F())",
    "SELECT HR.PAY_1.F(1)",
    "SELECT GET_DDL('TABLE', 'HR.PAY_1.SALARIES')",
    "SELECT $1 FROM @HR.PAY_1.STAGE",
    "SELECT $1 FROM '@HR.PAY_1.STAGE'",
    "SELECT * FROM INFORMATION_SCHEMA.TABLES",
    "SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.USERS",
    "SELECT 1; SELECT * FROM HR.PAY_1.SALARIES",
    "SELECT 1; DROP TABLE SALES.ORDERS_1.ORDERS",
    "DELETE FROM SALES.ORDERS_1.ORDERS",
    "SELECT 1 /* /* */ FROM HR.PAY_1.SALARIES -- */",
    "SELECT 1 -- \r FROM HR.PAY_1.SALARIES",
    "SELECT 1\u00a0FROM\u00a0HR.PAY_1.SALARIES",
    "SELECT 1 FROM HR\u200b.PAY_1.SALARIES",
    "SELECT 1 FROM FROM WHERE",
    "SELECT " + "(" * 2_000 + "1" + ")" * 2_000,
    "SELECT " + "1 + " * 50_000 + "1",
)
OWN = (
    "SELECT * FROM ORDERS",
    "SELECT * FROM SALES.ORDERS_1.ORDERS o JOIN ORDERS_1.LINES l ON o.ID = l.ID",
    "WITH A AS (SELECT * FROM ORDERS) SELECT UPPER(NAME), COUNT(*) FROM A GROUP BY 1 -- no more",
    "SELECT f.VALUE FROM ORDERS, LATERAL FLATTEN(INPUT => ORDERS.LINES) f",
)


def port(at, query):
    """An output port with that custom view, in one line."""
    return json.dumps({
        "kind": "outputport", "id": f"urn:dmb:cmp:dom:views:0:port{at}", "name": f"port{at}", "version": "0.0.0",
        "useCaseTemplateId": "urn:dmb:utm:snowflake-outputport-template:0.0.0", "infrastructureTemplateId": "urn:dmb:itm:x:1",
        "dependsOn": [], "tags": [], "dataContract": {"schema": [{"name": "ID", "dataType": "NUMBER"}]},
        "specific": {"database": "SALES", "schema": "ORDERS_1", "viewName": "V", "tableName": "ORDERS",
                     "customView": HEAD + query}})


def refused(folder, queries):
    """The positions of refused queries, by the lines of the descriptor."""
    head = product("views").partition("components:")[0] + "components:\n"
    first = head.count("\n") + 1
    (folder / "p.yaml").write_text(head + "".join(f"  - {port(at, query)}\n" for at, query in enumerate(queries)))
    ended = terrace(folder, "validate", "p.yaml", "--env", "production", env={"SNOWFLAKE_HOST": "127.0.0.1"})
    found = re.findall(r"the custom view, line [^\n]*\n(?:.*\n){0,3}?[^\n]*p\.yaml:(\d+):", ended.text)
    return {int(line) - first for line in found}, ended.text


@attack()
def views_of_foreign_tables():
    """Queries that name, compute or hide a table of another data product."""
    folder = project("views", environments="production: {}")
    found, text = refused(folder, OWN)
    equal(found, set(), f"refused queries of own tables: {text[:600]}")
    found, _ = refused(folder, FOREIGN)
    taken = [query[:100] for at, query in enumerate(FOREIGN) if at not in found]
    equal(taken, [], "foreign queries that were taken")

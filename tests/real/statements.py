"""Writes the statements of runs, without names and texts, with the systems that accepted them, into a page between two marks.

usage: statements.py LOG PAGE [--write]     LOG has a line `<ok|skipped|none><tab><statement as JSON>` for each
"""

import json
import re
import sys

log, page = sys.argv[1], sys.argv[2]
forms = {}
for line in open(log):
    seen, sql = line.rstrip("\n").split("\t", 1)
    form = re.sub(r"'(\\.|''|[^'\\])*'", "'…'", json.loads(sql), flags=re.DOTALL)
    form = re.sub(r'"([^"]|"")*"', "x", form)
    form = " ".join(form.split()).rstrip(";").rstrip()
    # Statements of tests outside of the provider have names without quotes.
    if re.search(r"\b[A-Z0-9_]{2,}\.[A-Z0-9_]+\b", form.replace("INFORMATION_SCHEMA.TAG_REFERENCES", "")):
        continue
    form = re.sub(r"\bx(\.x)+\b", "x", form)
    form = re.sub(r"\b(NUMBER|VARCHAR|BINARY|TIME|TIMESTAMP_\w+)\([\d,]+\)|\b(FLOAT|BOOLEAN|DATE|VARIANT|OBJECT|ARRAY|GEO\w+)\b", "TYPE", form)
    form = re.sub(r"x TYPE( NOT NULL)?( COMMENT '…')?(, x TYPE( NOT NULL)?( COMMENT '…')?)*", "x TYPE …", form)
    form = re.sub(r"x( COMMENT '…')?(, x( COMMENT '…')?)+", "x, …", form)
    form = re.sub(r"(, UNIQUE \(x[^)]*\))+", ", UNIQUE (x, …)", form)
    form = re.sub(r"(ON [A-Z]+ x|ON ACCOUNT) TO ROLE", r"\1 TO ROLE", form)
    form = re.sub(r"= \d+", "= n", form)
    forms.setdefault(form, set()).add(seen)

rows = ["| statement | stand-in | fakesnow |", "|---|---|---|"]
for form in sorted(forms):
    fakesnow = "yes" if "ok" in forms[form] else "no"
    rows.append(f"| `{form.replace('|', chr(92) + '|')}` | yes | {fakesnow} |")
begin, end = "<!-- statements of snowflake -->\n", "<!-- end of statements of snowflake -->"
text = open(page).read()
before, rest = text.split(begin)
_, after = rest.split(end)
written = before + begin + "\n".join(rows) + "\n" + end + after
if "--write" in sys.argv:
    open(page, "w").write(written)
elif written != text:
    sys.exit(f"{page} does not list these statements: run with --write, and look at the difference")

"""Folders of specs for `tests/real/pipelines`: usage: pipelines_fixtures.py FOLDER"""
import csv
import json
import os
import sys

root = sys.argv[1]


def write(path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def package(folder, tables, **descriptor):
    """A data package with these tables: name -> (fields, rows)."""
    resources = []
    for name, (fields, rows) in tables.items():
        write(f"{folder}/{name}.csv", "")
        with open(os.path.join(root, folder, f"{name}.csv"), "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([field["name"] for field in fields])
            writer.writerows(rows)
        resources.append({"name": name, "path": f"{name}.csv", "schema": {"fields": fields}})
    write(f"{folder}/datapackage.json", json.dumps({"name": os.path.basename(folder), "resources": resources, **descriptor}))


INTEGER, TEXT = "integer", "string"


def fields(**types):
    return [{"name": name, "type": kind} for name, kind in types.items()]


NOISE = """
from datapackage_pipelines.wrapper import ingest, spew
{ingest}
stats = {{'total noise': 0}}
def rows():
    for i in range(50000):
        stats['total noise'] += 1
        yield {{'i': i}}
datapackage['resources'].append({{'name': 'noise', 'path': 'noise.csv', 'dpp:streaming': True,
    'schema': {{'fields': [{{'name': 'i', 'type': 'integer'}}]}}}})
spew(datapackage, [rows()], stats)
"""
DUMP = "  - run: dump.to_path\n    parameters: {out-path: data}\n"

write("noise/noise.py", NOISE.format(ingest="parameters, datapackage, resources = ingest()"))
write("noise/pipeline-spec.yaml", "noise:\n  pipeline:\n  - run: noise\n" + DUMP)
write("old/noise.py", NOISE.format(ingest="parameters, datapackage, resources, more = ingest() + ({},)"))
write("old/pipeline-spec.yaml", "noise:\n  pipeline:\n  - run: noise\n" + DUMP)

names = [f"table_{number}" for number in range(1, 10)]
package("tables/in", {
    name: (fields(id=INTEGER, name=TEXT), [[row, f"{name} {row}"] for row in range(100 * number)])
    for number, name in enumerate(names, 1)
})
spec = "dump-to-path:\n  pipeline:\n  - run: load_resource\n    parameters: {url: in/datapackage.json, resource: .*}\n"
spec += "  - run: dump.to_path\n    parameters: {out-path: data/tables}\n"
spec += "dump-to-db:\n  pipeline:\n  - run: load_resource\n    parameters: {url: in/datapackage.json, resource: .*}\n"
spec += "  - run: dump.to_sql\n    parameters:\n      engine: env://DPP_DB_ENGINE\n      tables:\n"
spec += "".join(f"        {name}: {{resource-name: {name}}}\n" for name in names)
write("tables/pipeline-spec.yaml", spec)

# The nine tables of the committees, with the names and rows of the acceptance list. Of both releases: a step in the style of the
# first one passes the rows on.
committees = {
    name: (fields(id=INTEGER, name=TEXT, when="date", ok="boolean"),
           [[row, f"{name} {row}", f"2018-03-{row % 28 + 1:02}", "true" if row % 2 else "false"] for row in range(100 * number)])
    for number, name in enumerate((
        "gcs_document_committee_session_files", "gcs_list_files", "joined-meetings", "kns_cmtsessionitem", "kns_cmtsitecode",
        "kns_committee", "kns_committeesession", "kns_documentcommitteesession", "kns_jointcommittee"), 1)
}
LOAD = "  - run: load_resource\n    parameters: {url: src/datapackage.json, resource: .*}\n"
for folder, steps in ("committees", LOAD), ("committees-old", LOAD + "  - run: pass_on\n"):
    package(f"{folder}/src", committees, name="_")
    write(f"{folder}/pipeline-spec.yaml",
          "dump-to-path:\n  pipeline:\n" + steps + "  - run: dump.to_path\n    parameters: {out-path: data/committees}\n")
write("committees-old/pass_on.py", """
from datapackage_pipelines.wrapper import ingest, spew
parameters, datapackage, resources, stats = ingest() + ({},)
spew(datapackage, resources, stats)
""")

# Pages from templates, and one of them with the rows of a table.
package("website/in", {"kns_committee": committees["kns_committee"]})
write("website/templates/index.html", "<h1>$title</h1>\n")
write("website/templates/list.html", "<ul>$items</ul>\n")
write("website/template_functions.py", """
import os, string
def render(template, values, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    text = string.Template(open(os.path.join('templates', template)).read())
    open(path, 'w').write(text.safe_substitute(values))
""")
write("website/render_list.py", """
from datapackage_pipelines.wrapper import ingest, spew
from template_functions import render
parameters, datapackage, resources = ingest()
stats = {}
def rows():
    for resource in resources:
        items = []
        for row in resource:
            items.append('<li>%s</li>' % row['name'])
            yield row
        render('list.html', {'items': '\\n'.join(items)}, 'data/list.html')
        stats['pages'] = 1
spew(datapackage, [rows()], stats)
""")
write("website/pipeline-spec.yaml", """
render_index:
  pipeline:
  - run: render_index
    code: |
        from datapackage_pipelines.wrapper import ingest, spew
        from template_functions import render
        parameters, datapackage, resources, stats = ingest() + ({},)
        render('index.html', {'title': 'Hello World'}, 'data/index.html')
        spew(datapackage, [], stats)
render_list:
  pipeline:
  - run: load_resource
    parameters: {url: in/datapackage.json, resource: kns_committee}
  - run: render_list
""")

write("flow/mine.py", """
from dataflows import Flow, update_resource
def flow(parameters, datapackage, resources, stats):
    stats['from_flow'] = 7
    return Flow([{'a': 1}, {'a': 2}], update_resource(-1, name='r', path='r.csv', **{'dpp:streaming': True}))
""")
write("flow/pipeline-spec.yaml", "fl:\n  pipeline:\n  - flow: mine\n" + DUMP.replace("dump.to_path", "dump_to_path"))

people = [[1, "Ada", 36, 1], [2, "Bob", 25, 2], [3, "Cy", 52, 1], [4, "Di", 41, 2], [5, "Eve", 29, 1]]
write("processors/people.csv", "id,name,age,city_id\n" + "".join(",".join(map(str, row)) + "\n" for row in people))
write("processors/cities.csv", "city_id,name\n1,Paris\n2,Rome\n")
write("processors/greet.py", """
from datapackage_pipelines.wrapper import process
def modify_datapackage(dp, parameters, stats):
    dp['resources'][0]['schema']['fields'].append({'name': 'greet', 'type': 'string'})
    return dp
def process_row(row, i, spec, index, parameters, stats):
    row['greet'] = row['name'] + parameters['suffix']
    stats['greeted'] = stats.get('greeted', 0) + 1
    return row
process(modify_datapackage=modify_datapackage, process_row=process_row)
""")
write("processors/pipeline-spec.yaml", """
std:
  pipeline:
  - run: update_package
    parameters: {name: people-std, title: People}
  - run: add_resource
    parameters: {name: cities, url: cities.csv}
  - run: add_resource
    parameters: {name: people, url: people.csv}
  - run: stream_remote_resources
  - run: set_types
    parameters: {resources: people, types: {id: {type: integer}, age: {type: integer}}}
  - run: filter
    parameters: {resources: people, out: [{name: Di}]}
  - run: sort
    parameters: {resources: people, sort-by: '{age}', reverse: false}
  - run: join
    parameters:
      source: {name: cities, key: [city_id], delete: true}
      target: {name: people, key: [city_id]}
      fields: {city: {name: city}}
  - run: greet
    parameters: {suffix: '!'}
  - run: printer
  - run: dump_to_path
    parameters: {out-path: data}
""".replace("fields: {city: {name: city}}", "fields: {city: {name: name}}"))

package("fail/in", {"people": (fields(id=INTEGER), [[row] for row in range(5)])})
write("fail/boom.py", """
from datapackage_pipelines.wrapper import process
def process_row(row, i, *rest):
    if i == 2: raise ValueError('bad row %d' % i)
    return row
process(process_row=process_row)
""")
write("fail/exit3.py", "import sys; sys.exit(3)\n")
write("fail/pipeline-spec.yaml", """
boom:
  pipeline:
  - run: load_resource
    parameters: {url: in/datapackage.json, resource: people}
  - run: boom
  - run: dump_to_path
    parameters: {out-path: data}
exit3:
  pipeline:
  - run: exit3
""")

package("deps/in", {"people": (fields(id=INTEGER), [[row] for row in range(5)])})
write("deps/one/pipeline-spec.yaml", """
producer:
  pipeline:
  - run: load_resource
    parameters: {url: ../in/datapackage.json, resource: people}
  - run: dump_to_path
    parameters: {out-path: data}
""")
write("deps/pipeline-spec.yaml", """
consumer:
  dependencies: [{pipeline: ./one/producer}]
  pipeline:
  - run: load_resource
    parameters: {url: 'dependency://./one/producer', resource: people}
  - run: dump_to_path
    parameters: {out-path: data}
""")

write("plugin/datapackage_pipelines_shop/__init__.py", """
import os
from datapackage_pipelines.generators import GeneratorBase, steps, slugify, SCHEDULE_DAILY
class Generator(GeneratorBase):
    @classmethod
    def get_schema(cls):
        return {'type': 'object', 'additionalProperties': {'type': 'object', 'required': ['rows'],
                'properties': {'rows': {'type': 'integer'}}}}
    @classmethod
    def generate_pipeline(cls, source, base):
        for name, details in source.items():
            yield os.path.join(base, slugify(name)), {
                'title': name, 'schedule': {'crontab': SCHEDULE_DAILY},
                'pipeline': steps(('shop.rows', {'rows': details['rows']}), ('dump_to_path', {'out-path': 'data/' + name})),
            }
""")
write("plugin/datapackage_pipelines_shop/processors/rows.py", NOISE.format(
    ingest="parameters, datapackage, resources = ingest()").replace("50000", "parameters['rows']"))
write("plugin/shop.source-spec.yaml", "Big Orders: {rows: 70}\nsmall: {rows: 3}\n")

write("wrapped/noise.py", NOISE.format(ingest="parameters, datapackage, resources = ingest()"))
write("wrapped/pipeline-spec.yaml",
      "noise:\n  pipeline:\n  - run: noise\n    runner: shell\n    parameters: {odd: '$(touch injected) \"q\"'}\n" + DUMP)
write("wrapped/dpp-runners.yaml",
      "shell: {kind: wrapped-python, parameters: {wrapper: 'sh -c \"touch wrapped && exec {cmd}\"'}}\n")

write("needs/table.py", """
from datapackage_pipelines.wrapper import ingest, spew
import roman
parameters, datapackage, resources = ingest()
spew(datapackage, resources, {'roman': roman.toRoman(2026)})
""")
write("needs/pipeline-spec.yaml", "needs:\n  requirements: [roman==4.2]\n  pipeline:\n  - run: table\n")

write("retried/noise.py", NOISE.format(ingest="parameters, datapackage, resources = ingest()"))
write("retried/pipeline-spec.yaml", "noise:\n  requirements: [roman==4.1]\n  pipeline:\n  - run: noise\n")

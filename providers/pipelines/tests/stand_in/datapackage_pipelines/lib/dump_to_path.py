import csv
import hashlib
import json
import os
from datapackage_pipelines.wrapper import ingest, spew

parameters, package, resources = ingest()
out = parameters.get("out-path", ".")
os.makedirs(out, exist_ok=True)
stats = {"count_of_rows": 0, ".dpp": {"out-datapackage-url": os.path.join(out, "datapackage.json")}}
digest = hashlib.md5()


def dumped(resource, rows):
    with open(os.path.join(out, resource["path"]), "w") as file:
        writer = None
        for row in rows:
            writer = writer or csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            digest.update(json.dumps(row).encode())
            stats["count_of_rows"] += 1
            yield row


def all_dumped():
    for resource, rows in zip(package["resources"], resources):
        yield dumped(resource, rows)
    stats["hash"] = digest.hexdigest()
    described = [{"name": resource["name"], "path": resource["path"]} for resource in package["resources"]]
    with open(os.path.join(out, "datapackage.json"), "w") as file:
        json.dump({"name": "_", "hash": stats["hash"], "resources": described}, file)


spew(package, all_dumped(), stats)

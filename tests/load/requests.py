"""Requests of the load tests.

    requests.py validate DESCRIPTOR [COMPONENT]   one body of /v1/validate, about a component of a data product
    requests.py provision COUNT                   COUNT bodies of /v1/provision, each of another component, one a line
"""

import json
import sys


def validate(path, component=None):
    text = open(path).read()
    ids = [line.split("id:", 1)[1].strip() for line in text.splitlines() if line.startswith("    id: urn:dmb:cmp:")]
    chosen = next(one for one in ids if component is None or one.endswith(component))
    nested = "".join(f"  {line}\n" for line in text.splitlines())
    descriptor = f"dataProduct:\n{nested}componentIdToProvision: {chosen}\n"
    print(json.dumps({"descriptorKind": "COMPONENT_DESCRIPTOR", "removeData": False, "descriptor": descriptor}))


def provision(count):
    for number in range(int(count)):
        product, component = f"urn:dmb:dp:load:p{number}:0", f"urn:dmb:cmp:load:p{number}:0:topic"
        descriptor = (
            f"dataProduct:\n  id: {product}\n  name: P{number}\n  domain: load\n  version: 0.1.0\n  kind: dataproduct\n"
            f"  environment: local\n  dataProductOwner: user:a\n  specific: {{}}\n  components:\n  - id: {component}\n"
            "    name: Topic\n    kind: storage\n    version: 0.0.0\n    infrastructureTemplateId: urn:dmb:itm:load:0\n"
            "    useCaseTemplateId: urn:dmb:utm:load:0.0.0\n    dependsOn: []\n    specific: {}\n"
            f"componentIdToProvision: {component}\n"
        )
        body = {"descriptorKind": "COMPONENT_DESCRIPTOR", "removeData": False, "descriptor": descriptor}
        print(json.dumps(body))


if __name__ == "__main__":
    {"validate": validate, "provision": provision}[sys.argv[1]](*sys.argv[2:])

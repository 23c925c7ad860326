"""The peer of the load tests: a typical specific provisioner on FastAPI and pydantic.

Its `POST /v1/validate` has the same task as terrace's: it reads the body, parses the descriptor, checks the product, its
components and the fields of the selected component, and returns the errors. It is as fast as the libraries allow:
libyaml's parser, pydantic's compiled models, uvloop and httptools, one worker for each core, no log. With
PEER_YAML=safe_load it parses like published provisioners, by `yaml.safe_load`, which is pure Python.

    uvicorn --workers 2 --no-access-log --log-level warning --port PORT peer:app
"""

import os
from typing import Annotated, Any, Literal

import yaml
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Loader = yaml.SafeLoader if os.environ.get("PEER_YAML") == "safe_load" else yaml.CSafeLoader
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]*$", max_length=255)]


class Loose(BaseModel):
    """A part of a descriptor: unknown fields are accepted, as real descriptors have them."""

    model_config = ConfigDict(extra="allow")


class ProvisioningRequest(BaseModel):
    descriptorKind: Literal["DATAPRODUCT_DESCRIPTOR", "COMPONENT_DESCRIPTOR", "DATAPRODUCT_DESCRIPTOR_WITH_RESULTS"]
    descriptor: str
    removeData: bool = False


class Column(Loose):
    name: Name
    dataType: str
    dataLength: int | None = None
    precision: int | None = None
    scale: int | None = None
    constraint: Literal["PRIMARY_KEY", "NOT_NULL", "UNIQUE"] | None = None
    description: str | None = None
    tags: list[Any] = []


class Table(Loose):
    tableName: Name
    schema_: Annotated[list[Column], Field(alias="schema", min_length=1)]


class Storage(Loose):
    database: Name | None = None
    schema_: Annotated[Name | None, Field(alias="schema")] = None
    tables: list[Table] = []


class OutputPort(Loose):
    viewName: Name | None = None
    tableName: Name | None = None
    database: Name | None = None
    schema_: Annotated[Name | None, Field(alias="schema")] = None


class Topic(Loose):
    topicName: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)]
    partitions: Annotated[int, Field(ge=1)]
    cluster: str
    replicationFactor: Annotated[int, Field(ge=1)] = 3
    retentionMs: int | None = None


class Streams(Loose):
    cluster: str
    applicationId: str
    mainClass: str | None = None
    numStreamThreads: Annotated[int, Field(ge=1)] = 1


class Schedule(Loose):
    cronExpression: str


class JobConfig(Loose):
    numExecutors: Annotated[int, Field(ge=1)] = 1
    schedule: Schedule | None = None


class Job(Loose):
    cluster: str
    jobName: str
    notebook: str | None = None
    jobConfig: JobConfig | None = None


SPECIFIC: list[tuple[str, type[Loose]]] = [
    ("snowflake-storage", Storage),
    ("snowflake-outputport", OutputPort),
    ("kafka-topic", Topic),
    ("kafka-streams", Streams),
    ("databricks-workload", Job),
]


class DataContract(Loose):
    schema_: Annotated[list[Column], Field(alias="schema")] = []


class Component(Loose):
    id: Annotated[str, Field(min_length=1)]
    name: str
    kind: str
    version: str
    description: str | None = None
    infrastructureTemplateId: str
    useCaseTemplateId: str | None = None
    dependsOn: list[str] = []
    platform: str | None = None
    technology: str | None = None
    tags: list[Any] = []
    specific: dict[str, Any]
    dataContract: DataContract | None = None


class Product(Loose):
    id: Annotated[str, Field(min_length=1)]
    name: str
    kind: str
    domain: str
    version: str
    environment: str
    dataProductOwner: str
    specific: dict[str, Any] = {}
    components: Annotated[list[Component], Field(min_length=1)]


class Descriptor(BaseModel):
    model_config = ConfigDict(extra="forbid")
    dataProduct: Product
    componentIdToProvision: str


ANY = TypeAdapter(dict[str, Any])
app = FastAPI()


def problems(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]


def check(text: str) -> list[str]:
    try:
        descriptor = Descriptor.model_validate(ANY.validate_python(yaml.load(text, Loader=Loader)))
    except yaml.YAMLError as error:
        return [str(error)]
    except ValidationError as error:
        return problems(error)
    wanted = descriptor.componentIdToProvision
    component = next((one for one in descriptor.dataProduct.components if one.id == wanted), None)
    if component is None:
        return [f"componentIdToProvision: no component is called {wanted}"]
    unknown = [one for one in component.dependsOn if all(one != other.id for other in descriptor.dataProduct.components)]
    if unknown:
        return [f"dependsOn: no component is called {one}" for one in unknown]
    template = component.useCaseTemplateId or component.infrastructureTemplateId
    model = next((model for part, model in SPECIFIC if part in template), None)
    if model is None:
        return [f"useCaseTemplateId: nobody provisions {template}"]
    try:
        model.model_validate(component.specific)
    except ValidationError as error:
        return [f"specific.{problem}" for problem in problems(error)]
    return []


@app.post("/v1/validate")
def validate(request: ProvisioningRequest) -> dict[str, Any]:
    errors = check(request.descriptor)
    return {"valid": False, "error": {"errors": errors}} if errors else {"valid": True}

"""Airbyte's own client against the server at the URL: each scenario prints a line `ok NAME`."""

import sys

import airbyte_api
from airbyte_api import api, errors, models

WORKSPACE = "11111111-1111-4111-8111-111111111111"
URL = sys.argv[1] + "/api/public/v1"
MASK = "**********"


def client(**security):
    return airbyte_api.AirbyteAPI(server_url=URL, security=models.Security(**security))


def refused(status, call):
    try:
        call()
    except errors.SDKError as error:
        assert error.status_code == status, error
        return error.body
    raise AssertionError(f"{status} was expected")


def scenario(function):
    function()
    print("ok", function.__name__.replace("_", " "), flush=True)


airbyte = client(bearer_auth="secret")


@scenario
def tokens_are_given_to_clients():
    credentials = models.SchemeClientCredentials(
        client_id="terrace", client_secret="client-secret", TOKEN_URL=URL + "/applications/token"
    )
    with_credentials = client(client_credentials=credentials)
    assert with_credentials.workspaces.list_workspaces(request={}).workspaces_response.data[0].workspace_id == WORKSPACE
    refused(401, lambda: client(bearer_auth="wrong").workspaces.list_workspaces(request={}))
    basic = models.SchemeBasicAuth(username="airbyte", password="password")
    assert client(basic_auth=basic).workspaces.list_workspaces(request={}).status_code == 200


@scenario
def definitions_are_listed():
    listed = airbyte.source_definitions.list_source_definitions(request={"workspace_id": WORKSPACE})
    assert any("File" in it.name for it in listed.definitions_response.data)
    listed = airbyte.destination_definitions.list_destination_definitions(request={"workspace_id": WORKSPACE})
    assert any(it.name == "Snowflake" for it in listed.definitions_response.data)


def file_source(url="https://example.com/a.csv"):
    return models.SourceFile(
        dataset_name="places", url=url, provider=models.HTTPSPublicWeb(), format_=models.FileFormat.CSV
    )


def create_source(name="places"):
    request = models.SourceCreateRequest(name=name, workspace_id=WORKSPACE, configuration=file_source())
    return airbyte.sources.create_source(request=request).source_response


def create_destination(name="lake"):
    configuration = models.DestinationSnowflake(
        host="a.snowflakecomputing.com", role="R", warehouse="W", database="D", schema_="S", username="U",
        credentials=models.DestinationSnowflakeUsernameAndPassword(password="hunter2"),
    )
    request = models.DestinationCreateRequest(name=name, workspace_id=WORKSPACE, configuration=configuration)
    return airbyte.destinations.create_destination(request=request).destination_response


@scenario
def sources_are_made_read_changed_and_deleted():
    made = create_source()
    request = {"source_id": made.source_id}
    assert airbyte.sources.get_source(request=request).source_response == made
    patch = models.SourcePatchRequest(name="renamed")
    changed = airbyte.sources.patch_source(request={**request, "source_patch_request": patch}).source_response
    assert (changed.name, changed.source_id) == ("renamed", made.source_id)
    put = models.SourcePutRequest(name="put", configuration=file_source("https://example.com/b.csv"))
    assert airbyte.sources.put_source(request={**request, "source_put_request": put}).source_response.name == "put"
    listed = airbyte.sources.list_sources(request={"workspace_ids": [WORKSPACE]}).sources_response
    assert [it.name for it in listed.data] == ["put"]
    assert airbyte.sources.delete_source(request=request).status_code == 204
    body = refused(404, lambda: airbyte.sources.get_source(request=request))
    assert "resource-not-found" in body
    assert airbyte.sources.list_sources(request={"workspace_ids": [WORKSPACE]}).sources_response.data == []
    with_deleted = airbyte.sources.list_sources(request={"workspace_ids": [WORKSPACE], "include_deleted": True})
    assert len(with_deleted.sources_response.data) == 1


@scenario
def destinations_mask_their_secrets():
    made = create_destination()
    request = {"destination_id": made.destination_id}
    read = airbyte.destinations.get_destination(request=request)
    assert MASK in read.raw_response.text and "hunter2" not in read.raw_response.text
    patch = models.DestinationPatchRequest(name="renamed")
    changed = airbyte.destinations.patch_destination(request={**request, "destination_patch_request": patch})
    assert changed.destination_response.name == "renamed"
    assert airbyte.destinations.delete_destination(request=request).status_code == 204


@scenario
def connections_are_made_read_changed_and_deleted():
    source, destination = create_source(), create_destination()
    streams = airbyte.streams.get_stream_properties(request={"source_id": source.source_id})
    assert streams.raw_response.json()[0]["streamName"] == "places"
    create = models.ConnectionCreateRequest(
        name="a to b", source_id=source.source_id, destination_id=destination.destination_id,
        schedule=models.AirbyteAPIConnectionSchedule(
            schedule_type=models.ScheduleTypeEnum.CRON, cron_expression="0 0 3 * * ?"
        ),
    )
    made = airbyte.connections.create_connection(request=create).connection_response
    assert made.schedule.cron_expression == "0 0 3 * * ? UTC"
    assert [it.name for it in made.configurations.streams] == ["places"]
    request = {"connection_id": made.connection_id}
    assert airbyte.connections.get_connection(request=request).connection_response == made
    patch = models.ConnectionPatchRequest(status=models.ConnectionStatusEnum.INACTIVE)
    changed = airbyte.connections.patch_connection(request={**request, "connection_patch_request": patch})
    assert changed.connection_response.status == models.ConnectionStatusEnum.INACTIVE
    listed = airbyte.connections.list_connections(request={"workspace_ids": [WORKSPACE]}).connections_response
    assert [it.connection_id for it in listed.data] == [made.connection_id]
    airbyte.sources.delete_source(request={"source_id": source.source_id})
    left = airbyte.connections.get_connection(request=request).connection_response
    assert left.status == models.ConnectionStatusEnum.DEPRECATED
    assert airbyte.connections.delete_connection(request=request).status_code == 204
    airbyte.destinations.delete_destination(request={"destination_id": destination.destination_id})


@scenario
def what_is_wrong_is_told():
    source, destination = create_source(), create_destination()
    stream = models.StreamConfigurations(streams=[models.StreamConfiguration(name="none")])
    create = models.ConnectionCreateRequest(
        source_id=source.source_id, destination_id=destination.destination_id, configurations=stream
    )
    assert "Invalid stream found" in refused(400, lambda: airbyte.connections.create_connection(request=create))
    schedule = models.AirbyteAPIConnectionSchedule(
        schedule_type=models.ScheduleTypeEnum.CRON, cron_expression="* * * * * ?"
    )
    create = models.ConnectionCreateRequest(
        source_id=source.source_id, destination_id=destination.destination_id, schedule=schedule
    )
    assert "cron-validation" in refused(400, lambda: airbyte.connections.create_connection(request=create))
    reader = client(bearer_auth="reader")
    assert "forbidden" in refused(403, lambda: reader.sources.delete_source(request={"source_id": source.source_id}))
    nowhere = models.SourceCreateRequest(name="x", workspace_id="2" + WORKSPACE[1:], configuration=file_source())
    assert "resource-not-found" in refused(404, lambda: airbyte.sources.create_source(request=nowhere))
    airbyte.sources.delete_source(request={"source_id": source.source_id})
    airbyte.destinations.delete_destination(request={"destination_id": destination.destination_id})


@scenario
def lists_come_in_pages():
    made = [create_source(f"place {number}").source_id for number in range(5)]
    page = {"workspace_ids": [WORKSPACE], "limit": 2}
    first = airbyte.sources.list_sources(request=page).sources_response
    assert len(first.data) == 2 and "offset=2" in first.next
    last = airbyte.sources.list_sources(request={**page, "offset": 4}).sources_response
    assert len(last.data) == 1 and not last.next
    for source in made:
        airbyte.sources.delete_source(request={"source_id": source})

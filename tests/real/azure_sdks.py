"""Signs in, creates, reads, changes and deletes objects by the vendors' clients of Azure. usage: azure_sdks.py URL FOLDER"""

import asyncio
import http.client
import http.server
import ssl
import sys
import threading
import urllib.parse
import uuid

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import CertificateCredential, ClientSecretCredential, WorkloadIdentityCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.models import RoleAssignmentCreateParameters
from azure.mgmt.databricks import AzureDatabricksManagementClient
from azure.mgmt.databricks import models
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.environments import AzureEnvironment, Cloud, DatabricksEnvironment
from databricks.sdk.errors import DatabricksError, NotFound, PermissionDenied
from databricks.sdk.service import catalog, iam
from msgraph_core import GraphClientFactory

TENANT = "11111111-aaaa-4000-8000-000000000001"
CLIENT = "22222222-bbbb-4000-8000-000000000002"
SECRET = "azure~s3cret"
SUBSCRIPTION = "33333333-cccc-4000-8000-000000000003"
ACCOUNT = "44444444-dddd-4000-8000-000000000004"
METASTORE = "0aa0aa00-0000-4000-8000-00000000a0a0"
BEHIND, FOLDER = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]


class Front(http.server.BaseHTTPRequestHandler):
    """Forwards everything to the stand-in."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        behind = http.client.HTTPConnection(BEHIND.hostname, BEHIND.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        headers |= {"Host": self.headers["Host"], "X-Forwarded-Proto": "https"}
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on

    def log_message(self, *_):
        pass


front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{FOLDER}/front.pem")
front.socket = context.wrap_socket(front.socket, server_side=True)
threading.Thread(target=front.serve_forever, daemon=True).start()
HOST = f"localhost:{front.server_address[1]}"
URL = f"https://{HOST}"

usual = {"authority": URL, "disable_instance_discovery": True}
secret = ClientSecretCredential(TENANT, CLIENT, SECRET, **usual)
arm = AzureDatabricksManagementClient(secret, SUBSCRIPTION, base_url=URL, polling_interval=0)
rights = AuthorizationManagementClient(secret, SUBSCRIPTION, base_url=URL)
cloud = AzureEnvironment("TEST", "https://management.core.windows.net/", f"{URL}/", f"{URL}/")
environment = DatabricksEnvironment(Cloud.AZURE, ".localhost", "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", cloud)
usual = {"azure_tenant_id": TENANT, "azure_client_id": CLIENT, "azure_client_secret": SECRET, "auth_type": "azure-client-secret"}
account = AccountClient(config=Config(host=URL, account_id=ACCOUNT, databricks_environment=environment, **usual))
scenarios = []


def scenario(function):
    scenarios.append(function)
    return function


def refused(kind, function, code=None):
    try:
        function()
    except kind as error:
        assert code is None or code in str(error), error
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def workspace(name, sku="premium", **more):
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}-rg"
    properties = models.WorkspaceProperties(managed_resource_group_id=group, compute_mode="Hybrid")
    return models.Workspace(location="westeurope", sku=models.Sku(name=sku), properties=properties, **more)


def make(name):
    return arm.workspaces.begin_create_or_update("data", name, workspace(name)).result()


@scenario
def tokens_are_given_for_secrets_certificates_and_federated_tokens():
    scope = "https://management.azure.com/.default"
    assert secret.get_token(scope).token
    hosts = {"authority": URL, "disable_instance_discovery": True}
    certificate = CertificateCredential(TENANT, CLIENT, f"{FOLDER}/client.pem", **hosts)
    assert certificate.get_token(scope).token
    federated = WorkloadIdentityCredential(tenant_id=TENANT, client_id=CLIENT, token_file_path=f"{FOLDER}/federated", **hosts)
    assert federated.get_token(scope).token
    wrong = ClientSecretCredential(TENANT, CLIENT, "wrong", **hosts)
    refused(ClientAuthenticationError, lambda: wrong.get_token(scope), "AADSTS7000215")
    stranger = ClientSecretCredential(TENANT, str(uuid.uuid4()), SECRET, **hosts)
    refused(ClientAuthenticationError, lambda: stranger.get_token(scope), "AADSTS700016")


@scenario
def workspaces_are_made_read_changed_and_deleted():
    made = make("shop_1")
    assert made.properties.provisioning_state == "Succeeded" and made.properties.workspace_url and made.properties.workspace_id
    assert made.properties.created_by.application_id == CLIENT and made.properties.created_date_time
    changed = arm.workspaces.begin_create_or_update("data", "shop_1", workspace("shop_1", "standard")).result()
    assert changed.sku.name == "standard" and changed.properties.workspace_id == made.properties.workspace_id
    assert [it.name for it in arm.workspaces.list_by_subscription()] == ["shop_1"]
    assert [it.name for it in arm.workspaces.list_by_resource_group("data")] == ["shop_1"]
    arm.workspaces.begin_delete("data", "shop_1").result()
    refused(ResourceNotFoundError, lambda: arm.workspaces.get("data", "shop_1"), "ResourceNotFound")


@scenario
def workspaces_that_cannot_be_are_refused():
    make("shop_2")
    elsewhere = workspace("shop_2")
    elsewhere.location = "northeurope"
    move = lambda: arm.workspaces.begin_create_or_update("data", "shop_2", elsewhere).result()
    refused(ResourceExistsError, move, "InvalidResourceLocation")
    nowhere = lambda: arm.workspaces.begin_create_or_update("nothing", "shop_2", workspace("shop_2")).result()
    refused(ResourceNotFoundError, nowhere, "ResourceGroupNotFound")
    refused(HttpResponseError, lambda: make("x y"), "InvalidResourceName")


@scenario
def roles_are_given_and_taken():
    scope = arm.workspaces.get("data", "shop_2").id
    (role,) = rights.role_definitions.list(scope, filter="roleName eq 'Contributor'")
    (jane,) = graph("users", "userPrincipalName eq 'jane.roe@example.com'")
    said = {"role_definition_id": role.id, "principal_id": jane["id"], "principal_type": "User"}
    name = str(uuid.uuid4())
    rights.role_assignments.create(scope, name, parameters(said))
    rights.role_assignments.create(scope, name, parameters(said))
    again = lambda: rights.role_assignments.create(scope, str(uuid.uuid4()), parameters(said))
    refused(ResourceExistsError, again, "RoleAssignmentExists")
    nobody = parameters({**said, "principal_id": str(uuid.uuid4())})
    refused(HttpResponseError, lambda: rights.role_assignments.create(scope, str(uuid.uuid4()), nobody), "PrincipalNotFound")
    listed = list(rights.role_assignments.list_for_scope(scope, filter=f"principalId eq '{jane['id']}'"))
    assert [it.name for it in listed] == [name] and listed[0].scope == scope
    rights.role_assignments.delete(scope, name)
    assert list(rights.role_assignments.list_for_scope(scope)) == []


def parameters(said):
    return RoleAssignmentCreateParameters(**said)


def graph(kind, condition):
    """Microsoft's client for Graph has no functions for calls: uses its pipeline, page by page."""
    client = GraphClientFactory.create_with_default_middleware()
    token = secret.get_token("https://graph.microsoft.com/.default").token
    rows = []

    async def ask():
        url = f"{URL}/v1.0/{kind}?" + urllib.parse.urlencode({"$filter": condition})
        async with client:
            while url:
                answer = await client.get(url, headers={"Authorization": f"Bearer {token}"})
                answer.raise_for_status()
                rows.extend(answer.json()["value"])
                url = answer.json().get("@odata.nextLink")

    asyncio.run(ask())
    return rows


@scenario
def people_and_groups_of_the_tenant_are_found():
    assert [it["displayName"] for it in graph("groups", "displayName eq 'DEV'")] == ["dev"]
    assert len(graph("servicePrincipals", f"appId eq '{CLIENT}'")) == 1
    assert graph("users", "mail eq 'nobody@example.com'") == []


@scenario
def the_account_knows_its_people_and_metastores():
    assert [it.user_name for it in account.users.list(filter='userName eq "jane.roe@example.com"')] == ["jane.roe@example.com"]
    assert [it.display_name for it in account.groups.list(filter='displayName eq "dev"')] == ["dev"]
    assert [it.application_id for it in account.service_principals.list(filter='displayName eq "terrace"')] == [CLIENT]
    assert {it.name for it in account.metastores.list()} == {"main", "other"}


@scenario
def workspaces_get_a_metastore_and_let_people_in():
    (known,) = [it for it in account.workspaces.list() if it.workspace_name == "shop_2"]
    number = known.workspace_id
    refused(NotFound, lambda: account.metastore_assignments.get(number))
    (dev,) = account.groups.list(filter='displayName eq "dev"')
    enter = lambda: account.workspace_assignment.update(number, int(dev.id), permissions=[iam.WorkspacePermission.USER])
    refused(DatabricksError, enter, "not available")
    account.metastore_assignments.create(
        number, METASTORE, metastore_assignment=catalog.CreateMetastoreAssignment(number, METASTORE, "main")
    )
    there = account.metastore_assignments.get(number).metastore_assignment
    assert there.metastore_id == METASTORE and there.default_catalog_name == "main" and there.workspace_id == number
    enter()
    (row,) = account.workspace_assignment.list(number)
    assert row.principal.group_name == "dev" and row.permissions == [iam.WorkspacePermission.USER]
    account.workspace_assignment.delete(number, int(dev.id))
    assert list(account.workspace_assignment.list(number)) == []
    account.metastore_assignments.delete(number, METASTORE)
    refused(NotFound, lambda: account.metastore_assignments.get(number))


@scenario
def a_new_workspace_lets_in_who_may_manage_it():
    there = arm.workspaces.get("data", "shop_2")
    at = {"host": there.properties.workspace_url, "databricks_environment": environment, **usual}
    stranger = WorkspaceClient(config=Config(**at))
    refused(PermissionDenied, stranger.current_user.me)
    manager = WorkspaceClient(config=Config(azure_workspace_resource_id=there.id, **at))
    assert manager.current_user.me().user_name == CLIENT
    made = manager.jobs.create(name="first")
    assert [it.job_id for it in stranger.jobs.list(name="first")] == [made.job_id]


for function in scenarios:
    function()
    print("ok", function.__name__)
print(f"ok {len(scenarios)} scenarios")

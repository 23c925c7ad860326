"""Creates, reads, changes and deletes one object of each kind by databricks-sdk. usage: databricks_sdk.py URL"""

import sys

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, InvalidParameterValue, NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service import catalog, compute, iam, jobs, pipelines, sql, workspace

url = sys.argv[1]
client = WorkspaceClient(host=url, token="secret", auth_type="pat")
scenarios = []


def scenario(function):
    scenarios.append(function)
    return function


def refused(kind, function):
    try:
        function()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def task(**more):
    cluster = compute.ClusterSpec(spark_version="13.3.x-scala2.12", node_type_id="Standard_D4ds_v5", num_workers=2)
    return jobs.Task(task_key="main", new_cluster=cluster, **more)


@scenario
def jobs_are_made_changed_and_deleted():
    notebook = jobs.NotebookTask(notebook_path="/Shared/main")
    made = client.jobs.create(name="orders", tasks=[task(notebook_task=notebook)], tags={"a": "b"})
    job = client.jobs.get(made.job_id)
    assert job.settings.name == "orders" and job.settings.tags == {"a": "b"}
    assert job.settings.format == jobs.Format.MULTI_TASK and job.settings.max_concurrent_runs == 1
    assert job.settings.tasks[0].run_if == jobs.RunIf.ALL_SUCCESS
    assert job.creator_user_name == job.run_as_user_name == "terrace@example.com"
    assert [it.job_id for it in client.jobs.list(name="ORDERS")] == [made.job_id]
    client.jobs.update(made.job_id, new_settings=jobs.JobSettings(timeout_seconds=5), fields_to_remove=["tags"])
    assert client.jobs.get(made.job_id).settings.timeout_seconds == 5
    assert not client.jobs.get(made.job_id).settings.tags
    run_as = jobs.JobRunAs(service_principal_name="11111111-2222-4333-8444-555555555555")
    settings = jobs.JobSettings(name="other", tasks=[task(notebook_task=notebook)], run_as=run_as)
    client.jobs.reset(made.job_id, settings)
    job = client.jobs.get(made.job_id)
    assert job.settings.name == "other" and job.settings.timeout_seconds == 0 and job.settings.run_as is None
    assert job.run_as_user_name == "11111111-2222-4333-8444-555555555555"
    client.jobs.delete(made.job_id)
    refused(NotFound, lambda: client.jobs.get(made.job_id))


@scenario
def jobs_come_in_pages_and_one_name_may_be_had_twice():
    made = [client.jobs.create(name="same").job_id for _ in range(25)]
    assert len(list(client.jobs.list(name="same", limit=10))) == 25
    for job in made:
        client.jobs.delete(job)
    assert list(client.jobs.list(name="same")) == []


@scenario
def jobs_that_cannot_be_are_refused():
    cron = jobs.CronSchedule(quartz_cron_expression="0 0 0 * *", timezone_id="UTC")
    refused(InvalidParameterValue, lambda: client.jobs.create(name="x", schedule=cron))
    git = jobs.GitSource(git_url="https://x.example.com/a.git", git_provider=jobs.GitProvider.GIT_LAB)
    refused(InvalidParameterValue, lambda: client.jobs.create(name="x", git_source=git))


@scenario
def pipelines_are_made_changed_and_deleted():
    libraries = [pipelines.PipelineLibrary(notebook=pipelines.NotebookLibrary(path="/Shared/dlt"))]
    made = client.pipelines.create(name="flow", libraries=libraries, catalog="main", target="raw", tags={"a": "b"})
    read = client.pipelines.get(made.pipeline_id)
    assert read.spec.tags == {"a": "b"} and read.spec.channel == "CURRENT" and read.spec.edition == "ADVANCED"
    assert [it.name for it in client.pipelines.list_pipelines(filter="name LIKE 'fl%'")] == ["flow"]
    refused(DatabricksError, lambda: client.pipelines.create(name="flow", libraries=libraries))
    client.pipelines.update(made.pipeline_id, name="flow", libraries=libraries, catalog="main", target="raw", photon=True)
    assert client.pipelines.get(made.pipeline_id).spec.photon is True
    client.pipelines.delete(made.pipeline_id)
    refused(NotFound, lambda: client.pipelines.get(made.pipeline_id))


@scenario
def repositories_need_their_folder():
    make = lambda: client.repos.create(url="https://gitlab.com/a/b.git", provider="gitLab", path="/shop/orders")
    refused(NotFound, make)
    client.workspace.mkdirs("/Workspace/shop")
    made = make()
    refused(DatabricksError, make)
    assert made.branch == "main" and made.head_commit_id
    client.repos.update(made.id, tag="v1")
    assert client.repos.get(made.id).branch is None
    client.repos.update(made.id, branch="develop")
    assert client.repos.get(made.id).branch == "develop"
    found = [it for it in client.workspace.list("/shop") if it.object_type == workspace.ObjectType.REPO]
    assert [it.object_id for it in found] == [made.id]
    assert [it.path for it in client.repos.list(path_prefix="/shop")] == ["/shop/orders"]
    refused(DatabricksError, lambda: client.workspace.delete("/shop"))
    client.repos.delete(made.id)
    client.workspace.delete("/shop")
    refused(NotFound, lambda: client.workspace.get_status("/shop"))


@scenario
def credentials_never_show_their_token():
    made = client.git_credentials.create("gitLab", git_username="bot", personal_access_token="glpat")
    client.git_credentials.update(made.credential_id, "gitLab", git_username="other", personal_access_token="new")
    listed = list(client.git_credentials.list())
    assert [it.git_username for it in listed] == ["other"] and "glpat" not in str(listed)
    client.git_credentials.delete(made.credential_id)
    refused(NotFound, lambda: client.git_credentials.get(made.credential_id))


@scenario
def permissions_merge_or_replace():
    job = client.jobs.create(name="guarded").job_id
    dev = iam.AccessControlRequest(group_name="dev", permission_level=iam.PermissionLevel.CAN_VIEW)
    client.permissions.update("jobs", str(job), access_control_list=[dev])
    rows = client.permissions.get("jobs", str(job)).access_control_list
    direct = {(it.user_name or it.group_name): p.permission_level for it in rows for p in it.all_permissions if not p.inherited}
    assert direct == {"terrace@example.com": iam.PermissionLevel.IS_OWNER, "dev": iam.PermissionLevel.CAN_VIEW}
    assert any(p.inherited for it in rows for p in it.all_permissions if it.group_name == "admins")
    refused(InvalidParameterValue, lambda: client.permissions.set("jobs", str(job), access_control_list=[dev]))
    owner = iam.AccessControlRequest(user_name="terrace@example.com", permission_level=iam.PermissionLevel.IS_OWNER)
    client.permissions.set("jobs", str(job), access_control_list=[owner])
    rows = client.permissions.get("jobs", str(job)).access_control_list
    assert not any(it.group_name == "dev" for it in rows)
    client.jobs.delete(job)


@scenario
def catalogs_schemas_and_privileges():
    client.catalogs.create("Shop", comment="all of it")
    assert client.catalogs.get("SHOP").name == "shop"
    refused(DatabricksError, lambda: client.catalogs.create("shop"))
    client.schemas.create("orders", "shop")
    assert {it.name for it in client.schemas.list("shop")} == {"default", "information_schema", "orders"}
    client.schemas.update("shop.orders", comment="new")
    assert client.schemas.get("shop.orders").comment == "new"
    change = catalog.PermissionsChange(principal="dev", add=[catalog.Privilege.USE_SCHEMA])
    client.grants.update("SCHEMA", "shop.orders", changes=[change])
    rows = client.grants.get("schema", "shop.orders").privilege_assignments
    assert [(it.principal, it.privileges) for it in rows] == [("dev", [catalog.Privilege.USE_SCHEMA])]
    wrong = catalog.PermissionsChange(principal="nobody", add=[catalog.Privilege.USE_SCHEMA])
    refused(NotFound, lambda: client.grants.update("schema", "shop.orders", changes=[wrong]))
    refused(DatabricksError, lambda: client.catalogs.delete("shop"))
    client.catalogs.delete("shop", force=True)
    refused(NotFound, lambda: client.catalogs.get("shop"))
    assert client.metastores.current().metastore_id == next(iter(client.metastores.list())).metastore_id


@scenario
def statements_run_on_a_warehouse():
    warehouse = next(iter(client.warehouses.list()))
    client.catalogs.create("views")
    client.schemas.create("raw", "views")
    run = lambda text: client.statement_execution.execute_statement(text, warehouse.id, wait_timeout="30s").status
    failed = run("CREATE VIEW views.raw.v AS SELECT a FROM views.raw.t")
    assert failed.state == sql.StatementState.FAILED and "TABLE_OR_VIEW_NOT_FOUND" in failed.error.message
    assert run("SELECT 1").state == sql.StatementState.FAILED
    assert client.tables.exists("views.raw.v").table_exists is False
    refused(NotFound, lambda: client.tables.get("views.raw.v"))


@scenario
def people_groups_and_clusters_are_found():
    assert [it.display_name for it in client.groups.list(filter='displayName eq "analysts"')] == ["Analysts"]
    assert [it.user_name for it in client.users.list(filter='userName eq "jane.roe@example.com"')] == ["jane.roe@example.com"]
    assert [it.display_name for it in client.service_principals.list(filter='displayName eq "runner"')] == ["runner"]
    assert client.current_user.me().user_name == "terrace@example.com"
    # The list has clusters of runs too.
    assert sorted(it.cluster_name for it in client.clusters.list()) == ["databricks-cluster", "job-1-run-1"]


@scenario
def who_may_not_is_told():
    wrong = WorkspaceClient(host=url, token="wrong", auth_type="pat")
    refused(Unauthenticated, wrong.current_user.me)
    machine = WorkspaceClient(host=url, client_id="terrace-client", client_secret="client-secret", auth_type="oauth-m2m")
    assert machine.current_user.me().user_name == "terrace-client"


for function in scenarios:
    function()
    print("ok", function.__name__)
print(f"ok {len(scenarios)} scenarios")

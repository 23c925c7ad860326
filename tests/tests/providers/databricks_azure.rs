//! An Azure workspace that a run creates and then uses: signed in as a service principal, on the stand-ins of Azure
//! and Databricks.

mod faults; // each call fails once, before and after its effect
mod served; // an output port in its own workspace, through all calls of a coordinator

use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_test_azure::{ACCOUNT, Azure, CLIENT, Fault, GROUP, SECRET, SUBSCRIPTION, TENANT};
use terrace_test_databricks::StandIn;
use terrace_tests::{Project, Ran};

const STACK: &str = "stack.yaml";

/// A project with the stack, the Azure stand-in, and the stand-in of the new workspace.
struct World {
    azure: Azure,
    stand_in: Arc<StandIn>,
    project: Project,
}

impl World {
    fn new() -> Self {
        let (azure, stand_in, project) = (Azure::start(), Arc::new(StandIn::start()), Project::new());
        azure.serve(Arc::clone(&stand_in));
        let url = azure.url();
        project.write(STACK, include_str!("databricks_azure/stack.yaml"));
        project.write(
            "terrace.yaml",
            format!(
                "environments:\n  local:\n    providers:\n      databricks:\n        hosts: ['{}']\n        accountHost: '{url}'\n        git: {{token: glpat}}\n        \
                 azure: {{subscriptionId: {SUBSCRIPTION}, resourceGroup: {GROUP}, location: westeurope, \
                 loginHost: '{url}', managementHost: '{url}', graphHost: '{url}'}}\n",
                stand_in.url()
            ),
        );
        Self { azure, stand_in, project }
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        let variables = [
            ("ARM_CLIENT_ID", CLIENT),
            ("ARM_TENANT_ID", TENANT),
            ("ARM_CLIENT_SECRET", SECRET),
            ("DATABRICKS_ACCOUNT_ID", ACCOUNT),
        ];
        self.project.run_with(&variables, words)
    }

    fn apply(&self) -> Ran {
        self.run(["apply", STACK, "--auto-approve"])
    }

    #[track_caller]
    fn assert_settled(&self) {
        let plan = self.run(["plan", STACK, "--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
    }

    fn path() -> String {
        format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Databricks/workspaces/sales_shop_0"
        )
    }

    /// Creates the workspace outside terrace.
    fn create_externally(&self, sku: &str, location: &str) {
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/sales_shop_0-rg");
        let body = json!({"location": location, "sku": {"name": sku}, "properties": {"managedResourceGroupId": group}});
        self.azure.take_questions(0);
        self.azure.call("PUT", &Self::path(), body);
        self.azure.call("GET", &Self::path(), Json::Null);
        self.azure.take_questions(1);
    }
}

#[test]
fn one_run_creates_a_workspace_and_its_content() {
    let world = World::new();
    let plan = world.run(["plan", STACK]).done();
    plan.prints("to add");
    // Its content is not read before it exists.
    assert_eq!(world.stand_in.count(), 0, "{plan}");
    assert_eq!(world.azure.inventory(), [] as [&str; 0]);
    world.apply().done();
    insta::assert_snapshot!("made", world.azure.inventory().join("\n"));
    let made = world.stand_in.inventory();
    assert!(made.contains(&"job sales_shop_0_nightly_prod".to_owned()), "{made:?}");
    world.assert_settled();
    assert_eq!(
        world.azure.take_writes().iter().filter(|it| it.starts_with("PUT") && it.ends_with("sales_shop_0")).count(),
        1
    );

    // Drift is corrected.
    let role = world.azure.inventory();
    world.create_externally("standard", "westeurope");
    world.run(["drift", STACK]).prints("standard");
    world.apply().done().prints("1 changed");
    assert_eq!(world.azure.inventory(), role);

    // Workspaces stay, and so do their earlier members.
    world.run(["destroy", STACK, "--auto-approve"]).done();
    insta::assert_snapshot!("left", world.azure.inventory().join("\n"));
    assert!(!world.stand_in.inventory().contains(&"job sales_shop_0_nightly_prod".to_owned()));
}

#[test]
fn existing_workspace_is_aligned_and_never_replaced() {
    let world = World::new();
    world.create_externally("standard", "westeurope");
    let plan = world.run(["plan", STACK]).done();
    plan.prints("adopted");
    world.apply().done();
    let made = world.azure.inventory();
    assert!(made.contains(&"workspace sales_shop_0 premium westeurope Succeeded".to_owned()), "{made:?}");
    world.assert_settled();
    // Another location would need a replacement.
    world.project.edit("terrace.yaml", "location: westeurope", "location: northeurope");
    let ran = world.apply();
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("the workspace `sales_shop_0` has `location` `westeurope`");
    assert_eq!(world.azure.inventory(), made);
}

#[test]
fn apply_killed_during_a_creation_continues_with_the_workspace() {
    let world = World::new();
    world.azure.take_questions(1_000_000);
    let mut child = world.project.command(["apply", STACK, "--auto-approve"]);
    for (name, value) in [
        ("ARM_CLIENT_ID", CLIENT),
        ("ARM_TENANT_ID", TENANT),
        ("ARM_CLIENT_SECRET", SECRET),
        ("DATABRICKS_ACCOUNT_ID", ACCOUNT),
    ] {
        child.env(name, value);
    }
    let mut child = child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let is_asked = |it: &terrace_test_azure::ReceivedCall| it.path.contains("/operationStatuses/");
    while !world.azure.take_calls().iter().any(is_asked) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(world.azure.inventory(), ["workspace sales_shop_0 premium westeurope Accepted"]);
    // The creation ends without a waiting client.
    world.azure.finish();
    world.apply().done();
    world.assert_settled();
    let puts = world.azure.take_writes();
    assert_eq!(
        puts.iter().filter(|it| it.ends_with("/workspaces/sales_shop_0")).count(),
        0,
        "the creation was requested once: {puts:?}"
    );
}

#[test]
fn next_run_ends_alike_after_any_failed_write() {
    let clean = World::new();
    clean.apply().done();
    let (calls, expected) = (clean.azure.take_writes(), clean.azure.inventory());
    let lives = clean.stand_in.inventory();
    assert_eq!(calls.len(), 5, "{calls:?}");
    for call in calls {
        // Ids differ between runs; the rest of the call is the same.
        let text = call.rsplit_once('/').map_or(call.as_str(), |(before, _)| before).to_owned();
        for fault in [Fault::LostBefore, Fault::LostAfter] {
            let world = World::new();
            world.azure.faults().by_text.push((text.clone(), fault));
            let ran = world.apply();
            if ran.code != 0 {
                world.apply().done();
            }
            world.assert_settled();
            assert_eq!(world.azure.inventory(), expected, "{fault:?} of {call}: {ran}");
            assert_eq!(world.stand_in.inventory(), lives, "{fault:?} of {call}: {ran}");
            assert!(world.azure.faults().by_text.is_empty(), "{call} was not called");
        }
    }
}

#[test]
fn azure_secrets_are_neither_shown_nor_stored() {
    let world = World::new();
    world.azure.faults().denied.push("PUT /subscriptions".to_owned());
    let ran = world.apply();
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("the role Contributor on the resource group `data`");
    assert!(!ran.to_string().contains(SECRET) && !ran.to_string().contains("aad-"), "{ran}");
    for (name, content) in world.project.all_files() {
        let content = String::from_utf8_lossy(&content).into_owned();
        assert!(!content.contains(SECRET) && !content.contains("aad-"), "{name}");
    }
}

#[test]
fn product_has_its_own_workspace_which_stays() {
    let world = World::new();
    world.project.write("product.yaml", include_str!("databricks_azure/product.yaml"));
    world.project.edit(
        "terrace.yaml",
        "    providers:\n",
        "    settings: {databricks: {managedWorkspace: {}, workspaceRole: {owner: Contributor}, job: {owner: CAN_MANAGE, developers: CAN_VIEW}}}\n    providers:\n",
    );
    let plan = world.run(["plan", "product.yaml"]).done();
    assert_eq!(world.stand_in.count(), 0, "{plan}");
    world.stand_in.grant_on_metastore(CLIENT, "CREATE_CATALOG");
    world.run(["apply", "product.yaml", "--auto-approve"]).done();
    let made = world.azure.inventory();
    insta::assert_snapshot!("product", made.join("\n"));
    let lives = world.stand_in.inventory();
    assert!(lives.contains(&"acl jobs sales_shop_0_nightly_prod: dev CAN_VIEW".to_owned()), "{lives:?}");
    assert!(lives.contains(&"pipeline sales_shop_0_flow_prod".to_owned()), "{lives:?}");
    let made_once = world.azure.take_writes().iter().filter(|it| it.ends_with("/workspaces/sales_shop_0")).count();
    assert_eq!(made_once, 1, "it is one workspace of both");
    let plan = world.run(["plan", "product.yaml", "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
    let _ = world.azure.take_writes();
    world.run(["destroy", "product.yaml", "--auto-approve", "--remove-data"]).done();
    // terrace's grants are revoked; the workspace and its metastore stay, whatever is removed.
    let stays = |line: &&String| line.starts_with("workspace ") || line.starts_with("metastore ");
    let stay: Vec<String> = made.iter().filter(stays).cloned().collect();
    assert_eq!(world.azure.inventory(), stay);
    let removed = world.azure.take_writes();
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert!(!world.stand_in.inventory().iter().any(|line| line.starts_with("job ") || line.starts_with("pipeline ")));
}

#[test]
fn product_changes_its_owner_component_by_component() {
    let world = World::new();
    world.project.write("product.yaml", include_str!("databricks_azure/product.yaml"));
    world.project.edit(
        "terrace.yaml",
        "    providers:\n",
        "    settings: {databricks: {managedWorkspace: {}, workspaceRole: {owner: Contributor}}}\n    providers:\n",
    );
    world.stand_in.grant_on_metastore(CLIENT, "CREATE_CATALOG");
    world.run(["apply", "product.yaml", "--auto-approve"]).done();
    let entries = |name: &str| world.azure.inventory().iter().filter(|line| line.contains(name)).count();
    assert_eq!((entries("jane.roe"), entries("john.doe")), (2, 0));
    world.project.edit("product.yaml", "user:jane.roe_example.com", "user:john.doe_example.com");
    world.run(["apply", "product.yaml", "-c", "nightly", "--auto-approve"]).done();
    // The other component still needs the old owner.
    assert_eq!((entries("jane.roe"), entries("john.doe")), (2, 2));
    world.run(["apply", "product.yaml", "-c", "flow", "--auto-approve"]).done();
    assert_eq!((entries("jane.roe"), entries("john.doe")), (0, 2));
    let plan = world.run(["plan", "product.yaml", "--detailed-exitcode"]);
    assert_eq!(plan.code, 0, "{plan}");
}

/// Runs the commands of the example's page in a copy with the addresses of the stand-ins.
#[test]
fn example_works_as_its_page_says() {
    let azure = Azure::start();
    let stand_in = served::next_workspace(&azure);
    azure.call("PUT", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/data-products"), json!({}));
    let folder = format!("{}/../examples/databricks-managed", env!("CARGO_MANIFEST_DIR"));
    let project = Project::new();
    for file in ["README.md", "terrace.yaml", "data-product.yaml"] {
        project.write(file, std::fs::read_to_string(format!("{folder}/{file}")).unwrap());
    }
    let url = azure.url();
    project.edit(
        "terrace.yaml",
        "        azure: {resourceGroup",
        &format!(
            "        hosts: ['{}']\n        accountHost: '{url}'\n        azure: {{managementHost: '{url}', graphHost: '{url}', resourceGroup",
            stand_in.url()
        ),
    );
    let readme = project.read("README.md");
    let commands = readme.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let commands = format!("terrace doctor --env development\n{commands}");
    let program = project.command(["--version"]);
    let path = std::path::Path::new(program.get_program()).parent().unwrap().to_owned();
    let commands = format!("export PATH='{}':\"$PATH\"\n{commands}", path.display());
    let mut shell = std::process::Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(project.path("."));
    let variables = [
        ("ARM_CLIENT_ID", CLIENT),
        ("ARM_TENANT_ID", TENANT),
        ("ARM_CLIENT_SECRET", SECRET),
        ("ARM_SUBSCRIPTION_ID", SUBSCRIPTION),
        ("AZURE_AUTHORITY_HOST", url),
        ("DATABRICKS_ACCOUNT_ID", ACCOUNT),
        ("GIT_TOKEN", "glpat"),
    ];
    let ran = shell.envs(variables).output().unwrap();
    let expected = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{expected}");
    assert!(expected.contains("it answers, and has all server-wide rights"), "{expected}");
    let left = [
        "metastore 0aa0aa00-0000-4000-8000-00000000a0a0 of shop_orders_0",
        "workspace shop_orders_0 premium westeurope Succeeded",
    ];
    assert_eq!(azure.inventory(), left);
    let lives = stand_in.inventory();
    assert!(
        !lives.iter().any(|line| line.starts_with("job ") || line.contains("shop_orders.ports_0.orders")),
        "{lives:?}"
    );
}

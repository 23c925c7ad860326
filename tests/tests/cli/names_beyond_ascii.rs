//! Names beyond ASCII: products, components and pipeline folders stay distinct, and a state keeps its recorded names.

use crate::pipelines::runs::Pipelines;
use terrace_tests::Project;

/// Returns a data product with one storage area, with these ids and names.
fn product((domain, product): (&str, &str), (name, component): (&str, &str)) -> String {
    format!(
        "id: urn:dmb:dp:{domain}:{product}:1\nname: {name}\nkind: dataproduct\ndomain: {domain}\nversion: 1.0.0\n\
         components:\n  - id: urn:dmb:cmp:{domain}:{product}:1:store\n    name: {component}\n    kind: storage\n    \
         technology: other\n    dependsOn: []\n    specific: {{}}\n    dataContract: {{schema: [{{name: id, dataType: BIGINT}}]}}\n"
    )
}

#[test]
fn products_in_other_scripts_coexist() {
    let project = Project::new();
    let ids = [("販売", "売上"), ("物流", "在庫"), ("рынок", "данные"), ("é", "ü"), ("📦", "🚚")];
    for (at, id) in ids.into_iter().enumerate() {
        let file = format!("{at}.yaml");
        project.write(&file, product(id, ("Same", "same")));
        project.run(["apply", &file, "--env", "local", "--auto-approve"]).done();
    }
    for at in 0..ids.len() {
        let plan = project.run(["plan", &format!("{at}.yaml"), "--env", "local"]).done();
        plan.prints("No changes. Your infrastructure matches the configuration.");
    }
    let stacks = project.run(["stacks", "list", "--format", "json"]).done().stdout;
    assert!(stacks.contains("rynok-") && stacks.contains(".dannye-"), "{stacks}");
}

#[test]
fn products_in_other_scripts_have_their_own_databases() {
    let project = Project::new();
    project.write("a.yaml", product(("sales", "revenue"), ("売上", "Orders")));
    project.write("b.yaml", product(("sales", "stock"), ("在庫", "注文")));
    for file in ["a.yaml", "b.yaml"] {
        project.run(["apply", file, "--env", "local", "--auto-approve"]).done();
    }
    let files: Vec<String> = project.files().into_keys().filter(|name| name.ends_with(".db")).collect();
    assert!(files.iter().any(|file| file.contains("/MAI_SHANG_")), "{files:?}");
    assert!(files.iter().any(|file| file.contains("/ZAI_KU_")), "{files:?}");
    project.run(["plan", "b.yaml", "--env", "local"]).done().prints("No changes");
}

#[test]
fn components_in_other_scripts_have_their_own_keys() {
    let project = Project::new();
    let component = |name: &str, table: &str| {
        format!(
            "  - {{id: 'urn:dmb:cmp:sales:x:1:{name}', name: {name}, kind: storage, specific: {{tableName: {table}}}, \
             dataContract: {{schema: [{{name: id, dataType: BIGINT}}]}}}}\n"
        )
    };
    let text = format!(
        "id: urn:dmb:dp:sales:x:1\nname: X\nkind: dataproduct\ndomain: sales\nversion: 1.0.0\ncomponents:\n{}{}",
        component("注文", "a"),
        component("在庫", "b")
    );
    project.write("f.yaml", text);
    let plan = project.run(["plan", "f.yaml", "--env", "local"]).done();
    plan.prints("\n  Zhu-Wen-266125dd\n").prints("\n  Zai-Ku-").prints("Plan: 3 to add");
    project
        .run(["plan", "f.yaml", "--env", "local", "-c", "urn:dmb:cmp:sales:x:1:注文"])
        .done()
        .prints("Plan: 2 to add");
}

/// Records `finança` as an earlier version did: with the stack `finan-a` and the database `FINAN_A`.
fn recorded_before(project: &Project) {
    project.write(
        "before.yaml",
        product(("finan-a", "vendas"), ("Caf", "Relat rio")).replace("domain: finan-a", "domain: finan a"),
    );
    project.run(["apply", "before.yaml", "--env", "local", "--auto-approve"]).done();
    let state = rusqlite::Connection::open(project.path(".terrace/state.db")).unwrap();
    for table in ["component", "component_version"] {
        let sql = format!("UPDATE {table} SET ids = replace(ids, 'finan-a', 'finança') WHERE ids IS NOT NULL");
        state.execute(&sql, []).unwrap_or_default();
    }
    project.write("now.yaml", product(("finança", "vendas"), ("Café", "Relatório")));
}

#[test]
fn recorded_stack_keeps_names_of_earlier_versions() {
    let project = Project::new();
    recorded_before(&project);
    let plan = project.run(["plan", "now.yaml", "--env", "local"]).done();
    plan.prints("finan-a.vendas.1@local").prints("No changes. Your infrastructure matches the configuration.");
    // A validation with the state checks the recorded stack, too.
    let validated = project.run(["validate", "now.yaml", "--env", "local", "--remote"]).done();
    assert_eq!(validated.stdout, "valid: finan-a.vendas.1@local\n");
    // A destroy removes the recorded stack.
    let removal = project.run(["plan", "now.yaml", "--env", "local", "--destroy"]).done();
    removal.prints("finan-a.vendas.1@local");
    // Another product with a similar name is another stack.
    project.write("other.yaml", product(("finanÇa", "vendas"), ("Café", "Relatório")));
    let other = project.run(["plan", "other.yaml", "--env", "local"]).done();
    assert!(other.stdout.contains("finanCa-"), "{other}");
}

#[test]
fn new_folder_does_not_change_pipelines_of_other_folders() {
    let pipelines = Pipelines::new("x: {pipeline: [{run: noise}]}\n");
    let folder = |name: &str| {
        pipelines.project.copy(&pipelines.project.path("noise.py"), &format!("{name}/noise.py"));
        pipelines.project.write(&format!("{name}/pipeline-spec.yaml"), "x: {pipeline: [{run: noise}]}\n");
    };
    ["כנסת", "ועדה", "a_b"].into_iter().for_each(folder);
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    let before = pipelines.run(&["state", "list"]).done().stdout;
    ["אבגד", "a b"].into_iter().for_each(folder);
    let plan = pipelines.run(&["plan", "."]).done();
    plan.prints("Plan: 4 to add, 0 to change, 0 to destroy.").prints("\n  bgd_");
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    let after = pipelines.run(&["state", "list"]).done().stdout;
    assert!(before.lines().all(|line| after.contains(line)), "{before}\n{after}");
    pipelines.run(&["plan", "."]).done().prints("No changes");
}

#[test]
fn pipelines_recorded_under_former_keys_do_not_run_again() {
    let pipelines = Pipelines::new("x: {pipeline: [{run: noise}]}\n");
    for name in ["כנסת", "ועדה"] {
        pipelines.project.copy(&pipelines.project.path("noise.py"), &format!("{name}/noise.py"));
        pipelines.project.write(&format!("{name}/pipeline-spec.yaml"), "x: {pipeline: [{run: noise}]}\n");
    }
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    // These are the keys of an earlier version.
    let listed = pipelines.run(&["state", "list"]).done().stdout;
    let keys: std::collections::BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.rsplit(':').next()?.split_once("/pipelines_").map(|(key, _)| key))
        .filter(|key| key.contains('/'))
        .collect();
    for (key, former) in keys.into_iter().zip(["____/x", "____/x_"]) {
        for ty in ["pipeline.pipeline", "run.run"] {
            let (from, to) = (format!("{key}/pipelines_{ty}"), format!("{former}/pipelines_{ty}"));
            pipelines.run(&["state", "mv", &from, &to]).done();
        }
    }
    let plan = pipelines.run(&["plan", "."]).done();
    assert!(
        !plan.stdout.contains("to destroy") || plan.stdout.contains("0 to add, 0 to change, 0 to destroy"),
        "{plan}"
    );
    pipelines.run(&["apply", ".", "--auto-approve"]).done();
    pipelines.run(&["plan", "."]).done().prints("No changes");
}

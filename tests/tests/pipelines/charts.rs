//! `terrace pipelines chart`: values without secrets, without a cluster.

use crate::pipelines::runs::Pipelines;

const SPEC: &str = "\
load-orders:
  schedule: {crontab: '0 4 * * *'}
  pipeline:
  - {run: noise, parameters: {token: 'env://API_TOKEN'}}
  - {run: dump_to_path, parameters: {out-path: data/orders}}
count: {pipeline: [{run: noise}]}
";

fn project() -> Pipelines {
    let pipelines = Pipelines::new(SPEC);
    let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
    let settings = format!(
        "environments: {{local: {{providers: {{pipelines: {{image: '{image}', claim: results, memory: 1Gi}}}}}}}}\n"
    );
    pipelines.project.write("terrace.yaml", settings);
    pipelines
}

#[test]
fn values_of_a_chart_name_variables_and_not_their_values() {
    let pipelines = project();
    let mut command = pipelines.command(&["pipelines", "chart", "./load-orders"]);
    command.env("API_TOKEN", "open-sesame");
    let ran = pipelines.project.start(command).finish().done();
    ran.prints("\n  inputs: \"").prints("secret: \"load-orders-variables\"").prints("memory: \"1Gi\"");
    ran.prints("the steps read API_TOKEN: create the Secret `load-orders-variables`");
    ran.prints(
        "kubectl -n NAMESPACE create secret generic load-orders-variables --from-literal=API_TOKEN=\"$API_TOKEN\"",
    );
    ran.prints("terrace pipelines chart ./load-orders --schedule '0 4 * * *'");
    assert!(!ran.to_string().contains("open-sesame"), "{ran}");
    let out = [".charts", "nowhere"].map(|folder| format!("{folder}/values.yaml"));
    std::fs::create_dir(pipelines.project.path(".charts")).unwrap();
    let words =
        ["pipelines", "chart", "load-orders", "--schedule", "30 2 * * 7", "--time-zone", "Europe/Rome", "--out"];
    let ran = pipelines.run(&[&words[..], &[&out[0]]].concat()).done();
    assert_eq!(ran.stdout, "");
    let written = pipelines.project.read(&out[0]);
    assert!(written.contains("cron: \"30 2 * * 0\"\n  timeZone: \"Europe/Rome\"\n"), "{written}");
    pipelines.run(&[&words[..], &[&out[1]]].concat()).with_code(1).prints("cannot be written");
}

#[test]
fn site_of_a_chart_has_the_folder_of_the_claim_and_static_files() {
    let pipelines = project();
    pipelines
        .project
        .write("terrace.yaml", pipelines.project.read("terrace.yaml").replace("results,", "results/shop,"));
    let chart = |more: &[&str]| pipelines.run(&[&["pipelines", "chart", "./load-orders"], more].concat());
    let without = chart(&["--site"]).done();
    without
        .prints("\n    pages: {}\n")
        .prints("site:\n  enabled: true\n  folder: \"shop/data\"\n  overlay:\n    archive: \"H4sI");
    pipelines.project.write("public/a: \"b\".html", "hello");
    let with = chart(&["--site=data/orders"]).done();
    let mut command = pipelines.command(&["pipelines", "chart", "./load-orders", "--site"]);
    command.env("API_TOKEN", "open-sesame");
    pipelines.project.write("public/config.js", "let token = 'open-sesame'");
    let refused = pipelines.project.start(command).finish().with_code(1);
    refused.prints("the file `public/config.js` contains the value of the variable `API_TOKEN`, a secret");
    with.prints("  folder: \"shop/data/orders\"").prints("      \"a: \\\"b\\\".html\":\n        sha256: \"2cf24dba");
    chart(&["--site=../elsewhere"])
        .with_code(1)
        .prints("`--site` is `../elsewhere`: expected a folder below the project");
    pipelines
        .project
        .write("terrace.yaml", pipelines.project.read("terrace.yaml").replace(" claim: results/shop,", ""));
    let count = pipelines.run(&["pipelines", "chart", "count", "--site"]).with_code(1);
    count.prints("the pipeline has no claim").prints("hint: set `claim: results/FOLDER`");
}

#[test]
fn chart_that_cannot_work_is_refused_with_a_hint() {
    let pipelines = project();
    let refused = |words: &[&str], message: &str, hint: &str| {
        pipelines.run(&[&["pipelines", "chart"], words].concat()).with_code(1).prints(message).prints(hint);
    };
    refused(&["lode-orders"], "no pipeline here has the id `lode-orders`", "hint: ");
    refused(&["all"], "`all` names 2 pipelines", "`terrace pipelines list` lists them");
    refused(&["count", "--database"], "needs the setting `databaseImage`", "@sha256:DIGEST");
    refused(&["count", "--out", "values.yaml"], "is in the folder of the pipelines", "--out .charts/values.yaml");
    refused(&["count", "--schedule", "30 2 * *"], "has 4 fields", "expected five");
    pipelines.project.write("terrace.yaml", "environments: {local: {overlay: embedded}}\n");
    refused(&["count"], "needs `image`", "then run `terrace pipelines image`");
    assert!(!pipelines.project.path("values.yaml").exists());
}

//! Files of pipelines copied to storage, end to end: plans that list files, failed runs, and kills.
//! `tests/real/storage` tests S3 and Google Cloud Storage.

#[path = "../../../providers/pipelines/tests/put_server.rs"]
#[expect(dead_code, reason = "the tests of the provider use the other items")]
mod put_server;

use crate::pipelines::runs::Pipelines;
use put_server::{Fault, PutServer, TOKEN};
use std::fs;
use terrace_tests::{Ran, until};

const SPEC: &str = "\
committees:
  pipeline:
  - run: noise
    parameters: {rows: 3}
  - run: dump_to_path
    parameters: {out-path: data/committees}
";

/// Returns a stack that copies the pipeline's files to a destination.
fn stack(destination: &str, more: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n\
         - type: pipelines_run\n  name: run\n  config: {{name: ./committees}}\n\
         - type: pipelines_volume_sync\n  name: public\n  config:\n    name: weekly\n    pipeline: ./committees\n\
         \x20   destination: '{destination}'\n    triggers: {{dataset: '${{{{ resources.run.dataset }}}}'}}\n{more}"
    )
}

struct SyncProject {
    pipelines: Pipelines,
}

impl SyncProject {
    fn new(destination: &str, more: &str) -> Self {
        let pipelines = Pipelines::new(SPEC);
        pipelines.project.write("stack.yaml", stack(destination, more));
        pipelines.project.write(
            "terrace.yaml",
            format!(
                "environments: {{local: {{overlay: embedded, providers: {{pipelines: {{webToken: {TOKEN}}}}}}}}}\n"
            ),
        );
        Self { pipelines }
    }

    fn write_stack(&self, destination: &str, more: &str) {
        self.pipelines.project.write("stack.yaml", stack(destination, more));
    }

    fn apply(&self) -> Ran {
        self.pipelines.run(&["apply", "stack.yaml", "--auto-approve"])
    }

    fn plan(&self) -> Ran {
        self.pipelines.run(&["plan", "stack.yaml", "--detailed-exitcode"])
    }
}

#[test]
fn results_of_a_planned_run_are_synced_and_the_second_plan_is_empty() {
    let setup = SyncProject::new("there", "");
    setup.apply().done().prints("Syncing Data Packages to Storage").prints("data/committees > ");
    let project = &setup.pipelines.project;
    let there = "there/weekly/committees";
    assert_eq!(project.read(&format!("{there}/noise.csv")), project.read("data/committees/noise.csv"));
    assert!(project.has(&format!("{there}/datapackage.json")));
    setup.plan().with_code(0);
    project.edit("pipeline-spec.yaml", "rows: 3", "rows: 4");
    setup.apply().done();
    assert_eq!(project.read(&format!("{there}/noise.csv")), project.read("data/committees/noise.csv"));
    setup.plan().with_code(0);
}

#[test]
fn plan_lists_files_to_copy_and_drift_lists_changed_ones() {
    let setup = SyncProject::new("there", "");
    let project = &setup.pipelines.project;
    setup.apply().done();
    project.write("there/weekly/committees/noise.csv", "defaced");
    let drift = setup.pipelines.run(&["drift", "stack.yaml"]).with_code(2);
    drift.prints("committees/noise.csv");
    let plan = setup.plan().with_code(2);
    plan.prints("1 file to send").prints("~ committees/noise.csv (");
    setup.apply().done();
    assert_eq!(project.read("there/weekly/committees/noise.csv"), project.read("data/committees/noise.csv"));
    fs::remove_dir_all(project.path("there")).unwrap();
    setup.plan().with_code(2).prints("2 files to send");
}

#[test]
fn plan_before_the_run_shows_the_known_files() {
    let setup = SyncProject::new("there", "");
    let project = &setup.pipelines.project;
    setup.plan().with_code(2).prints("because the files to copy are known after `data/committees` is written");
    setup.apply().done();
    project.edit("pipeline-spec.yaml", "rows: 3", "rows: 4");
    fs::remove_file(project.path("there/weekly/committees/noise.csv")).unwrap();
    let plan = setup.plan().with_code(2);
    plan.prints("because the files to copy are known after apply; for the present files: 1 file to send");
    // The output breaks lines between words.
    let words = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("1 file to send, 12 bytes: ~ committees/noise.csv (12 bytes)"), "{plan}");
}

#[test]
fn failed_run_is_not_synced() {
    let setup = SyncProject::new("there", "");
    setup.apply().done();
    let project = &setup.pipelines.project;
    let before = project.read("there/weekly/committees/noise.csv");
    project.write("noise.py", "raise SystemExit(3)\n");
    setup.apply().with_code(3);
    assert_eq!(project.read("there/weekly/committees/noise.csv"), before);
    // A sync without a run copies nothing either.
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: alone}\nresources:\n- type: pipelines_volume_sync\n  name: public\n  config: {name: alone, pipeline: ./committees, destination: there}\n",
    );
    setup.apply().with_code(3).prints("the last run of `./committees` failed: nothing is synced");
    assert!(!project.has("there/alone"));
}

#[test]
fn killed_sync_continues_and_never_lists_missing_files() {
    let server = PutServer::start();
    let setup = SyncProject::new(&format!("{}/store", server.url), "");
    let project = &setup.pipelines.project;
    project.write("data/committees/other.csv", "1");
    server.fails("other.csv", Fault::Wait);
    let mut running = setup.pipelines.start(&["apply", "stack.yaml", "--auto-approve"]);
    // The journal has a line after the response was received.
    let is_written = || {
        let journals = fs::read_dir(project.path(".terrace/pipelines/syncs")).into_iter().flatten().flatten();
        let texts = journals.filter_map(|journal| fs::read_to_string(journal.path().join("journal.jsonl")).ok());
        texts.into_iter().any(|text| text.contains("noise.csv"))
    };
    until("the other file is being sent", || server.count_requests("PUT", "other.csv") == 1 && is_written());
    running.kill();
    until("it is gone", || running.has_ended());
    assert_eq!(server.count_requests("PUT", "datapackage.json"), 0);
    server.release();
    server.forget();
    setup.apply().done();
    let sent: Vec<String> = server.put().iter().filter_map(|path| Some(path.rsplit('/').next()?.to_owned())).collect();
    assert!(!sent.contains(&"noise.csv".to_owned()), "it was there and right: {sent:?}");
    assert_eq!(sent.last().map(String::as_str), Some(".terrace-sync.json"), "{sent:?}");
    setup.plan().with_code(0);
    server.assert_well_used();
}

#[test]
fn removed_sync_keeps_its_files_unless_deletion_is_set() {
    let server = PutServer::start();
    let setup = SyncProject::new(&format!("{}/store", server.url), "");
    setup.apply().done();
    let destroy = || setup.pipelines.run(&["destroy", "stack.yaml", "--auto-approve"]).done();
    destroy();
    assert_eq!(server.files().len(), 2, "{:?}", server.files());
    setup.write_stack(&format!("{}/store", server.url), "    deleteOutputs: true\n");
    setup.apply().done();
    destroy();
    assert_eq!(server.files().len(), 0);
    server.assert_well_used();
}

#[test]
fn files_removed_at_the_source_are_deleted_only_with_consent() {
    let setup = SyncProject::new("there", "    delete: true\n");
    let project = &setup.pipelines.project;
    project.write("data/committees/old.csv", "1");
    setup.apply().done();
    fs::remove_file(project.path("data/committees/old.csv")).unwrap();
    setup.apply().with_code(4).prints("the file `committees/old.csv` is removed");
    assert!(project.has("there/weekly/committees/old.csv"));
    setup.pipelines.run(&["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
    assert!(!project.has("there/weekly/committees/old.csv"));
}

#[test]
fn invalid_sync_is_reported_at_its_place_before_any_change() {
    let setup = SyncProject::new("ftp://there", "");
    let output = setup.plan().with_code(1);
    output.prints("[stack.yaml:13:5]").prints("`destination` has an unsupported scheme");
    setup.write_stack("s3://bucket/x", "");
    setup
        .plan()
        .with_code(1)
        .prints("`s3://` needs `s3AccessKeyId` and `s3SecretAccessKey`")
        .prints("AWS_ACCESS_KEY_ID");
    setup.write_stack(".", "    publicUrl: https://data.example.com\n");
    setup.apply().done();
    assert!(setup.pipelines.project.has("weekly/committees/datapackage.json"));
    setup
        .pipelines
        .run(&["state", "show", "pipelines_volume_sync.public"])
        .done()
        .prints("https://data.example.com/weekly/committees/datapackage.json");
}

/// Returns the lines after the results.
fn synced(setup: &SyncProject, ran: &Ran) -> Vec<String> {
    let folder = setup.pipelines.project.path(".").canonicalize().unwrap().display().to_string();
    let lines = ran.stderr.lines().skip_while(|line| !line.starts_with("Syncing"));
    lines.map(|line| line.replace(&folder, "[folder]")).collect()
}

#[test]
fn run_copies_its_results_and_prints_the_destination() {
    let setup = SyncProject::new("unused", "");
    let project = &setup.pipelines.project;
    let ran = setup.pipelines.run(&["pipelines", "run", "--sync", "there"]).done();
    let packages = ["Syncing Data Packages to Storage", "data/committees > [folder]/there/committees/committees/"];
    assert_eq!(synced(&setup, &ran), packages);
    assert_eq!(project.read("there/committees/committees/noise.csv"), project.read("data/committees/noise.csv"));
    // The sync also copies without a run, and it copies the site if there is one.
    fs::remove_dir_all(project.path("there")).unwrap();
    project.write("data/index.html", "<h1>Hello</h1>");
    project.write("public/404.html", "<h1>Not here</h1>");
    let ran = setup.pipelines.run(&["pipelines", "run", "--dirty", "--sync", "there", "--public"]).done();
    let all = [
        "Syncing Data Packages to Public Storage",
        packages[1],
        "Syncing Static Website to Public Storage",
        "data/index.html > [folder]/there/_site/",
    ];
    assert_eq!(synced(&setup, &ran), all);
    assert!(project.has("there/committees/committees/datapackage.json"));
    assert!(project.has("there/_site/404.html") && project.has("there/_site/committees/noise.csv"));
    let json = setup.pipelines.run(&["pipelines", "run", "--sync", "there", "--json"]).done().json();
    let url = json["results"][0]["urls"][0].as_str().unwrap();
    assert!(url.ends_with("/there/committees/committees/datapackage.json"), "{json}");
    assert!(!project.has(".terrace/state.db"), "without a plan there is no state");
    // The configuration can set the destination. A flag overrides it.
    project.write("terrace.yaml", "environments: {local: {providers: {pipelines: {sync: there, syncPublic: true}}}}\n");
    fs::remove_dir_all(project.path("there")).unwrap();
    let ran = setup.pipelines.run(&["pipelines", "run"]).done();
    assert_eq!(synced(&setup, &ran), all);
    let ran = setup.pipelines.run(&["pipelines", "run", "--sync", "elsewhere"]).done();
    assert_eq!(synced(&setup, &ran)[0], packages[0]);
    assert!(project.has("elsewhere/committees/committees/datapackage.json"));
}

#[test]
fn sync_errors_are_reported_before_the_run_if_possible() {
    let setup = SyncProject::new("unused", "");
    let pipelines = &setup.pipelines;
    for (words, message) in [
        (&["pipelines", "run", "--sync", "s3://bucket/x"][..], "s3AccessKeyId"),
        (&["pipelines", "run", "--sync", "data"], "contain each other"),
        (&["pipelines", "run", "--sync", "https://there.example.com", "--public"], "a web server itself decides"),
        (&["pipelines", "run", "--public"], "--sync"),
    ] {
        let ran = pipelines.run(words);
        assert!(ran.code == 1 && ran.stderr.contains(message), "{words:?}: {ran}");
        assert!(!pipelines.project.has(".terrace/pipelines/runs"), "{words:?}");
    }
    let server = PutServer::start();
    server.fails("noise.csv", Fault::Refused);
    let ran = pipelines.run(&["pipelines", "run", "./committees", "--sync", &server.url]).with_code(3);
    ran.prints("./committees: SUCCESS").prints("error: ./committees is not synced: ").prints("413");
    assert!(!ran.stderr.contains(TOKEN), "{ran}");
    // A storage error does not make the run fail.
    for (fault, status) in [(Fault::Full, "507"), (Fault::Expired, "401")] {
        server.fails("noise.csv", fault);
        let ran = pipelines.run(&["pipelines", "run", "./committees", "--sync", &server.url]).with_code(4);
        ran.prints("./committees: SUCCESS").prints("error: ./committees is not synced: ").prints(status);
        assert_eq!(server.count_requests("PUT", "datapackage.json"), 0, "{ran}");
    }
    pipelines.run(&["pipelines", "run", "./committees", "--sync", &server.url]).done();
    // A failed run is not copied.
    pipelines.project.write("noise.py", "raise SystemExit(3)\n");
    pipelines.run(&["pipelines", "run", "./committees", "--sync", "there"]).with_code(3);
    assert!(!pipelines.project.has("there"));
}

/// Writes a page and no data package.
const RENDER: &str = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
os.makedirs('data', exist_ok=True)
open('data/index.html', 'w').write('<h1>Hello World</h1>')
spew(package, [], {})
";

#[test]
fn site_is_synced_whichever_pipelines_ran() {
    let pipelines =
        Pipelines::new("render_index: {pipeline: [{run: render_index}]}\nplain: {pipeline: [{run: noise}]}\n");
    let project = &pipelines.project;
    project.write("render_index.py", RENDER);
    project.write("public/404.html", "<h1>Not here</h1>");
    // Errors are reported before any run.
    for (place, message) in
        [("s3://bucket/x", "s3AccessKeyId"), ("data", "contain each other"), ("public", "contain each other")]
    {
        pipelines.run(&["pipelines", "run", "all", "--sync", place]).with_code(1).prints(message);
        assert!(!project.has(".terrace/pipelines/runs"), "{place}");
    }
    // The page is known only after all runs.
    let nothing = pipelines.run(&["pipelines", "run", "./plain", "--sync", "there"]).with_code(1);
    nothing.prints("./plain: SUCCESS").prints("there is nothing to sync: ").prints("`data/index.html`");
    assert!(!project.has("there"));
    let ran = pipelines.run(&["pipelines", "run", "all", "--sync", "there", "--public"]).done();
    let folder = project.path(".").canonicalize().unwrap().display().to_string();
    let lines: Vec<&str> = ran.stderr.lines().skip_while(|line| !line.starts_with("Syncing")).collect();
    let there = format!("data/index.html > {folder}/there/_site/");
    assert_eq!(lines, ["Syncing Static Website to Public Storage", there.as_str()], "{ran}");
    assert!(project.has("there/_site/index.html") && project.has("there/_site/404.html"));
    // The site exists now, so a run of another pipeline copies it too.
    fs::remove_dir_all(project.path("there")).unwrap();
    pipelines
        .run(&["pipelines", "run", "./plain", "--sync", "there"])
        .done()
        .prints("Syncing Static Website to Storage");
    assert!(project.has("there/_site/index.html"));
    // Failed runs are not copied, and only their failure is reported.
    project.write("render_index.py", "raise SystemExit(3)\n");
    let failed = pipelines.run(&["pipelines", "run", "./render_index", "--sync", "there"]).with_code(3);
    assert!(!failed.stderr.contains("sync"), "{failed}");
}

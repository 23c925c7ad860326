//! Files of pipelines brought elsewhere, from outside: plans that say what goes, failed runs, kills. S3 and Google Cloud Storage
//! are in `tests/real/storage`.

#[path = "../../providers/pipelines/tests/put_server.rs"]
#[expect(dead_code, reason = "the tests of the provider use what is left")]
mod put_server;

use crate::pipelines::Pipelines;
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

/// A stack that brings what the pipeline wrote to a place.
fn stack(destination: &str, more: &str) -> String {
    format!(
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {{name: demo}}\nresources:\n\
         - type: pipelines_run\n  name: run\n  config: {{name: ./committees}}\n\
         - type: pipelines_volume_sync\n  name: public\n  config:\n    name: weekly\n    pipeline: ./committees\n\
         \x20   destination: '{destination}'\n    triggers: {{dataset: '${{{{ resources.run.dataset }}}}'}}\n{more}"
    )
}

struct World {
    pipelines: Pipelines,
}

impl World {
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
fn what_a_run_is_still_to_write_is_synced_after_it_and_the_second_plan_is_empty() {
    let world = World::new("there", "");
    world.apply().done().says("Syncing Data Packages to Storage").says("data/committees > ");
    let project = &world.pipelines.project;
    let there = "there/weekly/committees";
    assert_eq!(project.read(&format!("{there}/noise.csv")), project.read("data/committees/noise.csv"));
    assert!(project.has(&format!("{there}/datapackage.json")));
    world.plan().with_code(0);
    project.edit("pipeline-spec.yaml", "rows: 3", "rows: 4");
    world.apply().done();
    assert_eq!(project.read(&format!("{there}/noise.csv")), project.read("data/committees/noise.csv"));
    world.plan().with_code(0);
}

#[test]
fn a_plan_says_which_files_go_and_a_drift_which_were_changed() {
    let world = World::new("there", "");
    let project = &world.pipelines.project;
    world.apply().done();
    project.write("there/weekly/committees/noise.csv", "defaced");
    let drift = world.pipelines.run(&["drift", "stack.yaml"]).with_code(2);
    drift.says("committees/noise.csv");
    let plan = world.plan().with_code(2);
    plan.says("1 file to send").says("~ committees/noise.csv (");
    world.apply().done();
    assert_eq!(project.read("there/weekly/committees/noise.csv"), project.read("data/committees/noise.csv"));
    fs::remove_dir_all(project.path("there")).unwrap();
    world.plan().with_code(2).says("2 files to send");
}

#[test]
fn a_plan_says_as_much_of_files_as_is_known_before_the_run_that_writes_them() {
    let world = World::new("there", "");
    let project = &world.pipelines.project;
    world.plan().with_code(2).says("because which files go is known when `data/committees` is written");
    world.apply().done();
    project.edit("pipeline-spec.yaml", "rows: 3", "rows: 4");
    fs::remove_file(project.path("there/weekly/committees/noise.csv")).unwrap();
    let plan = world.plan().with_code(2);
    plan.says(
        "because which files go is known when what comes before it is done; by those that are there now 1 file to send",
    );
    plan.says("~ committees/noise.csv (");
}

#[test]
fn nothing_is_synced_after_a_run_that_failed() {
    let world = World::new("there", "");
    world.apply().done();
    let project = &world.pipelines.project;
    let before = project.read("there/weekly/committees/noise.csv");
    project.write("noise.py", "raise SystemExit(3)\n");
    world.apply().with_code(3);
    assert_eq!(project.read("there/weekly/committees/noise.csv"), before);
    // Neither is it by a sync alone.
    project.write(
        "stack.yaml",
        "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: alone}\nresources:\n- type: pipelines_volume_sync\n  name: public\n  config: {name: alone, pipeline: ./committees, destination: there}\n",
    );
    world.apply().with_code(3).says("the last run of `./committees` failed: nothing is synced");
    assert!(!project.has("there/alone"));
}

#[test]
fn a_kill_in_the_middle_is_gone_on_with_and_no_package_names_what_is_not_there() {
    let server = PutServer::start();
    let world = World::new(&format!("{}/store", server.url), "");
    let project = &world.pipelines.project;
    project.write("data/committees/other.csv", "1");
    server.fails("other.csv", Fault::Wait);
    let mut running = world.pipelines.start(&["apply", "stack.yaml", "--auto-approve"]);
    // The answer is heard when it is written down.
    let is_written = || {
        let journals = fs::read_dir(project.path(".terrace/pipelines/syncs")).into_iter().flatten().flatten();
        let texts = journals.filter_map(|journal| fs::read_to_string(journal.path().join("journal.jsonl")).ok());
        texts.into_iter().any(|text| text.contains("noise.csv"))
    };
    until("the other file is being sent", || server.asked("PUT", "other.csv") == 1 && is_written());
    running.kill();
    until("it is gone", || running.has_ended());
    assert_eq!(server.asked("PUT", "datapackage.json"), 0);
    server.go_on();
    server.forget();
    world.apply().done();
    let sent: Vec<String> = server.put().iter().filter_map(|path| Some(path.rsplit('/').next()?.to_owned())).collect();
    assert!(!sent.contains(&"noise.csv".to_owned()), "it was there and right: {sent:?}");
    assert_eq!(sent.last().map(String::as_str), Some(".terrace-sync.json"), "{sent:?}");
    world.plan().with_code(0);
    server.assert_well_used();
}

#[test]
fn removing_a_sync_leaves_the_files_unless_they_are_asked_for() {
    let server = PutServer::start();
    let world = World::new(&format!("{}/store", server.url), "");
    world.apply().done();
    let destroy = || world.pipelines.run(&["destroy", "stack.yaml", "--auto-approve"]).done();
    destroy();
    assert_eq!(server.files().len(), 2, "{:?}", server.files());
    world.write_stack(&format!("{}/store", server.url), "    deleteOutputs: true\n");
    world.apply().done();
    destroy();
    assert_eq!(server.files().len(), 0);
    server.assert_well_used();
}

#[test]
fn what_the_source_has_no_more_goes_with_consent_alone() {
    let world = World::new("there", "    delete: true\n");
    let project = &world.pipelines.project;
    project.write("data/committees/old.csv", "1");
    world.apply().done();
    fs::remove_file(project.path("data/committees/old.csv")).unwrap();
    world.apply().with_code(4).says("the file `committees/old.csv` is removed");
    assert!(project.has("there/weekly/committees/old.csv"));
    world.pipelines.run(&["apply", "stack.yaml", "--auto-approve", "--allow-data-loss"]).done();
    assert!(!project.has("there/weekly/committees/old.csv"));
}

#[test]
fn what_cannot_be_synced_is_told_with_its_place_before_anything_is_done() {
    let world = World::new("ftp://there", "");
    let told = world.plan().with_code(1);
    told.says("[stack.yaml:13:5]").says("`destination` is of a kind that nothing can be brought to");
    world.write_stack("s3://bucket/x", "");
    world.plan().with_code(1).says("`s3://` needs `s3AccessKeyId` and `s3SecretAccessKey`").says("AWS_ACCESS_KEY_ID");
    world.write_stack(".", "    publicUrl: https://data.example.com\n");
    world.apply().done();
    assert!(world.pipelines.project.has("weekly/committees/datapackage.json"));
    world
        .pipelines
        .run(&["state", "show", "pipelines_volume_sync.public"])
        .done()
        .says("https://data.example.com/weekly/committees/datapackage.json");
}

/// What is told after the results.
fn synced(world: &World, ran: &Ran) -> Vec<String> {
    let folder = world.pipelines.project.path(".").canonicalize().unwrap().display().to_string();
    let lines = ran.stderr.lines().skip_while(|line| !line.starts_with("Syncing"));
    lines.map(|line| line.replace(&folder, "[folder]")).collect()
}

#[test]
fn a_run_brings_what_it_wrote_elsewhere_and_tells_where() {
    let world = World::new("unused", "");
    let project = &world.pipelines.project;
    let ran = world.pipelines.run(&["run", "--sync", "there"]).done();
    let packages = ["Syncing Data Packages to Storage", "data/committees > [folder]/there/committees/committees/"];
    assert_eq!(synced(&world, &ran), packages);
    assert_eq!(project.read("there/committees/committees/noise.csv"), project.read("data/committees/noise.csv"));
    // Also where nothing had to be run; and the site, where there is one.
    fs::remove_dir_all(project.path("there")).unwrap();
    project.write("data/index.html", "<h1>Hello</h1>");
    project.write("public/404.html", "<h1>Not here</h1>");
    let ran = world.pipelines.run(&["run", "--dirty", "--sync", "there", "--public"]).done();
    let all = [
        "Syncing Data Packages to Public Storage",
        packages[1],
        "Syncing Static Website to Public Storage",
        "data/index.html > [folder]/there/_site/",
    ];
    assert_eq!(synced(&world, &ran), all);
    assert!(project.has("there/committees/committees/datapackage.json"));
    assert!(project.has("there/_site/404.html") && project.has("there/_site/committees/noise.csv"));
    let json = world.pipelines.run(&["run", "--sync", "there", "--json"]).done().json();
    let url = json["results"][0]["urls"][0].as_str().unwrap();
    assert!(url.ends_with("/there/committees/committees/datapackage.json"), "{json}");
    assert!(!project.has(".terrace/state.db"), "without a plan there is no state");
    // A project may say where to once and for all; who is told another place goes there.
    project.write("terrace.yaml", "environments: {local: {providers: {pipelines: {sync: there, syncPublic: true}}}}\n");
    fs::remove_dir_all(project.path("there")).unwrap();
    let ran = world.pipelines.run(&["run"]).done();
    assert_eq!(synced(&world, &ran), all);
    let ran = world.pipelines.run(&["run", "--sync", "elsewhere"]).done();
    assert_eq!(synced(&world, &ran)[0], packages[0]);
    assert!(project.has("elsewhere/committees/committees/datapackage.json"));
}

#[test]
fn what_cannot_be_synced_is_told_before_the_run_and_what_could_not_after_it() {
    let world = World::new("unused", "");
    let pipelines = &world.pipelines;
    for (words, told) in [
        (&["run", "--sync", "s3://bucket/x"][..], "s3AccessKeyId"),
        (&["run", "--sync", "data"], "lie in each other"),
        (&["run", "--sync", "https://there.example.com", "--public"], "only the server knows"),
        (&["run", "--public"], "--sync"),
    ] {
        let ran = pipelines.run(words);
        assert!(ran.code == 1 && ran.stderr.contains(told), "{words:?}: {ran}");
        assert!(!pipelines.project.has(".terrace/pipelines/runs"), "{words:?}");
    }
    let server = PutServer::start();
    server.fails("noise.csv", Fault::Refused);
    let ran = pipelines.run(&["run", "./committees", "--sync", &server.url]).with_code(3);
    ran.says("./committees: SUCCESS").says("error: ./committees is not synced: ").says("413");
    assert!(!ran.stderr.contains(TOKEN), "{ran}");
    // What it may not have is no failure of its own.
    for (fault, status) in [(Fault::Full, "507"), (Fault::Expired, "401")] {
        server.fails("noise.csv", fault);
        let ran = pipelines.run(&["run", "./committees", "--sync", &server.url]).with_code(4);
        ran.says("./committees: SUCCESS").says("error: ./committees is not synced: ").says(status);
        assert_eq!(server.asked("PUT", "datapackage.json"), 0, "{ran}");
    }
    pipelines.run(&["run", "./committees", "--sync", &server.url]).done();
    // A run that failed brings nothing anywhere.
    pipelines.project.write("noise.py", "raise SystemExit(3)\n");
    pipelines.run(&["run", "./committees", "--sync", "there"]).with_code(3);
    assert!(!pipelines.project.has("there"));
}

/// Writes a page, and no data package.
const RENDER: &str = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
os.makedirs('data', exist_ok=True)
open('data/index.html', 'w').write('<h1>Hello World</h1>')
spew(package, [], {})
";

#[test]
fn a_site_that_comes_of_runs_is_synced_whichever_pipelines_ran() {
    let pipelines =
        Pipelines::new("render_index: {pipeline: [{run: render_index}]}\nplain: {pipeline: [{run: noise}]}\n");
    let project = &pipelines.project;
    project.write("render_index.py", RENDER);
    project.write("public/404.html", "<h1>Not here</h1>");
    // What cannot work is told before anything is run.
    for (place, told) in [("s3://bucket/x", "s3AccessKeyId"), ("data", "lie in each other"), ("public", "lie in")] {
        pipelines.run(&["run", "all", "--sync", place]).with_code(1).says(told);
        assert!(!project.has(".terrace/pipelines/runs"), "{place}");
    }
    // Whether there will be a page is known only when all has been run.
    let nothing = pipelines.run(&["run", "./plain", "--sync", "there"]).with_code(1);
    nothing.says("./plain: SUCCESS").says("there is nothing to sync: ").says("`data/index.html`");
    assert!(!project.has("there"));
    let ran = pipelines.run(&["run", "all", "--sync", "there", "--public"]).done();
    let folder = project.path(".").canonicalize().unwrap().display().to_string();
    let lines: Vec<&str> = ran.stderr.lines().skip_while(|line| !line.starts_with("Syncing")).collect();
    let there = format!("data/index.html > {folder}/there/_site/");
    assert_eq!(lines, ["Syncing Static Website to Public Storage", there.as_str()], "{ran}");
    assert!(project.has("there/_site/index.html") && project.has("there/_site/404.html"));
    // The site is there already: whoever runs another pipeline brings it, too.
    fs::remove_dir_all(project.path("there")).unwrap();
    pipelines.run(&["run", "./plain", "--sync", "there"]).done().says("Syncing Static Website to Storage");
    assert!(project.has("there/_site/index.html"));
    // Of runs that failed nothing comes, and that is what is told of them.
    project.write("render_index.py", "raise SystemExit(3)\n");
    let failed = pipelines.run(&["run", "./render_index", "--sync", "there"]).with_code(3);
    assert!(!failed.stderr.contains("sync"), "{failed}");
}

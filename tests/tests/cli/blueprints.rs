//! Users' own blueprints: written, checked and tested without a descriptor, state or network.

use std::collections::BTreeSet;
use std::path::PathBuf;
use terrace_tests::{Project, repository, snapshot};

/// The folders of built-in blueprints.
fn built_in() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(repository().join("providers")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path().join("blueprints")).filter(|folder| folder.is_dir());
    folders.collect()
}

const PAGE: &str = r#"apiVersion: terrace.dev/v1
kind: Blueprint
metadata: {name: page, version: 1.0.0}
match: {kind: workload, technology: pages}
specific:
  type: object
  required: [title]
  additionalProperties: false
  properties: {title: {type: string}, author: {type: string, default: nobody}}
checks:
  - {assert: "${{ component.specific.title != '' }}", error: a page needs a title, at: specific.title}
resources:
  - type: local_file
    name: page
    config: {path: "pages/${{ component.key }}.txt", content: "${{ component.specific.title }} by ${{ component.specific.author }}"}
outputs:
  public: {page: "${{ resources.page.path }}"}
"#;

const PAGE_TEST: &str = r#"# what a page becomes
apiVersion: terrace.dev/v1
kind: BlueprintTest
cases:
  - name: a page # by its title
    component: {kind: workload, technology: Pages, specific: {title: Hello}}

  - name: a page in a stack
    component:
      blueprint: page
      specific: {title: Hello, author: jane}
    expect:
      outputs: {component/page: pages/component.txt}
      resources:
        component/local_file.page:
          sensitive: false
          mode: "0644"
          makeParents: true
          path: pages/component.txt
          content: Hello by jane

  - name: a page without a title
    component: {kind: workload, technology: pages, specific: {titel: Hello}}
    expect: {errors: [something else]}
"#;

fn with_page() -> Project {
    let project = Project::new();
    project.write("blueprints/page.yaml", PAGE);
    project.write("blueprints/page.test.yaml", PAGE_TEST);
    project
}

#[test]
fn every_built_in_blueprint_has_tests_and_passes_them() {
    let project = Project::new();
    for folder in built_in() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && !name.ends_with(".test.yaml") {
                let test = folder.join(name.replace(".yaml", ".test.yaml"));
                assert!(test.is_file(), "{} has no test", path.display());
            }
        }
        let ran = project.run(["blueprints", "test", folder.to_str().unwrap()]).done();
        ran.prints(" tests passed");
    }
    assert!(project.all_files().is_empty(), "testing left something behind");
}

#[test]
fn blueprint_of_the_guide_passes_its_test() {
    let guide = std::fs::read_to_string(repository().join("docs/blueprints.md")).unwrap();
    let block = |kind: &str| {
        let blocks = guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        blocks.into_iter().find(|block| block.contains(kind)).unwrap().to_owned()
    };
    let project = Project::new();
    project.write("blueprints/page.yaml", block("kind: Blueprint\n"));
    project.write("blueprints/page.test.yaml", block("kind: BlueprintTest\n"));
    assert_eq!(project.run(["blueprints", "check"]).done().stderr, "");
    assert_eq!(project.run(["blueprints", "test"]).done().stdout, "2 tests passed\n");
}

#[test]
fn failed_test_shows_the_difference() {
    let project = with_page();
    let ran = project.run(["blueprints", "test"]);
    assert_eq!(project.all_files().len(), 2, "testing left something behind");
    assert_eq!(project.read("blueprints/page.test.yaml"), PAGE_TEST, "testing changed the test");
    snapshot!(ran, @r#"
    exit: 1
    --- stdout
    FAILED: blueprints/page.test.yaml: a page
      the case has no `expect`; its actual result:
      resources:
        component/local_file.page:
          path: pages/component.txt
          content: Hello by nobody
          mode: "0644"
          sensitive: false
          makeParents: true
      outputs:
        component/page: pages/component.txt
    FAILED: blueprints/page.test.yaml: a page without a title
      --- expected
      +++ is
      @@ -1,2 +1,3 @@
       errors:
      -  - something else
      +  - "`specific` has no field `titel`"
      +  - "`specific` needs `title`"
    2 of 3 tests failed
    --- stderr
    `terrace blueprints test --accept` writes the actual results as the expected ones
    "#);
}

#[test]
fn accept_writes_the_outcome_and_keeps_the_rest_of_the_test() {
    let project = with_page();
    let ran = project.run(["blueprints", "test", "--accept", "blueprints/page.yaml"]).done();
    assert_eq!(
        ran.stdout,
        "written: blueprints/page.test.yaml: a page\nwritten: blueprints/page.test.yaml: a page without a title\n\
         3 tests passed, 2 of them written\n"
    );
    insta::assert_snapshot!(project.read("blueprints/page.test.yaml"), @r#"
    # what a page becomes
    apiVersion: terrace.dev/v1
    kind: BlueprintTest
    cases:
      - name: a page # by its title
        component: {kind: workload, technology: Pages, specific: {title: Hello}}
        expect:
          resources:
            component/local_file.page:
              path: pages/component.txt
              content: Hello by nobody
              mode: "0644"
              sensitive: false
              makeParents: true
          outputs:
            component/page: pages/component.txt

      - name: a page in a stack
        component:
          blueprint: page
          specific: {title: Hello, author: jane}
        expect:
          outputs: {component/page: pages/component.txt}
          resources:
            component/local_file.page:
              sensitive: false
              mode: "0644"
              makeParents: true
              path: pages/component.txt
              content: Hello by jane

      - name: a page without a title
        component: {kind: workload, technology: pages, specific: {titel: Hello}}
        expect:
          errors:
            - "`specific` has no field `titel`"
            - "`specific` needs `title`"
    "#);
    assert_eq!(project.run(["blueprints", "test"]).done().stdout, "3 tests passed\n");
    assert_eq!(project.all_files().len(), 2);
}

#[test]
fn invalid_test_is_refused_with_its_place() {
    let project = with_page();
    project.write("blueprints/page.test.yaml", PAGE_TEST.replace("component: {kind", "componnt: {kind"));
    snapshot!(project.run(["blueprints", "test"]), @"
    exit: 1
    --- stderr
    missing_field

      × a case needs `component` or `descriptor`
       ╭─[blueprints/page.test.yaml:5:5]
     5 │   - name: a page # by its title
       ·     ────
       ╰────
      hint: add `component:`, written as in a data product or in a stack

    unknown_field

      × a case has no field `componnt`
       ╭─[blueprints/page.test.yaml:6:5]
     6 │     componnt: {kind: workload, technology: Pages, specific: {title: Hello}}
       ·     ────────
       ╰────
      hint: did you mean `component`?

    missing_field

      × a case needs `component` or `descriptor`
        ╭─[blueprints/page.test.yaml:22:5]
     22 │   - name: a page without a title
        ·     ────
        ╰────
      hint: add `component:`, written as in a data product or in a stack

    unknown_field

      × a case has no field `componnt`
        ╭─[blueprints/page.test.yaml:23:5]
     23 │     componnt: {kind: workload, technology: pages, specific: {titel: Hello}}
        ·     ────────
        ╰────
      hint: did you mean `component`?
    ");
    project.run(["blueprints", "test", "none.test.yaml"]).with_code(1).prints("none.test.yaml");
    project.write("blueprints/other.yaml", PAGE.replace("page", "other").replace("pages", "others"));
    project
        .run(["blueprints", "test", "blueprints/other.yaml"])
        .with_code(1)
        .prints("write `blueprints/other.test.yaml`");
    let bare = Project::new();
    bare.run(["blueprints", "test"]).done().prints("0 tests");
}

#[test]
fn test_that_cannot_be_rewritten_is_left_unchanged() {
    let project = with_page();
    let test = "{apiVersion: terrace.dev/v1, kind: BlueprintTest, cases: [{name: a, component: {blueprint: page}}]}\n";
    project.write("blueprints/page.test.yaml", test);
    project
        .run(["blueprints", "test", "--accept"])
        .with_code(1)
        .prints("write each field of a case on a separate line");
    assert_eq!(project.read("blueprints/page.test.yaml"), test);
}

#[test]
fn results_of_a_blueprint_with_errors_are_not_accepted() {
    let project = with_page();
    project.edit("blueprints/page.yaml", "config: {path:", "config: {pth:");
    let refused = project.run(["blueprints", "test", "--accept", "blueprints/page.yaml"]).with_code(1);
    refused.prints("`local_file` has no attribute `pth`").prints("cannot be accepted");
    assert_eq!(project.read("blueprints/page.test.yaml"), PAGE_TEST);
    project.edit("blueprints/page.yaml", "config: {pth:", "config: {path:");
    project.run(["blueprints", "test", "--accept", "blueprints/page.yaml"]).done();
}

#[test]
fn only_environment_is_the_default() {
    let project = with_page();
    project.write("terrace.yaml", "environments: {development: {}}\n");
    for words in [["blueprints", "check"], ["blueprints", "list"], ["blueprints", "test"]] {
        let ran = project.run(words);
        assert!(!ran.stderr.contains("not configured"), "{ran}");
    }
    project.run(["blueprints", "check", "--env", "local"]).with_code(1).prints("`local` is not configured");
    project.write("terrace.yaml", "environments: {development: {}, production: {}}\n");
    project.run(["blueprints", "check"]).with_code(1).prints("configured are: `development`, `production`");
}

#[test]
fn test_may_have_its_own_overlay_and_settings() {
    let project = with_page();
    let draft = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: draft, version: 1.0.0, overlay: draft}\n\
                 extends: page\nresources:\n  - type: local_file\n    name: draft\n    \
                 config: {path: draft.txt, content: '${{ settings.mark }} ${{ component.specific.author }}'}\n";
    project.write("blueprints/draft.yaml", draft);
    project.write(
        "blueprints/draft.test.yaml",
        "apiVersion: terrace.dev/v1\nkind: BlueprintTest\noverlay: draft\ncases:\n  - name: marked\n    \
         settings: {mark: DRAFT}\n    component: {blueprint: page, specific: {title: Hello}}\n",
    );
    project.run(["blueprints", "test", "--accept", "blueprints/draft.yaml"]).done();
    assert!(project.read("blueprints/draft.test.yaml").contains("content: DRAFT nobody"));
}

#[test]
fn blueprint_that_extends_another_is_checked_with_it() {
    let project = with_page();
    let text = "apiVersion: terrace.dev/v1\nkind: Blueprint\nmetadata: {name: draft, version: 1.0.0, overlay: draft}\n\
                extends: page\nresources:\n  - {type: local_file, name: draft, config: {path: '${{ component.specific.titel }}'}}\n";
    project.write("draft.yaml", text.replace("titel", "title"));
    let ran = project.run(["blueprints", "check", "draft.yaml"]).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1 blueprint checked\n", ""));
    // The same with a built-in blueprint.
    let storage = text.replace("extends: page", "extends: snowflake-storage").replace("titel", "database");
    project.write("draft.yaml", storage);
    let ran = project.run(["blueprints", "check", "draft.yaml"]).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1 blueprint checked\n", ""));
    project.write("draft.yaml", text);
    project.run(["blueprints", "check", "draft.yaml"]).with_code(1).prints("did you mean `title`?");
    project.write("draft.yaml", text.replace("extends: page", "extends: pag"));
    project.run(["blueprints", "check", "draft.yaml"]).with_code(1).prints("did you mean `page`?");
}

#[test]
fn new_blueprint_has_a_schema_and_a_test_that_pass() {
    let project = Project::new();
    snapshot!(project.run(["blueprints", "new", "report"]), @"
    exit: 0
    --- stdout
    wrote blueprints/report.yaml
    wrote blueprints/report.test.yaml
    wrote blueprints/specific/report.json
    --- stderr

    next: edit them, then `terrace blueprints check` and `terrace blueprints test`
    ");
    let ran = project.run(["blueprints", "check", "blueprints"]).done();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("1 blueprint checked\n", ""));
    assert_eq!(project.run(["blueprints", "test"]).done().stdout, "1 test passed\n");
    // The new blueprint works.
    project.write_stack("components: {one: {blueprint: report, specific: {title: Hello}}}\n");
    project.apply().done();
    assert_eq!(project.read("pages/one.md"), "# Hello\nby nobody\n");
    project.assert_settled("stack.yaml", &[]);
}

#[test]
fn new_blueprint_can_start_from_any_type_or_blueprint() {
    let project = Project::new();
    let names = |words: [&str; 3], key: &str| -> BTreeSet<String> {
        let json = project.run(words).done().json();
        let all = json.as_array().unwrap().iter();
        match key {
            "types" => {
                all.flat_map(|it| it["types"].as_array().unwrap()).map(|it| it.as_str().unwrap().into()).collect()
            }
            _ => all.map(|it| it["name"].as_str().unwrap().into()).collect(),
        }
    };
    let mut origins = names(["providers", "list", "--json"], "types");
    origins.extend(names(["blueprints", "list", "--json"], "name"));
    assert!(origins.len() > 15, "{origins:?}");
    for origin in &origins {
        let name = format!("my-{}", origin.replace('_', "-type-"));
        // Each command reads all blueprints of its project, so each origin gets another project.
        let alone = Project::new();
        let ran = alone.run(["blueprints", "new", &name, "--from", origin, "-q"]).done();
        assert_eq!(ran.stderr, "", "the sample of {origin} does not fit");
        alone.files().into_iter().for_each(|(path, content)| drop(project.write(&path, content)));
    }
    let ran = project.run(["blueprints", "check", "blueprints"]).done();
    assert_eq!(ran.stderr, "", "a new blueprint has warnings");
    let passed = format!("{} tests passed\n", origins.len());
    assert_eq!(project.run(["blueprints", "test"]).done().stdout, passed);
    let text = project.read("blueprints/my-snowflake-storage.yaml");
    assert!(text.contains("match: {useCaseTemplateId: urn:dmb:utm:my-snowflake-storage-template, kind: storage}\n"));
    // In an overlay it would replace the blueprint that it extends.
    assert!(text.contains("extends: snowflake-storage\n") && !text.contains("overlay"), "{text}");
}

#[test]
fn new_blueprint_replaces_no_file() {
    let project = Project::new();
    project.run(["blueprints", "new", "report"]).done();
    let before = project.all_files();
    project.run(["blueprints", "new", "report"]).with_code(1).prints("the blueprint `report` exists already");
    project.run(["blueprints", "new", "storage"]).with_code(1).prints("the blueprint `storage` exists already");
    project.run(["blueprints", "new", "../x"]).with_code(1).prints("small letters, digits and dashes");
    project.run(["blueprints", "new", "x", "--from", "local_fil"]).with_code(1).prints("did you mean `local_file`?");
    project.run(["blueprints", "new", "x", "--from", "storag"]).with_code(1).prints("did you mean `storage`?");
    assert_eq!(project.all_files(), before);
}

/// The SQL of every object in a database.
fn definitions(project: &Project, path: &str) -> String {
    let database = rusqlite::Connection::open(project.path(path)).unwrap();
    let mut all = database.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let rows = all.query_map([], |row| row.get::<_, String>(0)).unwrap();
    // Each definition is marked with the step that created it.
    let unmarked = |sql: String| match (sql.find(" /* terrace "), sql.find("*/")) {
        (Some(begin), Some(end)) => format!("{}{}", &sql[..begin], &sql[end + 2..]),
        _ => sql,
    };
    rows.map(|sql| unmarked(sql.unwrap())).collect::<Vec<_>>().join(";\n")
}

#[test]
fn tables_have_constraints_and_descriptions_of_their_components() {
    let project = Project::new();
    let column =
        |name: &str, more: &str| format!("{{name: {name}, dataType: NUMBER, description: about {name}{more}}}");
    let schema = format!(
        "[{}, {}, {}, {}]",
        column("ID", ", constraint: PRIMARY_KEY"),
        column("CODE", ", constraint: UNIQUE"),
        column("AMOUNT", ", constraint: NOT_NULL"),
        column("NOTE", "")
    );
    let component = |name: &str, kind: &str, rest: &str| {
        format!(
            "  - {{id: 'urn:dmb:cmp:sales:shop:0:{name}', name: {name}, kind: {kind}, description: about {name}, {rest}}}\n"
        )
    };
    let text = format!(
        "kind: dataproduct\nid: urn:dmb:dp:sales:shop:0\nname: Shop\ndomain: sales\nversion: 0.1.0\ncomponents:\n{}{}{}",
        component(
            "area",
            "storage",
            &format!(
                "useCaseTemplateId: 'urn:dmb:utm:snowflake-storage-template', specific: {{database: S, schema: A, \
                 tables: [{{tableName: ORDERS, description: about orders, schema: {schema}}}]}}"
            )
        ),
        component(
            "store",
            "storage",
            &format!("specific: {{database: S, schema: B}}, dataContract: {{schema: {schema}}}")
        ),
        component(
            "port",
            "outputport",
            &format!("specific: {{database: S, schema: C}}, dataContract: {{schema: {schema}}}")
        ),
    );
    project.write("product.yaml", text);
    project.run(["apply", "product.yaml", "--env", "local", "--auto-approve"]).done();
    insta::assert_snapshot!(definitions(&project, ".terrace/local/S/A.db"), @r#"
    CREATE TABLE "ORDERS"
    -- about orders
    (
      "ID"
        -- about ID
        NUMERIC NOT NULL,
      "CODE"
        -- about CODE
        NUMERIC,
      "AMOUNT"
        -- about AMOUNT
        NUMERIC NOT NULL,
      "NOTE"
        -- about NOTE
        NUMERIC,
      PRIMARY KEY ("ID"),
      UNIQUE ("CODE")
    )
    "#);
    insta::assert_snapshot!(definitions(&project, ".terrace/local/S/B.db"), @r#"
    CREATE TABLE "STORE"
    -- about store
    (
      "ID"
        -- about ID
        NUMERIC NOT NULL,
      "CODE"
        -- about CODE
        NUMERIC,
      "AMOUNT"
        -- about AMOUNT
        NUMERIC NOT NULL,
      "NOTE"
        -- about NOTE
        NUMERIC,
      PRIMARY KEY ("ID"),
      UNIQUE ("CODE")
    )
    "#);
    insta::assert_snapshot!(definitions(&project, ".terrace/local/S/C.db"), @r#"
    CREATE TABLE "PORT"
    -- about port
    (
      "ID"
        -- about ID
        NUMERIC NOT NULL,
      "CODE"
        -- about CODE
        NUMERIC,
      "AMOUNT"
        -- about AMOUNT
        NUMERIC NOT NULL,
      "NOTE"
        -- about NOTE
        NUMERIC,
      PRIMARY KEY ("ID"),
      UNIQUE ("CODE")
    )
    "#);
}

#[test]
fn test_is_found_by_its_blueprint_without_other_files() {
    let project = with_page();
    let alone = Project::new();
    alone.write("page.yaml", PAGE);
    alone.write("page.test.yaml", PAGE_TEST);
    alone.write("stack.yaml", "apiVersion: terrace.dev/v1\nkind: Stack\nmetadata: {name: demo}\n");
    alone.write("values.yaml", "who: me\n");
    alone.run(["blueprints", "test", "page.test.yaml", "--accept"]).done().prints("written: page.test.yaml");
    let named = project.run(["blueprints", "test", "page", "--accept"]).done();
    named.prints("written: blueprints/page.test.yaml");
    snapshot!(project.run(["blueprints", "test", "pgae"]), @"
    exit: 1
    --- stderr
    error: there is no file and no blueprint `pgae`

    hint: did you mean `page`?
    ");
    snapshot!(project.run(["blueprints", "test", "nope.yaml"]), @"
    exit: 1
    --- stderr
    error: there is no file `nope.yaml`
    ");
}

#[test]
fn blueprint_is_checked_by_its_name() {
    let project = with_page();
    project.write(
        "blueprints/wrong.yaml",
        PAGE.replace("name: page,", "name: wrong,").replace("specific.author", "specific.autor"),
    );
    assert_eq!(project.run(["blueprints", "check", "page"]).done().stdout, "1 blueprint checked\n");
    // A built-in blueprint is checked with its overlay for the embedded environment.
    let several = project.run(["blueprints", "check", "page", "blueprints/page.yaml", "snowflake-storage"]).done();
    assert_eq!(several.stdout, "3 blueprints checked\n");
    let named = project.run(["blueprints", "check", "wrong", "--json"]).with_code(1).json();
    let by_path = project.run(["blueprints", "check", "blueprints/wrong.yaml", "--json"]).with_code(1).json();
    assert_eq!(named, by_path);
    snapshot!(project.run(["blueprints", "check", "pgae"]), @"
    exit: 1
    --- stderr
    error: there is no file and no blueprint `pgae`

    hint: did you mean `page`?
    ");
}

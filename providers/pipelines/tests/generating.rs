//! Pipelines that a plugin makes: the plugin lies in the project, and runs in the stand-in's Python.

use crate::harness::{Project, Seen};
use terrace_provider_pipelines::run::State;
use terrace_provider_pipelines::spec::Specs;
use tokio_util::sync::CancellationToken;

const PLUGIN: &str = "\
import os
from datapackage_pipelines.generators import GeneratorBase, steps
print('what a plugin prints is not its answer')
class Generator(GeneratorBase):
    def generate_pipeline(self, source, base):
        for name, details in source.items():
            yield os.path.join(base, name), {
                'title': name, 'a mark of its own': True,
                'pipeline': steps(('made.rows', {'rows': details['rows']}), ('dump_to_path', {'out-path': 'data/' + name})),
            }
";

fn project(source: &str) -> Project {
    let project = Project::new("plain: {dependencies: [{pipeline: ./sub/one}], pipeline: [{run: noise}]}");
    project.write("datapackage_pipelines_made/__init__.py", PLUGIN);
    project.write("datapackage_pipelines_made/processors/rows.py", crate::harness::NOISE);
    project.write("sub/made.source-spec.yaml", source);
    project
}

async fn expand(project: &Project) -> (Specs, Vec<String>) {
    let unmade = project.runner.expand(&project.specs(), &Seen::default(), &CancellationToken::new()).await;
    let told = unmade.into_iter().map(|it| format!("{}; {}", it.why, it.hint.unwrap_or_default())).collect();
    (project.specs(), told)
}

fn told(specs: &Specs) -> Vec<String> {
    specs.problems.iter().map(|problem| problem.in_one_line(specs).to_string()).collect()
}

#[tokio::test]
async fn pipelines_of_a_plugin_are_like_any_others_once_it_was_asked() {
    let project = project("one: {rows: 7}\ntwo: {rows: 3}\n");
    let before = project.specs();
    assert_eq!((before.pipelines.len(), before.sources[0].made), (1, None));
    let (specs, unmade) = expand(&project).await;
    assert_eq!((unmade, told(&specs)), (vec![], vec![]));
    assert_eq!(specs.sources[0].made, Some(2));
    let ids: Vec<&str> = specs.pipelines.iter().map(|pipeline| pipeline.id.as_str()).collect();
    assert_eq!(ids, ["./plain", "./sub/one", "./sub/two"]);
    let record = project.run("./sub/one").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 7), "{record:?}");
    assert!(project.path("sub/data/one/datapackage.json").exists());
    assert_eq!(project.reasons("./sub/one"), Vec::<String>::new());
    // What the source says changes what the plugin makes; it has to be asked again.
    project.write("sub/made.source-spec.yaml", "one: {rows: 8}\n");
    assert_eq!(project.specs().sources[0].made, None);
    expand(&project).await;
    assert_eq!(project.reasons("./sub/one"), ["the spec changed: step 1 (`made.rows`)"]);
    // So does another plugin.
    project.write("datapackage_pipelines_made/__init__.py", &format!("{PLUGIN}\n# other\n"));
    assert_eq!(project.specs().sources[0].made, None);
}

#[tokio::test]
async fn what_a_plugin_does_not_take_is_told_with_the_file() {
    let project = project("one: {row: 7}\n");
    let (specs, unmade) = expand(&project).await;
    assert_eq!(unmade, Vec::<String>::new());
    let told = told(&specs);
    assert!(
        told.iter().any(|line| line.starts_with("sub/made.source-spec.yaml:1:1: the plugin does not take it")),
        "{told:?}"
    );
    assert!(specs.has_unread_file());
}

#[tokio::test]
async fn a_plugin_that_is_not_there_or_fails_is_told_and_asked_again() {
    let project = project("one: {rows: 7}\n");
    project.write("nothing.source-spec.yaml", "a: {}\n");
    project.write("datapackage_pipelines_made/__init__.py", "from datapackage_pipelines.generators import GeneratorBase\nclass Generator(GeneratorBase):\n    def generate_pipeline(self, source, base):\n        raise ValueError('no such table')\n");
    let (specs, unmade) = expand(&project).await;
    assert_eq!(unmade.len(), 2, "{unmade:?}");
    assert!(unmade[0].contains("there is no plugin `datapackage_pipelines_nothing`"), "{unmade:?}");
    assert!(unmade[0].contains("name `datapackage-pipelines-nothing` in a `requirements.txt`"), "{unmade:?}");
    assert!(unmade[1].contains("the plugin fails: ValueError: no such table"), "{unmade:?}");
    assert!(specs.sources.iter().all(|source| source.made.is_none()));
    project.write("datapackage_pipelines_made/__init__.py", PLUGIN);
    assert_eq!(expand(&project).await.0.sources[1].made, Some(1));
}

#[tokio::test]
async fn what_a_plugin_answers_is_not_trusted() {
    let project = project("one: {rows: 7}\n");
    for (answer, words) in [
        ("yield './a%', {'pipeline': [{'run': 'noise'}]}", "a pipeline cannot be called `./a%`"),
        ("yield './a\\n', {'pipeline': [{'run': 'noise'}]}", "a pipeline cannot be called"),
        ("yield './a', {'pipeline': [7]}", "a step is a number"),
        ("yield './a', {'pipeline': [{'run': 'nothing.such'}]}", "there is no processor `nothing.such`"),
        ("yield './a', {}", "there is no `pipeline`"),
        ("yield './plain', {'pipeline': [{'run': 'noise'}]}", "there is a pipeline of this id"),
        ("import os; os.write(1, b'x'); os._exit(0); yield", "the plugin does not answer as it should"),
        ("import os; os._exit(9); yield", "the plugin ended with exit status: 9"),
        ("yield 7", "the plugin fails: TypeError"),
    ] {
        let plugin = format!(
            "from datapackage_pipelines.generators import GeneratorBase\nclass Generator(GeneratorBase):\n    def generate_pipeline(self, source, base):\n        {answer}\n"
        );
        project.write("datapackage_pipelines_made/__init__.py", &plugin);
        let (specs, mut told_of) = expand(&project).await;
        told_of.extend(told(&specs));
        assert!(told_of.iter().any(|line| line.contains(words)), "{answer}: {told_of:?}");
    }
}

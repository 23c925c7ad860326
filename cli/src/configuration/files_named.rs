//! Files that a configuration names, also in environments whose values are not evaluated.

use std::path::{Path, PathBuf};
use terrace_engine::yaml::{Node, NodeKind};

/// Suffix of keys whose fields name a file.
const ENDING: &str = "File";
/// A file of public certificates: not a secret, and often created by a resource.
const PUBLIC: &str = "caFile";
/// A file with the addresses and credentials of clusters.
const KUBECONFIG: &str = "kubeconfig";
/// The field with the files `key` and `cert`.
const TLS: &str = "tls";
/// The function that reads a file.
const FUNCTION: &str = "file(";

/// The files that fields or expressions name by a plain text, relative to the folder. Paths that an expression computes
/// are not included.
pub(super) fn all(node: &Node, folder: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    collect(node, false, &mut names);
    names.into_iter().filter(|name| !name.is_empty()).map(|name| folder.join(name)).collect()
}

fn collect<'a>(node: &'a Node, is_file: bool, names: &mut Vec<&'a str>) {
    match &node.kind {
        NodeKind::Map(entries) => {
            for entry in entries {
                let key = entry.key.as_str();
                collect(&entry.value, key.ends_with(ENDING) && key != PUBLIC || key == KUBECONFIG, names);
                if key == TLS {
                    let fields = ["key", "cert"].into_iter().filter_map(|field| entry.value.get(field)?.as_text());
                    names.extend(fields);
                }
            }
        }
        NodeKind::List(items) => items.iter().for_each(|item| collect(item, is_file, names)),
        NodeKind::Text(text) if text.contains("${{") => names.extend(read_by(text)),
        NodeKind::Text(text) if is_file => names.push(text),
        _ => {}
    }
}

/// The files that an expression reads.
fn read_by(text: &str) -> impl Iterator<Item = &str> {
    text.split(FUNCTION).skip(1).filter_map(|rest| {
        let rest = rest.trim_start();
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        rest.strip_prefix(quote)?.split(quote).next()
    })
}

#[cfg(test)]
mod tests {
    use crate::configuration::Configuration;
    use crate::variables::Variables;
    use std::path::{Path, PathBuf};

    #[test]
    fn files_of_every_environment_are_found() {
        let text = "encryption: {keyFile: state.key, previous: [{keyFile: old.key}]}
server: {tls: {cert: tls/cert.pem, key: tls/key.pem}}
environments:
  one: {providers: {kafka: {caFile: ca.pem, keyFile: client.pem}, snowflake: {password: \"${{ file('pw') }}\"}}}
  two: {settings: {profile: none, file: no}, providers: {databricks: {azure: {certificateFile: /etc/cert.pem}},
    kubernetes: {kubeconfig: clusters}}}
";
        let (configuration, _) = Configuration::parse("terrace.yaml", text, Path::new("/p"), &Variables::default());
        let expected =
            ["state.key", "old.key", "tls/key.pem", "tls/cert.pem", "client.pem", "pw", "/etc/cert.pem", "clusters"];
        let expected: Vec<PathBuf> = expected.into_iter().map(|name| Path::new("/p").join(name)).collect();
        assert_eq!(configuration.named_files, expected);
    }
}

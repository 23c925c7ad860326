//! Commands with which an administrator grants missing rights. Their roles are named by their rights: `kubectl create role` adds
//! nothing to a role that exists.

use crate::identity::{Identity, PLACEHOLDER};
use serde_json::Value as Json;

/// A right by the names of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NeededRight {
    pub(crate) verb: String,
    /// Empty for the core group.
    pub(crate) group: String,
    /// `pods`, `pods/log`.
    pub(crate) resource: String,
}

impl NeededRight {
    /// The resource for kubectl: `deployments.apps`, `deployments.apps/scale`.
    fn target(&self) -> String {
        match (self.group.as_str(), self.resource.split_once('/')) {
            ("", _) => self.resource.clone(),
            (group, None) => format!("{}.{group}", self.resource),
            (group, Some((resource, part))) => format!("{resource}.{group}/{part}"),
        }
    }

    /// True if the rules of a role have the right.
    fn is_in(&self, rules: &Json) -> bool {
        let has = |rule: &Json, field: &str, value: &str| {
            let values = rule.get(field).and_then(Json::as_array).into_iter().flatten();
            values.filter_map(Json::as_str).any(|it| it == value || it == "*")
        };
        rules.as_array().into_iter().flatten().any(|rule| {
            has(rule, "verbs", &self.verb)
                && has(rule, "apiGroups", &self.group)
                && has(rule, "resources", &self.resource)
                && rule.get("resourceNames").is_none()
        })
    }
}

/// A role that another program creates in a namespace.
#[derive(Debug, Clone, Copy)]
pub struct DeployedRole {
    /// Its name.
    pub name: &'static str,
    /// Returns true for a right that the role has by design: verb, group and resource.
    pub has: fn(&str, &str, &str) -> bool,
    /// The command that creates the role in a namespace, or completes it.
    pub creation: fn(&str) -> String,
    /// The folder and the settings for that command, for hints: `in an empty folder`.
    pub conditions: &'static str,
}

/// The identity of an instance, and the role that can have its rights.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    /// The deployed role, and its present rules if the identity can read them.
    pub(crate) role: Option<(DeployedRole, Option<Json>)>,
}

impl Caller {
    /// The hint for missing rights in a namespace, or in the whole cluster if it is empty.
    pub(crate) fn hint(&self, rights: &[NeededRight], namespace: &str) -> String {
        let commands = self.commands(rights, namespace);
        let created = self.role.as_ref().filter(|(role, _)| commands.contains(&(role.creation)(namespace)));
        let conditions = created.map(|(role, _)| format!(" {}", role.conditions)).unwrap_or_default();
        let run = |more: &str| format!("have an administrator run `{}`{conditions}{more}", commands.join("; "));
        match self.identity {
            Identity::Anonymous => "set credentials of the instance: without them, the cluster takes it for \
                                    `system:anonymous`"
                .to_owned(),
            Identity::Unknown => run(&format!(", with the user that the cluster knows instead of {PLACEHOLDER}")),
            _ => run(""),
        }
    }

    /// The commands that grant rights.
    pub(crate) fn commands(&self, rights: &[NeededRight], namespace: &str) -> Vec<String> {
        let is_of = |role: &DeployedRole| {
            !namespace.is_empty() && rights.iter().all(|it| (role.has)(&it.verb, &it.group, &it.resource))
        };
        match self.role.as_ref().filter(|(role, _)| is_of(role)) {
            Some((role, rules)) => {
                let is_complete = rules.as_ref().is_some_and(|rules| rights.iter().all(|right| right.is_in(rules)));
                let creation = (!is_complete).then(|| (role.creation)(namespace));
                creation.into_iter().chain([self.binding(role.name, namespace)]).collect()
            }
            None => by_verbs(rights).iter().flat_map(|rights| self.role_and_binding(rights, namespace)).collect(),
        }
    }

    /// The remedy for a namespace that does not exist.
    pub(crate) fn namespace_hint(&self, namespace: &str) -> String {
        let create = format!("create it first: `kubectl create namespace {namespace}`");
        match &self.role {
            Some((role, _)) => {
                format!("{create}, or have an administrator run `{}` {}", (role.creation)(namespace), role.conditions)
            }
            None => format!("{create}, or declare it in the stack and name it under `dependsOn`"),
        }
    }

    fn role_and_binding(&self, (verbs, resources): &(Vec<&str>, Vec<String>), namespace: &str) -> [String; 2] {
        let name = format!("terrace-{}-{}", verbs.join("-"), resources.join("-").replace('/', "-"));
        let (verbs, resources) = (verbs.join(","), resources.join(","));
        let role = match namespace {
            "" => format!("kubectl create clusterrole {name} --verb={verbs} --resource={resources}"),
            namespace => format!("kubectl create role {name} -n {namespace} --verb={verbs} --resource={resources}"),
        };
        [role, self.binding(&name, namespace)]
    }

    /// The command that binds a role to the identity.
    fn binding(&self, role: &str, namespace: &str) -> String {
        let (name, option) = (format!("{role}-{}", self.identity.in_name()), self.identity.option());
        match namespace {
            "" => format!("kubectl create clusterrolebinding {name} --clusterrole={role} {option}"),
            namespace => format!("kubectl create rolebinding {name} -n {namespace} --role={role} {option}"),
        }
    }
}

/// Rights as text: `create, get jobs.batch; list pods, events`.
pub(crate) fn in_words(rights: &[NeededRight]) -> String {
    let words: Vec<String> = by_verbs(rights)
        .iter()
        .map(|(verbs, resources)| format!("{} {}", verbs.join(", "), resources.join(", ")))
        .collect();
    words.join("; ")
}

/// Verbs with the resources that need exactly these.
fn by_verbs(rights: &[NeededRight]) -> Vec<(Vec<&str>, Vec<String>)> {
    let mut by_resource: Vec<(String, Vec<&str>)> = Vec::new();
    for right in rights {
        let target = right.target();
        match by_resource.iter_mut().find(|(known, _)| *known == target) {
            Some((_, verbs)) => verbs.push(&right.verb),
            None => by_resource.push((target, vec![&right.verb])),
        }
    }
    let mut grouped: Vec<(Vec<&str>, Vec<String>)> = Vec::new();
    for (resource, verbs) in by_resource {
        match grouped.iter_mut().find(|(known, _)| *known == verbs) {
            Some((_, resources)) => resources.push(resource),
            None => grouped.push((verbs, vec![resource])),
        }
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn right(verb: &str, group: &str, resource: &str) -> NeededRight {
        NeededRight { verb: verb.to_owned(), group: group.to_owned(), resource: resource.to_owned() }
    }

    /// A caller whose role has rights to Jobs, and these rules.
    fn with_role(rules: Option<Json>) -> Caller {
        let role = DeployedRole {
            name: "deployed",
            has: |_, group, resource| (group, resource) == ("batch", "jobs"),
            creation: |namespace| format!("deploy {namespace}"),
            conditions: "in a new shell",
        };
        Caller { identity: Identity::ServiceAccount("ci:bot".to_owned()), role: Some((role, rules)) }
    }

    #[test]
    fn resources_with_the_same_verbs_share_a_role() {
        let rights = [
            right("get", "", "secrets"),
            right("patch", "", "secrets"),
            right("get", "apps", "deployments"),
            right("patch", "apps", "deployments"),
            right("get", "", "pods/log"),
        ];
        assert_eq!(in_words(&rights), "get, patch secrets, deployments.apps; get pods/log");
        let caller = Caller { identity: Identity::User("alice".to_owned()), role: None };
        assert_eq!(
            caller.commands(&rights, "shop"),
            [
                "kubectl create role terrace-get-patch-secrets-deployments.apps -n shop --verb=get,patch \
                 --resource=secrets,deployments.apps",
                "kubectl create rolebinding terrace-get-patch-secrets-deployments.apps-alice -n shop \
                 --role=terrace-get-patch-secrets-deployments.apps --user=alice",
                "kubectl create role terrace-get-pods-log -n shop --verb=get --resource=pods/log",
                "kubectl create rolebinding terrace-get-pods-log-alice -n shop --role=terrace-get-pods-log --user=alice",
            ]
        );
        assert_eq!(
            caller.commands(&[right("list", "", "nodes")], ""),
            [
                "kubectl create clusterrole terrace-list-nodes --verb=list --resource=nodes",
                "kubectl create clusterrolebinding terrace-list-nodes-alice --clusterrole=terrace-list-nodes --user=alice",
            ]
        );
    }

    #[test]
    fn deployed_role_is_created_unless_it_has_the_rights() {
        const BINDING: &str =
            "kubectl create rolebinding deployed-ci:bot -n shop --role=deployed --serviceaccount=ci:bot";
        let jobs = [right("get", "batch", "jobs"), right("create", "batch", "jobs")];
        let rules = |verbs: &[&str]| Some(json!([{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": verbs}]));
        assert_eq!(with_role(None).commands(&jobs, "shop"), ["deploy shop", BINDING]);
        assert_eq!(with_role(rules(&["get"])).commands(&jobs, "shop"), ["deploy shop", BINDING]);
        assert_eq!(with_role(rules(&["get", "create"])).commands(&jobs, "shop"), [BINDING]);
        let hint = |rules| with_role(rules).hint(&jobs, "shop");
        let administrator = "have an administrator run";
        assert_eq!(hint(None), format!("{administrator} `deploy shop; {BINDING}` in a new shell"));
        assert_eq!(hint(rules(&["get", "create"])), format!("{administrator} `{BINDING}`"));
        let other = with_role(rules(&["*"])).commands(&[right("create", "", "namespaces")], "");
        assert!(other[0].starts_with("kubectl create clusterrole terrace-create-namespaces "), "{other:?}");
    }

    #[test]
    fn hint_for_an_unknown_identity_has_a_placeholder() {
        let hint = |identity| Caller { identity, role: None }.hint(&[right("get", "", "pods")], "shop");
        let unknown = hint(Identity::Unknown);
        assert!(unknown.contains("--user=USER`, with the user that the cluster knows instead of USER"), "{unknown}");
        let anonymous = hint(Identity::Anonymous);
        assert!(anonymous.starts_with("set credentials") && !anonymous.contains("kubectl"), "{anonymous}");
    }
}

//! The role mapper: root fields and members of roles. Its REST API is that of the existing service, which can neither
//! list members nor remove a role; an extended one can.

use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// The kind of role mapper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mapper {
    /// The previous role mapper: it does not return root fields or members, and removes nothing.
    Old,
    /// A role mapper that returns and removes everything.
    #[default]
    Extended,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) component: String,
    pub(crate) fields: BTreeSet<String>,
    pub(crate) users: BTreeSet<String>,
    pub(crate) groups: BTreeSet<String>,
}

/// All roles by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    pub(crate) mapper: Mapper,
    pub(crate) roles: BTreeMap<String, Role>,
}

/// A status and a body.
pub(crate) type Answer = (u16, Json);

fn errors(status: u16, error: String) -> Answer {
    (status, json!({"errors": [error]}))
}

/// FastAPI's error of an unknown route.
fn no_route() -> Answer {
    (404, json!({"detail": "Not Found"}))
}

fn no_method() -> Answer {
    (405, json!({"detail": "Method Not Allowed"}))
}

fn unprocessable(field: &str) -> Answer {
    (422, json!({"detail": [{"loc": ["body", field], "msg": "field required", "type": "value_error.missing"}]}))
}

fn texts(body: &Json, name: &str) -> Option<BTreeSet<String>> {
    body[name].as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
}

impl Roles {
    /// Handles a request; the path is without the base, and its parts are decoded.
    pub(crate) fn answer(&mut self, method: &str, path: &[String], body: &Json) -> Answer {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match (method, path.as_slice()) {
            ("GET", ["v1", "health"]) => (200, json!("Alive")),
            ("PUT", ["v1", "roles"]) => self.put_role(body),
            ("PUT", ["v1", "user_roles"]) => self.put_members(body, "users", "user:"),
            ("PUT", ["v1", "group_roles"]) => self.put_members(body, "groups", "group:"),
            ("GET", ["v1", "roles", "component_id", component]) => self.by_component(component),
            ("GET", ["v1", "roles", role]) => self.role(role),
            ("GET", ["v1", "user_roles", role]) if self.mapper == Mapper::Extended => self.members(role, "users"),
            ("GET", ["v1", "group_roles", role]) if self.mapper == Mapper::Extended => self.members(role, "groups"),
            ("DELETE", ["v1", "roles", role]) if self.mapper == Mapper::Extended => match self.roles.remove(*role) {
                Some(_) => (204, Json::Null),
                None => missing(role),
            },
            (_, ["v1", "health" | "roles" | "user_roles" | "group_roles"] | ["v1", "roles", _]) => no_method(),
            _ => no_route(),
        }
    }

    fn shown(&self, id: &str, role: &Role) -> Json {
        match self.mapper {
            Mapper::Old => json!({"role_id": id, "component_id": role.component}),
            Mapper::Extended => {
                json!({"role_id": id, "component_id": role.component, "graphql_root_field_names": role.fields})
            }
        }
    }

    fn role(&self, id: &str) -> Answer {
        self.roles.get(id).map_or_else(|| missing(id), |role| (200, self.shown(id, role)))
    }

    fn by_component(&self, component: &str) -> Answer {
        let found = self.roles.iter().find(|(_, role)| role.component == component);
        match found {
            Some((id, role)) => (200, self.shown(id, role)),
            None => (404, json!(format!("Role not found for component_id {component}"))),
        }
    }

    fn members(&self, id: &str, what: &str) -> Answer {
        let Some(role) = self.roles.get(id) else { return missing(id) };
        let members = if what == "users" { &role.users } else { &role.groups };
        let mut answer = json!({"role_id": id});
        answer[what] = json!(members);
        (200, answer)
    }

    fn put_role(&mut self, body: &Json) -> Answer {
        let Some(id) = body["role_id"].as_str() else { return unprocessable("role_id") };
        let Some(component) = body["component_id"].as_str() else { return unprocessable("component_id") };
        let Some(fields) = texts(body, "graphql_root_field_names") else {
            return unprocessable("graphql_root_field_names");
        };
        if self.roles.get(id).is_some_and(|role| role.component != component) {
            return errors(400, format!("Cannot upsert role with role_id {id}"));
        }
        if self.roles.iter().any(|(other, role)| other != id && role.component == component) {
            // The service does not handle the unique constraint of its table.
            return errors(500, "Internal Server Error".to_owned());
        }
        let role = self.roles.entry(id.to_owned()).or_default();
        (role.component, role.fields) = (component.to_owned(), fields.clone());
        (200, json!({"role_id": id, "component_id": component, "graphql_root_field_names": fields}))
    }

    fn put_members(&mut self, body: &Json, what: &str, prefix: &str) -> Answer {
        let Some(id) = body["role_id"].as_str() else { return unprocessable("role_id") };
        let Some(members) = texts(body, what) else { return unprocessable(what) };
        if let Some(wrong) = members.iter().find(|member| !member.starts_with(prefix)) {
            return (
                422,
                json!({"detail": [{"loc": ["body", what], "msg": format!("{wrong} does not begin with {prefix}"), "type": "value_error"}]}),
            );
        }
        let Some(role) = self.roles.get_mut(id) else { return errors(400, format!("Role not found for role_id {id}")) };
        *(if what == "users" { &mut role.users } else { &mut role.groups }) = members.clone();
        let mut answer = json!({"role_id": id});
        answer[what] = json!(members);
        (200, answer)
    }
}

fn missing(id: &str) -> Answer {
    (404, json!(format!("Role not found for role_id {id}")))
}

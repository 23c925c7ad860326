//! The resource types of Unity Catalog: identified by their metastore, and reached through any of its workspaces.

use super::azure::take_existing;
use super::parts::{id, named, remote, text, workspace_url};
use crate::attributes::texts;
use crate::mark;
use crate::private::PrivateData;
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::{Attribute, AttributeType, Map, Need, Object, Private, ResourceType, Value};

pub(super) fn types() -> Vec<ResourceType> {
    vec![catalog(), schema(), view(), grant(), privilege()]
}

fn metastore() -> Attribute {
    named("metastoreId", "Id of the metastore, from the lookup `databricks_metastore`.")
}

/// Any workspace of the metastore can be used.
fn access_path() -> Attribute {
    text("workspaceUrl", "URL of a workspace of the metastore. An existing object is reached through the recorded one.")
        .required()
        .access_path()
}

fn full_name() -> Attribute {
    text("fullName", "Full name, with catalog and schema, for grants.").stable()
}

fn container(first: Vec<Attribute>, incarnation: Attribute) -> Vec<Attribute> {
    let mut attributes = vec![access_path(), metastore()];
    attributes.extend(first);
    attributes.extend([
        text("comment", "Comment. Left out: not managed."),
        text("owner", "Owner. Defaults to the creator.").normal(normal::non_empty),
        text("storageRoot", "Storage location of its managed tables.").replaces(),
        Attribute::new(
            "properties",
            AttributeType::map(AttributeType::String),
            "Properties. Other properties stay unchanged.",
        ),
        incarnation.stable(),
        take_existing(),
        full_name(),
        id(),
    ]);
    attributes
}

/// Returns true if the object existed before terrace.
fn is_preexisting(_: &Map, private: &Private) -> bool {
    !PrivateData::of(private).preexisting.is_empty()
}

/// Names in Unity Catalog ignore case.
fn caseless(name: Attribute) -> Attribute {
    name.compared(NameRule::Caseless)
}

fn catalog() -> ResourceType {
    let attributes = container(
        vec![caseless(named("name", "Name of the catalog; case is ignored."))],
        text("createdAt", "Creation time. A recreated catalog has another time."),
    );
    let ty = ResourceType::new("databricks_catalog", "A catalog.", &["metastoreId", "name"], Object(attributes));
    ResourceType { holds_data: true, is_adopted: is_preexisting, ..remote(ty) }
}

fn schema() -> ResourceType {
    let attributes = container(
        vec![caseless(named("catalog", "Catalog.")), caseless(named("name", "Name of the schema; case is ignored."))],
        text("schemaId", "Id in Unity Catalog. A recreated schema has another id."),
    );
    let ty = ResourceType::new(
        "databricks_schema",
        "A schema of a catalog.",
        &["metastoreId", "catalog", "name"],
        Object(attributes),
    );
    ResourceType { holds_data: true, needs: &[CATALOG], is_adopted: is_preexisting, ..remote(ty) }
}

/// The catalog of an object.
const CATALOG: Need = Need {
    ty: "databricks_catalog",
    identities: |attributes| Need::named(attributes, &[("metastoreId", "metastoreId"), ("name", "catalog")]),
};

/// The schema of an object.
const SCHEMA: Need = Need {
    ty: "databricks_schema",
    identities: |attributes| {
        Need::named(attributes, &[("metastoreId", "metastoreId"), ("catalog", "catalog"), ("name", "schema")])
    },
};

fn view() -> ResourceType {
    let source = Object(vec![
        text("catalog", "The catalog.").required(),
        text("schema", "The schema.").required(),
        text("name", "Table or view that the view reads.").required(),
    ]);
    let column = Object(vec![
        text("name", "Name of the column, in the source and in the view.").required(),
        text("comment", "Comment. Left out: not managed."),
        text("typeName", "Required type in the source, without numbers: `DECIMAL`."),
        Attribute::new("precision", AttributeType::Int, "Required precision in the source."),
        Attribute::new("scale", AttributeType::Int, "Required scale in the source."),
    ]);
    let attributes = vec![
        workspace_url(),
        metastore(),
        caseless(named("catalog", "The catalog.")),
        caseless(named("schema", "The schema.")),
        caseless(named("name", "Name of the view; case is ignored.")),
        Attribute::new("source", AttributeType::Object(source), "Source of the view.").required(),
        Attribute::new(
            "columns",
            AttributeType::list(AttributeType::Object(column)),
            "Columns of the source that the view shows. Empty: all.",
        )
        .default_value(Value::List(Vec::new())),
        text("comment", "A comment."),
        text("warehouse", "Id of the SQL warehouse that runs the view's statements.").required(),
        text("tableId", "Id in Unity Catalog. A recreated view has another id.").stable(),
        full_name(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_view",
        "A view of a schema.",
        &["metastoreId", "catalog", "schema", "name"],
        Object(attributes),
    );
    ResourceType { is_marked_by_another: mark::is_marked_by_another, needs: &[CATALOG, SCHEMA], ..remote(ty) }
}

/// The attributes of an access: grantee and securable.
fn on_securable() -> Vec<Attribute> {
    vec![
        access_path(),
        metastore(),
        caseless(named("securableType", "`catalog`, `schema`, `table` (also of a view), `volume` or `function`.")),
        caseless(named("fullName", "Full name, with catalog and schema.")),
        named("principal", "User name, display name of a group, or application id of a service principal."),
    ]
}

fn privilege() -> ResourceType {
    let own = named("privilege", "Privilege, in capitals with `_`: `USE_CATALOG`, `CREATE_SCHEMA`.");
    let attributes = on_securable().into_iter().chain([own, take_existing(), id()]).collect();
    let ty = ResourceType::new(
        "databricks_privilege",
        "One privilege of a principal on an object of Unity Catalog. Use it for objects that several products \
         share. A `databricks_grant` of the same principal on the same object would revoke it.",
        &["metastoreId", "securableType", "fullName", "principal", "privilege"],
        Object(attributes),
    );
    ResourceType { grantee: &["principal", "privilege"], is_adopted: is_preexisting, ..remote(ty) }
}

fn grant() -> ResourceType {
    let own = [
        Attribute::new(
            "privileges",
            AttributeType::list(AttributeType::String),
            "Privileges, each in capitals with `_`: `SELECT`, `USE_SCHEMA`.",
        )
        .required()
        .normal(normal::set),
        take_existing(),
        id(),
    ];
    let attributes = on_securable().into_iter().chain(own).collect();
    let ty = ResourceType::new(
        "databricks_grant",
        "The privileges of a principal on an object of Unity Catalog.",
        &["metastoreId", "securableType", "fullName", "principal"],
        Object(attributes),
    );
    ResourceType { grantee: &["principal"], is_adopted, ..remote(ty) }
}

/// Returns true if all privileges existed before terrace.
fn is_adopted(attributes: &Map, private: &Private) -> bool {
    let before = PrivateData::of(private).preexisting;
    let privileges = texts(attributes, "privileges");
    !privileges.is_empty() && privileges.iter().all(|it| before.contains(it))
}

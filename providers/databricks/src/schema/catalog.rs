//! The types of Unity Catalog: named by their metastore, reached by one of its workspaces.

use super::azure::take_existing;
use super::{id, named, remote, text, workspace_url};
use crate::attributes::texts;
use crate::mark;
use crate::private::Kept;
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::{Attribute, AttributeType, Map, Need, Object, Private, ResourceType, Value};

pub(super) fn types() -> Vec<ResourceType> {
    vec![catalog(), schema(), view(), grant(), privilege()]
}

fn metastore() -> Attribute {
    named("metastoreId", "The id of the metastore, which the lookup `databricks_metastore` answers.")
}

/// Any workspace of the metastore will do.
fn way() -> Attribute {
    text("workspaceUrl", "The URL of a workspace of the metastore; once it is there the one on record is asked.")
        .required()
        .way()
}

fn full_name() -> Attribute {
    text("fullName", "The name with those of what it is in, as grants take it.").stable()
}

fn container(first: Vec<Attribute>, made: Attribute) -> Vec<Attribute> {
    let mut attributes = vec![way(), metastore()];
    attributes.extend(first);
    attributes.extend([
        text("comment", "A comment; where there is none, it is nobody's to manage."),
        text("owner", "Who owns it; where nobody is said, whoever made it.").normal(normal::non_empty),
        text("storageRoot", "Where its managed tables are kept.").replaces(),
        Attribute::new(
            "properties",
            AttributeType::map(AttributeType::String),
            "Properties; those that are not said stay as they are.",
        ),
        made.stable(),
        take_existing(),
        full_name(),
        id(),
    ]);
    attributes
}

/// It was there before.
fn was_there(_: &Map, private: &Private) -> bool {
    !Kept::of(private).preexisting.is_empty()
}

/// Unity Catalog knows no case.
fn caseless(name: Attribute) -> Attribute {
    name.compared(NameRule::Caseless)
}

fn catalog() -> ResourceType {
    let attributes = container(
        vec![caseless(named("name", "The catalog's name; case makes no difference."))],
        text("createdAt", "When it was made: another one of the same name has another time."),
    );
    let ty = ResourceType::new("databricks_catalog", "A catalog.", &["metastoreId", "name"], Object(attributes));
    ResourceType { holds_data: true, is_borrowed: was_there, ..remote(ty) }
}

fn schema() -> ResourceType {
    let attributes = container(
        vec![
            caseless(named("catalog", "The catalog.")),
            caseless(named("name", "The schema's name; case makes no difference.")),
        ],
        text("schemaId", "The id that Unity Catalog gave it: another one of the same name has another."),
    );
    let ty = ResourceType::new(
        "databricks_schema",
        "A schema of a catalog.",
        &["metastoreId", "catalog", "name"],
        Object(attributes),
    );
    ResourceType { holds_data: true, needs: &[CATALOG], is_borrowed: was_there, ..remote(ty) }
}

/// The catalog that an object is in.
const CATALOG: Need = Need {
    ty: "databricks_catalog",
    identities: |attributes| Need::named(attributes, &[("metastoreId", "metastoreId"), ("name", "catalog")]),
};

/// The schema that an object is in.
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
        text("name", "The table or view that is read.").required(),
    ]);
    let column = Object(vec![
        text("name", "The column's name, in the source and in the view.").required(),
        text("comment", "A comment; where there is none, comments of the column are nobody's to manage."),
        text("typeName", "The type that it has to have in the source, without numbers: `DECIMAL`."),
        Attribute::new("precision", AttributeType::Int, "The precision that it has to have there."),
        Attribute::new("scale", AttributeType::Int, "The scale that it has to have there."),
    ]);
    let attributes = vec![
        workspace_url(),
        metastore(),
        caseless(named("catalog", "The catalog.")),
        caseless(named("schema", "The schema.")),
        caseless(named("name", "The view's name; case makes no difference.")),
        Attribute::new("source", AttributeType::Object(source), "What the view reads.").required(),
        Attribute::new(
            "columns",
            AttributeType::list(AttributeType::Object(column)),
            "The columns of the source that the view shows; none means all.",
        )
        .default_value(Value::List(Vec::new())),
        text("comment", "A comment."),
        text("warehouse", "The id of the SQL warehouse on which its statements run.").required(),
        text("tableId", "The id that Unity Catalog gave it: another one of the same name has another.").stable(),
        full_name(),
        id(),
    ];
    let ty = ResourceType::new(
        "databricks_view",
        "A view of a schema.",
        &["metastoreId", "catalog", "schema", "name"],
        Object(attributes),
    );
    ResourceType { is_of_another: mark::is_of_another, needs: &[CATALOG, SCHEMA], ..remote(ty) }
}

/// Who has something on what.
fn on_securable() -> Vec<Attribute> {
    vec![
        way(),
        metastore(),
        caseless(named("securableType", "`catalog`, `schema`, `table` (also of a view), `volume` or `function`.")),
        caseless(named("fullName", "The name with those of what it is in.")),
        named("principal", "The user name, the display name of a group, or the application id of a service principal."),
    ]
}

fn privilege() -> ResourceType {
    let own = named("privilege", "The privilege, in capitals with `_`: `USE_CATALOG`, `CREATE_SCHEMA`.");
    let attributes = on_securable().into_iter().chain([own, take_existing(), id()]).collect();
    let ty = ResourceType::new(
        "databricks_privilege",
        "One privilege that somebody has on an object of Unity Catalog, whatever else they have there: what several products \
         share is made of these. Beside a `databricks_grant` of the same principal there it would be taken by that.",
        &["metastoreId", "securableType", "fullName", "principal", "privilege"],
        Object(attributes),
    );
    ResourceType { grantee: &["principal", "privilege"], is_borrowed: was_there, ..remote(ty) }
}

fn grant() -> ResourceType {
    let own = [
        Attribute::new(
            "privileges",
            AttributeType::list(AttributeType::String),
            "The privileges, each in capitals with `_`: `SELECT`, `USE_SCHEMA`.",
        )
        .required()
        .normal(normal::set),
        take_existing(),
        id(),
    ];
    let attributes = on_securable().into_iter().chain(own).collect();
    let ty = ResourceType::new(
        "databricks_grant",
        "The privileges that somebody has on an object of Unity Catalog.",
        &["metastoreId", "securableType", "fullName", "principal"],
        Object(attributes),
    );
    ResourceType { grantee: &["principal"], is_borrowed, ..remote(ty) }
}

/// All of it was there before.
fn is_borrowed(attributes: &Map, private: &Private) -> bool {
    let before = Kept::of(private).preexisting;
    let privileges = texts(attributes, "privileges");
    !privileges.is_empty() && privileges.iter().all(|it| before.contains(it))
}

//! The calls. Each names the page that describes it.

use crate::world::{Validation, World};
use serde_json::{Map, Value as Json, json};
use std::time::Duration;
use terrace_test_listening::strict::{Call, Outcome, Refusal, fault, refused};

/// The permission to register adapters.
pub(crate) const REGISTER: &str = "register";
/// The permission to validate descriptors.
pub(crate) const VALIDATE: &str = "validate";

/// The lifetime of a JWT without a requested one.
const DEFAULT_LIFETIME: u64 = 300;

/// A required text.
fn text<'f>(fields: &'f Map<String, Json>, name: &str) -> Result<&'f str, Refusal> {
    let text = fields.get(name).and_then(Json::as_str).unwrap_or_default();
    if text.is_empty() { Err(fault(400, format!("the field {name} is missing or empty"))) } else { Ok(text) }
}

/// Answers a call with this token.
pub(crate) fn answer(world: &mut World, bearer: Option<&str>, call: &Call<'_>) -> Outcome {
    call.only_queries(&[])?;
    match (call.method, call.path) {
        ("POST", ["api", "auth", "access-tokens", "jwt"]) => exchange(world, bearer, call),
        ("POST", ["api", "builder", "register"]) => {
            permit(world, bearer, REGISTER)?;
            register(world, call)
        }
        ("POST", ["api", "builder", "dataproducts", product, "validate"]) => {
            permit(world, bearer, VALIDATE)?;
            validate(world, product, call)
        }
        _ => Err(fault(404, "Not Found")),
    }
}

fn permit(world: &World, bearer: Option<&str>, permission: &str) -> Result<(), Refusal> {
    let bearer = bearer.ok_or_else(|| fault(401, "Missing credentials"))?;
    if bearer.starts_with("wbat-") {
        return Err(fault(401, "An access token is not a JWT"));
    }
    let permissions = world.permissions(bearer).ok_or_else(|| refused(401, "Invalid or expired token"))?;
    match permissions.contains(permission) {
        true => Ok(()),
        false => Err(refused(403, format!("Permission {permission} is missing"))),
    }
}

/// <https://docs.witboost.com/docs/apis/witboost/authentication>
fn exchange(world: &mut World, bearer: Option<&str>, call: &Call<'_>) -> Outcome {
    if bearer.is_some() {
        return Err(fault(400, "the access token belongs in the body"));
    }
    let fields = call.fields(&["access_token", "duration_seconds", "scope"])?;
    let token = text(fields, "access_token")?;
    let seconds = match fields.get("duration_seconds") {
        None => DEFAULT_LIFETIME,
        Some(seconds) => seconds.as_u64().filter(|it| *it >= 1).ok_or_else(|| fault(400, "duration_seconds"))?,
    };
    if !world.access_tokens.contains_key(token) {
        // The page lists the statuses 200 and 500 only.
        return Err(refused(500, format!("Access token {token} is not valid")));
    }
    let jwt = world.issue(token, Duration::from_secs(seconds));
    Ok((200, json!({"jwt": jwt})))
}

/// <https://docs.witboost.com/api/control-plane/>, "Register a Tech Adapter"
fn register(world: &mut World, call: &Call<'_>) -> Outcome {
    let known = ["id", "name", "description", "version", "url", "environment", "properties"];
    let fields = call.fields(&known)?;
    let (id, version) = (text(fields, "id")?, text(fields, "version")?);
    for name in ["name", "description"] {
        text(fields, name)?;
    }
    let (url, environment) = (text(fields, "url")?, text(fields, "environment")?);
    if !id.starts_with("urn:dmb:itm:") || id.rsplit(':').next() != Some(version) {
        return Err(fault(500, "the version must be the last part of the id, which is urn:dmb:itm:NAME:VERSION"));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(fault(500, "url is not a URL"));
    }
    if !world.environments.contains(environment) {
        return Err(refused(500, format!("Environment {environment} is not configured")));
    }
    let key = (id.to_owned(), environment.to_owned());
    if world.keeps_adapters && world.adapters.contains_key(&key) {
        return Err(refused(409, format!("{id} is registered already")));
    }
    world.adapters.insert(key, call.body.clone());
    Ok((200, json!("OK")))
}

/// The call of the vendor's own client: `tools/testing.ts` of
/// <https://github.com/agile-lab-dev/witboost-ai-toolkit>.
fn validate(world: &mut World, product: &str, call: &Call<'_>) -> Outcome {
    let fields = call.fields(&["descriptor", "version", "environment", "projectKind"])?;
    let descriptor = text(fields, "descriptor")?;
    if text(fields, "projectKind")? != "System" {
        return Err(fault(400, "projectKind is not System"));
    }
    let (version, environment) = (text(fields, "version")?, text(fields, "environment")?);
    if !world.products.contains(product) {
        return Err(refused(404, format!("System {product} not found")));
    }
    if descriptor.lines().any(|line| line.starts_with("dataProduct:")) {
        return Err(fault(400, "the descriptor is wrapped"));
    }
    if !world.environments.contains(environment) {
        return Err(refused(422, format!("Environment {environment} is not configured")));
    }
    world.validations.push(Validation {
        product: product.to_owned(),
        descriptor: descriptor.to_owned(),
        version: version.to_owned(),
        environment: environment.to_owned(),
    });
    let results = world.results.clone().unwrap_or_else(World::passed);
    Ok((200, json!({"httpStatus": 200, "body": {"results": results}})))
}

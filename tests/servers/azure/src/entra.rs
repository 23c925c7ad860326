//! Tokens: <https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow>, and its
//! first version, which uses `resource`.

use crate::error::{ApiError, Outcome};
use crate::world::TENANT;
use crate::world::{Audience, Client, World};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Public metadata: the token endpoints.
pub(crate) fn known(path: &[String], base: &str) -> Option<Json> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [".well-known", "databricks-config"] => Some(json!({})),
        [tenant, "v2.0", ".well-known", "openid-configuration"] => Some(json!({
            "issuer": format!("{base}/{tenant}/v2.0"),
            "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        })),
        _ => None,
    }
}

fn audience(text: &str) -> Option<Audience> {
    let resource = text.strip_suffix("/.default").unwrap_or(text);
    match resource.trim_end_matches('/') {
        DATABRICKS => Some(Audience::Databricks),
        "https://management.core.windows.net" | "https://management.azure.com" => Some(Audience::Management),
        "https://graph.microsoft.com" => Some(Audience::Graph),
        _ => None,
    }
}

/// Issues a token.
pub(crate) fn token(world: &mut World, path: &[String], form: &BTreeMap<String, String>, base: &str) -> Outcome {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let (tenant, is_second) = match parts.as_slice() {
        [tenant, "oauth2", "v2.0", "token"] => (*tenant, true),
        [tenant, "oauth2", "token"] => (*tenant, false),
        _ => return Err(ApiError::azure(404, "NotFound", "There is nothing here.")),
    };
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if tenant != TENANT {
        return Err(ApiError::entra(400, "invalid_request", 90002, &format!("Tenant '{tenant}' not found.")));
    }
    if field("grant_type") != "client_credentials" {
        return Err(ApiError::entra(
            400,
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type.",
        ));
    }
    let id = field("client_id");
    let Some(client) = world.clients.get(id) else {
        let message = format!("Application with identifier '{id}' was not found in the directory '{tenant}'.");
        return Err(ApiError::entra(400, "unauthorized_client", 700_016, &message));
    };
    let wanted = if is_second { field("scope") } else { field("resource") };
    let Some(audience) = audience(wanted).filter(|_| !is_second || wanted.ends_with("/.default")) else {
        let message = format!("The provided value for scope '{wanted}' is not valid.");
        return Err(ApiError::entra(400, "invalid_scope", 1_002_012, &message));
    };
    match (field("client_secret"), field("client_assertion")) {
        ("", "") => {
            let message =
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            return Err(ApiError::entra(401, "invalid_client", 7_000_218, message));
        }
        (secret, "") if !client.secrets.iter().any(|it| it == secret) => {
            let message = format!("Invalid client secret provided for app '{id}'.");
            return Err(ApiError::entra(401, "invalid_client", 7_000_215, &message));
        }
        (_, "") => {}
        (_, _) if field("client_assertion_type") != ASSERTION => {
            return Err(ApiError::entra(400, "invalid_request", 900_144, "client_assertion_type is not supported."));
        }
        (_, text) => stated(client, id, tenant, text, base)
            .map_err(|why| ApiError::entra(401, "invalid_client", 700_027, &why))?,
    }
    let token = format!("aad-{audience:?}-{}", world.number()).to_lowercase();
    world.tokens.insert(token.clone(), (id.to_owned(), audience));
    Ok(json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}).into())
}

/// Checks that an assertion proves the caller: a trusted token, or one signed with a known certificate.
fn stated(client: &Client, id: &str, tenant: &str, text: &str, base: &str) -> Result<(), String> {
    if client.federated.iter().any(|it| it == text) {
        return Ok(());
    }
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err("The assertion is not a JWT.".to_owned()) };
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| "The assertion is not a JWT.".to_owned());
    let json = |part: &str| serde_json::from_slice::<Json>(&decode(part)?).map_err(|error| error.to_string());
    let (payload, header) = (json(claims)?, json(header)?);
    let thumbprint = header["x5t#S256"].as_str().or_else(|| header["x5t"].as_str()).unwrap_or_default();
    let key = client.keys.get(thumbprint.trim_end_matches('='));
    let key = key
        .ok_or("The certificate with identifier used to sign the client assertion is not registered on application.")?;
    let algorithm: &dyn VerificationAlgorithm = match header["alg"].as_str() {
        Some("PS256") => &RSA_PSS_2048_8192_SHA256,
        Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err("The algorithm of the assertion is not supported.".to_owned()),
    };
    let text = text.rsplit_once('.').map_or("", |(payload, _)| payload);
    UnparsedPublicKey::new(algorithm, key)
        .verify(text.as_bytes(), &decode(signature)?)
        .map_err(|_| "Client assertion failed signature validation.".to_owned())?;
    let places = [format!("{base}/{tenant}/oauth2/v2.0/token"), format!("{base}/{tenant}/oauth2/token")];
    if !places.iter().any(|it| payload["aud"] == it.as_str()) {
        return Err("Assertion audience claim does not match Realm issuer.".to_owned());
    }
    if payload["iss"] != id || payload["sub"] != id || payload["jti"].as_str().is_none_or(str::is_empty) {
        return Err("Client assertion contains an invalid claim.".to_owned());
    }
    let now = Timestamp::now().as_duration().as_secs_f64();
    if payload["nbf"].as_f64().is_some_and(|at| at > now) || payload["exp"].as_f64().is_none_or(|at| at < now) {
        return Err("Client assertion is not within its valid time range.".to_owned());
    }
    Ok(())
}

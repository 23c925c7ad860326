//! Common parts of the descriptions: tokens, scopes and answers.

use crate::auth::Scope;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Description, Ref, RefOr, ResponseBuilder};

/// The name of the tokens' security scheme in the descriptions.
const TOKEN: &str = "token";

/// Marks calls with the scope that they need. A server without tokens accepts them without one.
pub(crate) fn require_scope(scope: Scope, mut part: Description) -> Description {
    let items = part.paths.paths.values_mut();
    let calls = items.flat_map(|item| [&mut item.get, &mut item.put, &mut item.post, &mut item.delete]);
    for call in calls.flatten() {
        let token = SecurityRequirement::new(TOKEN, [scope.word()]);
        call.security = Some(vec![token, SecurityRequirement::default()]);
    }
    part
}

/// Describes how callers send tokens.
pub(crate) fn describe_tokens(description: &mut Description) {
    let text = "If `server.auth` requires tokens (RFC 6750): a configured token, or a JWT of the issuer. Each call names \
                the least scope of its token: read, plan, apply or admin. A token may have limits: the server answers \
                for a stack, operation, plan, lease or environment outside of them as if it did not exist, and refuses \
                a call whose body names one with 403. A body that consents to the loss of data needs the scope \
                data-loss.";
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
    description.components.get_or_insert_default().add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
}

/// A status that any call may have, and its description.
type StatusText = (&'static str, &'static str);

/// The description of a status if the call itself has none.
const DEFAULT_TEXTS: [StatusText; 4] = [
    ("200", "success"),
    ("202", "the operation is queued"),
    ("404", "not found"),
    ("422", "another call used that idempotency key"),
];

/// Gives each answer a description. Errors look alike everywhere: each call has the errors that any call can have, all
/// with bodies of that type and the schema of their status.
pub(crate) fn describe_answers(
    description: &mut Description,
    common: &[StatusText],
    content_type: &str,
    schema_of: impl Fn(&str) -> &'static str,
) {
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().filter_map(Option::as_mut) {
            let responses = &mut operation.responses.responses;
            for (status, text) in common {
                let response = || RefOr::T(ResponseBuilder::new().description(*text).build());
                responses.entry((*status).to_owned()).or_insert_with(response);
            }
            for (status, response) in responses {
                let RefOr::T(response) = response else { continue };
                if response.description.is_empty() {
                    let text = common.iter().chain(&DEFAULT_TEXTS).find(|(of, _)| of == status);
                    response.description = text.map(|(_, text)| (*text).to_owned()).unwrap_or_default();
                }
                if status.starts_with(['4', '5']) {
                    let body = RefOr::T(Content::new(Some(Ref::from_schema_name(schema_of(status)))));
                    response.content = [(content_type.to_owned(), body)].into_iter().collect();
                }
            }
        }
    }
}

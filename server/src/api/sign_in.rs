//! The issuer with which people sign in. Callers without a token need it, so this call needs none.

use super::problem::Problem;
use crate::auth::SignInOffer;
use crate::shared::Shared;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// Returns the issuer and the client of the configuration.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Result<Json<SignInOffer>, Problem> {
    let offer = shared.admission.sign_in_offer().cloned();
    offer.map(Json).ok_or_else(|| Problem::not_found("this server names no issuer to sign in with"))
}

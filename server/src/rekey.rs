//! Change of the sealing key for requests: reseals their bodies and computes their new digests.

use crate::request::{Request, open_body, seal_body};
use terrace_engine::rekey::{RekeyError, Resealed};
use terrace_engine::seal::Seal;
use terrace_engine::store::{OrderKey, RequestQueue, ResealedRequest, StoredRequest, Write};
use terrace_provider::value::wire::WireError;

/// Seals the bodies of requests with the current key: of open requests, and of plans that can still be applied. Ended
/// requests without a body keep their digest. Their idempotency keys work while the older key is known; after that the
/// server refuses them.
///
/// # Errors
/// When the body of an open request cannot be opened, or the store cannot be read.
pub async fn reseal(store: &(impl RequestQueue + ?Sized), seal: &Seal) -> Result<Resealed, RekeyError> {
    let mut resealed = Resealed::default();
    for stored in store.stored_requests().await? {
        let (operation, is_open) = (stored.operation, stored.is_open);
        match reseal_row(stored, seal) {
            Ok(request) => resealed.writes.push(Write::ResealRequest { request: Box::new(request) }),
            Err(error) if is_open => return Err(RekeyError::Request { operation, error }),
            Err(error) => {
                resealed.skipped.insert(format!("the request of operation {operation} keeps its old key: {error}"));
            }
        }
    }
    Ok(resealed)
}

fn reseal_row(row: StoredRequest, seal: &Seal) -> Result<ResealedRequest, WireError> {
    let StoredRequest { operation, order, digest: stored_digest, body, .. } = row;
    let text = open_body(body.expose(), operation, seal)?;
    // A body that this server cannot read keeps its digest, so that no other request matches it.
    let digest = serde_json::from_slice(&text)
        .map_or_else(|_| stored_digest.clone(), |request: Request| request.digests(Some(seal)).digest);
    // A request that waits only for equal requests has its digest as order.
    let order = if order.as_str() == stored_digest { OrderKey::of_text(digest.as_str()) } else { order };
    Ok(ResealedRequest { operation, order, digest, body: seal_body(&text, operation, seal)?.into(), stored_digest })
}

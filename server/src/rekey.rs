//! Change of the sealing key for requests: reseals their bodies and computes their new digests.

use crate::queue::{Request, opened, sealed};
use terrace_engine::rekey::{RekeyError, Resealed};
use terrace_engine::seal::Seal;
use terrace_engine::store::{AskedAnew, AskedRow, RequestQueue, Write};
use terrace_provider::value::wire::WireError;

/// Seals the bodies of requests with the current key: of open requests, and of plans that can still be applied. Ended
/// requests without a body keep their digest. Their idempotency keys work while the older key is known; after that the
/// server refuses them.
///
/// # Errors
/// When the body of an open request cannot be opened, or the store cannot be read.
pub async fn reseal(store: &(impl RequestQueue + ?Sized), seal: &Seal) -> Result<Resealed, RekeyError> {
    let mut resealed = Resealed::default();
    for asked in store.asked().await? {
        let (operation, is_open) = (asked.operation, asked.is_open);
        match reseal_row(asked, seal) {
            Ok(asked) => resealed.writes.push(Write::ResealRequest { asked: Box::new(asked) }),
            Err(error) if is_open => return Err(RekeyError::Asked { operation, error }),
            Err(error) => {
                resealed.left.insert(format!("the request of operation {operation} keeps its old key: {error}"));
            }
        }
    }
    Ok(resealed)
}

fn reseal_row(row: AskedRow, seal: &Seal) -> Result<AskedAnew, WireError> {
    let AskedRow { operation, component, digest: was, body, .. } = row;
    let text = opened(body.expose(), operation, seal)?;
    // A body that this server cannot read keeps its digest, so that no other request matches it.
    let digest =
        serde_json::from_slice(&text).map_or_else(|_| was.clone(), |asked: Request| asked.digests(Some(seal)).digest);
    // A request that waits only for equal requests has its digest as component.
    let component = if component == was { digest.clone() } else { component };
    Ok(AskedAnew { operation, component, digest, body: sealed(&text, operation, seal)?.into(), was })
}

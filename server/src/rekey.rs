//! Requests under another key: what they ask is sealed anew, and they get the digest by which an equal one finds them.

use crate::queue::{Request, opened, sealed};
use terrace_engine::rekey::{RekeyError, Resealed};
use terrace_engine::seal::Seal;
use terrace_engine::store::{AskedAnew, AskedRow, RequestQueue, Write};
use terrace_provider::value::wire::WireError;

/// Seals what requests ask with the present key: of those that have not ended, and of plans that can still be applied.
/// Of those that ended and have forgotten what was asked the digest stays: their caller's key is answered with them as long
/// as the older key is known, and is refused, not taken for another's, after that.
///
/// # Errors
/// When one that has not ended cannot be opened, or the store cannot be read.
pub async fn reseal(store: &(impl RequestQueue + ?Sized), seal: &Seal) -> Result<Resealed, RekeyError> {
    let mut resealed = Resealed::default();
    for asked in store.asked().await? {
        let (operation, is_open) = (asked.operation, asked.is_open);
        match anew(asked, seal) {
            Ok(asked) => resealed.writes.push(Write::ResealRequest { asked: Box::new(asked) }),
            Err(error) if is_open => return Err(RekeyError::Asked { operation, error }),
            Err(error) => {
                resealed.left.insert(format!("what operation {operation} was queued for stays as it is: {error}"));
            }
        }
    }
    Ok(resealed)
}

fn anew(row: AskedRow, seal: &Seal) -> Result<AskedAnew, WireError> {
    let AskedRow { operation, component, digest: was, body, .. } = row;
    let text = opened(body.expose(), operation, seal)?;
    // What another server wrote and this one cannot read keeps its digest: no equal request finds it, and no other one.
    let digest =
        serde_json::from_slice(&text).map_or_else(|_| was.clone(), |asked: Request| asked.digests(Some(seal)).digest);
    // Those that wait for none about the same stack wait for their like.
    let component = if component == was { digest.clone() } else { component };
    Ok(AskedAnew { operation, component, digest, body: sealed(&text, operation, seal)?.into(), was })
}

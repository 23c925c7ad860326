//! Authentication by SASL PLAIN and SCRAM (<https://kafka.apache.org/protocol#sasl_handshake>).

use super::NoAnswer;
use super::connection::Connection;
use super::credentials::{Credentials, Mechanism};
use super::scram::Client;
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

/// Authenticates the connection.
///
/// # Errors
/// If the broker rejects the credentials, or cannot prove that it knows the password too.
pub(super) async fn authenticate(
    connection: &mut Connection,
    credentials: &Credentials,
    deadline: Instant,
) -> Result<(), NoAnswer> {
    let name = credentials.mechanism.name();
    let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(name));
    let answer = connection.send(&handshake, deadline).await.map_err(|error| match error {
        // A listener without SASL closes the connection.
        NoAnswer::Lost(why) => NoAnswer::Rejected(format!(
            "{why} during authentication of `{}`: the listener may not use SASL",
            credentials.username
        )),
        error => error,
    })?;
    if answer.error_code != 0 {
        let known: Vec<&str> = answer.mechanisms.iter().map(|known| &**known).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let why = format!("`{}` does not support the mechanism {name}, but {known}", connection.address());
        return Err(NoAnswer::Rejected(why));
    }
    match credentials.mechanism {
        Mechanism::Plain => {
            let message = format!("\0{}\0{}", credentials.username, credentials.password());
            exchange(connection, credentials, message.into_bytes(), deadline).await?;
            Ok(())
        }
        Mechanism::Scram(hash) => {
            let refused = |connection: &Connection, why: String| {
                NoAnswer::Rejected(format!("the identity of `{}` cannot be verified: {why}", connection.address()))
            };
            let nonce = nonce().map_err(NoAnswer::Unreachable)?;
            let client = Client::new(hash, &credentials.username, &nonce);
            let first = exchange(connection, credentials, client.first().into_bytes(), deadline).await?;
            let (last, proof) =
                client.answer(&first, credentials.password()).map_err(|why| refused(connection, why))?;
            let signature = exchange(connection, credentials, last.into_bytes(), deadline).await?;
            proof.check(&signature).map_err(|why| refused(connection, why))
        }
    }
}

async fn exchange(
    connection: &mut Connection,
    credentials: &Credentials,
    message: Vec<u8>,
    deadline: Instant,
) -> Result<Bytes, NoAnswer> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
    let answer = connection.send(&request, deadline).await?;
    if answer.error_code == 0 {
        return Ok(answer.auth_bytes);
    }
    // The broker's message never contains the password.
    let reason = answer.error_message.as_deref().unwrap_or("no reason given");
    Err(NoAnswer::Rejected(format!(
        "`{}` rejected the user `{}` ({reason})",
        connection.address(),
        credentials.username
    )))
}

/// A random string for one authentication.
fn nonce() -> Result<String, String> {
    use base64::Engine as _;
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| format!("cannot get random bytes: {error}"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

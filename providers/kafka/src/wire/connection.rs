//! One connection to one broker: sends requests, receives answers, and negotiates versions.

use super::count_check::{Answer, Counts};
use super::sasl;
use super::stream::Stream;
use super::{Access, NoAnswer, Request};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes, VersionRange};
use std::collections::BTreeMap;
use terrace_provider::wrap::silence;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// Maximum length of an answer; brokers send no longer ones to these requests.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Version of the request header from which answers have variable-length counts.
const FLEXIBLE: i16 = 2;
/// The error code of a broker that does not support a version.
const UNSUPPORTED_VERSION: i16 = 35;

/// An open, authenticated connection.
pub(super) struct Connection {
    stream: Stream,
    address: String,
    versions: BTreeMap<i16, VersionRange>,
    next: i32,
    /// Time of the last use.
    pub(super) used: Instant,
}

impl Connection {
    /// Connects, negotiates versions, and authenticates.
    ///
    /// # Errors
    /// If the broker cannot be reached, or rejects the credentials.
    pub(super) async fn open(address: &str, access: &Access, deadline: Instant) -> Result<Self, NoAnswer> {
        let opened = timeout_at(deadline, async {
            let stream = Stream::open(address, access).await?;
            let mut connection =
                Self { stream, address: address.to_owned(), versions: BTreeMap::new(), next: 0, used: Instant::now() };
            // No request of the caller was sent yet.
            let unsent = |error| match error {
                NoAnswer::Lost(why) => NoAnswer::Unreachable(why),
                error => error,
            };
            connection.negotiate_versions(deadline).await.map_err(unsent)?;
            if let Some(credentials) = &access.credentials {
                sasl::authenticate(&mut connection, credentials, deadline).await.map_err(unsent)?;
            }
            Ok(connection)
        });
        opened.await.unwrap_or_else(|_| {
            Err(NoAnswer::Unreachable(format!("`{address}` does not answer within the request timeout")))
        })
    }

    /// Sends a request, and waits for the answer.
    ///
    /// # Errors
    /// If no answer arrives before the deadline. The connection is unusable then.
    pub(super) async fn send<R: Request>(&mut self, request: &R, deadline: Instant) -> Result<R::Answer, NoAnswer> {
        let version = self.version_of::<R>()?;
        self.send_version(request, version, deadline).await
    }

    /// Returns the highest version that both sides support.
    fn version_of<R: Request>(&self) -> Result<i16, NoAnswer> {
        let ours = VersionRange { min: R::VERSIONS.min.max(R::LOWEST), max: R::VERSIONS.max };
        let theirs = self.versions.get(&(R::KEY as i16));
        let both = theirs.map(|theirs| ours.intersect(theirs)).filter(|both| !both.is_empty());
        both.map(|both| both.max).ok_or_else(|| {
            let supported = match theirs {
                Some(theirs) => format!("only versions {} to {}", theirs.min, theirs.max),
                None => "no version".to_owned(),
            };
            let problem = format!("the broker `{}` cannot serve the request `{:?}`", self.address, R::KEY);
            NoAnswer::Unsupported(format!(
                "{problem}: it supports {supported}, and terrace needs {} to {}",
                ours.min, ours.max
            ))
        })
    }

    async fn send_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        deadline: Instant,
    ) -> Result<R::Answer, NoAnswer> {
        let correlation = self.next;
        self.next = self.next.wrapping_add(1);
        let frame = frame(request, version, correlation)?;
        let exchange = async {
            self.stream.write_all(&frame).await?;
            self.stream.flush().await?;
            self.receive().await
        };
        let answer = match timeout_at(deadline, exchange).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Ok(Err(why))) => return Err(self.garbled(&why)),
            Ok(Err(error)) => return Err(self.lost(&error)),
            Err(_) => {
                let why = format!("the broker `{}` does not answer within the request timeout", self.address);
                return Err(NoAnswer::Lost(why));
            }
        };
        self.used = Instant::now();
        silence::answered();
        let is_flexible = R::header_version(version) >= FLEXIBLE;
        let mut answer = Answer::new(answer, if is_flexible { Counts::Compact } else { Counts::Fixed });
        let header = ResponseHeader::decode(&mut answer, R::Answer::header_version(version));
        let header = header.map_err(|error| self.garbled(&answer.refused().unwrap_or_else(|| error.to_string())))?;
        if header.correlation_id != correlation {
            let why = format!("it answers request {} instead of {correlation}", header.correlation_id);
            return Err(self.garbled(&why));
        }
        let body = R::Answer::decode(&mut answer, version);
        body.map_err(|error| self.garbled(&answer.refused().unwrap_or_else(|| error.to_string())))
    }

    /// Reads one frame. The inner error explains why the bytes are not a frame.
    async fn receive(&mut self) -> std::io::Result<Result<Bytes, String>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let size = match usize::try_from(i32::from_be_bytes(length)) {
            Ok(size) if size <= MAX_ANSWER_BYTES => size,
            _ => return Ok(Err(no_frame(length))),
        };
        // The buffer grows with the received bytes: a length alone allocates no memory.
        let mut answer = BytesMut::with_capacity(size.min(64 << 10));
        while answer.len() < size {
            let missing = u64::try_from(size - answer.len()).unwrap_or_default();
            if (&mut self.stream).take(missing).read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Ok(answer.freeze()))
    }

    /// Asks the broker for the versions of its requests.
    async fn negotiate_versions(&mut self, deadline: Instant) -> Result<(), NoAnswer> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("terrace"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut answer = self.send_version(&request, 3, deadline).await;
        // A broker without version 3 answers in version 0, which is not a valid answer of version 3.
        let is_refused = match &answer {
            Ok(answer) => answer.error_code == UNSUPPORTED_VERSION,
            Err(error) => matches!(error, NoAnswer::Garbled(_)),
        };
        if is_refused {
            let again = self.send_version(&ApiVersionsRequest::default(), 0, deadline).await;
            // If the peer is not a broker, the first error explains it best.
            answer = again.or(answer);
        }
        let answer = answer?;
        if answer.error_code != 0 {
            return Err(self.garbled(&format!("it does not list its supported versions (code {})", answer.error_code)));
        }
        let range = |api: &kafka_protocol::messages::api_versions_response::ApiVersion| VersionRange {
            min: api.min_version,
            max: api.max_version,
        };
        self.versions = answer.api_keys.iter().map(|api| (api.api_key, range(api))).collect();
        Ok(())
    }

    /// Returns false once the broker has closed the connection or sent unrequested bytes.
    pub(super) fn is_open(&mut self) -> bool {
        let mut byte = [0; 1];
        self.stream.read(&mut byte).now_or_never().is_none()
    }

    fn garbled(&self, why: &str) -> NoAnswer {
        NoAnswer::Garbled(format!("`{}` sent an invalid answer: {why}", self.address))
    }

    fn lost(&self, error: &std::io::Error) -> NoAnswer {
        let why = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        };
        NoAnswer::Lost(format!("no answer from `{}`: {why}", self.address))
    }

    /// The address of the broker.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// Encodes a request.
fn frame<R: Request>(request: &R, version: i16, correlation: i32) -> Result<Bytes, NoAnswer> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("terrace")));
    let mut body = BytesMut::new();
    let encoded = header
        .encode(&mut body, R::header_version(version))
        .and_then(|()| request.encode(&mut body, version))
        .map_err(|error| NoAnswer::Unsupported(format!("`{:?}` cannot be encoded: {error}", R::KEY)));
    encoded?;
    let too_long = |_| NoAnswer::Unsupported(format!("the request `{:?}` is too long", R::KEY));
    let size = i32::try_from(body.len()).map_err(too_long)?;
    let mut frame = BytesMut::with_capacity(body.len().saturating_add(4));
    frame.put_i32(size);
    frame.put(&mut body);
    debug_assert!(!body.has_remaining());
    Ok(frame.freeze())
}

/// Explains the first bytes of a peer that does not speak Kafka.
fn no_frame(length: [u8; 4]) -> String {
    match length {
        // A TLS alert or handshake record.
        [0x15 | 0x16, 3, ..] => "it speaks TLS: set `securityProtocol` to `SSL` or `SASL_SSL`".to_owned(),
        [b'H', b'T', b'T', b'P'] => "it speaks HTTP".to_owned(),
        _ => format!("a message of {} bytes", u32::from_be_bytes(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_protocol_of_other_listeners() {
        assert!(no_frame([0x15, 3, 3, 0]).contains("securityProtocol"));
        assert_eq!(no_frame(*b"HTTP"), "it speaks HTTP");
        assert_eq!(no_frame([0xff; 4]), "a message of 4294967295 bytes");
    }
}

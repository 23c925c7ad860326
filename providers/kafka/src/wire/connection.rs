//! One connection to one broker: a request, its answer, and what a broker can be asked.

use super::counted::{Answer, Counts};
use super::sasl;
use super::stream::Stream;
use super::{Access, Ask, Unanswered};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes, VersionRange};
use std::collections::BTreeMap;
use terrace_provider::wrap::silence;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// An answer that is longer is nothing that a broker says to what is asked here.
const LONGEST: usize = 64 << 20;
/// The header of a request whose answer counts by variable-length numbers.
const FLEXIBLE: i16 = 2;
/// The error code of a broker that does not know a version.
const UNSUPPORTED_VERSION: i16 = 35;

/// An open connection of somebody who is let in.
pub(super) struct Connection {
    stream: Stream,
    address: String,
    versions: BTreeMap<i16, VersionRange>,
    next: i32,
    /// When it was used last.
    pub(super) used: Instant,
}

impl Connection {
    /// Connects, learns what the broker can be asked, and says who asks.
    ///
    /// # Errors
    /// When nobody is there, or does not let us in.
    pub(super) async fn open(address: &str, access: &Access, deadline: Instant) -> Result<Self, Unanswered> {
        let opened = timeout_at(deadline, async {
            let stream = Stream::open(address, access).await?;
            let mut connection =
                Self { stream, address: address.to_owned(), versions: BTreeMap::new(), next: 0, used: Instant::now() };
            // Nothing that matters was sent before a connection is there.
            let unsent = |error| match error {
                Unanswered::Lost(why) => Unanswered::Unreachable(why),
                error => error,
            };
            connection.learn_versions(deadline).await.map_err(unsent)?;
            if let Some(credentials) = &access.credentials {
                sasl::authenticate(&mut connection, credentials, deadline).await.map_err(unsent)?;
            }
            Ok(connection)
        });
        opened.await.unwrap_or_else(|_| {
            Err(Unanswered::Unreachable(format!("`{address}` does not answer within the time of a request")))
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When none comes by then. The connection is of no use after that.
    pub(super) async fn ask<R: Ask>(&mut self, request: &R, deadline: Instant) -> Result<R::Answer, Unanswered> {
        let version = self.version_of::<R>()?;
        self.ask_by(request, version, deadline).await
    }

    /// The highest version that both sides know.
    fn version_of<R: Ask>(&self) -> Result<i16, Unanswered> {
        let ours = VersionRange { min: R::VERSIONS.min.max(R::LOWEST), max: R::VERSIONS.max };
        let theirs = self.versions.get(&(R::KEY as i16));
        let both = theirs.map(|theirs| ours.intersect(theirs)).filter(|both| !both.is_empty());
        both.map(|both| both.max).ok_or_else(|| {
            let knows = match theirs {
                Some(theirs) => format!("only versions {} to {} of it", theirs.min, theirs.max),
                None => "nothing of it".to_owned(),
            };
            let what = format!("the broker `{}` cannot be asked `{:?}`", self.address, R::KEY);
            Unanswered::Unsupported(format!(
                "{what}: it knows {knows}, and {} to {} are known here",
                ours.min, ours.max
            ))
        })
    }

    async fn ask_by<R: Ask>(&mut self, request: &R, version: i16, deadline: Instant) -> Result<R::Answer, Unanswered> {
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
                let why = format!("the broker `{}` does not answer within the time of a request", self.address);
                return Err(Unanswered::Lost(why));
            }
        };
        self.used = Instant::now();
        silence::answered();
        let is_flexible = R::header_version(version) >= FLEXIBLE;
        let mut answer = Answer::new(answer, if is_flexible { Counts::Compact } else { Counts::Fixed });
        let header = ResponseHeader::decode(&mut answer, R::Answer::header_version(version));
        let header = header.map_err(|error| self.garbled(&answer.refused().unwrap_or_else(|| error.to_string())))?;
        if header.correlation_id != correlation {
            let why = format!("it answers request {} and not {correlation}", header.correlation_id);
            return Err(self.garbled(&why));
        }
        let body = R::Answer::decode(&mut answer, version);
        body.map_err(|error| self.garbled(&answer.refused().unwrap_or_else(|| error.to_string())))
    }

    /// Reads one frame; the inner error says what is wrong with it.
    async fn receive(&mut self) -> std::io::Result<Result<Bytes, String>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let size = match usize::try_from(i32::from_be_bytes(length)) {
            Ok(size) if size <= LONGEST => size,
            _ => return Ok(Err(no_frame(length))),
        };
        // Grows with what arrives: a length alone takes no memory.
        let mut answer = BytesMut::with_capacity(size.min(64 << 10));
        while answer.len() < size {
            let missing = u64::try_from(size - answer.len()).unwrap_or_default();
            if (&mut self.stream).take(missing).read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Ok(answer.freeze()))
    }

    /// Learns which versions of which calls the broker knows.
    async fn learn_versions(&mut self, deadline: Instant) -> Result<(), Unanswered> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("terrace"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut answer = self.ask_by(&request, 3, deadline).await;
        // A broker that does not know version 3 says so by version 0, which is no answer to version 3.
        let is_refused = match &answer {
            Ok(answer) => answer.error_code == UNSUPPORTED_VERSION,
            Err(error) => matches!(error, Unanswered::Garbled(_)),
        };
        if is_refused {
            let again = self.ask_by(&ApiVersionsRequest::default(), 0, deadline).await;
            // What is no broker at all said so the first time.
            answer = again.or(answer);
        }
        let answer = answer?;
        if answer.error_code != 0 {
            return Err(self.garbled(&format!("it does not say what it can be asked (code {})", answer.error_code)));
        }
        let range = |api: &kafka_protocol::messages::api_versions_response::ApiVersion| VersionRange {
            min: api.min_version,
            max: api.max_version,
        };
        self.versions = answer.api_keys.iter().map(|api| (api.api_key, range(api))).collect();
        Ok(())
    }

    /// False once the broker has closed the connection, or said something that nobody asked for.
    pub(super) fn is_open(&mut self) -> bool {
        let mut byte = [0; 1];
        self.stream.read(&mut byte).now_or_never().is_none()
    }

    fn garbled(&self, why: &str) -> Unanswered {
        Unanswered::Garbled(format!("what comes from `{}` is no answer of a broker: {why}", self.address))
    }

    fn lost(&self, error: &std::io::Error) -> Unanswered {
        let why = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        };
        Unanswered::Lost(format!("no answer from `{}`: {why}", self.address))
    }

    /// Who is at the other end.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// A request as it is sent.
fn frame<R: Ask>(request: &R, version: i16, correlation: i32) -> Result<Bytes, Unanswered> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("terrace")));
    let mut body = BytesMut::new();
    let encoded = header
        .encode(&mut body, R::header_version(version))
        .and_then(|()| request.encode(&mut body, version))
        .map_err(|error| Unanswered::Unsupported(format!("`{:?}` cannot be asked so: {error}", R::KEY)));
    encoded?;
    let too_long = |_| Unanswered::Unsupported(format!("a request `{:?}` is too long", R::KEY));
    let size = i32::try_from(body.len()).map_err(too_long)?;
    let mut frame = BytesMut::with_capacity(body.len().saturating_add(4));
    frame.put_i32(size);
    frame.put(&mut body);
    debug_assert!(!body.has_remaining());
    Ok(frame.freeze())
}

/// What the first bytes of something else say.
fn no_frame(length: [u8; 4]) -> String {
    match length {
        // The record of an alert, or of a handshake.
        [0x15 | 0x16, 3, ..] => "it speaks TLS: `securityProtocol` is `SSL` or `SASL_SSL` there".to_owned(),
        [b'H', b'T', b'T', b'P'] => "it speaks HTTP".to_owned(),
        _ => format!("a message of {} bytes", u32::from_be_bytes(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_may_listen_at_a_port_is_told() {
        assert!(no_frame([0x15, 3, 3, 0]).contains("securityProtocol"));
        assert_eq!(no_frame(*b"HTTP"), "it speaks HTTP");
        assert_eq!(no_frame([0xff; 4]), "a message of 4294967295 bytes");
    }
}

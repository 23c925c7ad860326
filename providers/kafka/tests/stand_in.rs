//! A stand-in broker for tests, which panics on unexpected requests, and fails on demand.
//!
//! It uses the message definitions of the crate `kafka-protocol`, and models topics, configuration and access as Apache
//! Kafka does. Running the same tests against a real broker proves that both behave alike.

mod answers;
mod rights;
mod state;

pub(crate) use state::{BrokerState, Fault, PreparedError, When};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Encodable, decode_request_header_from_buffer};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A running stand-in broker.
pub(crate) struct StandIn {
    pub(crate) address: String,
    state: Arc<Mutex<BrokerState>>,
}

impl StandIn {
    pub(crate) async fn start(state: BrokerState) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(BrokerState { address: address.clone(), ..state }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// The broker's state.
    pub(crate) fn state(&self) -> MutexGuard<'_, BrokerState> {
        self.state.lock().unwrap()
    }
}

/// Answers the requests of a connection until it is closed or broken.
async fn serve(mut stream: TcpStream, state: Arc<Mutex<BrokerState>>) -> Option<()> {
    let mut user = state.lock().unwrap().password.is_none().then(|| "ANONYMOUS".to_owned());
    loop {
        let size = stream.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(size).ok()?];
        stream.read_exact(&mut frame).await.ok()?;
        let mut frame = Bytes::from(frame);
        let header = decode_request_header_from_buffer(&mut frame).ok()?;
        let key = ApiKey::try_from(header.request_api_key).ok()?;
        let request = RequestKind::decode(key, &mut frame, header.request_api_version).unwrap();
        assert!(frame.is_empty(), "{key:?} has more bytes than it should have");
        let fault = state.lock().unwrap().log_call(key);
        if fault == Some(When::Before) {
            return None;
        }
        wait_for_calls(&state).await;
        let response = state.lock().unwrap().answer(&mut user, request, header.request_api_version);
        state.lock().unwrap().at_once -= 1;
        let response = response?;
        if fault == Some(When::After) {
            return None;
        }
        stream.write_all(&framed(key, &header, &response)).await.ok()?;
    }
}

/// Waits briefly until the configured number of calls run at once.
async fn wait_for_calls(state: &Mutex<BrokerState>) {
    state.lock().unwrap().start_call();
    let deadline = Instant::now() + Duration::from_millis(20);
    let is_alone = || {
        let state = state.lock().unwrap();
        state.at_once < state.min_concurrent
    };
    while is_alone() && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
}

fn framed(key: ApiKey, header: &RequestHeader, response: &ResponseKind) -> Bytes {
    let version = header.request_api_version;
    let mut body = BytesMut::new();
    let answer = ResponseHeader::default().with_correlation_id(header.correlation_id);
    answer.encode(&mut body, key.response_header_version(version)).unwrap();
    response.encode(&mut body, version).unwrap();
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len()).unwrap());
    frame.put(body);
    frame.freeze()
}

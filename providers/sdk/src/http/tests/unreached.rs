//! Tests with an unreachable server.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts token requests: one per attempt, because its tokens expire at once.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait::async_trait]
impl TokenSource for Counting {
    async fn token(&self) -> Result<Token, Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Token { token: "brief".into(), lifetime: Some(Duration::ZERO), headers: Vec::new() })
    }

    fn secrets(&self) -> Vec<secrecy::SecretString> {
        Vec::new()
    }
}

/// The caller of the provider retries, too.
#[tokio::test]
async fn unreachable_server_is_tried_twice() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { url: format!("http://{}", gone.local_addr().unwrap()), ..Server::default() };
    drop(gone);
    let tokens = Arc::new(Counting::default());
    let api = server.api(Auth::Tokens(Arc::clone(&tokens) as Arc<dyn TokenSource>));
    for request in [Request::get("/x", &[]), Request::post("/x", &[])] {
        let failure = api.send(&request, &within()).await.unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        assert_eq!(tokens.0.swap(0, Ordering::Relaxed), 2);
    }
}

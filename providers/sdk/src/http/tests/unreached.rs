//! Who cannot be reached at all.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts how often it is asked: once for each attempt, for its tokens do not live.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait::async_trait]
impl TokenSource for Counting {
    async fn token(&self) -> Result<Token, Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Token { token: "brief".into(), life: Some(Duration::ZERO), headers: Vec::new() })
    }

    fn secrets(&self) -> Vec<secrecy::SecretString> {
        Vec::new()
    }
}

/// Whoever calls the provider tries again, too.
#[tokio::test]
async fn who_cannot_be_reached_is_tried_twice() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server { url: format!("http://{}", gone.local_addr().unwrap()), ..Server::default() };
    drop(gone);
    let asked = Arc::new(Counting::default());
    let api = server.api(Auth::Tokens(Arc::clone(&asked) as Arc<dyn TokenSource>));
    for request in [Request::get("/x", &[]), Request::post("/x", &[])] {
        let failure = api.send(&request, &within()).await.unwrap_err();
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
        assert_eq!(asked.0.swap(0, Ordering::Relaxed), 2);
    }
}

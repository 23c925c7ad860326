//! Sites over HTTP: pages, unknown paths, ranges, conditional requests, and access.

use super::*;
use axum::body::{Body, to_bytes};
use std::fs;
use tempfile::TempDir;
use tower::ServiceExt;

struct SingleSite(Arc<Site>);

impl SiteSource for SingleSite {
    fn site(&self, name: &str) -> io::Result<Option<Arc<Site>>> {
        match name {
            "a" => Ok(Some(Arc::clone(&self.0))),
            "broken" => Err(io::Error::other("the disk")),
            _ => Ok(None),
        }
    }
}

/// A site with a page, a folder, a style, an error page, and unlisted files next to them.
fn site() -> (TempDir, Site) {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("index.html", "<h1>Hello</h1>", "text/html; charset=utf-8"),
        ("deep/index.html", "<h1>Deep</h1>", "text/html; charset=utf-8"),
        ("style.css", "h1 { color: red }", "text/css; charset=utf-8"),
        ("404.html", "<h1>Not here</h1>", "text/html; charset=utf-8"),
        ("empty.txt", "", "text/plain; charset=utf-8"),
    ];
    let version = folder.path().join("version");
    let mut listed = HashMap::new();
    for (path, text, content_type) in files {
        let file_path = version.join(path);
        fs::create_dir_all(file_path.parent().unwrap()).unwrap();
        fs::write(&file_path, text).unwrap();
        let file =
            File { size: text.len() as u64, tag: format!("d{}", path.len()), content_type: content_type.to_owned() };
        listed.insert(path.to_owned(), file);
    }
    fs::write(folder.path().join("secret"), "secret").unwrap();
    fs::write(version.join("unlisted"), "unlisted").unwrap();
    let site = Site {
        folder: version,
        files: listed,
        error_document: "404.html".to_owned(),
        cache_control: "no-cache".to_owned(),
        live: None,
    };
    (folder, site)
}

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn call_site(site: Site, is_public: bool, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let routes = Sites::new(Arc::new(SingleSite(Arc::new(site))), is_public).routes();
    let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8093");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn call(method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let (_folder, site) = site();
    call_site(site, false, method, path, headers).await
}

#[tokio::test]
async fn pages_have_their_type_and_a_strong_tag() {
    let page = call("GET", "/sites/a/", &[]).await;
    assert_eq!((page.status, page.text.as_str()), (200, "<h1>Hello</h1>"));
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!((page.header("etag"), page.header("cache-control")), ("\"d10\"", "no-cache"));
    assert_eq!((page.header("x-content-type-options"), page.header("accept-ranges")), ("nosniff", "bytes"));
    assert_eq!(call("GET", "/sites/a/deep/", &[]).await.text, "<h1>Deep</h1>");
    assert_eq!(call("GET", "/sites/a/style.css", &[]).await.header("content-type"), "text/css; charset=utf-8");
    let empty = call("GET", "/sites/a/empty.txt", &[]).await;
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
}

#[tokio::test]
async fn head_request_has_all_headers_and_no_body() {
    let (whole, head) = (call("GET", "/sites/a/style.css", &[]).await, call("HEAD", "/sites/a/style.css", &[]).await);
    assert_eq!((head.status, head.text.as_str(), head.header("content-length")), (200, "", "17"));
    assert_eq!(whole.headers, head.headers);
}

#[tokio::test]
async fn folder_redirects_to_its_slash() {
    for (path, location) in [("/sites/a", "./a/"), ("/sites/a?x=1", "./a/?x=1"), ("/sites/a/deep?x=1", "./deep/?x=1")] {
        let answer = call("GET", path, &[]).await;
        assert_eq!((answer.status, answer.header("location")), (308, location), "{path}");
    }
    assert_eq!(call("GET", "/sites/none", &[]).await.status, 404);
}

#[tokio::test]
async fn unknown_path_shows_the_error_page() {
    for path in ["/sites/a/none", "/sites/a/none/", "/sites/a/unlisted", "/sites/a/style.css/"] {
        let answer = call("GET", path, &[]).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, "<h1>Not here</h1>"), "{path}");
    }
    // Neither a tag nor a range changes the answer.
    let again = call("GET", "/sites/a/none", &[("if-none-match", "\"d8\""), ("range", "bytes=0-1")]).await;
    assert_eq!((again.status, again.text.as_str()), (404, "<h1>Not here</h1>"));
    let without =
        call_site(Site { error_document: String::new(), ..site().1 }, false, "GET", "/sites/a/none", &[]).await;
    assert_eq!((without.status, without.text.as_str()), (404, "page not found\n"));
    assert_eq!(call("GET", "/sites/other/", &[]).await.status, 404);
    assert_eq!(call("GET", "/", &[]).await.status, 404);
}

#[tokio::test]
async fn path_cannot_leave_the_folder() {
    for path in [
        "/sites/a/../secret",
        "/sites/a/%2e%2e/secret",
        "/sites/a/..%2fsecret",
        "/sites/a/%2e%2e%2fsecret",
        "/sites/a//secret",
        "/sites/a/..%5csecret",
        "/sites/a/style.css%00",
        "/sites/a/deep/../../secret",
        "/sites/../secret",
        "/sites//a/",
        "/sites/%2e%2e/",
        "/sites/a/.%2e/secret",
    ] {
        let answer = call("GET", path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text.contains("secret"), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn link_out_of_the_folder_is_not_followed() {
    let (folder, mut site) = site();
    std::os::unix::fs::symlink(folder.path().join("secret"), site.folder.join("link")).unwrap();
    site.files.insert("link".to_owned(), File { size: 6, tag: "d".to_owned(), content_type: "text/plain".to_owned() });
    let answer = call_site(site, false, "GET", "/sites/a/link", &[]).await;
    assert_eq!((answer.status, answer.text.as_str()), (500, "cannot show this page now\n"));
}

#[tokio::test]
async fn matching_tag_is_answered_with_304() {
    for had in ["\"d9\"", "W/\"d9\"", "\"x\", \"d9\"", "*"] {
        let answer = call("GET", "/sites/a/style.css", &[("if-none-match", had)]).await;
        assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (304, "", "\"d9\""), "{had}");
    }
    assert_eq!(call("GET", "/sites/a/style.css", &[("if-none-match", "\"other\"")]).await.status, 200);
}

#[tokio::test]
async fn range_of_a_file_is_answered() {
    for (range, text, content_range) in [
        ("bytes=0-1", "h1", "bytes 0-1/17"),
        ("bytes=15-", " }", "bytes 15-16/17"),
        ("bytes=-2", " }", "bytes 15-16/17"),
        ("bytes=5-900", "color: red }", "bytes 5-16/17"),
    ] {
        let answer = call("GET", "/sites/a/style.css", &[("range", range)]).await;
        assert_eq!(
            (answer.status, answer.text.as_str(), answer.header("content-range")),
            (206, text, content_range),
            "{range}"
        );
    }
    let beyond = call("GET", "/sites/a/style.css", &[("range", "bytes=17-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */17"));
    assert_eq!(call("GET", "/sites/a/empty.txt", &[("range", "bytes=0-")]).await.status, 416);
    assert_eq!(call("GET", "/sites/a/style.css", &[("range", "bytes=b-a")]).await.status, 416);
    for whole in ["bytes=0-1,3-4", "lines=1-2"] {
        assert_eq!(call("GET", "/sites/a/style.css", &[("range", whole)]).await.status, 200, "{whole}");
    }
    for (tag, status) in [("\"d9\"", 206), ("\"x\"", 200), ("W/\"d9\"", 200), ("what", 200)] {
        let answer = call("GET", "/sites/a/style.css", &[("range", "bytes=0-1"), ("if-range", tag)]).await;
        assert_eq!(answer.status, status, "{tag}");
    }
}

#[tokio::test]
async fn sites_are_read_only() {
    let answer = call("POST", "/sites/a/", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn foreign_host_name_is_refused_unless_sites_are_public() {
    let named = [("host", "rebound.example.com")];
    let request = |is_public: bool| {
        let routes = Sites::new(Arc::new(SingleSite(Arc::new(site().1))), is_public).routes();
        let request = named
            .iter()
            .fold(Request::builder().uri("/sites/a"), |request, (name, value)| request.header(*name, *value));
        routes.oneshot(request.body(Body::empty()).unwrap())
    };
    assert_eq!(request(false).await.unwrap().status(), 403);
    assert_eq!(request(true).await.unwrap().status(), 308);
    let private = call("GET", "/sites/a/", &[]).await;
    assert_eq!(private.header("cross-origin-resource-policy"), "same-origin");
}

#[tokio::test]
async fn read_error_is_reported_without_details() {
    let answer = call("GET", "/sites/broken/", &[]).await;
    assert_eq!((answer.status, answer.text.as_str()), (500, "cannot show this site now\n"));
}

#[tokio::test]
async fn changed_file_is_not_served_under_its_old_tag() {
    let (_folder, site) = site();
    fs::write(site.folder.join("style.css"), "h1 { color: blue }").unwrap();
    assert_eq!(call_site(site, false, "GET", "/sites/a/style.css", &[]).await.status, 500);
}

async fn call_single(site: Site, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::builder().uri(path).header("host", "shop.example.com");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = Sites::single(site).routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

#[tokio::test]
async fn only_site_of_an_address_is_at_its_root() {
    let (_folder, site) = site();
    for (path, status, text) in [
        ("/", 200, "<h1>Hello</h1>"),
        ("/deep/", 200, "<h1>Deep</h1>"),
        ("/none", 404, "<h1>Not here</h1>"),
        ("/sites/a/", 404, "<h1>Not here</h1>"),
        ("//", 404, "page not found\n"),
        ("/../secret", 404, "page not found\n"),
        ("/%2e%2e/secret", 404, "page not found\n"),
    ] {
        let answer = call_single(site.clone(), path, &[]).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{path}");
    }
    assert_eq!(call_single(site, "/deep", &[]).await.header("location"), "./deep/");
}

/// A site whose folder `shop` on a volume changes, with a recorded style and error page.
fn live_site() -> (TempDir, Site) {
    let (folder, mut site) = site();
    site.files.retain(|path, _| ["style.css", "404.html"].contains(&path.as_str()));
    let volume = folder.path().join("volume");
    for (path, text) in [
        ("shop/index.html", "<h1>Live</h1>"),
        ("shop/deep/index.html", "<h1>Deep and live</h1>"),
        ("shop/style.css", "live"),
        ("shop/.env", "secret"),
        ("secret", "secret"),
    ] {
        fs::create_dir_all(volume.join(path).parent().unwrap()).unwrap();
        fs::write(volume.join(path), text).unwrap();
    }
    site.live = Some(LiveFolder {
        volume,
        path: "shop".into(),
        is_shown: |key| !key.starts_with('.'),
        content_type: |_| "text/html".to_owned(),
    });
    (folder, site)
}

#[tokio::test]
async fn present_files_of_a_volume_are_shown_below_recorded_ones() {
    let (_folder, site) = live_site();
    for (path, status, text) in [
        ("/", 200, "<h1>Live</h1>"),
        ("/deep/", 200, "<h1>Deep and live</h1>"),
        ("/style.css", 200, "h1 { color: red }"),
        ("/.env", 404, "<h1>Not here</h1>"),
        ("/none", 404, "<h1>Not here</h1>"),
        ("/index.html/x", 404, "<h1>Not here</h1>"),
    ] {
        let answer = call_single(site.clone(), path, &[]).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{path}");
    }
    assert_eq!(call_single(site.clone(), "/deep", &[]).await.header("location"), "./deep/");
    let mut early = site;
    early.live.as_mut().unwrap().path = "later".into();
    assert_eq!(call_single(early, "/", &[]).await.status, 404, "no run has written the folder yet");
}

#[tokio::test]
async fn replaced_file_of_a_volume_has_another_tag() {
    let (folder, site) = live_site();
    let before = call_single(site.clone(), "/", &[]).await;
    let tag = before.header("etag").to_owned();
    assert_eq!(call_single(site.clone(), "/", &[("if-none-match", &tag)]).await.status, 304);
    let new = folder.path().join("new");
    fs::write(&new, "<h1>Next</h1>").unwrap();
    fs::rename(&new, folder.path().join("volume/shop/index.html")).unwrap();
    let after = call_single(site.clone(), "/", &[("if-none-match", &tag)]).await;
    assert_eq!((after.status, after.text.as_str()), (200, "<h1>Next</h1>"));
    let range = call_single(site, "/", &[("range", "bytes=4-7")]).await;
    assert_eq!((range.status, range.text.as_str()), (206, "Next"));
}

#[tokio::test]
async fn link_out_of_a_volume_is_not_followed() {
    let (folder, site) = live_site();
    let shop = folder.path().join("volume/shop");
    std::os::unix::fs::symlink(folder.path().join("secret"), shop.join("link")).unwrap();
    std::os::unix::fs::symlink("..", shop.join("up")).unwrap();
    for path in ["/link", "/up/secret", "/up/../../secret"] {
        let answer = call_single(site.clone(), path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.text.contains("secret"), "{path}");
    }
    let mut outside = site;
    std::os::unix::fs::symlink(folder.path(), folder.path().join("volume/out")).unwrap();
    outside.live.as_mut().unwrap().path = "out".into();
    assert_eq!(call_single(outside, "/version/index.html", &[]).await.status, 404);
}

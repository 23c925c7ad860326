//! Lists the unfinished uploads in parts of a bucket.
//!
//! The crate `object_store` has no call for that. S3 and the XML interface of Google Cloud Storage answer the same request:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>.

use super::place::encoded;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::gcp::GcpCredentialProvider;
use reqwest::Client;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use terrace_provider::http::in_words;

/// Credentials of the vendors' clients.
pub(super) enum Credentials {
    /// Keys and region.
    S3(AwsCredentialProvider, String),
    Gcs(GcpCredentialProvider),
}

/// Unfinished uploads of a bucket.
pub(super) struct Uploads {
    pub(super) client: Client,
    /// Address of the bucket.
    pub(super) bucket: String,
    pub(super) credentials: Credentials,
}

/// An unfinished upload.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Unfinished {
    /// Name of the object.
    #[serde(rename = "Key")]
    pub(super) name: String,
    #[serde(rename = "UploadId")]
    pub(super) id: String,
}

/// A page of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    upload: Vec<Unfinished>,
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
}

impl Page {
    fn read(text: &str) -> Result<Self, String> {
        quick_xml::de::from_str(text).map_err(|error| error.to_string())
    }
}

impl Uploads {
    /// Lists the uploads of objects whose names have a prefix.
    ///
    /// # Errors
    /// When the bucket does not answer, refuses, or repeats a page.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Unfinished>, String> {
        let all = format!("{}?uploads=&prefix={}", self.bucket, encoded(prefix));
        let (mut url, mut uploads, mut before) = (all.clone(), Vec::new(), None);
        loop {
            let page = Page::read(&self.text(&url).await?)?;
            uploads.extend(page.upload);
            if !page.is_truncated || page.next_key_marker.is_empty() {
                return Ok(uploads);
            }
            let markers = Some((page.next_key_marker, page.next_upload_id_marker));
            if markers == before {
                return Err("the list has no end: the server repeats a page".to_owned());
            }
            if let Some((key, id)) = &markers {
                url = format!("{all}&key-marker={}&upload-id-marker={}", encoded(key), encoded(id));
            }
            before = markers;
        }
    }

    async fn text(&self, url: &str) -> Result<String, String> {
        let request = self.client.get(url).headers(self.signed(url).await?);
        let answer = request.send().await.map_err(|error| in_words(&error))?;
        let answer = answer.error_for_status().map_err(|error| in_words(&error))?;
        answer.text().await.map_err(|error| in_words(&error))
    }

    /// Headers of a request with its signature or token.
    async fn signed(&self, url: &str) -> Result<HeaderMap, String> {
        match &self.credentials {
            Credentials::S3(provider, region) => {
                let keys = provider.get_credential().await.map_err(|error| error.to_string())?;
                let mut request = HttpRequest::new(HttpRequestBody::empty());
                match url.parse() {
                    Ok(uri) => *request.uri_mut() = uri,
                    Err(_) => return Err("the address of the bucket is not valid".to_owned()),
                }
                let signed = AwsAuthorizer::new(&keys, "s3", region).try_authorize(&mut request, None);
                signed.map_err(|error| error.to_string())?;
                Ok(request.headers().clone())
            }
            Credentials::Gcs(provider) => {
                let token = provider.get_credential().await.map_err(|error| error.to_string())?;
                let value =
                    format!("Bearer {}", token.bearer).parse().map_err(|_| "the token is not valid".to_owned())?;
                Ok(HeaderMap::from_iter([(reqwest::header::AUTHORIZATION, value)]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, Unfinished};

    #[test]
    fn page_has_uploads_and_markers() {
        let page = Page::read(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>b</Bucket><KeyMarker/>\
             <NextKeyMarker>a&amp;b</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>\
             <Upload><Key>x</Key><UploadId>0</UploadId><Initiator><ID>i</ID></Initiator></Upload>\
             <IsTruncated>true</IsTruncated>\
             <Upload><Key>a&amp;b</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>",
        )
        .unwrap();
        let upload = |name: &str, id: &str| Unfinished { name: name.to_owned(), id: id.to_owned() };
        assert_eq!(page.upload, [upload("x", "0"), upload("a&b", "1")]);
        assert_eq!((page.is_truncated, &*page.next_key_marker, &*page.next_upload_id_marker), (true, "a&b", "1"));
        let none =
            Page::read("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>");
        let none = none.unwrap();
        assert!(none.upload.is_empty() && !none.is_truncated);
    }
}

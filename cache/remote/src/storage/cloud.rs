//! Object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure.
//!
//! Requests run on a small runtime of their own, and callers wait for them, each for a time that depends on what it moves.

mod credentials;

use std::error::Error as _;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, RetryConfig,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use tokio::runtime::{Builder, Runtime};

use super::{Body, Listed, Occupied, PART, Stat, Storage, Stored, too_large, wrong_length};
use crate::error::{FailureKind, StorageError};

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for the answer to a small question, tries that follow a failed one included.
const ANSWER: Duration = Duration::from_secs(8);
/// Time for which a body may stand still.
const STANDSTILL: Duration = Duration::from_secs(20);
/// Bytes a second that an upload has to make, at least …
const SLOWEST: u64 = 50_000;
/// … after this time.
const GRACE: Duration = Duration::from_secs(60);
/// Parts of a large file that are sent at once.
const PARTS: usize = 4;

/// Signs that a bucket or container is not there.
const NO_BUCKET: [&str; 3] = ["NoSuchBucket", "ContainerNotFound", "specified bucket does not exist"];
/// Advice on a server that cannot be reached.
const REACHABLE: &str = " Is its address right, and the network up?";

/// A bucket.
pub(crate) struct Cloud {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// Advice where there is no answer.
    advice: &'static str,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // A request that hangs holds nothing up.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Makes HTTP clients with Mozilla's root certificates and those of `extra`.
#[derive(Debug)]
struct Connector {
    extra: Vec<CertificateDer<'static>>,
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // Where one is no certificate, the others may do.
        let _ = roots.add_parsable_certificates(self.extra.iter().cloned());
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "HTTP", source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::limited(3))
            .user_agent(concat!("athanor/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(HttpClient::new(client.map_err(|error| failed(error.into()))?))
    }
}

impl Cloud {
    /// Opens a bucket; `variables` are those of the user's environment that say who asks, and where.
    pub(crate) fn open(scheme: &str, bucket: &str, prefix: &str, variables: &[(String, String)]) -> Stored<Cloud> {
        let failed = |error: &dyn std::fmt::Display| {
            let why = in_short(&error.to_string());
            let what = format!(
                "cannot be used: {why}. docs/remote.md names the variables that say where it is, and who asks."
            );
            StorageError::new(FailureKind::Other, what)
        };
        let connector = Connector { extra: extra_roots(variables)? };
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(2),
                base: 3.0,
            },
            max_retries: 3,
            retry_timeout: Duration::from_secs(10),
        };
        let mut advice = "";
        let store: Arc<dyn ObjectStore> = match scheme {
            "s3" => {
                let values = credentials::of_s3(variables);
                // Not every server that speaks S3 removes several objects at once.
                let mut builder =
                    AmazonS3Builder::new().with_allow_http(values.allow_http).with_disable_bulk_delete(true);
                for (name, value) in &values.config {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, credentials::checked(name, value)?);
                    }
                }
                if !values.is_known {
                    advice = " No credentials were found in `AWS_ACCESS_KEY_ID` or in `~/.aws/credentials`.";
                }
                let builder = builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch);
                let store = builder.with_retry(retry).with_http_connector(connector).build();
                Arc::new(store.map_err(|error| failed(&error))?)
            }
            "gs" => {
                let mut builder = GoogleCloudStorageBuilder::new();
                for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("GOOGLE_")) {
                    if let Ok(key) = name.to_ascii_lowercase().parse() {
                        builder = builder.with_config(key, credentials::checked(name, value)?);
                    }
                }
                let store = builder.with_bucket_name(bucket).with_retry(retry).with_http_connector(connector).build();
                Arc::new(store.map_err(|error| failed(&error))?)
            }
            _ => {
                let mut builder = MicrosoftAzureBuilder::new();
                for (name, value) in variables.iter().filter(|(name, _)| name.starts_with("AZURE_")) {
                    if let Ok(key) = name.to_ascii_lowercase().parse() {
                        builder = builder.with_config(key, credentials::checked(name, value)?);
                    }
                }
                let store =
                    builder.with_container_name(bucket).with_retry(retry).with_http_connector(connector).build();
                Arc::new(store.map_err(|error| failed(&error))?)
            }
        };
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("remote cache").enable_all().build();
        let runtime = runtime.map_err(|error| StorageError::io(&error))?;
        Ok(Cloud { store, prefix: prefix.to_owned(), advice, runtime: Some(runtime) })
    }

    fn path(&self, key: &str) -> Path {
        Path::from(if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) })
    }

    /// Waits for a request; beyond `limit` it counts as failed.
    fn wait<T>(&self, limit: Duration, request: impl Future<Output = Stored<T>>) -> Stored<T> {
        let Some(runtime) = &self.runtime else { return Err(StorageError::new(FailureKind::Other, "is closed.")) };
        let timed = async { tokio::time::timeout(limit, request).await };
        // Libraries that make requests of odd addresses and credentials panic, and a remote cache fails no run.
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| runtime.block_on(timed))) else {
            let what = "cannot be asked: its address and these credentials make no request. docs/remote.md names the variables that say where \
                        it is, and who asks.";
            return Err(StorageError::new(FailureKind::Other, what));
        };
        outcome.unwrap_or_else(|_| Err(self.late()))
    }

    fn late(&self) -> StorageError {
        StorageError::new(FailureKind::Unreachable, format!("does not answer in time.{REACHABLE}{}", self.advice))
    }

    /// The failure in words: what the server says, and the remedy.
    fn refused(&self, error: &Error) -> StorageError {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text += &format!(": {inner_text}");
            }
            source = inner.source();
        }
        let says = |pieces: &[&str]| pieces.iter().any(|piece| text.contains(piece));
        let (kind, begin, remedy) = match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                let remedy = " Are the credentials right, and may they list and read there and, to push, write?";
                (FailureKind::Denied, "refuses this user", remedy)
            }
            _ if says(&NO_BUCKET) => {
                (FailureKind::Other, "is not there", " Make the bucket or container, or correct its name in `remote`.")
            }
            _ if says(&["503 ", "429 ", "SlowDown", "TooManyRequests"]) => (FailureKind::Busy, "is busy", ""),
            _ if says(&["507 ", "QuotaExceeded", "InsufficientStorage"]) => {
                let remedy = " `athanor cache gc --remote` removes results that are no longer needed.";
                (FailureKind::Full, "is full", remedy)
            }
            _ if says(&["500 ", "502 ", "504 "]) => (FailureKind::Unreachable, "failed", ""),
            _ if says(&["error sending request", "HTTP error", "timed out", "connect"]) => {
                (FailureKind::Unreachable, "cannot be reached", REACHABLE)
            }
            _ => (FailureKind::Other, "failed", ""),
        };
        StorageError::new(kind, format!("{begin}: {}.{remedy}{}", in_short(&text), self.advice))
    }

    /// A request for a body, or `None` if there is nothing.
    async fn begin(&self, key: &str, options: GetOptions) -> Stored<Option<GetResult>> {
        match tokio::time::timeout(ANSWER, self.store.get_opts(&self.path(key), options)).await {
            Err(_) => Err(self.late()),
            Ok(Ok(result)) => Ok(Some(result)),
            // A bucket that is not there has no key either, and that is no miss.
            Ok(Err(error @ Error::NotFound { .. })) if !is_no_bucket(&error) => Ok(None),
            Ok(Err(error)) if error.to_string().contains("416 ") => Err(wrong_length(key)),
            Ok(Err(error)) => Err(self.refused(&error)),
        }
    }

    /// Reads a body of no more than `limit` bytes, as long as it moves.
    async fn read(&self, key: &str, result: GetResult, limit: u64) -> Stored<Vec<u8>> {
        let mut content = Vec::new();
        let mut stream = result.into_stream();
        loop {
            match tokio::time::timeout(STANDSTILL, stream.next()).await {
                Err(_) => return Err(self.late()),
                Ok(None) => return Ok(content),
                Ok(Some(Err(error))) => return Err(self.refused(&error)),
                Ok(Some(Ok(piece))) => content.extend_from_slice(&piece),
            }
            if content.len() as u64 > limit {
                return Err(too_large(key));
            }
        }
    }
}

/// Time that an upload has.
fn time_for(bytes: u64) -> Duration {
    GRACE + Duration::from_secs(bytes / SLOWEST)
}

/// Facts about an object. Listings of some servers have times to the millisecond, other replies to the second.
fn stat(meta: &ObjectMeta) -> Stat {
    Stat { bytes: meta.size, put: meta.last_modified.timestamp() * 1000 }
}

/// Time that a listing has in all; it ends sooner when it stands still.
const LISTING: Duration = Duration::from_secs(3600);
/// Time that a download has in all; it ends sooner when it stands still.
const DOWNLOAD: Duration = Duration::from_secs(3600);

impl Storage for Cloud {
    fn get(&self, key: &str, limit: u64) -> Stored<Option<Vec<u8>>> {
        self.wait(DOWNLOAD, async {
            let Some(result) = self.begin(key, GetOptions::default()).await? else { return Ok(None) };
            if result.meta.size > limit {
                return Err(too_large(key));
            }
            let bytes = result.meta.size;
            let content = self.read(key, result, limit).await?;
            // A body that is cut off is no body.
            if content.len() as u64 == bytes { Ok(Some(content)) } else { Err(wrong_length(key)) }
        })
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Stored<Option<Vec<u8>>> {
        let bytes = range.end.saturating_sub(range.start);
        self.wait(DOWNLOAD, async {
            let options = GetOptions::new().with_range(Some(range));
            let Some(result) = self.begin(key, options).await? else { return Ok(None) };
            let content = self.read(key, result, bytes).await?;
            if content.len() as u64 == bytes { Ok(Some(content)) } else { Err(wrong_length(key)) }
        })
    }

    fn stat(&self, key: &str) -> Stored<Option<Stat>> {
        self.wait(ANSWER, async {
            match self.store.head(&self.path(key)).await {
                Ok(meta) => Ok(Some(stat(&meta))),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.refused(&error)),
            }
        })
    }

    fn list(&self, area: &str) -> Stored<Vec<Listed>> {
        self.wait(LISTING, async {
            let path = self.path(area);
            let mut stream = self.store.list(Some(&path));
            let mut listed = Vec::new();
            loop {
                match tokio::time::timeout(STANDSTILL, stream.next()).await {
                    Err(_) => return Err(self.late()),
                    Ok(None) => return Ok(listed),
                    Ok(Some(Err(error))) => return Err(self.refused(&error)),
                    Ok(Some(Ok(meta))) => {
                        let name =
                            meta.location.as_ref().strip_prefix(path.as_ref()).and_then(|it| it.strip_prefix('/'));
                        listed.extend(name.map(|name| (name.to_owned(), stat(&meta))));
                    }
                }
            }
        })
    }

    fn remove(&self, key: &str, put: i64) -> Stored<bool> {
        match self.stat(key)? {
            None => return Ok(true),
            Some(stat) if stat.put != put => return Ok(false),
            Some(_) => {}
        }
        self.wait(ANSWER, async {
            match self.store.delete(&self.path(key)).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(true),
                Err(error) => Err(self.refused(&error)),
            }
        })
    }

    fn put(&self, key: &str, content: Vec<u8>, occupied: Occupied) -> Stored<bool> {
        let limit = time_for(content.len() as u64);
        let content = Bytes::from(content);
        let put = async |mode: PutMode| {
            let options = PutOptions { mode, ..PutOptions::default() };
            self.store.put_opts(&self.path(key), content.clone().into(), options).await
        };
        let mode = if occupied == Occupied::Keep { PutMode::Create } else { PutMode::Overwrite };
        let outcome = self.wait(limit, async { Ok(put(mode).await) })?;
        match outcome {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) if occupied == Occupied::Keep => Ok(false),
            // Some servers know no conditions; then the last of two that write at once wins, and both have the same.
            Err(error) if occupied == Occupied::Keep && knows_no_conditions(&error) => match self.size(key)? {
                Some(_) => Ok(false),
                None => self.put(key, content.to_vec(), Occupied::Replace),
            },
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn put_file(&self, key: &str, body: &mut Body<'_>) -> Stored<()> {
        if body.bytes <= PART {
            // Parts are three requests.
            let content = body.next_part()?.unwrap_or_default();
            self.put(key, content, Occupied::Replace)?;
            body.sent(body.bytes);
            return Ok(());
        }
        self.wait(time_for(body.bytes), async {
            let begun = self.store.put_multipart(&self.path(key)).await;
            let mut upload = begun.map_err(|error| self.refused(&error))?;
            let mut under_way = FuturesUnordered::new();
            let mut failure = None;
            loop {
                let part = if failure.is_none() && under_way.len() < PARTS { body.next_part() } else { Ok(None) };
                match part {
                    Ok(Some(part)) => {
                        let bytes = part.len() as u64;
                        let sent = upload.put_part(part.into());
                        under_way.push(async move { sent.await.map(|()| bytes) });
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
                match under_way.next().await {
                    None => break,
                    Some(Ok(bytes)) => body.sent(bytes),
                    Some(Err(error)) => failure = Some(failure.unwrap_or_else(|| self.refused(&error))),
                }
            }
            drop(under_way);
            match failure {
                None => upload.complete().await.map(|_| ()).map_err(|error| self.refused(&error)),
                Some(failure) => {
                    // What stays is swept by the bucket's own rules.
                    let _ = upload.abort().await;
                    Err(failure)
                }
            }
        })
    }
}

/// Whether a key is not found because its bucket is not there.
fn is_no_bucket(error: &Error) -> bool {
    let text = error.to_string();
    NO_BUCKET.iter().any(|sign| text.contains(sign))
}

/// A library's message about a failed request without its own words: the request, and what the server says.
fn in_short(text: &str) -> String {
    const MOST: usize = 400;
    let text = text.split_once("Error performing ").map_or(text, |(_, request)| request);
    let text =
        text.strip_prefix("Generic ").and_then(|rest| rest.split_once(" error: ")).map_or(text, |(_, rest)| rest);
    let (head, body) = text.find('<').map_or((text, ""), |at| text.split_at(at));
    let within = |tag: &str| {
        let (_, begun) = body.split_once(&format!("<{tag}>"))?;
        begun.split_once(&format!("</{tag}>")).map(|(value, _)| value.trim())
    };
    let words: Vec<&str> = ["Code", "Message"].into_iter().filter_map(within).collect();
    let head = head.trim_end_matches([':', ' ', '\n']);
    let short = if words.is_empty() { head.to_owned() } else { format!("{head}: {}", words.join(": ")) };
    let short: String = short.chars().take(MOST).collect();
    short.trim_end_matches(['.', ' ', '\n']).to_owned()
}

fn knows_no_conditions(error: &Error) -> bool {
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || ["501 ", "NotImplemented"].iter().any(|piece| error.to_string().contains(piece))
}

/// Root certificates of the user's own, for servers inside of a company.
fn extra_roots(variables: &[(String, String)]) -> Stored<Vec<CertificateDer<'static>>> {
    let named = |name: &str| variables.iter().find(|(known, value)| known == name && !value.is_empty());
    let Some((name, file)) = named("AWS_CA_BUNDLE").or_else(|| named("SSL_CERT_FILE")) else { return Ok(Vec::new()) };
    let failed = |error: &pem::Error| {
        let why = match error {
            pem::Error::Io(error) => format!("cannot be read: {error}"),
            _ => "is not a list of certificates (PEM)".to_owned(),
        };
        let what = format!("cannot be used: the file `{file}`, which `{name}` names, {why}.");
        StorageError::new(FailureKind::Other, what)
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))?;
    certificates.collect::<Result<_, _>>().map_err(|error| failed(&error))
}

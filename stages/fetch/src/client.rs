//! The HTTP client: certificates and proxies, without redirects, cookies or retries.

use std::sync::Arc;

use reqwest::{Client, NoProxy, Proxy, redirect};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::options::{NetworkConfig, Options};
use crate::secrets::mask;

/// Errors of setting up the client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A proxy variable that is not an address.
    #[error("`{value}` is not the address of a proxy, which looks like `http://host:3128`: {why}")]
    Proxy {
        /// The variable's value, without its secrets.
        value: String,
        /// The problem.
        why: String,
    },
    /// A certificate that cannot be read.
    #[error("a root certificate cannot be read: {0}")]
    Root(rustls::Error),
    /// The TLS library refused its settings.
    #[error("there is no TLS: {0}")]
    Tls(rustls::Error),
    /// The operating system or the client's library refused.
    #[error("there is no HTTP client: {0}")]
    Client(String),
}

type MakeProxy = fn(&str) -> reqwest::Result<Proxy>;

/// A client that follows no redirects, keeps no cookies, unpacks nothing and reads no environment.
pub(super) fn client(options: &Options, network: &NetworkConfig) -> Result<Client, SetupError> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls(network)?)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(options.per_host)
        .user_agent(&options.user_agent)
        .no_proxy();
    let direct = network.no_proxy.as_deref().and_then(NoProxy::from_string);
    let proxies: [(&Option<String>, MakeProxy); 2] = [
        (&network.http_proxy, |address| Proxy::http(address)),
        (&network.https_proxy, |address| Proxy::https(address)),
    ];
    for (address, proxy) in proxies {
        if let Some(address) = address {
            let proxy = parse_proxy(address, proxy)?;
            builder = builder.proxy(proxy.no_proxy(direct.clone()));
        }
    }
    builder.build().map_err(|error| SetupError::Client(innermost(&error)))
}

fn parse_proxy(address: &str, proxy: MakeProxy) -> Result<Proxy, SetupError> {
    let failed = |why: String| SetupError::Proxy { value: mask(address).into_owned(), why };
    if let Some((scheme, _)) = address.split_once("://")
        && !matches!(scheme, "http" | "https")
    {
        return Err(failed(format!("a `{scheme}` proxy is not supported")));
    }
    proxy(address).map_err(|error| failed(innermost(&error)))
}

fn tls(network: &NetworkConfig) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in &network.roots {
        roots.add(CertificateDer::from(root.clone())).map_err(SetupError::Root)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(SetupError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost cause of an error.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// An error and what caused it, outermost first. An [`std::io::Error`] hides the error that it wraps from its own
/// `source`.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<std::io::Error>() {
        Some(wrapper) => wrapper.get_ref().map(|wrapped| wrapped as &(dyn std::error::Error + 'static)),
        None => error.source(),
    })
}

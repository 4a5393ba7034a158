//! Proxies, certificates, passwords.

use crate::fixture::{Fixture, options};
use crate::loopback::{Server, answer, ok, status};
use athanor_fetch::{FetchErrorKind, Fetcher, NetworkConfig, Options};

#[test]
fn passwords_are_sent_but_not_shown() {
    let server = Server::start(|_, _| status("403 Forbidden"));
    let url = format!("http://user:secret@{}/", server.address);
    let error = Fixture::new().fetch(&url).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(server.asked()[0].header("authorization").unwrap().starts_with("Basic "));
}

#[test]
fn http_goes_through_a_proxy_except_where_it_is_told_not_to() {
    let proxy = Server::start(|_, _| ok("by proxy"));
    let direct = Server::start(|_, _| ok("directly"));
    let network = NetworkConfig {
        http_proxy: Some(format!("http://me:pass@{}", proxy.address)),
        https_proxy: Some(proxy.address.clone()),
        no_proxy: Some("example.org, 127.0.0.0/8".to_owned()),
        ..NetworkConfig::default()
    };
    let mut fixture = Fixture::new();
    fixture.fetcher = Fetcher::new(Options { retries: 0, ..options() }, &network).unwrap();
    fixture.fetch("http://images.example.com/a.jpg").unwrap();
    assert_eq!(fixture.content(), b"by proxy");
    let asked = proxy.asked().remove(0);
    assert_eq!(asked.target, "http://images.example.com/a.jpg");
    assert!(asked.header("proxy-authorization").unwrap().starts_with("Basic "));
    fixture.fetch(&direct.url("/")).unwrap();
    assert_eq!(fixture.content(), b"directly");
    // This proxy does not build tunnels.
    let error = fixture.fetch("https://images.example.com/a.jpg").unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Unreachable(_)), "{error}");
    assert_eq!(proxy.asked()[1].target, "CONNECT images.example.com:443");

    for wrong in ["socks5://host:1", "http://"] {
        let network = NetworkConfig { http_proxy: Some(wrong.to_owned()), ..NetworkConfig::default() };
        let error = Fetcher::new(options(), &network).err().unwrap().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

/// A server that speaks TLS with a certificate of its own making; gives its address and certificate.
fn tls_server(answers: usize) -> (String, Vec<u8>) {
    use std::io::{Read, Write};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config =
        rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for _ in 0..answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut asked = [0; 1024];
            let Ok(read) = tls.read(&mut asked) else { continue };
            let down = asked[..read].starts_with(b"GET /down");
            let bytes = if down {
                answer("302 Found", &[("Location", "http://localhost/")], "")
            } else {
                answer("200 OK", &[], "sealed")
            };
            let _ = tls.write_all(&bytes);
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    (address, certificate.to_vec())
}

#[test]
fn https_is_spoken_with_those_who_are_trusted_and_never_left() {
    let (address, certificate) = tls_server(3);
    let error = Fixture::new().fetch(&format!("{address}/")).unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Untrusted(_)), "{error}");
    assert_eq!(error.attempts, 1);
    let network = NetworkConfig { roots: vec![certificate], ..NetworkConfig::default() };
    let mut fixture = Fixture::new();
    fixture.fetcher = Fetcher::new(options(), &network).unwrap();
    fixture.fetch(&format!("{address}/")).unwrap();
    assert_eq!(fixture.content(), b"sealed");
    let error = fixture.fetch(&format!("{address}/down")).unwrap_err();
    assert!(error.to_string().contains("from https to http"), "{error}");
}

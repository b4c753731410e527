//! TLS of servers and clients: whom a client believes, and what a reload changes.

use std::{fs, path::Path, sync::Arc, time::Duration};

use conflow::tls::{ServerTls, TlsError, TlsFiles, client_config};
use rcgen::KeyPair;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::authority::Authority;

const YEAR: i32 = 2_100;
const NAME: &str = "sip.example.com";

/// Connects to a server with this certificate, and returns the error if the client refuses it.
async fn connect(
    server: &ServerTls,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<TlsStream<TcpStream>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (acceptor, (from, _)) = (server.acceptor(), listener.accept().await.unwrap());
    tokio::spawn(async move {
        if let Ok(mut stream) = acceptor.accept(from).await {
            stream.write_all(b"here").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(config).connect(name, to).await.map_err(|error| error.to_string())
}

#[track_caller]
fn check_error(result: Result<TlsStream<TcpStream>, String>, expected: &str) {
    let error = result.map(drop).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[tokio::test]
async fn a_client_believes_the_right_name_of_a_known_authority_for_as_long_as_it_is_valid() {
    let authority = Authority::new();
    let server = ServerTls::open(authority.sign(NAME, YEAR), &[]).unwrap();
    let mut stream = connect(&server, authority.trusted(), NAME).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "here");
    let wrong = connect(&server, authority.trusted(), "example.com").await;
    check_error(wrong, "not valid for name");
    check_error(connect(&server, Authority::new().trusted(), NAME).await, "BadSignature");
    check_error(connect(&server, client_config(&[]).unwrap(), NAME).await, "UnknownIssuer");
    let both = client_config(authority.pem.as_bytes()).unwrap();
    assert!(connect(&server, both, NAME).await.is_ok());

    let wildcard = ServerTls::open(authority.sign("*.example.com", YEAR), &[]).unwrap();
    assert!(connect(&wildcard, authority.trusted(), NAME).await.is_ok());
    let literal = ServerTls::open(authority.sign("127.0.0.1", YEAR), &[]).unwrap();
    assert!(connect(&literal, authority.trusted(), "127.0.0.1").await.is_ok());
    let expired = ServerTls::open(authority.sign(NAME, 2_020), &[]).unwrap();
    check_error(connect(&expired, authority.trusted(), NAME).await, "expired");
}

#[tokio::test]
async fn a_reload_changes_new_handshakes_and_files_of_no_use_change_nothing() {
    let authority = Authority::new();
    let files = authority.sign(NAME, YEAR);
    let server = ServerTls::open(files.clone(), &[]).unwrap();
    authority.sign("new.example.com", YEAR);
    assert!(connect(&server, authority.trusted(), NAME).await.is_ok(), "not looked at yet");
    server.reload();
    assert!(connect(&server, authority.trusted(), "new.example.com").await.is_ok());
    check_error(connect(&server, authority.trusted(), NAME).await, "not valid for name");

    let key = fs::read(&files.key).unwrap();
    authority.sign("other.example.com", YEAR);
    // The certificate is new, and the key still the old one: somebody is writing them.
    let new_key = fs::read(&files.key).unwrap();
    fs::write(&files.key, key).unwrap();
    server.reload();
    assert!(connect(&server, authority.trusted(), "new.example.com").await.is_ok());
    fs::remove_file(&files.key).unwrap();
    server.reload();
    assert!(connect(&server, authority.trusted(), "new.example.com").await.is_ok());
    fs::write(&files.key, new_key).unwrap();
    server.reload();
    assert!(connect(&server, authority.trusted(), "other.example.com").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_each_minute() {
    let authority = Authority::new();
    let server = Arc::new(ServerTls::open(authority.sign(NAME, YEAR), &[]).unwrap());
    let watching = tokio::spawn(server.clone().watch());
    authority.sign("new.example.com", YEAR);
    tokio::time::sleep(Duration::from_secs(61)).await;
    watching.abort();
    tokio::time::resume();
    assert!(connect(&server, authority.trusted(), "new.example.com").await.is_ok());
}

#[test]
fn an_error_says_which_file_is_of_no_use_and_why() {
    let authority = Authority::new();
    let TlsFiles { certificate, key } = authority.sign(NAME, YEAR);
    let open = |certificate: &Path, key: &Path| {
        let files = TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        ServerTls::open(files, &[]).unwrap_err()
    };
    let missing = certificate.with_extension("none");
    assert!(matches!(open(&missing, &key), TlsError::Unreadable { path, .. } if path == missing));
    let error = open(&key, &key).to_string();
    assert!(error.contains("key.pem: there is no certificate in it"), "{error}");
    let error = open(&certificate, &certificate).to_string();
    assert!(error.contains("cert.pem: there is no private key in it"), "{error}");
    let other = Authority::new().sign(NAME, YEAR);
    let other_key = certificate.with_extension("other");
    fs::write(&other_key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    drop(other);
    let error = open(&certificate, &other_key).to_string();
    assert!(error.contains("cannot be used together"), "{error}");
    let error = conflow::tls::client_config_of(b"nothing").unwrap_err().to_string();
    assert!(error.contains("there is none in the file"), "{error}");
}

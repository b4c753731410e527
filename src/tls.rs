//! TLS: the certificate of a server, read again when its files change, and what clients trust.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// The time for a handshake, on both sides.
pub const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Longer files are refused: a chain and a key take a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files of a server's certificate, in PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key that belongs to it.
    pub key: PathBuf,
}

/// A certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: cannot be read ({source}): check the path, and that conflow may read it")]
    Unreadable {
        /// The file, as the settings name it.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A file has no PEM block of the kind that it is for.
    #[error("{path}: there is no {wanted} in it: write one in PEM (-----BEGIN …)")]
    Missing {
        /// The file, as the settings name it.
        path: PathBuf,
        /// A certificate or a private key.
        wanted: &'static str,
    },
    /// The two do not belong together, or their algorithm is not supported.
    #[error("{certificate} and {key} cannot be used together ({source})")]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why the two do not fit.
        source: rustls::Error,
    },
}

/// The TLS of one server. Handshakes use the pair that was read last.
pub struct ServerTls {
    files: TlsFiles,
    pair: Arc<CurrentPair>,
    config: Arc<ServerConfig>,
    /// The contents of both files when they were last read, as a hash.
    seen: Mutex<blake3::Hash>,
}

#[derive(Debug)]
struct CurrentPair(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentPair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl ServerTls {
    /// Reads the pair. `protocols` are offered by ALPN.
    ///
    /// # Errors
    ///
    /// The pair cannot be used.
    pub fn open(files: TlsFiles, protocols: &[&str]) -> Result<Self, TlsError> {
        let bytes = read_pair(&files)?;
        let pair = Arc::new(CurrentPair(RwLock::new(Arc::new(certified(&files, &bytes)?))));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(pair.clone());
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        Ok(Self { files, pair, config: Arc::new(config), seen: Mutex::new(hash(&bytes)) })
    }

    /// Accepts connections with the current pair.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Reads the files again. New handshakes use the new pair; if it cannot be used, a warning says
    /// why, once for each content, and the old pair stays.
    pub fn reload(&self) {
        let bytes = match read_pair(&self.files) {
            Ok(bytes) => bytes,
            Err(error) => return tracing::warn!("{error}; the old certificate stays in use"),
        };
        let (hash, mut seen) = (hash(&bytes), self.seen.lock());
        if *seen == hash {
            return;
        }
        *seen = hash;
        match certified(&self.files, &bytes) {
            Ok(pair) => {
                *self.pair.0.write() = Arc::new(pair);
                tracing::info!("new certificate from {}", self.files.certificate.display());
            }
            Err(error) => tracing::warn!("{error}; the old certificate stays in use"),
        }
    }

    /// Reloads when the files have changed, for as long as it is polled.
    pub async fn watch(self: Arc<Self>) {
        loop {
            sleep(LOOK_EVERY).await;
            self.reload();
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// The authorities are not valid PEM certificates.
#[derive(Debug, thiserror::Error)]
#[error("no certificates of authorities: {0}; give PEM blocks of CERTIFICATE")]
pub struct BadCertificates(String);

/// What a client trusts: the public authorities, and those of these PEM blocks.
///
/// # Errors
///
/// [`BadCertificates`]: the blocks cannot be read, or there are none in a text that is not empty.
pub fn client_config(authorities: &[u8]) -> Result<Arc<ClientConfig>, BadCertificates> {
    let public = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    Ok(trusting(with_authorities(public, authorities)?))
}

/// As [`client_config`], but trusts only these authorities: `tls_ca` of a trunk. Empty: the public
/// ones.
///
/// # Errors
///
/// As for [`client_config`].
pub fn client_config_of(authorities: &[u8]) -> Result<Arc<ClientConfig>, BadCertificates> {
    match authorities.is_empty() {
        true => client_config(authorities),
        false => Ok(trusting(with_authorities(RootCertStore::empty(), authorities)?)),
    }
}

fn with_authorities(
    mut roots: RootCertStore,
    authorities: &[u8],
) -> Result<RootCertStore, BadCertificates> {
    let bad = |why: &dyn ToString| BadCertificates(why.to_string());
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        roots.add(certificate.map_err(|it| bad(&it))?).map_err(|it| bad(&it))?;
    }
    match !authorities.is_empty() && roots.len() == before {
        true => Err(bad(&"there is none in the file")),
        false => Ok(roots),
    }
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read_pair(files: &TlsFiles) -> Result<[Vec<u8>; 2], TlsError> {
    Ok([read(&files.certificate)?, read(&files.key)?])
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let found = fs::metadata(path).map_err(unreadable)?;
    if FILE_BYTES_MAX < found.len() {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(unreadable)
}

fn certified(files: &TlsFiles, [chain, key]: &[Vec<u8>; 2]) -> Result<CertifiedKey, TlsError> {
    let missing = |path: &Path, wanted| TlsError::Missing { path: path.to_owned(), wanted };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(missing(&files.certificate, "certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| missing(&files.key, "private key"))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

fn hash([chain, key]: &[Vec<u8>; 2]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(chain.len() as u64).to_be_bytes()).update(chain).update(key).finalize()
}

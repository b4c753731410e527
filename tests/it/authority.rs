//! Authority for tests: signs the certificates of servers.

use std::{fs, path::PathBuf, sync::Arc};

use conflow::tls::{TlsFiles, client_config_of};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, date_time_ymd};
use rustls::ClientConfig;
use tempfile::{TempDir, tempdir};

/// An authority, and the files of certificates that it has signed.
pub(crate) struct Authority {
    folder: TempDir,
    /// Its own certificate, in PEM.
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // A certificate whose issuer has its own name would be taken for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { folder: tempdir().unwrap(), pem, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate for this name, valid until the given year.
    pub(crate) fn sign(&self, name: &str, until: i32) -> TlsFiles {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |name: &str| self.folder.path().join(name);
        fs::write(at("cert.pem"), certificate.pem()).unwrap();
        fs::write(at("key.pem"), key.serialize_pem()).unwrap();
        TlsFiles { certificate: at("cert.pem"), key: at("key.pem") }
    }

    /// Its certificate in a file.
    pub(crate) fn file(&self) -> PathBuf {
        let path = self.folder.path().join("authority.pem");
        fs::write(&path, &self.pem).unwrap();
        path
    }

    /// What a client that believes this authority alone trusts.
    pub(crate) fn trusted(&self) -> Arc<ClientConfig> {
        client_config_of(self.pem.as_bytes()).unwrap()
    }
}

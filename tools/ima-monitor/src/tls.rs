// SPDX-License-Identifier: GPL-2.0

//! The server's certificate: one that is given, or one that it makes for itself, which hosts then pin.

use crate::config::Config;
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    x509::{
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName},
        X509NameBuilder, X509,
    },
};
use rustls::{
    pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer},
    ServerConfig,
};
use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Days that the certificate is valid which the monitor makes for itself: hosts pin it, so that its end
/// would only stop attestation.
const DAYS: u32 = 3650;

/// Why there is no TLS.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A file is not what it should be.
    Pem(PathBuf, String),
    /// OpenSSL made no certificate.
    Make(ErrorStack),
    /// Certificate and key do not fit.
    Rustls(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Pem(path, why) => write!(f, "{}: {why}", path.display()),
            Self::Make(error) => write!(f, "no certificate can be made: {error}"),
            Self::Rustls(error) => write!(f, "the certificate cannot be used: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// The server's side of TLS, and the file with the certificate that hosts pin.
///
/// # Errors
///
/// [`Error`].
pub fn server(config: &Config) -> Result<(Arc<ServerConfig>, PathBuf), Error> {
    let (certificate, key) = match &config.tls {
        Some(tls) => (tls.certificate.clone(), tls.key.clone()),
        None => own(&config.state, &config.names)?,
    };
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |error: rustls::pki_types::pem::Error| Error::Pem(path, error.to_string())
    };
    let chain = CertificateDer::pem_file_iter(&certificate).map_err(pem(&certificate))?;
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(pem(&certificate))?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(pem(&key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Rustls)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(Error::Rustls)?;
    Ok((Arc::new(server), certificate))
}

/// The certificate that the monitor made for itself, now or before.
fn own(state: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), Error> {
    let (certificate, key) = (state.join("cert.pem"), state.join("key.pem"));
    // the key is written last: without it, both are made again
    if !key.exists() {
        let (made, secret) = make(names).map_err(Error::Make)?;
        write(&certificate, &made, 0o644)?;
        write(&key, &secret, 0o600)?;
    }
    Ok((certificate, key))
}

/// Writes a file whole, or not at all.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let new = path.with_extension("new");
    let failed = |error| Error::File(path.to_owned(), error);
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(&new).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

/// A certificate for these names, and its key, both in PEM.
fn make(names: &[String]) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::COMMONNAME, "ima-monitor")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(DAYS)?)?;
    let mut alternatives = SubjectAlternativeName::new();
    for name in names {
        match name.parse::<IpAddr>() {
            Ok(_) => alternatives.ip(name),
            Err(_) => alternatives.dns(name),
        };
    }
    let alternatives = alternatives.build(&builder.x509v3_context(None, None))?;
    builder.append_extension(alternatives)?;
    // it is its own root, for nothing but itself
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    let usage = KeyUsage::new()
        .critical()
        .digital_signature()
        .key_cert_sign()
        .build()?;
    builder.append_extension(usage)?;
    builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build().to_pem()?, key.private_key_to_pem_pkcs8()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            state: folder.path().to_owned(),
            ..Config::default()
        };
        let (_, path) = server(&config).unwrap();
        let first = fs::read(&path).unwrap();
        server(&config).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
        let mode = fs::metadata(folder.path().join("key.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        // killed in between
        fs::remove_file(folder.path().join("key.pem")).unwrap();
        server(&config).unwrap();
        assert_ne!(fs::read(&path).unwrap(), first);
    }
}

//! Trust for https and ftps: the certificates the host trusts, ring as the provider, nothing to switch it off.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the host trusts no certificates; install its ca-certificates package or set SSL_CERT_FILE")]
    NoRoots,
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The host's trusted certificates; SSL_CERT_FILE and SSL_CERT_DIR take their place where set.
pub(crate) fn roots() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("a trusted certificate could not be read: {error}");
    }
    if found.certs.is_empty() { Err(TlsError::NoRoots) } else { Ok(found.certs) }
}

/// The client side for ftps; the HTTP client builds its own from the same provider and roots.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots()?);
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

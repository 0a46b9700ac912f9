//! What libprocess is told, by its environment alone: LIBPROCESS_* and, for TLS, LIBPROCESS_SSL_*.

use crate::checks;
use crate::definition::Prefix;
use crate::macros::flag_set;
use crate::value::Location;

/// Where masters, agents and scheduler drivers look.
pub const MESOS: &[Prefix] = &[Prefix::current("MESOS_")];
pub const LIBPROCESS: &[Prefix] = &[Prefix::current("LIBPROCESS_")];
/// LIBPROCESS_SSL_* win over the older SSL_* (U118).
pub const TLS: &[Prefix] = &[Prefix::current("LIBPROCESS_SSL_"), Prefix::deprecated("SSL_")];

flag_set! {
    /// LIBPROCESS_*
    pub struct LibprocessFlags {
        "Libprocess" {
            ip: Option<String>
                => "IP address to listen on. Without it, the one that the machine's host name resolves to.";
            ip6: Option<String>, no_effect "nothing listens on IPv6"
                => "IPv6 address, for later.";
            port: Option<u16>
                => "Port to listen on. Without it, or with 0, any that is free.";
            advertise_ip: Option<String>
                => "IP address at which others reach this process, if it is not the one it listens on.";
            advertise_port: Option<u16>, check checks::at_least_one
                => "Port at which others reach this process, if it is not the one it listens on.";
            require_peer_address_ip_match: bool = "false"
                => "Whether the sender that a message names must have the IP address that it came from.";
            metrics_snapshot_endpoint_rate_limit: Option<String>
                => "How often /metrics/snapshot is answered, as NUMBER/DURATION such as 10/1secs; who asks more often waits. Without it or empty, as often as it is asked; Apache Mesos has 2/1secs without it.";
            memory_profiling: bool = "false", no_effect "there is no memory profiler in this program"
                => "Whether the memory profiler has endpoints.";
        }
    }
}

flag_set! {
    /// LIBPROCESS_SSL_*
    pub struct TlsFlags {
        "TLS" {
            enabled: bool = "false", not_yet "TLS is not built"
                => "Whether TLS is spoken.";
            support_downgrade: bool = "false", no_effect "TLS is not built"
                => "Whether plain text is accepted on the same port.";
            cert_file: Option<Location>, no_effect "TLS is not built"
                => "File of this process's certificate, in PEM.";
            key_file: Option<Location>, no_effect "TLS is not built"
                => "File of the certificate's key, in PEM.";
            verify_cert: bool = "false", no_effect "TLS is not built"
                => "Deprecated: the older name of verify_server_cert.";
            verify_server_cert: bool = "false", no_effect "TLS is not built"
                => "Whether servers that this process connects to must have a valid certificate.";
            require_cert: bool = "false", no_effect "TLS is not built"
                => "Deprecated: the older name of require_client_cert.";
            require_client_cert: bool = "false", no_effect "TLS is not built"
                => "Whether clients that connect to this process must have a valid certificate.";
            verify_ipadd: bool = "false", no_effect "TLS is not built"
                => "Whether an IP address in a certificate's alternative names counts as its name.";
            verification_depth: u32 = "4", no_effect "TLS is not built"
                => "Most certificates in a chain.";
            ca_dir: Option<Location>, no_effect "TLS is not built"
                => "Directory of certificates of authorities.";
            ca_file: Option<Location>, no_effect "TLS is not built"
                => "File of certificates of authorities.";
            ciphers: String = "AES128-SHA:AES256-SHA:RC4-SHA:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA:DHE-RSA-AES256-SHA:DHE-DSS-AES256-SHA", no_effect "TLS is not built"
                => "Ciphers, by their OpenSSL names with : in between.";
            ecdh_curves: String = "auto", no_effect "TLS is not built"
                => "Elliptic curves, with : in between, or auto.";
            hostname_validation_scheme: String = "legacy", check checks::validation_scheme, no_effect "TLS is not built"
                => "How the name in a certificate is compared: legacy or openssl.";
            enable_ssl_v3: bool = "false", refused "SSL 3.0 is broken: use TLS 1.2 or 1.3"
                => "No longer possible; only false is accepted.";
            enable_tls_v1_0: bool = "false", refused "TLS 1.0 is broken: use TLS 1.2 or 1.3"
                => "No longer possible; only false is accepted.";
            enable_tls_v1_1: bool = "false", refused "TLS 1.1 is broken: use TLS 1.2 or 1.3"
                => "No longer possible; only false is accepted.";
            enable_tls_v1_2: bool = "true", no_effect "TLS is not built"
                => "Whether TLS 1.2 is spoken.";
            enable_tls_v1_3: bool = "false", no_effect "TLS is not built"
                => "Whether TLS 1.3 is spoken.";
        }
    }
}

impl TlsFlags {
    /// Whether servers must have a valid certificate, under either name (U001).
    pub fn verifies_servers(&self) -> bool {
        self.verify_server_cert || self.verify_cert || self.requires_clients()
    }

    /// Whether clients must have a valid certificate, under either name (U001).
    pub fn requires_clients(&self) -> bool {
        self.require_client_cert || self.require_cert
    }
}

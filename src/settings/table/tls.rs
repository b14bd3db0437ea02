//! TLS, which Troupe does not have yet: a certificate is harmless, a TLS port is not.

use crate::settings::Setting;
use crate::settings::kind::Unit;
use crate::settings::setting::{choice, count, flag, number, port, text};

const NO_TLS: &str = "there is no TLS yet";
const REMEDY: &str =
    "Troupe has no TLS yet: remove the line and put a TLS proxy (stunnel, haproxy) in front";

pub(super) const SETTINGS: &[Setting] = &[
    number("max-new-tls-connections-per-cycle", "1", 1, 1000, Unit::None)
        .runtime()
        .accepted(NO_TLS)
        .doc("TLS connections taken up in one round of the event loop."),
    choice("tls-auth-clients", "yes", &["no", "yes", "optional"])
        .runtime()
        .accepted(NO_TLS)
        .doc("Asks clients for a certificate."),
    choice("tls-auth-clients-user", "off", &["CN", "URI", "off"])
        .runtime()
        .accepted(NO_TLS)
        .doc("Field of a client's certificate that names its user."),
    count("tls-auto-reload-interval", "0", Unit::Seconds)
        .runtime()
        .accepted(NO_TLS)
        .doc("Time between looks for new certificates; 0 for never."),
    text("tls-ca-cert-dir", "")
        .runtime()
        .accepted(NO_TLS)
        .doc("Directory of trusted certificates."),
    text("tls-ca-cert-file", "").runtime().accepted(NO_TLS).doc("File of trusted certificates."),
    text("tls-cert-file", "").runtime().accepted(NO_TLS).doc("Certificate of the server."),
    text("tls-ciphers", "").runtime().accepted(NO_TLS).doc("Ciphers up to TLS 1.2."),
    text("tls-ciphersuites", "").runtime().accepted(NO_TLS).doc("Cipher suites of TLS 1.3."),
    text("tls-client-cert-file", "")
        .runtime()
        .accepted(NO_TLS)
        .doc("Certificate for outgoing connections."),
    text("tls-client-key-file", "").runtime().accepted(NO_TLS).doc("Key for outgoing connections."),
    text("tls-client-key-file-pass", "")
        .runtime()
        .secret()
        .accepted(NO_TLS)
        .doc("Password of the key for outgoing connections."),
    flag("tls-cluster", "no").runtime().refused(REMEDY).doc("Uses TLS between cluster nodes."),
    text("tls-dh-params-file", "").runtime().accepted(NO_TLS).doc("Diffie-Hellman parameters."),
    text("tls-key-file", "").runtime().accepted(NO_TLS).doc("Key of the server."),
    text("tls-key-file-pass", "")
        .runtime()
        .secret()
        .accepted(NO_TLS)
        .doc("Password of the server's key."),
    port("tls-port", "0").runtime().refused(REMEDY).doc("TLS port to listen on; 0 for none."),
    flag("tls-prefer-server-ciphers", "no")
        .runtime()
        .accepted(NO_TLS)
        .doc("Lets the server choose the cipher."),
    text("tls-protocols", "").runtime().accepted(NO_TLS).doc("Versions of TLS that are spoken."),
    flag("tls-replication", "no").runtime().refused(REMEDY).doc("Uses TLS towards the primary."),
    count("tls-session-cache-size", "20480", Unit::None)
        .runtime()
        .accepted(NO_TLS)
        .doc("TLS sessions that are kept."),
    count("tls-session-cache-timeout", "300", Unit::Seconds)
        .runtime()
        .accepted(NO_TLS)
        .doc("Time for which a TLS session is kept."),
    flag("tls-session-caching", "yes").runtime().accepted(NO_TLS).doc("Keeps TLS sessions."),
];

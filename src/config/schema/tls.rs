//! `tls` blocks and the OCSP keys: checked, recorded as unsupported.

use super::rules::{Field, Key, Report, check_map, read_map_with, shown};
use crate::config::document::{Node, Value};
use crate::config::duration::parse_nanos;
use crate::config::{DiskIncludes, FileError, IncludeReader};

/// What decides about a block beyond its single keys.
#[derive(Default)]
struct Tls {
    cert_file: String,
    key_file: String,
    ca_file: String,
    certificates: Vec<(String, String)>,
    insecure_suites: Vec<String>,
    insecure_suites_allowed: bool,
    /// Peers are servers whose URLs are known.
    peers_are_servers: bool,
}

const SUITES: [&str; 15] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
];

const INSECURE_SUITES: [&str; 12] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

const CURVES: [&str; 7] =
    ["CurveP256", "CurveP384", "CurveP521", "X25519", "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"];

const KEYS: &[Key<Tls>] = &[
    Key::custom(&["cert_file"], |tls, field, report| file_name(&mut tls.cert_file, "cert_file", field, report)),
    Key::custom(&["key_file"], |tls, field, report| file_name(&mut tls.key_file, "key_file", field, report)),
    Key::custom(&["ca_file"], |tls, field, report| file_name(&mut tls.ca_file, "ca_file", field, report)),
    Key::check(&["insecure"], |field, report| {
        boolean("insecure", field, report);
    }),
    Key::check(&["verify"], |field, report| {
        boolean("verify", field, report);
    }),
    Key::check(&["verify_and_map"], |field, report| {
        boolean("verify_and_map", field, report);
    }),
    Key::custom(&["verify_cert_and_check_known_urls"], |tls, field, report| {
        if boolean("verify_cert_and_check_known_urls", field, report) && !tls.peers_are_servers {
            report.error(field.at(), "verify_cert_and_check_known_urls not supported in this context");
        }
    }),
    Key::custom(&["allow_insecure_cipher_suites"], |tls, field, report| {
        tls.insecure_suites_allowed = boolean("allow_insecure_cipher_suites", field, report);
    }),
    Key::custom(&["cipher_suites"], cipher_suites),
    Key::check(&["curve_preferences"], |field, report| {
        for (name, node) in names("curve_preferences", field, report) {
            if !CURVES.contains(&name) {
                return report.error(&node.position, format!("unrecognized curve preference {name}"));
            }
        }
    }),
    Key::check(&["timeout"], timeout),
    Key::check(&["connection_rate_limit"], |field, report| {
        if !matches!(field.value(), Value::Integer(_)) {
            report.error(field.at(), "error parsing tls config, 'connection_rate_limit' wrong type");
        }
    }),
    Key::check(&["pinned_certs"], pinned_certs),
    Key::check(&["handshake_first", "first", "immediate"], handshake_first),
    Key::check(&["min_version"], min_version),
    Key::custom(&["certs", "certificates"], certificates),
    Key::check(&["ocsp_peer"], |field, report| {
        if !matches!(field.value(), Value::Boolean(_) | Value::Map(_)) {
            let found = field.value().type_name();
            report.error(field.at(), format!("error parsing ocsp peer config: unsupported type {found}"));
        }
    }),
    Key::is_text(&["cert_store"]),
    Key::is_text(&["cert_match_by"]),
    Key::is_text(&["cert_match"]),
    Key::is_boolean(&["cert_match_skip_invalid"]),
    Key::is_anything(&["ca_certs_match"]),
];

/// A block whose peers are clients.
pub(super) fn check_for_clients(field: Field<'_>, report: &mut Report) {
    check(Tls::default(), field, report);
}

/// A block whose peers are servers: clusters and gateways.
pub(super) fn check_for_servers(field: Field<'_>, report: &mut Report) {
    check(Tls { peers_are_servers: true, ..Tls::default() }, field, report);
}

fn check(mut tls: Tls, field: Field<'_>, report: &mut Report) {
    let Some(map) = field.map(report) else {
        return;
    };
    let had_errors = report.has_errors();
    // The reference does not exempt variables here.
    for (name, node) in map {
        if !KEYS.iter().any(|key| key.has_name(name)) {
            report.error(&node.position, format!("error parsing tls config, unknown field {name:?}"));
        }
    }
    let known = map.iter().filter(|(name, _)| KEYS.iter().any(|key| key.has_name(name)));
    let known = known.map(|(name, node)| (name.clone(), node.clone())).collect();
    read_map_with(&known, KEYS, &mut tls, report, super::rules::unknown_field);
    if report.has_errors() && !had_errors {
        return;
    }
    if let Some(text) = tls.problem() {
        report.error(field.at(), text);
    }
}

impl Tls {
    /// What is wrong with the block as a whole.
    fn problem(&self) -> Option<String> {
        if !self.insecure_suites.is_empty() && !self.insecure_suites_allowed {
            let suites = self.insecure_suites.join(", ");
            return Some(format!(
                "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: {suites}"
            ));
        }
        match (self.cert_file.is_empty(), self.key_file.is_empty()) {
            (false, true) => return Some("missing 'key_file' in TLS configuration".to_owned()),
            (true, false) => return Some("missing 'cert_file' in TLS configuration".to_owned()),
            (false, false) => {
                if let Some(reason) = unusable_pair(&self.cert_file, &self.key_file) {
                    return Some(format!("error parsing X509 certificate/key pair: {reason}"));
                }
            }
            (true, true) => {}
        }
        let count = self.certificates.len();
        for (index, (certificate, key)) in self.certificates.iter().enumerate() {
            if let Some(reason) = unusable_pair(certificate, key) {
                return Some(format!("error parsing X509 certificate/key pair {}/{count}: {reason}", index + 1));
            }
        }
        if !self.ca_file.is_empty() {
            return match pem(&self.ca_file) {
                Err(error) => Some(error.to_string()),
                Ok(false) => Some("failed to parse root ca certificate".to_owned()),
                Ok(true) => None,
            };
        }
        None
    }
}

fn unusable_pair(certificate: &str, key: &str) -> Option<String> {
    let (certificate, key) = match (pem(certificate), pem(key)) {
        (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
        (Ok(certificate), Ok(key)) => (certificate, key),
    };
    match (certificate, key) {
        (false, _) => Some("tls: failed to find any PEM data in certificate input".to_owned()),
        (_, false) => Some("tls: failed to find any PEM data in key input".to_owned()),
        (true, true) => None,
    }
}

/// Whether the file holds anything in PEM form.
fn pem(file: &str) -> Result<bool, FileError> {
    let bytes = DiskIncludes.read(file)?;
    Ok(String::from_utf8_lossy(&bytes).contains("-----BEGIN "))
}

fn file_name(target: &mut String, key: &str, field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::String(name) => name.clone_into(target),
        _ => report.error(field.at(), format!("error parsing tls config, expected '{key}' to be filename")),
    }
}

fn boolean(key: &str, field: Field<'_>, report: &mut Report) -> bool {
    match field.value() {
        Value::Boolean(on) => *on,
        _ => {
            report.error(field.at(), format!("error parsing tls config, expected '{key}' to be a boolean"));
            false
        }
    }
}

/// The texts of a list that must not be empty.
fn names<'a>(key: &str, field: Field<'a>, report: &mut Report) -> Vec<(&'a str, &'a Node)> {
    let Value::Array(elements) = field.value() else {
        report.wrong_type(field.node, "[]interface {}");
        return Vec::new();
    };
    if elements.is_empty() {
        report.error(field.at(), format!("error parsing tls config, '{key}' cannot be empty"));
    }
    let mut names = Vec::new();
    for node in elements {
        match &node.value {
            Value::String(name) => names.push((name.as_str(), node)),
            _ => report.wrong_type(node, "string"),
        }
    }
    names
}

fn cipher_suites(tls: &mut Tls, field: Field<'_>, report: &mut Report) {
    for (name, node) in names("cipher_suites", field, report) {
        if INSECURE_SUITES.contains(&name) {
            tls.insecure_suites.push(name.to_owned());
        } else if !SUITES.contains(&name) {
            return report.error(&node.position, format!("unrecognized cipher {name}"));
        }
    }
}

fn timeout(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Integer(_) | Value::Float(_) => {}
        Value::String(text) => {
            if let Err(error) = parse_nanos(text) {
                report.error(field.at(), format!("error parsing tls config, 'timeout' {error}"));
            }
        }
        _ => report.error(field.at(), "error parsing tls config, 'timeout' wrong type"),
    }
}

fn pinned_certs(field: Field<'_>, report: &mut Report) {
    const WANTED: &str = "hex-encoded sha256 of DER encoded SubjectPublicKeyInfo";
    let Value::Array(elements) = field.value() else {
        let text = format!("error parsing tls config, expected 'pinned_certs' to be a list of {WANTED}");
        return report.error(field.at(), text);
    };
    for node in elements {
        let Value::String(hash) = &node.value else {
            return report.wrong_type(node, "string");
        };
        let hash = hash.to_lowercase();
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let text = format!("error parsing tls config, 'pinned_certs' key {hash} does not look like {WANTED}");
            return report.error(&node.position, text);
        }
    }
}

fn handshake_first(field: Field<'_>, report: &mut Report) {
    let name = field.name;
    match field.value() {
        Value::Boolean(_) => {}
        Value::String(text) => {
            let known =
                matches!(text.to_lowercase().as_str(), "true" | "on" | "false" | "off" | "auto" | "auto_fallback");
            if !known && parse_nanos(text).is_err() {
                report.error(field.at(), format!("field {name:?}'s value {text:?} is invalid"));
            }
        }
        other => {
            let found = other.type_name();
            report.error(field.at(), format!("field {name:?} should be a boolean or a string, got {found}"));
        }
    }
}

fn min_version(field: Field<'_>, report: &mut Report) {
    let problem = match field.value() {
        Value::String(version) => match version.as_str() {
            "1.2" | "1.3" => return,
            "1.0" | "1.1" => format!("unsupported TLS version: TLS {version}"),
            _ => format!("unknown version: {version}"),
        },
        other => format!("'min_version' wrong type: {}", shown(other)),
    };
    report.error(field.at(), format!("error parsing tls config: {problem}"));
}

fn certificates(tls: &mut Tls, field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<(String, String)>] = &[
        Key::text(&["cert_file"], |pair, text| text.clone_into(&mut pair.0)),
        Key::text(&["key_file"], |pair, text| text.clone_into(&mut pair.1)),
    ];
    // The reference names the type that it would have liked.
    const WRONG: &str = "error parsing certificates config: unsupported type map[string]interface {}";
    let Value::Array(elements) = field.value() else {
        return report.error(field.at(), WRONG);
    };
    for node in elements {
        let Value::Map(map) = &node.value else {
            return report.error(&node.position, WRONG);
        };
        let mut pair = (String::new(), String::new());
        read_map_with(map, KEYS, &mut pair, report, super::rules::unknown_field);
        if pair.0.is_empty() || pair.1.is_empty() {
            return report.error(
                &node.position,
                "error parsing certificates config: both 'cert_file' and 'key_file' options are required",
            );
        }
        tls.certificates.push(pair);
    }
}

pub(super) fn ocsp(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Boolean(_) => {}
        Value::Map(map) => {
            for (name, node) in map {
                match name.as_str() {
                    "mode" | "url" if matches!(node.value, Value::String(_)) => {}
                    "mode" | "url" => report.wrong_type(node, "string"),
                    "urls" => {}
                    // The reference means the name and prints its type.
                    _ => report.error(&node.position, "error parsing ocsp config: unsupported field string"),
                }
            }
        }
        other => {
            report.error(field.at(), format!("error parsing ocsp config: unsupported type {}", other.type_name()));
        }
    }
}

pub(super) fn ocsp_cache(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::is_text(&["type"]),
        Key::is_text(&["local_store"]),
        Key::is_boolean(&["preserve_revoked"]),
        Key::is_anything(&["save_interval"]),
    ];
    match field.value() {
        Value::Boolean(_) => {}
        Value::Map(map) => check_map(map, KEYS, report),
        // The reference borrows the words of another key.
        other => report.error(field.at(), format!("error parsing tags: unsupported type {}", other.type_name())),
    }
}

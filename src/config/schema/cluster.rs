//! `cluster`. Leafnodes share `compression` with it.

use std::time::Duration;

use shards::config::{RoutePermissions, Secret};

use super::permissions::{self, Permissions};
use super::rules::{Field, Key, Report, is_subject, read_map, text_list};
use super::top::{name_without_spaces, non_empty, write_timeout};
use super::{Draft, authorization, tls, urls};
use crate::config::Unsupported;
use crate::config::document::{Node, Position, Value};
use crate::config::duration::parse_nanos;
use crate::options::{ClusterOptions, CompressionOptions};

/// What compresses when the file says no more than that it should.
const MODE_FOR_TRUE: &str = "on";
const MODE_FOR_FALSE: &str = "off";

/// The block while it is being read.
#[derive(Default)]
struct Block {
    options: ClusterOptions,
    /// Those inside of `authorization`, which give way to the block's own.
    auth_permissions: Option<RoutePermissions>,
}

const KEYS: &[Key<Block>] = &[
    Key::custom(&["name"], |block, field, report| {
        if let Some(name) = name_without_spaces("cluster", field, report) {
            block.options.name = non_empty(name);
        }
    }),
    Key::listen(&["listen"], |block, listen| {
        block.options.host = listen.host;
        block.options.port = listen.port;
    }),
    Key::integer(&["port"], |block, port| block.options.port = port),
    Key::text(&["host", "net"], |block, text| text.clone_into(&mut block.options.host)),
    Key::custom(&["authorization"], read_authorization),
    Key::custom(&["routes"], |block, field, report| block.options.routes = urls::routes(field, report)),
    Key::custom(&["tls"], |block, field, report| {
        tls::check_for_servers(field, report);
        block.options.tls = Some(Unsupported::new(field.name, "TLS between servers", field.at()));
    }),
    Key::text(&["cluster_advertise", "advertise"], |block, text| block.options.advertise = non_empty(text)),
    Key::boolean(&["no_advertise"], |block, on| block.options.no_advertise = on),
    Key::integer(&["connect_retries"], |block, n| block.options.connect_retries = n),
    Key::boolean(&["connect_backoff"], |block, on| block.options.connect_backoff = on),
    Key::custom(&["permissions"], |block, field, report| {
        let Some(permissions) = permissions::check_without_place(field, report) else { return };
        if permissions.responses {
            report.error(field.at(), "Cluster permissions do not support dynamic responses");
        }
        block.options.permissions = for_routes(permissions, field, report);
    }),
    Key::integer(&["pool_size"], |block, n| block.options.pool_size = n),
    Key::custom(&["accounts"], |block, field, report| {
        block.options.accounts = text_list("accounts", field, report);
    }),
    Key::custom(&["compression"], |block, field, report| block.options.compression = compression(field, report)),
    Key::custom(&["ping_interval"], ping_interval),
    Key::integer(&["ping_max"], |block, n| block.options.ping_max = n),
    Key::duration(&["write_deadline"], "write_deadline", |block, span| block.options.write_deadline = span),
    Key::custom(&["write_timeout"], |block, field, report| {
        if let Some(policy) = write_timeout(field, report) {
            block.options.write_timeout = policy;
        }
    }),
];

/// The whole block.
pub(super) fn read(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    let Value::Map(map) = field.value() else {
        let found = field.value().type_name();
        return report.error(field.at(), format!("Expected map to define cluster, got {found}"));
    };
    let mut block = Block::default();
    read_map(map, KEYS, &mut block, report);
    let Block { mut options, auth_permissions } = block;
    options.permissions = options.permissions.or(auth_permissions);
    draft.options.cluster = options;
}

fn read_authorization(block: &mut Block, field: Field<'_>, report: &mut Report) {
    let Some(auth) = authorization::read(field, report) else {
        return;
    };
    block.auth_permissions = auth.permissions.and_then(|permissions| for_routes(permissions, field, report));
    if auth.users.is_some() {
        report.error(field.at(), "Cluster authorization does not allow multiple users");
    } else if !auth.token.is_empty() {
        report.error(field.at(), "Cluster authorization does not support tokens");
    } else if auth.has_callout {
        report.error(field.at(), "Cluster authorization does not support callouts");
    } else if block.auth_permissions.is_some() {
        let text = "setting \"permissions\" within cluster authorization block is deprecated";
        report.warning(field.at(), field.name, text);
    }
    block.options.user = non_empty(&auth.user);
    block.options.password = non_empty(&auth.password).map(|text| Secret(text.into()));
    block.options.auth_timeout = auth.timeout;
}

/// Routes import what is published to them, and export what is subscribed to; they know no queue groups there.
fn for_routes(permissions: Permissions, field: Field<'_>, report: &mut Report) -> Option<RoutePermissions> {
    let Permissions { publish: import, subscribe: export, .. } = permissions;
    let lists = [("allow", export.allow.as_deref().unwrap_or_default()), ("deny", &export.deny)];
    for (list, subjects) in lists {
        if let Some(subject) = subjects.iter().find(|subject| !is_subject(subject)) {
            report.error(field.at(), format!("cluster export {list}: subject {subject:?} is not a valid subject"));
            return None;
        }
    }
    Some(RoutePermissions { import, export })
}

/// A mode, a switch, or `{mode, rtt_thresholds}`. Names of modes are looked at when the server starts.
pub(super) fn compression(field: Field<'_>, report: &mut Report) -> CompressionOptions {
    const KEYS: &[Key<CompressionOptions>] = &[
        Key::text(&["mode"], |compression, text| text.clone_into(&mut compression.mode)),
        Key::custom(&["rtt_thresholds", "thresholds", "rtts", "rtt"], |compression, field, report| {
            match field.value() {
                Value::Array(spans) => {
                    compression.rtt_thresholds =
                        spans.iter().filter_map(|node| threshold(node, field.at(), report)).collect();
                }
                _ => report.wrong_type(field.node, "[]interface {}"),
            }
        }),
    ];
    let mut compression = CompressionOptions::default();
    match field.value() {
        Value::String(mode) => mode.clone_into(&mut compression.mode),
        Value::Boolean(on) => {
            let mode = if *on { MODE_FOR_TRUE } else { MODE_FOR_FALSE };
            mode.clone_into(&mut compression.mode);
        }
        Value::Map(map) => read_map(map, KEYS, &mut compression, report),
        other => {
            let (name, found) = (field.name, other.type_name());
            let text = format!("field {name:?} should be a boolean or a structure, got {found}");
            report.error(field.at(), text);
        }
    }
    compression
}

/// A round trip. A negative one is none.
fn threshold(node: &Node, at: &Position, report: &mut Report) -> Option<Duration> {
    let Value::String(text) = &node.value else {
        report.wrong_type(node, "string");
        return None;
    };
    match parse_nanos(text) {
        Ok(nanos) => Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
        Err(error) => {
            report.error(at, error.to_string());
            None
        }
    }
}

fn ping_interval(block: &mut Block, field: Field<'_>, report: &mut Report) {
    const LONGEST: Duration = Duration::from_secs(30);
    const KEY: Key<Duration> =
        Key::duration(&["ping_interval"], "ping_interval", |found: &mut Duration, span| *found = span);
    let span = &mut block.options.ping_interval;
    KEY.read(span, field, report);
    if *span > LONGEST {
        report.plain_warning(field.at(), "Cluster 'ping_interval' will reset to 30s which is the max for routes");
    }
}

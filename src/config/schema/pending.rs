//! Keys of parts that this server does not have yet: what the reference takes for them, and when they matter.
//!
//! A block that is switched off, or that could have no effect, is no reason to refuse a start.

use super::rules::{Field, Key, Report};
use super::{Draft, accounts, gateway, jetstream, leafnodes, mappings, mqtt, resolver, tls, websocket};
use crate::config::document::{Map, Value};

/// A key, the part that it belongs to, and the test whether its value asks for that part.
pub(super) struct Block {
    pub key: Key<Draft>,
    part: &'static str,
    asks_for_it: fn(&Value) -> bool,
}

impl Block {
    pub fn read(&self, draft: &mut Draft, field: Field<'_>, report: &mut Report) {
        self.key.read(draft, field, report);
        if (self.asks_for_it)(field.value()) {
            draft.needs(field, self.part);
        }
    }
}

const fn block(part: &'static str, key: Key<Draft>, asks_for_it: fn(&Value) -> bool) -> Block {
    Block { key, part, asks_for_it }
}

pub(super) const BLOCKS: &[Block] = &[
    block("accounts", Key::custom(&["accounts"], accounts::read), not_empty),
    block("subject mappings", Key::check(&["mappings", "maps"], mappings::check), not_empty),
    block("TLS", Key::check(&["tls"], tls::check_for_clients), always),
    block("gateways", Key::custom(&["gateway"], gateway::read), listens),
    block("leafnodes", Key::check(&["leafnodes", "leaf"], leafnodes::check), listens),
    block("websocket", Key::check(&["websocket", "ws"], websocket::check), listens),
    block("MQTT", Key::check(&["mqtt"], mqtt::check), listens),
    block("JetStream", Key::custom(&["jetstream"], jetstream::read), jetstream_on),
    block("TLS", Key::is_listen(&["https"]), not_zero),
    block("TLS", Key::is_integer(&["https_port"]), not_zero),
    block("syslog", Key::is_boolean(&["syslog"]), not_false),
    block("syslog", Key::is_text(&["remote_syslog"]), not_empty),
    block("the PROXY protocol", Key::is_boolean(&["proxy_protocol"]), not_false),
    block("trusted proxies", Key::check(&["proxies"], resolver::proxies), not_empty),
    block("more than one user", Key::is_text(&["no_auth_user"]), not_empty),
    block("accounts", Key::check(&["system_account", "system"], resolver::system_account), not_default_system),
    block(
        "operator mode",
        Key::check(&["operator", "operators", "root", "roots", "root_operator", "root_operators"], resolver::operator),
        not_empty,
    ),
    block(
        "operator mode",
        Key::check(&["resolver", "account_resolver", "accounts_resolver"], resolver::resolver),
        not_empty,
    ),
    block("operator mode", Key::check(&["resolver_tls"], tls::check_for_clients), always),
    block("operator mode", Key::check(&["resolver_preload"], resolver::preload), not_empty),
    block("operator mode", Key::check(&["resolver_pinned_accounts"], resolver::pinned_accounts), not_empty),
    block("operator mode", Key::check(&["trusted", "trusted_keys"], resolver::trusted), not_empty),
    block("operator mode", Key::is_text(&["default_sentinel"]), not_empty),
    block("OCSP", Key::check(&["ocsp"], tls::ocsp), not_false),
    block("OCSP", Key::check(&["ocsp_cache"], tls::ocsp_cache), not_false),
];

fn always(_: &Value) -> bool {
    true
}

fn not_false(value: &Value) -> bool {
    *value != Value::Boolean(false)
}

fn not_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Map(map) => !map.is_empty(),
        _ => true,
    }
}

/// A port, or an address with one, other than 0.
fn not_zero(value: &Value) -> bool {
    match value {
        Value::Integer(port) => *port != 0,
        Value::String(address) => !address.ends_with(":0"),
        _ => true,
    }
}

fn not_default_system(value: &Value) -> bool {
    *value != Value::String("$SYS".to_owned())
}

/// A block whose listener is on, or that connects to somebody.
fn listens(value: &Value) -> bool {
    let Value::Map(map) = value else {
        return true;
    };
    let has = |name: &str, test: fn(&Value) -> bool| value_of(map, name).is_some_and(test);
    has("port", not_zero) || has("listen", not_zero) || has("remotes", not_empty) || has("gateways", not_empty)
}

fn jetstream_on(value: &Value) -> bool {
    match value {
        Value::Boolean(on) => *on,
        Value::String(text) => text.to_lowercase().starts_with("enable"),
        Value::Map(map) => {
            let switch = value_of(map, "enabled").or_else(|| value_of(map, "enable"));
            switch != Some(&Value::Boolean(false))
        }
        _ => true,
    }
}

fn value_of<'a>(map: &'a Map, name: &str) -> Option<&'a Value> {
    map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, node)| &node.value)
}

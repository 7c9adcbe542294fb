//! Values of the wrong type in the JSON that a client or a route sends, named as the reference names them in its log.

use serde_json::{Map, Value};

/// What a field holds.
#[derive(Clone, Copy)]
pub(in crate::protocol) enum Kind {
    Flag,
    Text,
    Texts,
    /// A whole number of this Go type, within these bounds.
    Whole(&'static str, i128, i128),
    /// Which subjects are allowed and denied.
    Permission,
}

use Kind::{Flag, Permission, Text, Texts, Whole};

const INT: Kind = Whole("int", i64::MIN as i128, i64::MAX as i128);
const INT32: Kind = Whole("int32", i32::MIN as i128, i32::MAX as i128);
const UINT8: Kind = Whole("uint8", 0, u8::MAX as i128);
const UINT64: Kind = Whole("uint64", 0, u64::MAX as i128);

/// An object whose fields are known, and its Go type.
pub(in crate::protocol) struct Known {
    name: &'static str,
    fields: &'static [(&'static str, Kind)],
}

/// CONNECT.
pub(in crate::protocol) const CLIENT_OPTIONS: Known = Known {
    name: "ClientOpts",
    fields: &[
        ("verbose", Flag),
        ("pedantic", Flag),
        ("echo", Flag),
        ("headers", Flag),
        ("no_responders", Flag),
        ("tls_required", Flag),
        ("new_account", Flag),
        ("protocol", INT),
        ("lang", Text),
        ("version", Text),
        ("name", Text),
        ("account", Text),
        ("user", Text),
        ("pass", Text),
        ("auth_token", Text),
        ("nkey", Text),
        ("sig", Text),
        ("jwt", Text),
    ],
};

/// What is in the CONNECT of a route beside that.
pub(in crate::protocol) const ROUTE_OPTIONS: Known = Known {
    name: "connectInfo",
    fields: &[("cluster", Text), ("cluster_dynamic", Flag), ("lnoc", Flag), ("lnocu", Flag), ("gateway", Text)],
};

/// INFO.
pub(in crate::protocol) const INFO: Known = Known {
    name: "Info",
    fields: &[
        ("server_id", Text),
        ("server_name", Text),
        ("version", Text),
        ("proto", INT),
        ("git_commit", Text),
        ("go", Text),
        ("host", Text),
        ("port", INT),
        ("headers", Flag),
        ("auth_required", Flag),
        ("tls_required", Flag),
        ("tls_verify", Flag),
        ("tls_available", Flag),
        ("max_payload", INT32),
        ("jetstream", Flag),
        ("ip", Text),
        ("client_id", UINT64),
        ("client_ip", Text),
        ("nonce", Text),
        ("cluster", Text),
        ("domain", Text),
        ("connect_urls", Texts),
        ("ws_connect_urls", Texts),
        ("ldm", Flag),
        ("connect_info", Flag),
        ("remote_account", Text),
        ("acc_is_sys", Flag),
        ("cluster_dynamic", Flag),
        ("compression", Text),
        ("import", Permission),
        ("export", Permission),
        ("lnoc", Flag),
        ("lnocu", Flag),
        ("ln", Flag),
        ("route_pool_size", INT),
        ("route_pool_idx", INT),
        ("route_account", Text),
        ("route_acc_add_reqid", Text),
        ("gossip_mode", UINT8),
        ("gateway", Text),
        ("gateway_url", Text),
        ("gateway_urls", Texts),
        ("leafnode_urls", Texts),
    ],
};

/// What is wrong with the types in a text that is JSON, if anything is; `null` fits everywhere.
pub(super) fn find(known: &Known, json: &str) -> Result<Option<String>, serde_json::Error> {
    Ok(fields(known, json)?.err())
}

/// The fields of an object, under lower-case names and without those that are `null`; or what is wrong with their types.
pub(in crate::protocol) fn fields(
    known: &Known,
    json: &str,
) -> Result<Result<Map<String, Value>, String>, serde_json::Error> {
    let name = known.name;
    let object: Map<String, Value> = match serde_json::from_str(json)? {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        other => {
            return Ok(Err(format!("json: cannot unmarshal {} into Go value of type server.{name}", kind(&other))));
        }
    };
    let field_of = |key: &str| known.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(key));
    let wrong = object.iter().find_map(|(key, value)| {
        let &(field, wanted) = field_of(key)?;
        complaint("Go struct field ", &format!("{name}.{field}"), wanted, value)
    });
    Ok(match wrong {
        Some(complaint) => Err(complaint),
        None => Ok(object
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(mut key, value)| {
                key.make_ascii_lowercase();
                (key, value)
            })
            .collect()),
    })
}

fn complaint(prefix: &str, path: &str, wanted: Kind, value: &Value) -> Option<String> {
    let wrong = |found: &str, of_type: &str| {
        Some(format!("json: cannot unmarshal {found} into {prefix}{path} of type {of_type}"))
    };
    match (wanted, value) {
        (_, Value::Null) | (Flag, Value::Bool(_)) | (Text, Value::String(_)) => None,
        (Flag, _) => wrong(kind(value), "bool"),
        (Text, _) => wrong(kind(value), "string"),
        (Texts, Value::Array(texts)) => texts.iter().enumerate().find_map(|(index, text)| {
            // The reference forgets the words here.
            complaint("", &format!("{path}.{index}"), Text, text)
        }),
        (Texts, _) => wrong(kind(value), "[]string"),
        (Permission, Value::Object(lists)) => lists.iter().find_map(|(key, value)| {
            let field = ["allow", "deny"].into_iter().find(|field| field.eq_ignore_ascii_case(key))?;
            complaint(prefix, &format!("{path}.{field}"), Texts, value)
        }),
        (Permission, _) => wrong(kind(value), "server.SubjectPermission"),
        (Whole(of_type, least, most), Value::Number(number)) => {
            match number.as_i128().or_else(|| is_minus_zero(number).then_some(0)) {
                Some(whole) if (least..=most).contains(&whole) => None,
                _ => wrong(&format!("number {number}"), of_type),
            }
        }
        (Whole(of_type, ..), _) => wrong(kind(value), of_type),
    }
}

/// The one whole number that is read as a float.
fn is_minus_zero(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|value| value == 0.0 && value.is_sign_negative())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

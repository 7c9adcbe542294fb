//! `authorization`: one user, a token, or (not supported yet) many users; of clients, clusters and gateways.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Draft;
use super::nkey::{self, Kind};
use super::permissions::{self, Permissions};
use super::rules::{Field, Key, Report, read_map, read_map_with, shown, text_list};
use crate::config::document::{Position, Value};
use crate::config::duration::parse_nanos;
use crate::options::AuthOptions;

/// An authorization block.
#[derive(Default)]
pub(super) struct Authorization {
    pub user: String,
    pub password: String,
    pub token: String,
    pub timeout: Option<Duration>,
    /// `Some` as soon as there is a list, even an empty one.
    pub users: Option<Users>,
    pub permissions: Option<Permissions>,
    pub has_callout: bool,
    /// Keys whose part is missing: spelling, part, place.
    pending: Vec<(String, &'static str, Position)>,
}

/// Names of configured users; what else they have was only checked.
#[derive(Default)]
pub(super) struct Users {
    pub names: Vec<String>,
    pub nkeys: Vec<String>,
}

impl Users {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.nkeys.is_empty()
    }
}

const KEYS: &[Key<Authorization>] = &[
    Key::text(&["user", "username"], |auth, text| text.clone_into(&mut auth.user)),
    Key::text(&["pass", "password"], |auth, text| text.clone_into(&mut auth.password)),
    Key::text(&["token"], |auth, text| text.clone_into(&mut auth.token)),
    Key::custom(&["timeout"], |auth, field, report| {
        if let Some(span) = timeout("authorization", field, report) {
            auth.timeout = Some(span);
        }
    }),
    Key::custom(&["users"], |auth, field, report| {
        auth.users = users(field, report);
        if auth.users.as_ref().is_some_and(|users| !users.is_empty()) {
            auth.needs(field, "more than one user");
        }
    }),
    Key::custom(&["default_permissions", "default_permission", "permissions"], |auth, field, report| {
        auth.permissions = permissions::check(field, report);
        auth.needs(field, "permissions");
    }),
    Key::custom(&["auth_callout", "auth_hook"], |auth, field, report| {
        auth.has_callout = callout(field, report);
        auth.needs(field, "auth callout");
    }),
    Key::custom(&["proxy_required"], |auth, field, report| match field.value() {
        Value::Boolean(false) => {}
        Value::Boolean(true) => auth.needs(field, "trusted proxies"),
        _ => report.wrong_type(field.node, "bool"),
    }),
];

impl Authorization {
    fn needs(&mut self, field: Field<'_>, part: &'static str) {
        self.pending.push((field.name.to_owned(), part, field.at().clone()));
    }

    /// What of it has its effect.
    pub fn keep_in(self, auth: &mut AuthOptions) {
        let given = |text: String| (!text.is_empty()).then_some(text);
        auth.user = given(self.user);
        auth.password = given(self.password);
        auth.token = given(self.token);
        auth.timeout = self.timeout;
    }
}

/// Reads a block; an error about its type was reported if there is no result.
pub(super) fn read(field: Field<'_>, report: &mut Report) -> Option<Authorization> {
    let mut auth = Authorization::default();
    read_map(field.map(report)?, KEYS, &mut auth, report);
    Some(auth)
}

/// The clients' block.
pub(super) fn read_top_level(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    let Some(mut auth) = read(field, report) else {
        return;
    };
    for (name, part, position) in auth.pending.drain(..) {
        let node = crate::config::document::Node { value: Value::Boolean(true), position, used_as_variable: false };
        draft.needs(Field { name: &name, node: &node }, part);
    }
    if let Some(text) = conflict(&auth) {
        report.error(field.at(), text);
    }
    draft.authorization = Some(auth);
}

fn conflict(auth: &Authorization) -> Option<String> {
    let single_user = !auth.user.is_empty() || !auth.password.is_empty();
    if single_user && !auth.token.is_empty() {
        return Some("Cannot have a user/pass and token".to_owned());
    }
    let users = auth.users.as_ref()?;
    if !auth.user.is_empty() {
        return Some("Can not have a single user/pass and a users array".to_owned());
    }
    if !auth.token.is_empty() {
        return Some("Can not have a token and a users array".to_owned());
    }
    let mut seen = BTreeSet::new();
    let repeated = |kind: &str, name: &String| format!("Duplicate {kind} {name:?} detected");
    for name in &users.names {
        if !seen.insert(name) {
            return Some(repeated("user", name));
        }
    }
    users.nkeys.iter().find(|key| !seen.insert(key)).map(|key| repeated("nkey", key))
}

/// Seconds, whole or not, or a duration text.
pub(super) fn timeout(what: &str, field: Field<'_>, report: &mut Report) -> Option<Duration> {
    const HIGH: f64 = 60.0;
    let seconds = match field.value() {
        Value::Integer(seconds) => *seconds as f64,
        Value::Float(seconds) => *seconds,
        Value::String(text) => match parse_nanos(text) {
            Ok(nanos) => nanos as f64 / 1e9,
            Err(error) => {
                report.error(field.at(), format!("error parsing {what} config, 'timeout' {error}"));
                return None;
            }
        },
        _ => {
            report.error(field.at(), format!("error parsing {what} config, 'timeout' wrong type"));
            return None;
        }
    };
    if seconds > HIGH {
        let given = shown(field.value());
        report.warning(
            field.at(),
            field.name,
            format_args!(
                "timeout of {given} ({seconds:.6} seconds) is high, consider keeping it under 60 seconds. \
                 possibly caused by unquoted duration; use '1m' instead of 1m, for example"
            ),
        );
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A user's keys.
#[derive(Default)]
struct User {
    name: String,
    password: String,
    nkey: String,
}

const USER_KEYS: &[Key<User>] = &[
    Key::text(&["nkey"], |user, text| text.clone_into(&mut user.nkey)),
    Key::text(&["user", "username"], |user, text| text.clone_into(&mut user.name)),
    Key::text(&["pass", "password"], |user, text| text.clone_into(&mut user.password)),
    Key::check(&["permissions", "permission", "authorization"], |field, report| {
        permissions::check(field, report);
    }),
    Key::check(&["allowed_connection_types", "connection_types", "clients"], connection_types),
    Key::is_boolean(&["proxy_required"]),
];

/// A list of users. The first user that cannot stand spoils the list, as in the reference.
pub(super) fn users(field: Field<'_>, report: &mut Report) -> Option<Users> {
    let Value::Array(entries) = field.value() else {
        let text = format!("Expected users field to be an array, got {}", shown(field.value()));
        report.error(field.at(), text);
        return None;
    };
    let mut users = Users::default();
    for entry in entries {
        let Value::Map(map) = &entry.value else {
            let text = format!("Expected user entry to be a map/struct, got {}", shown(&entry.value));
            report.error(&entry.position, text);
            continue;
        };
        let mut user = User::default();
        read_map(map, USER_KEYS, &mut user, report);
        let place = map.values().last().map_or(&entry.position, |node| &node.position);
        let wrong = match (user.nkey.is_empty(), user.name.is_empty()) {
            (true, true) => Some("User entry requires a user"),
            (true, false) => None,
            (false, _) if !nkey::is_public(Kind::User, &user.nkey) => Some("Not a valid public nkey for a user"),
            (false, true) if user.password.is_empty() => None,
            (false, _) => Some("Nkey users do not take usernames or passwords"),
        };
        if let Some(text) = wrong {
            report.error(place, text);
            return None;
        }
        match user.nkey.is_empty() {
            true => users.names.push(user.name),
            false => users.nkeys.push(user.nkey),
        }
    }
    Some(users)
}

fn connection_types(field: Field<'_>, report: &mut Report) {
    const KNOWN: [&str; 7] = ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];
    let unknown: Vec<String> = text_list("allowed connection types", field, report)
        .into_iter()
        .map(|kind| kind.to_uppercase())
        .filter(|kind| !KNOWN.contains(&kind.as_str()))
        .map(|kind| format!("{kind:?}"))
        .collect();
    if !unknown.is_empty() {
        report.error(field.at(), format!("invalid connection types [{}]", unknown.join(" ")));
    }
}

/// `auth_callout`. True: it stands.
fn callout(field: Field<'_>, report: &mut Report) -> bool {
    #[derive(Default)]
    struct Callout {
        issuer: bool,
        users: bool,
        users_at: Option<Position>,
    }
    const KEYS: &[Key<Callout>] = &[
        Key::custom(&["issuer"], |callout, field, report| match field.value() {
            Value::String(key) => {
                callout.issuer = !key.is_empty();
                if !nkey::is_public(Kind::Account, key) {
                    let text = format!("Expected callout user to be a valid public account nkey, got {key:?}");
                    report.error(field.at(), text);
                }
            }
            _ => report.wrong_type(field.node, "string"),
        }),
        Key::is_text(&["account", "acc"]),
        Key::custom(&["auth_users", "users"], |callout, field, report| match field.value() {
            Value::Array(names) => {
                for name in names.iter().filter(|name| !matches!(name.value, Value::String(_))) {
                    report.wrong_type(name, "string");
                }
                callout.users = !names.is_empty();
                callout.users_at = Some(field.at().clone());
            }
            other => {
                let text = format!("Expected auth_users field to be an array, got {}", other.type_name());
                report.error(field.at(), text);
            }
        }),
        Key::is_text(&["xkey", "key"]),
        Key::check(&["allowed_accounts"], |field, report| {
            text_list("allowed_accounts", field, report);
        }),
    ];
    let Value::Map(map) = field.value() else {
        let text = format!("Expected authorization callout to be a map/struct, got {}", shown(field.value()));
        report.error(field.at(), text);
        return false;
    };
    let mut callout = Callout::default();
    let had_errors = report.has_errors();
    read_map_with(map, KEYS, &mut callout, report, |name| {
        format!("Unknown field {name:?} parsing authorization callout")
    });
    if report.has_errors() && !had_errors {
        return false;
    }
    let place = map.values().last().map_or(field.at(), |node| &node.position);
    if !callout.users {
        report.error(place, "Authorization callouts require authorized users to be specified");
    } else if !callout.issuer {
        report.error(
            callout.users_at.as_ref().unwrap_or(place),
            "Authorization callouts require an issuer to be specified",
        );
    }
    callout.users && callout.issuer
}

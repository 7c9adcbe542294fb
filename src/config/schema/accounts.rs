//! `accounts`: checked in full, exports and imports matched against each other; recorded as unsupported.

use std::collections::{BTreeMap, BTreeSet};

use super::authorization::{self, Users};
use super::nkey::{self, Kind as KeyKind};
use super::rules::{Field, Key, Report, is_literal_subject, is_subject, read_map, read_map_with, shown};
use super::shares::{self, Export, Import, Kind};
use super::{Draft, jetstream, mappings, permissions};
use crate::config::document::{Map, Position, Value};

/// The account of clients that named none: it cannot be configured.
const DEFAULT_ACCOUNT: &str = "$G";

/// An account, as far as others look at it.
#[derive(Default)]
struct Account {
    users: Users,
    users_at: Option<Position>,
    exports: Vec<Export>,
    imports: Vec<Import>,
}

const KEYS: &[Key<Account>] = &[
    Key::check(&["nkey"], |field, report| {
        if !matches!(field.value(), Value::String(key) if nkey::is_public(KeyKind::Account, key)) {
            let text = format!("Not a valid public nkey for an account: {:?}", shown(field.value()));
            report.error(field.at(), text);
        }
    }),
    Key::custom(&["imports"], |account, field, report| account.imports = shares::imports(field, report)),
    Key::custom(&["exports"], |account, field, report| account.exports = shares::exports(field, report)),
    Key::check(&["jetstream"], jetstream::check_for_account),
    Key::custom(&["users"], |account, field, report| {
        account.users_at = Some(field.at().clone());
        account.users = authorization::users(field, report).unwrap_or_default();
    }),
    Key::check(&["default_permissions"], |field, report| {
        permissions::check(field, report);
    }),
    Key::check(&["mappings", "maps"], mappings::check),
    Key::check(&["limits"], limits),
    Key::check(&["msg_trace", "trace_dest"], message_trace),
];

/// Reads the block, a list of names or a map.
pub(super) fn read(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Array(_) => names(field, report),
        Value::Map(map) => accounts(draft, map, field, report),
        _ => {}
    }
}

fn names(field: Field<'_>, report: &mut Report) {
    let Value::Array(elements) = field.value() else {
        return;
    };
    let mut seen = BTreeSet::new();
    for node in elements {
        match &node.value {
            Value::String(name) if name == DEFAULT_ACCOUNT => report.error(&node.position, reserved(name)),
            Value::String(name) if !seen.insert(name) => {
                report.error(&node.position, format!("Duplicate Account Entry: {name}"));
            }
            Value::String(_) => {}
            _ => report.wrong_type(node, "string"),
        }
    }
}

fn reserved(name: &str) -> String {
    format!("{name:?} is a Reserved Account")
}

fn accounts(draft: &Draft, map: &Map, field: Field<'_>, report: &mut Report) {
    let mut accounts = BTreeMap::new();
    for (name, node) in map {
        // A map that users refer to is a definition, not an account.
        if node.used_as_variable {
            continue;
        }
        match &node.value {
            Value::Map(_) if name == DEFAULT_ACCOUNT => report.error(&node.position, reserved(name)),
            Value::Map(keys) => {
                let mut account = Account::default();
                read_map(keys, KEYS, &mut account, report);
                accounts.insert(name.as_str(), account);
            }
            _ => report.error(&node.position, "Expected map entries for accounts"),
        }
    }
    check_users(draft, &accounts, report);
    if !report.has_errors() {
        check_exports(&accounts, field.at(), report);
        check_imports(&accounts, field.at(), report);
    }
}

/// User names are unique in the whole server, and do not go together with a single user or a token.
fn check_users(draft: &Draft, accounts: &BTreeMap<&str, Account>, report: &mut Report) {
    let default = authorization::Authorization::default();
    let auth = draft.authorization.as_ref().unwrap_or(&default);
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    if let Some(users) = &auth.users {
        seen.extend(users.names.iter().chain(&users.nkeys).map(String::as_str));
    }
    for account in accounts.values() {
        let Some(at) = &account.users_at else {
            continue;
        };
        if !account.users.is_empty() && !auth.user.is_empty() {
            report.error(at, "Can not have a single user/pass and accounts");
        } else if !account.users.is_empty() && !auth.token.is_empty() {
            report.error(at, "Can not have a token and accounts");
        }
        for (kind, names) in [("nkey", &account.users.nkeys), ("user", &account.users.names)] {
            for name in names.iter().filter(|name| !seen.insert(name)) {
                report.error(at, format!("Duplicate {kind} {name:?} detected"));
            }
        }
    }
}

fn check_exports(accounts: &BTreeMap<&str, Account>, at: &Position, report: &mut Report) {
    for export in accounts.values().flat_map(|account| &account.exports) {
        let (kind, subject) = (export.kind.name(), &export.subject);
        for name in export.accounts.iter().flatten().filter(|name| !accounts.contains_key(name.as_str())) {
            report.error(at, format!("{name:?} account not defined for {kind} export"));
        }
        if export.account_token > 0 {
            let index = usize::try_from(export.account_token - 1).unwrap_or(usize::MAX);
            if subject.split('.').nth(index) != Some("*") {
                report.error(at, format!("Error adding {kind} export {subject:?}: sublist: invalid subject"));
            }
        }
    }
}

fn check_imports(accounts: &BTreeMap<&str, Account>, at: &Position, report: &mut Report) {
    for (importer, account) in accounts {
        for import in &account.imports {
            let (kind, subject) = (import.kind.name(), &import.subject);
            let Some(exporter) = accounts.get(import.account.as_str()) else {
                report.error(at, format!("{:?} account not defined for {kind} import", import.account));
                continue;
            };
            if !exporter.exports.iter().any(|export| export.covers(import, importer)) {
                report.error(at, format!("Error adding {kind} import {subject:?}: {kind} import not authorized"));
                continue;
            }
            if import.kind == Kind::Service
                && let Some(problem) = service_problem(accounts, import, importer)
            {
                report.error(at, format!("Error adding service import {subject:?}: {problem}"));
            }
        }
    }
}

impl Export {
    /// Whether this lets `importer` have `import`.
    fn covers(&self, import: &Import, importer: &str) -> bool {
        let invited = self.accounts.as_ref().is_none_or(|names| names.iter().any(|name| name == importer));
        let token = usize::try_from(self.account_token).ok().and_then(|position| position.checked_sub(1));
        let named = token.is_none_or(|index| import.subject.split('.').nth(index) == Some(importer));
        self.kind == import.kind
            && invited
            && named
            && is_subject(&import.subject)
            && is_part_of(&import.subject, &self.subject)
    }
}

/// Whether every subject that `narrow` matches is matched by `wide`.
fn is_part_of(narrow: &str, wide: &str) -> bool {
    let mut narrow = narrow.split('.');
    for token in wide.split('.') {
        match (token, narrow.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(">")) => return false,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// What is wrong with a service import that was authorized.
fn service_problem(accounts: &BTreeMap<&str, Account>, import: &Import, importer: &str) -> Option<String> {
    let Import { account, subject, local, .. } = import;
    // Of two imports that close a circle, the one of the account that comes first in the alphabet is to blame.
    if importer < account.as_str() && leads_back(accounts, import, importer, local, &mut BTreeSet::new()) {
        return Some("import forms a cycle".to_owned());
    }
    let wildcards = |subject: &str| subject.split('.').filter(|token| *token == "*").count();
    (wildcards(subject) > wildcards(local)).then(|| {
        format!(
            "failed to create mapping transform for service import subject from {local:?} to {subject:?}: \
             invalid mapping destination: not using all of the token wildcard(s) in {local}"
        )
    })
}

/// Whether a service import reaches, over the imports of others, the account that it belongs to.
fn leads_back<'a>(
    accounts: &'a BTreeMap<&str, Account>,
    import: &'a Import,
    start: &str,
    start_subject: &str,
    seen: &mut BTreeSet<(&'a str, &'a str)>,
) -> bool {
    if !seen.insert((&import.account, &import.subject)) {
        return false;
    }
    let next = accounts.get(import.account.as_str()).map(|account| account.imports.as_slice()).unwrap_or_default();
    next.iter().filter(|next| next.kind == Kind::Service && next.local == import.subject).any(|next| {
        (next.account == start && next.subject == start_subject)
            || leads_back(accounts, next, start, start_subject, seen)
    })
}

fn limits(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::is_integer(&["max_connections", "max_conn"]),
        Key::is_integer(&["max_subscriptions", "max_subs"]),
        Key::is_integer(&["max_payload", "max_pay"]),
        Key::is_integer(&["max_leafnodes", "max_leafs"]),
    ];
    match field.value() {
        Value::Map(map) => {
            read_map_with(map, KEYS, &mut (), report, |name| format!("Unknown field {name:?} parsing account limits"));
        }
        other => {
            let text = format!("Expected account limits to be a map/struct, got {}", shown(other));
            report.error(field.at(), text);
        }
    }
}

/// `"dest"` or `{dest, sampling}`.
fn message_trace(field: Field<'_>, report: &mut Report) {
    #[derive(Default)]
    struct Trace {
        destination: String,
        sampling: bool,
    }
    const KEYS: &[Key<Trace>] = &[
        Key::text(&["dest", "msg_trace"], |trace, text| text.clone_into(&mut trace.destination)),
        Key::custom(&["sampling"], |trace, field, report| {
            trace.sampling = true;
            let percent = match field.value() {
                Value::Integer(number) => *number,
                Value::String(text) => text.strip_suffix('%').unwrap_or(text).parse().unwrap_or(0),
                _ => return report.wrong_type(field.node, "int64"),
            };
            if !(1..=100).contains(&percent) {
                // The typing error is the reference's.
                let text = format!("Ttrace destination sampling value {percent} is invalid, needs to be [1..100]");
                report.error(field.at(), text);
            }
        }),
    ];
    let mut trace = Trace::default();
    match field.value() {
        Value::String(destination) => destination.clone_into(&mut trace.destination),
        Value::Map(map) => read_map(map, KEYS, &mut trace, report),
        other => {
            let found = other.type_name();
            return report.error(
                field.at(),
                format!("Expected account message trace \"trace_dest\" to be a string or a map/struct, got {found}"),
            );
        }
    }
    if trace.destination.is_empty() {
        if trace.sampling {
            report.plain_warning(field.at(), "Trace destination sampling ignored since no destination was set");
        }
    } else if !is_literal_subject(&trace.destination) {
        report.error(field.at(), format!("Trace destination {:?} is not valid", trace.destination));
    }
}

//! From a parsed document to [`Options`]: which keys exist, what their values must be, what they mean.
//!
//! One file a block. [`top`] has what this server does; [`pending`] has the blocks of parts that it does not have yet,
//! which are checked as the reference checks them and then recorded in [`Options::unsupported`].

mod accounts;
mod authorization;
mod cluster;
mod gateway;
mod jetstream;
mod leafnodes;
mod mappings;
mod mqtt;
mod nkey;
mod pending;
mod permissions;
mod resolver;
mod rules;
mod shares;
mod tls;
mod top;
mod urls;
mod websocket;

#[cfg(test)]
mod tests;

use super::Unsupported;
use super::document::Document;
use crate::options::Options;
use authorization::Authorization;
use rules::{Field, Report, unknown_field};

/// What a document says, and what is wrong with it.
pub(super) struct Outcome {
    pub options: Options,
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
}

/// The picture while the blocks are being read.
#[derive(Default)]
struct Draft {
    options: Options,
    authorization: Option<Authorization>,
    /// `store_dir` may be said at the top or inside of `jetstream`, not both.
    store_dir_seen: bool,
    unsupported: Vec<Unsupported>,
}

impl Draft {
    fn needs(&mut self, field: Field<'_>, part: &'static str) {
        self.unsupported.push(Unsupported::new(field.name, part, field.at()));
    }
}

/// Reads a whole document. `authorization` goes first and `accounts` last: they look at each other's users, and
/// exports and imports are looked up only if nothing else is wrong.
pub(super) fn read(document: &Document) -> Outcome {
    let mut draft = Draft::default();
    let mut report = Report::default();
    let rank = |name: &str| match () {
        () if name.eq_ignore_ascii_case("authorization") => 0,
        () if name.eq_ignore_ascii_case("accounts") => 2,
        () => 1,
    };
    let mut keys: Vec<_> = document.iter().collect();
    keys.sort_by_key(|(name, _)| rank(name));
    for (name, node) in keys {
        let field = Field { name, node };
        if let Some(key) = top::KEYS.iter().find(|key| key.has_name(name)) {
            key.read(&mut draft, field, &mut report);
        } else if let Some(block) = pending::BLOCKS.iter().find(|block| block.key.has_name(name)) {
            block.read(&mut draft, field, &mut report);
        } else if !node.used_as_variable {
            report.error(&node.position, unknown_field(name));
        }
    }
    if let Some(authorization) = draft.authorization.take() {
        authorization.keep_in(&mut draft.options.auth);
    }
    draft.unsupported.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    draft.options.unsupported = draft.unsupported;
    let (warnings, errors) = report.into_lines();
    Outcome { options: draft.options, warnings, errors }
}

//! Interest: who wants what on another server.

use super::{ParseError, RouteLimits, RouteOp};
use crate::protocol::error::Shown;
use crate::protocol::scan::parse_size;
use crate::protocol::words::Words;

/// A weight that is no number is as good as none.
const NO_WEIGHT: i32 = -1;

/// `RS+ [account] <subject> [<queue> <weight>]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedInterest<'a> {
    /// The arguments as they came, for traces and logs.
    pub args: &'a [u8],
    /// The account; `None` on a connection that is for one account.
    pub account: Option<&'a [u8]>,
    /// Not checked yet.
    pub subject: &'a [u8],
    /// Queue group, and how many members it has there; it is never chosen when that is not above 0.
    pub queue: Option<(&'a [u8], i32)>,
}

impl<'a> RoutedInterest<'a> {
    pub(super) fn read(args: &'a [u8], limits: &RouteLimits) -> Result<RoutedInterest<'a>, ParseError> {
        let wrong = || ParseError::arguments("processRemoteSub Parse Error", Shown::Interest(args));
        let mut words = Words(args);
        let account = if limits.dedicated { None } else { Some(words.next().ok_or_else(wrong)?) };
        let subject = words.next().ok_or_else(wrong)?;
        let queue = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some(queue), Some(weight), None) => Some((queue, parse_weight(weight))),
            _ => return Err(wrong()),
        };
        Ok(RoutedInterest { args, account, subject, queue })
    }
}

fn parse_weight(text: &[u8]) -> i32 {
    parse_size(text).and_then(|weight| i32::try_from(weight).ok()).unwrap_or(NO_WEIGHT)
}

/// `RS- [account] <subject> [queue]`
pub(super) fn no_interest<'a>(args: &'a [u8], limits: &RouteLimits) -> Result<RouteOp<'a>, ParseError> {
    let wrong = || ParseError::arguments("processRemoteUnsub parse error", Shown::AsTheyCame(args));
    let mut words = Words(args);
    let account = if limits.dedicated { None } else { Some(words.next().ok_or_else(wrong)?) };
    let subject = words.next().ok_or_else(wrong)?;
    let queue = words.next();
    if words.next().is_some() {
        return Err(wrong());
    }
    Ok(RouteOp::NoInterest { args, account, subject, queue })
}

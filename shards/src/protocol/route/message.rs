//! Messages between servers: those of clients, and whose they are, and which queue groups are to get them.

use super::name::Operation;
use super::{ParseError, RouteLimits, RouteOp, RouteStep};
use crate::protocol::line::Line;
use crate::protocol::publish::{self, Announced, NoPayload, Publish, Verb};
use crate::protocol::words::Words;

/// A complete `RMSG` or `HMSG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedMessage<'a> {
    /// The account; `None` on a connection that is for one account.
    pub account: Option<&'a [u8]>,
    /// Queue groups of which the receiver is to pick a member.
    pub queues: RoutedQueues<'a>,
    /// The message itself.
    pub publish: Publish<'a>,
}

/// The names of the queue groups that a message lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutedQueues<'a>(Words<'a>);

impl RoutedQueues<'_> {
    /// Does the line list none?
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for RoutedQueues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next()
    }
}

/// The usual message, straight through; `None` decides nothing: [`message`] does.
#[inline(always)]
pub(super) fn usual<'a>(input: &'a [u8], limits: &RouteLimits) -> Option<RouteStep<'a>> {
    const RMSG: u32 = u32::from_le_bytes(*b"RMSG");
    const HMSG: u32 = u32::from_le_bytes(*b"HMSG");
    match u32::from_le_bytes(*input.first_chunk()?) {
        RMSG => usual_of(Verb::Rmsg, input, limits),
        HMSG => usual_of(Verb::Hmsg, input, limits),
        _ => None,
    }
}

/// A verb known beforehand, so that each has code of its own.
#[inline(always)]
fn usual_of<'a>(verb: Verb, input: &'a [u8], limits: &RouteLimits) -> Option<RouteStep<'a>> {
    const ARGS: usize = 5;
    if *input.get(4)? != b' ' {
        return None;
    }
    let (account, subject_start) = if limits.dedicated {
        (None, ARGS)
    } else {
        let (account, behind) = publish::usual_word(input, ARGS).filter(|(account, _)| !account.is_empty())?;
        (Some(account), behind)
    };
    let (max_args, max_payload) = (limits.max_control_line, limits.max_payload);
    let (publish, consumed) = publish::usual(verb, input, ARGS, subject_start, max_args, max_payload)?;
    let queues = RoutedQueues::default();
    Some(RouteStep::Op { op: RouteOp::Msg(RoutedMessage { account, queues, publish }), consumed })
}

/// Any message.
pub(super) fn message<'a>(verb: Verb, input: &'a [u8], line: &Line<'a>, limits: &RouteLimits) -> RouteStep<'a> {
    let (account, announced) = match announced(verb, line.args, limits) {
        Ok(announced) => announced,
        Err(error) => return RouteStep::Error(error),
    };
    match announced.with_payload::<Operation>(input, line) {
        Ok((publish, consumed)) => {
            let queues = RoutedQueues(announced.queues);
            RouteStep::Op { op: RouteOp::Msg(RoutedMessage { account, queues, publish }), consumed }
        }
        Err(NoPayload::Incomplete { needed }) => RouteStep::Incomplete { needed: Some(needed) },
        Err(NoPayload::Unterminated(error)) => RouteStep::Error(error),
    }
}

fn announced<'a>(
    verb: Verb,
    args: &'a [u8],
    limits: &RouteLimits,
) -> Result<(Option<&'a [u8]>, Announced<'a>), ParseError> {
    let mut words = Words(args);
    let account: Option<&[u8]> = match (verb.is_a_clients(), limits.dedicated) {
        // There is no account of this name, so nobody gets the message.
        (true, _) => Some(b""),
        (false, true) => None,
        (false, false) => Some(words.next().ok_or_else(|| verb.too_few(args))?),
    };
    Ok((account, Announced::read(verb, args, words, limits.max_payload)?))
}

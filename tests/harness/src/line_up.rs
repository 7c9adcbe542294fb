//! Which servers a test's cluster is made of, so that one body plays on clusters of the reference, of ours, and of both.

use crate::cluster::Kind;

/// Which servers a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub enum LineUp {
    /// The reference alone.
    Reference,
    /// Ours alone, with so many shards each.
    Ours(usize),
    /// Ours and the reference in turns, ours first.
    OursFirst,
    /// The reference and ours in turns, the reference first.
    ReferenceFirst,
    /// Ours, the reference's older version and the reference in turns, for bodies that are content with what that knows.
    WithOld,
}

impl LineUp {
    /// So many servers.
    pub fn kinds(self, count: usize) -> Vec<Kind> {
        let pattern: &[Kind] = match self {
            LineUp::Reference => &[Kind::Reference],
            LineUp::Ours(shards) => &[Kind::Ours(shards)],
            LineUp::OursFirst => &[Kind::Ours(2), Kind::Reference],
            LineUp::ReferenceFirst => &[Kind::Reference, Kind::Ours(2)],
            LineUp::WithOld => &[Kind::Ours(2), Kind::Old, Kind::Reference],
        };
        pattern.iter().copied().cycle().take(count).collect()
    }
}

/// Makes tests of a body, one for each line-up: of those named, or else of all that a body should be played on, `with old`
/// or without.
#[macro_export]
macro_rules! line_ups {
    ($body:ident) => {
        $crate::line_ups!(
            $body: reference = Reference, ours_1 = Ours(1), ours_3 = Ours(3), ours_first = OursFirst,
            reference_first = ReferenceFirst
        );
    };
    ($body:ident with old) => {
        $crate::line_ups!(
            $body: reference = Reference, ours_1 = Ours(1), ours_3 = Ours(3), ours_first = OursFirst,
            reference_first = ReferenceFirst, with_old = WithOld
        );
    };
    ($body:ident: $($name:ident = $line_up:expr),+) => {
        mod $body {
            $(
                #[test]
                fn $name() -> ::anyhow::Result<()> {
                    use $crate::line_up::LineUp::*;
                    super::$body($line_up)
                }
            )+
        }
    };
}

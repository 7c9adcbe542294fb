//! Which compression a server is configured for, and what two servers agree upon.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::super::quote::quoted;

/// How a route may be compressed: as configured, as INFO says it, and what came of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As of a server that does not know about it.
    NotSupported,
    /// Never.
    Off,
    /// If the other server asks for it.
    #[default]
    Accept,
    /// S2 frames around plain data: only checksums are gained.
    Uncompressed,
    /// S2, at the speed of a fast network.
    Fast,
    /// S2 with more effort.
    Better,
    /// S2 with all effort: a few megabytes a second.
    Best,
    /// S2 with the effort that the round-trip time deserves, measured again and again.
    Auto,
}

/// Effort of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Frames around plain data.
    Uncompressed,
    /// Little effort.
    Fast,
    /// More effort.
    Better,
    /// All effort.
    Best,
}

/// A mode that no configuration may ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported compression mode {}", quoted(.0.as_bytes()))]
pub struct UnsupportedMode(pub Box<str>);

/// A mode in another server's INFO that nobody knows. The text is what that server is told before it is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported route compression mode {}", quoted(.0.as_bytes()))]
pub struct UnsupportedRemoteMode(pub Box<str>);

impl FromStr for Compression {
    type Err = UnsupportedMode;

    /// A mode as a configuration may spell it, whatever its case. Nothing at all is the default; [`Self::Uncompressed`] is
    /// for [`Self::Auto`] to choose.
    fn from_str(text: &str) -> Result<Self, UnsupportedMode> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "" => Self::default(),
            "not supported" | "not_supported" => Self::NotSupported,
            "off" | "false" | "disabled" => Self::Off,
            "accept" => Self::Accept,
            "on" | "true" | "enabled" | "fast" | "s2_fast" => Self::Fast,
            "better" | "s2_better" => Self::Better,
            "best" | "s2_best" => Self::Best,
            "auto" | "s2_auto" => Self::Auto,
            _ => return Err(UnsupportedMode(text.into())),
        })
    }
}

impl Compression {
    /// A mode as INFO spells it, in this case alone.
    fn from_info(text: &str) -> Option<Self> {
        use Compression::*;
        [NotSupported, Off, Accept, Uncompressed, Fast, Better, Best, Auto]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }

    /// Name in INFO.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSupported => "not supported",
            Self::Off => "off",
            Self::Accept => "accept",
            Self::Uncompressed => "s2_uncompressed",
            Self::Fast => "s2_fast",
            Self::Better => "s2_better",
            Self::Best => "s2_best",
            Self::Auto => "s2_auto",
        }
    }

    /// Level at which a route begins if it is compressed in this mode. [`Self::Auto`] has not measured anything yet.
    pub fn level(self) -> Option<Level> {
        match self {
            Self::NotSupported | Self::Off | Self::Accept => None,
            Self::Uncompressed => Some(Level::Uncompressed),
            Self::Fast | Self::Auto => Some(Level::Fast),
            Self::Better => Some(Level::Better),
            Self::Best => Some(Level::Best),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<Level> for Compression {
    fn from(level: Level) -> Self {
        match level {
            Level::Uncompressed => Self::Uncompressed,
            Level::Fast => Self::Fast,
            Level::Better => Self::Better,
            Level::Best => Self::Best,
        }
    }
}

/// What a server that is configured as `mine` does with a route to one whose INFO says `remote`.
///
/// Both servers ask this, each for what it sends, and come to the same answer about whether the stream is S2 at all: that
/// is so when the result has a [`Compression::level`].
pub fn negotiate(mine: Compression, remote: Option<&str>) -> Result<Compression, UnsupportedRemoteMode> {
    use Compression::{Accept, Auto, Fast, NotSupported, Off};
    let Some(remote) = remote.filter(|text| !text.is_empty() && mine != NotSupported) else { return Ok(NotSupported) };
    if mine == Off {
        return Ok(Off);
    }
    let remote = Compression::from_info(remote).ok_or_else(|| UnsupportedRemoteMode(remote.into()))?;
    Ok(match (mine, remote) {
        (_, NotSupported | Off) => remote,
        (Accept, Accept) => Off,
        (Accept, Auto) => Fast,
        (Accept, _) => remote,
        _ => mine,
    })
}

/// Level that [`Compression::Auto`] uses at a round-trip time of `rtt`.
///
/// A threshold is the longest time at which its level is used; the levels go from [`Level::Uncompressed`] up, and a threshold
/// of zero skips one. Beyond the last threshold its level stays, unless there are three or more: then it is [`Level::Best`].
pub fn level_for_rtt(thresholds: &[Duration], rtt: Duration) -> Level {
    const LEVELS: [Level; 4] = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best];
    let beyond = if thresholds.len() >= 3 { 3 } else { thresholds.len().saturating_sub(1) };
    let index = thresholds.iter().position(|&longest| rtt <= longest).unwrap_or(beyond);
    LEVELS.get(index).copied().unwrap_or(Level::Best)
}

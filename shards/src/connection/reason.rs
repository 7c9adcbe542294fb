//! Why connections end, in the words of logs and monitoring.

use std::fmt;

/// See the module. The order and the texts are those of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the texts below say it")]
pub enum CloseReason {
    ClientClosed,
    AuthenticationTimeout,
    AuthenticationFailure,
    SlowConsumerPendingBytes,
    SlowConsumerWriteDeadline,
    WriteError,
    ReadError,
    ParseError,
    StaleConnection,
    ProtocolViolation,
    BadClientProtocolVersion,
    MaxConnectionsExceeded,
    MaxPayloadExceeded,
    MaxControlLineExceeded,
    NoRespondersRequiresHeaders,
    ServerShutdown,
    DuplicateRoute,
    RouteRemoved,
    MissingAccount,
    ClusterNameConflict,
    DuplicateServerName,
    IncorrectPort,
    WrongGateway,
}

impl CloseReason {
    const ALL: [CloseReason; 23] = [
        CloseReason::ClientClosed,
        CloseReason::AuthenticationTimeout,
        CloseReason::AuthenticationFailure,
        CloseReason::SlowConsumerPendingBytes,
        CloseReason::SlowConsumerWriteDeadline,
        CloseReason::WriteError,
        CloseReason::ReadError,
        CloseReason::ParseError,
        CloseReason::StaleConnection,
        CloseReason::ProtocolViolation,
        CloseReason::BadClientProtocolVersion,
        CloseReason::MaxConnectionsExceeded,
        CloseReason::MaxPayloadExceeded,
        CloseReason::MaxControlLineExceeded,
        CloseReason::NoRespondersRequiresHeaders,
        CloseReason::ServerShutdown,
        CloseReason::DuplicateRoute,
        CloseReason::RouteRemoved,
        CloseReason::MissingAccount,
        CloseReason::ClusterNameConflict,
        CloseReason::DuplicateServerName,
        CloseReason::IncorrectPort,
        CloseReason::WrongGateway,
    ];

    /// How many reasons come before this one when they are sorted by their texts.
    pub fn alphabetical_rank(self) -> u64 {
        Self::ALL.iter().filter(|other| other.text() < self.text()).count() as u64
    }

    fn text(self) -> &'static str {
        match self {
            CloseReason::ClientClosed => "Client Closed",
            CloseReason::AuthenticationTimeout => "Authentication Timeout",
            CloseReason::AuthenticationFailure => "Authentication Failure",
            CloseReason::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            CloseReason::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            CloseReason::WriteError => "Write Error",
            CloseReason::ReadError => "Read Error",
            CloseReason::ParseError => "Parse Error",
            CloseReason::StaleConnection => "Stale Connection",
            CloseReason::ProtocolViolation => "Protocol Violation",
            CloseReason::BadClientProtocolVersion => "Bad Client Protocol Version",
            CloseReason::MaxConnectionsExceeded => "Maximum Connections Exceeded",
            CloseReason::MaxPayloadExceeded => "Maximum Message Payload Exceeded",
            CloseReason::MaxControlLineExceeded => "Maximum Control Line Exceeded",
            CloseReason::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            CloseReason::ServerShutdown => "Server Shutdown",
            CloseReason::DuplicateRoute => "Duplicate Route",
            CloseReason::RouteRemoved => "Route Removed",
            CloseReason::MissingAccount => "Missing Account",
            CloseReason::ClusterNameConflict => "Cluster Name Conflict",
            CloseReason::DuplicateServerName => "Duplicate Server Name",
            CloseReason::IncorrectPort => "Incorrect Port",
            CloseReason::WrongGateway => "Wrong Gateway",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

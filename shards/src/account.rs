//! Accounts: subjects of one are invisible to the others. Only the global account exists so far, but every key has an account in it.

/// Number of an account on this server; part of every interest and cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// `$G`, the account of everybody who is not configured into another one.
pub const GLOBAL: AccountId = AccountId(0);

/// The system account of the reference, whose interest and messages other servers tell of. Nobody here is in it.
pub const SYSTEM: &[u8] = b"$SYS";

/// The account of this name, if it is known here.
pub fn find(name: &[u8]) -> Option<AccountId> {
    (name == GLOBAL.name().as_bytes()).then_some(GLOBAL)
}

impl AccountId {
    /// The name that INFO's `remote_account` and the logs show.
    pub fn name(self) -> &'static str {
        "$G"
    }
}

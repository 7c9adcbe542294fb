//! Accounts: subjects of one are invisible to the others. Only the global account exists so far, but every key has an account in it.

/// Number of an account on this server; part of every interest and cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// `$G`, the account of everybody who is not configured into another one.
pub const GLOBAL: AccountId = AccountId(0);

impl AccountId {
    /// The name that INFO's `remote_account` and the logs show.
    pub fn name(self) -> &'static str {
        "$G"
    }
}

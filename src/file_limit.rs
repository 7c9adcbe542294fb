//! The limit of open files: every connection takes one, so the program takes all it may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the clients': log, listener, and what each shard's event loop needs.
const FIXED: u64 = 32;
const PER_SHARD: u64 = 4;

/// Raises the limit to the hard one. Says what to do if that is too little for so many connections.
pub fn raise(max_connections: usize, shards: usize) -> Option<String> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None stands for no limit.
    let current = current?;
    let limit = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum?,
        Err(_) => current,
    };
    shortage(limit, max_connections, shards)
}

fn shortage(limit: u64, max_connections: usize, shards: usize) -> Option<String> {
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let overhead = FIXED.saturating_add(PER_SHARD.saturating_mul(wide(shards)));
    let needed = wide(max_connections).saturating_add(overhead);
    (limit < needed).then(|| {
        let lower = match limit.saturating_sub(overhead) {
            0 => String::new(),
            connections => format!(", or lower max_connections to {connections}"),
        };
        format!(
            "The limit of {limit} open files is too low for {max_connections} connections: raise it to {needed} \
             (ulimit -n, or LimitNOFILE of a service){lower}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do() {
        assert_eq!(shortage(1024, 512, 2), None);
        let text = shortage(1024, 65_536, 2).unwrap();
        assert!(text.contains("raise it to 65576") && text.ends_with("lower max_connections to 984"), "{text}");
        assert!(shortage(24, 1, 2).unwrap().ends_with("of a service)"));
    }
}

//! CONNECT and INFO from a client: no panic, and merging the same options twice is merging them once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shards::protocol::connect::{ConnectOptions, redact, validate_info};
use shards::protocol::quote::quoted;

fuzz_target!(|json: &[u8]| {
    let _ = redact(json);
    let _ = validate_info(json);
    let text = quoted(json);
    assert!(text.len() >= 2 && text.starts_with('"') && text.ends_with('"'));
    let mut options = ConnectOptions::default();
    if options.merge(json).is_ok() {
        let once = options.clone();
        options.merge(json).expect("what was understood once is understood twice");
        assert_eq!(options, once);
    }
});

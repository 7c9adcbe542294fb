//! The configuration language: no panic, and what was understood has a digest, the same each time.
//!
//! There is one environment variable, and an include finds a small file or nothing.

#![no_main]

use std::io;

use libfuzzer_sys::fuzz_target;
use pinmesh::config::{Environment, FileError, IncludeReader, digest, parse_bytes};

struct OneVariable;

impl Environment for OneVariable {
    fn get(&self, name: &str) -> Option<String> {
        (name == "PORT").then(|| "4222".to_owned())
    }
}

struct OneFile;

impl IncludeReader for OneFile {
    fn read(&self, file: &str) -> Result<Vec<u8>, FileError> {
        if file.ends_with("small.conf") {
            return Ok(b"included: 1\n".to_vec());
        }
        Err(FileError { operation: "open", file: file.to_owned(), source: io::Error::from(io::ErrorKind::NotFound) })
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(document) = parse_bytes("fuzz.conf", data, &OneVariable, &OneFile) {
        let again = parse_bytes("fuzz.conf", data, &OneVariable, &OneFile).expect("understood once, understood twice");
        assert_eq!(digest(&document), digest(&again));
    }
});

//! What the tests against the reference server share.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The reference server.
pub fn reference() -> PathBuf {
    let path = std::env::var_os("NATS_SERVER").map(PathBuf::from);
    path.filter(|path| path.exists())
        .expect("NATS_SERVER does not name the reference server: run tools/test, which installs it")
}

/// The results in a file that `--json` wrote.
pub fn results(json: &Path) -> Value {
    let value: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    value["results"].clone()
}

/// That a side has a number above 0 for a metric.
pub fn positive(side: &Value, key: &str) {
    let value = side["metrics"][key]["median"].as_f64().unwrap_or_default();
    assert!(value > 0.0, "{key} in {side}");
}

//! What the black-box tests share: servers to start, raw clients to drive.

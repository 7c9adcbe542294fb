//! A raw client: the bytes a test wants to send, the bytes it expects.

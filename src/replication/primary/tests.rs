//! Each rule of a primary, with its replicas played.

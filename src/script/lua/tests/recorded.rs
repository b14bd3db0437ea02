//! Scripts whose replies were recorded from Valkey.

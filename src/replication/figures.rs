//! What INFO and ROLE say of replication.

/// What a primary says of itself and its replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The id of the stream.
    pub id: String,
    /// The id that it had before, and the number of the first byte that it has only under the new
    /// one.
    pub second: Option<(String, u64)>,
    /// The offset behind its last byte.
    pub offset: u64,
    /// It is recorded.
    pub is_on: bool,
    /// The offset of the first byte of the backlog, and how many there are.
    pub first: u64,
    /// Bytes in the backlog.
    pub length: u64,
    /// Memory of the backlog, and of what stays for replicas that lag, in bytes.
    pub memory: u64,
    /// Full syncs.
    pub full_syncs: u64,
    /// Partial resyncs.
    pub partial_syncs: u64,
    /// Partial resyncs that could not be had.
    pub refused_syncs: u64,
    /// Replicas that keep up.
    pub good: u32,
    /// The replicas, in the order in which they came.
    pub replicas: Vec<ReplicaRow>,
}

/// A replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// What it is doing.
    pub state: &'static str,
    /// It follows the stream.
    pub is_online: bool,
    /// What it has, as it said last.
    pub offset: u64,
    /// Bytes of the stream that it lacks, but for a question how much it has.
    pub lacks: u64,
    /// Seconds since it said so.
    pub lag_seconds: u64,
}

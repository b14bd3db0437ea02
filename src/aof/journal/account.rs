//! How far the bytes of each shard have come, and what it was told of that.

/// Totals of one shard's bytes at each stage.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    pub(super) appended: u64,
    /// Those ahead of the boundary, while there is one.
    pub(super) bounded: u64,
    pub(super) frozen: u64,
    pub(super) written: u64,
    pub(super) syncing: u64,
    pub(super) synced: u64,
    pub(super) reported: Reported,
}

/// What a shard was told last, and when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reported {
    pub(super) written: u64,
    pub(super) synced: u64,
    pub(super) at_ms: u64,
}

impl Account {
    /// So many bytes in all are where they have to be; those that are appended beyond stay so.
    pub(super) fn skip_to(&mut self, bytes: u64) {
        self.appended = self.appended.max(bytes);
        (self.frozen, self.written, self.syncing, self.synced) = (bytes, bytes, bytes, bytes);
    }

    /// What is frozen and was not written goes to no file. Returns whether there is any.
    pub(super) fn pass_unfiled(&mut self, is_synced: bool) -> bool {
        if self.written >= self.frozen {
            return false;
        }
        self.written = self.frozen;
        if is_synced {
            (self.syncing, self.synced) = (self.frozen, self.frozen);
        }
        true
    }
}

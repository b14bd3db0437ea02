//! stub
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    NoEviction,
    Lfu,
}
impl Policy {
    pub fn counts_frequency(self) -> bool {
        self == Policy::Lfu
    }
}
#[derive(Debug, Clone)]
pub struct Settings {
    pub maxmemory_policy: Policy,
    pub lfu_log_factor: u32,
    pub lfu_decay_time: u32,
    pub databases: u32,
    pub proto_max_bulk_len: u64,
    pub requirepass: String,
}
impl Default for Settings {
    fn default() -> Self {
        Settings {
            maxmemory_policy: Policy::NoEviction,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            databases: 16,
            proto_max_bulk_len: 512 << 20,
            requirepass: String::new(),
        }
    }
}

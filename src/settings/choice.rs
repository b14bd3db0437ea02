//! The words of a choice as types, so that the server never compares text.
//!
//! Each type lists its words beside its values; a test holds those words to the table's.

/// A type whose values are the words of a setting.
pub(super) trait Choice: Copy + 'static {
    /// Each word with its value.
    const WORDS: &'static [(&'static str, Self)];

    /// The value of a word of the table.
    fn of(word: &str) -> Self {
        let known = Self::WORDS.iter().find(|(known, _)| *known == word);
        known.expect("the table takes only words that the type lists (tested)").1
    }
}

/// `appendfsync`: when the journal is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before every reply that shows a write.
    Always,
    /// At least once a second.
    EverySecond,
    /// When the operating system sees fit.
    Never,
}

impl Choice for Fsync {
    const WORDS: &'static [(&'static str, Fsync)] =
        &[("everysec", Fsync::EverySecond), ("always", Fsync::Always), ("no", Fsync::Never)];
}

/// `loglevel`: the least urgent line that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much, but not every event.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// What an operator must know.
    Warning,
    /// Nothing at all.
    Nothing,
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, LogLevel)] = &[
        ("debug", LogLevel::Debug),
        ("verbose", LogLevel::Verbose),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
        ("nothing", LogLevel::Nothing),
    ];
}

/// `log-format`: how a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// As Redis writes it.
    Text,
    /// Names and values with `=` between them.
    Logfmt,
    /// One JSON object a line.
    Json,
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat)] =
        &[("text", LogFormat::Text), ("logfmt", LogFormat::Logfmt), ("json", LogFormat::Json)];
}

/// `supervised`: which service manager is told how the start goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervision {
    /// None.
    No,
    /// systemd, by its notification socket.
    Systemd,
    /// upstart, by stopping itself.
    Upstart,
    /// The one that the environment shows.
    Auto,
}

impl Choice for Supervision {
    const WORDS: &'static [(&'static str, Supervision)] = &[
        ("upstart", Supervision::Upstart),
        ("systemd", Supervision::Systemd),
        ("auto", Supervision::Auto),
        ("no", Supervision::No),
    ];
}

/// `rebalance`: whether slots move from busy shards to idle ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebalance {
    /// They stay.
    No,
    /// They stay, and what would move is told.
    DryRun,
    /// They move.
    Yes,
}

impl Choice for Rebalance {
    const WORDS: &'static [(&'static str, Rebalance)] =
        &[("no", Rebalance::No), ("dry-run", Rebalance::DryRun), ("yes", Rebalance::Yes)];
}

/// Who may do something dangerous (`enable-debug-command`, `enable-protected-configs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nobody.
    No,
    /// Every client.
    Yes,
    /// Clients of this machine.
    Local,
}

impl Permission {
    /// Whether a client may, given whether it connects from this machine.
    pub fn allows(self, local: bool) -> bool {
        self == Permission::Yes || (self == Permission::Local && local)
    }
}

impl Choice for Permission {
    const WORDS: &'static [(&'static str, Permission)] =
        &[("no", Permission::No), ("yes", Permission::Yes), ("local", Permission::Local)];
}

/// `maxmemory-policy`: which keys go when memory runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// Of the keys with a deadline, those not used for longest.
    VolatileLru,
    /// Of the keys with a deadline, those used least often.
    VolatileLfu,
    /// Of the keys with a deadline, those not changed for longest.
    VolatileLrm,
    /// Of the keys with a deadline, any.
    VolatileRandom,
    /// Of the keys with a deadline, those nearest to it.
    VolatileTtl,
    /// Of all keys, those not used for longest.
    AllkeysLru,
    /// Of all keys, those used least often.
    AllkeysLfu,
    /// Of all keys, those not changed for longest.
    AllkeysLrm,
    /// Of all keys, any.
    AllkeysRandom,
    /// None: writes are refused.
    NoEviction,
}

impl Choice for EvictionPolicy {
    const WORDS: &'static [(&'static str, EvictionPolicy)] = &[
        ("volatile-lru", EvictionPolicy::VolatileLru),
        ("volatile-lfu", EvictionPolicy::VolatileLfu),
        ("volatile-random", EvictionPolicy::VolatileRandom),
        ("volatile-ttl", EvictionPolicy::VolatileTtl),
        ("volatile-lrm", EvictionPolicy::VolatileLrm),
        ("allkeys-lru", EvictionPolicy::AllkeysLru),
        ("allkeys-lfu", EvictionPolicy::AllkeysLfu),
        ("allkeys-random", EvictionPolicy::AllkeysRandom),
        ("allkeys-lrm", EvictionPolicy::AllkeysLrm),
        ("noeviction", EvictionPolicy::NoEviction),
    ];
}

/// `oom-score-adj`: how the server scores itself for the day when memory runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OomScore {
    /// As the system has it.
    No,
    /// The configured score over what the process had at its start.
    Relative,
    /// The configured score alone.
    Absolute,
}

impl Choice for OomScore {
    const WORDS: &'static [(&'static str, OomScore)] = &[
        ("no", OomScore::No),
        ("yes", OomScore::Relative),
        ("relative", OomScore::Relative),
        ("absolute", OomScore::Absolute),
    ];
}

/// `shutdown-on-sigterm` and `shutdown-on-sigint`: options of the SHUTDOWN that a signal stands
/// for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OnSignal {
    /// Take a snapshot even when there are no save points.
    pub save: bool,
    /// Take no snapshot even when there are save points.
    pub nosave: bool,
    /// Do not wait for replicas.
    pub now: bool,
    /// End even when something failed to be written.
    pub force: bool,
    /// End only when nothing would be lost.
    pub safe: bool,
    /// Hand over to a replica first.
    pub failover: bool,
}

impl OnSignal {
    pub(super) fn of(text: &str) -> OnSignal {
        let has = |word| text.split(' ').any(|given| given == word);
        OnSignal {
            save: has("save"),
            nosave: has("nosave"),
            now: has("now"),
            force: has("force"),
            safe: has("safe"),
            failover: has("failover"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Kind, find};

    fn holds<C: Choice>(name: &str) {
        let setting = find(name).expect("a setting of the table");
        let Kind::Choice(words) = setting.kind else { panic!("{name} is no choice") };
        assert_eq!(words, C::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>(), "{name}");
    }

    #[test]
    fn the_types_have_the_words_of_the_table() {
        holds::<Fsync>("appendfsync");
        holds::<LogLevel>("loglevel");
        holds::<Supervision>("supervised");
        holds::<Permission>("enable-debug-command");
        holds::<Permission>("enable-protected-configs");
        holds::<Permission>("enable-module-command");
        holds::<EvictionPolicy>("maxmemory-policy");
        holds::<OomScore>("oom-score-adj");
        holds::<Rebalance>("rebalance");
    }

    #[test]
    fn local_permission_is_for_this_machine() {
        assert!(Permission::Local.allows(true) && !Permission::Local.allows(false));
        assert!(Permission::Yes.allows(false) && !Permission::No.allows(true));
    }
}

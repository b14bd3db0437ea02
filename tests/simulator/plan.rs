//! What one run is made of: all of it follows from a seed, and a part of it can be left out.
//!
//! A run that fails is made smaller by leaving clients, calls and kinds of faults out. Random
//! numbers come in streams of their own (`Stream`), so that what is left out of one does not change
//! the others. A plan has a text, which replays it.

use std::fmt;

use fastrand::Rng;
use troupe::settings::Settings;
use troupe::stream::Policy;

/// Clients of a whole run.
pub const CLIENTS: u32 = 8;
/// Calls of each client of a whole run, at least.
const CALLS: u32 = 64;
/// Runs under `always`, of ten. The others promise less.
const ALWAYS_OF_TEN: u32 = 8;
/// One run in so many has replicas.
const REPLICAS_EVERY: u32 = 4;
/// Replicas of a run, at most.
pub const REPLICAS_MAX: u32 = 2;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Fault {
    /// Mail takes its time, each edge for itself.
    Delays,
    /// A command panics half way.
    CommandPanics,
    /// A shard panics outside of a command.
    ShardPanics,
    /// The writer of the journal panics.
    WriterPanics,
    /// The router panics.
    RouterPanics,
    /// Slots move.
    Moves,
    /// The process is killed, or the machine loses power.
    Kills,
    /// Writes fail.
    WriteErrors,
    /// Syncs fail.
    SyncErrors,
    /// The disk hangs.
    Hangs,
    /// A client does not read.
    SlowReaders,
    /// A client ends its half of the connection, or all of it.
    Ends,
    /// Slices end early.
    ShortSlices,
    /// The journal is rewritten.
    Rewrites,
    /// Memory runs out.
    Squeezes,
    /// Links between nodes are cut, where there are any.
    Cuts,
    /// Clients follow their keys.
    Follows,
}

/// Every kind, with the word for it.
pub const FAULTS: [(Fault, &str); 17] = [
    (Fault::Delays, "delays"),
    (Fault::CommandPanics, "command-panics"),
    (Fault::ShardPanics, "shard-panics"),
    (Fault::WriterPanics, "writer-panics"),
    (Fault::RouterPanics, "router-panics"),
    (Fault::Moves, "moves"),
    (Fault::Kills, "kills"),
    (Fault::WriteErrors, "write-errors"),
    (Fault::SyncErrors, "sync-errors"),
    (Fault::Hangs, "hangs"),
    (Fault::SlowReaders, "slow-readers"),
    (Fault::Ends, "ends"),
    (Fault::ShortSlices, "short-slices"),
    (Fault::Rewrites, "rewrites"),
    (Fault::Squeezes, "squeezes"),
    (Fault::Cuts, "cuts"),
    (Fault::Follows, "follows"),
];

/// What goes where memory runs out, by the setting `maxmemory-policy`.
const POLICIES_OF_MEMORY: [&str; 8] = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-lru",
    "volatile-random",
    "volatile-ttl",
    "noeviction",
];

/// A source of random numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// What the plan is.
    Plan,
    /// Whose turn it is.
    Schedule,
    /// What the disk does, after so many crashes.
    Disk(u32),
    /// How long a look at the clock takes.
    Clock,
    /// What a client calls, and how it behaves; each has one.
    Client(u32),
    /// What replicas there are, and how.
    Replicas,
    /// Whether clients move.
    Clients,
    /// What a replica is like; each has one.
    Follower(u32),
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of everything.
    pub seed: u64,
    /// Changes the schedule and nothing else: what fails in one order may not in another.
    pub salt: u64,
    /// Clients.
    pub clients: u32,
    /// Calls of each.
    pub calls: u32,
    /// Shards.
    pub shards: u16,
    /// The setting `appendfsync`.
    pub policy: Policy,
    /// Bits of the kinds of trouble that there are.
    pub faults: u32,
    /// Clients have lists that only grow.
    pub appends: bool,
    /// Clients publish, subscribe, and track keys that they cache.
    pub pushes: bool,
    /// The setting `maxmemory-policy`.
    pub policy_of_memory: &'static str,
    /// Clients run scripts.
    pub scripts: bool,
    /// Replicas of the server.
    pub replicas: u32,
    /// The second of them follows the first.
    pub is_chain: bool,
    /// Whether one of them is made a primary.
    pub promotes: Promotes,
}

/// When a replica is made a primary, which the others and the old primary follow then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promotes {
    /// Never.
    Never,
    /// While clients write to the old one, which knows nothing of it for a while.
    Midway,
    /// When it has all that the old one had.
    AtEnd,
}

impl Plan {
    /// The whole run of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut rng = rng(seed, 0, Stream::Plan);
        let policy = match rng.u32(..10) {
            0 => Policy::Never,
            at if at < 10 - ALWAYS_OF_TEN => Policy::EverySecond,
            _ => Policy::Always,
        };
        // One run has some kinds and not others, so that each is met with and without the rest.
        let by_itself =
            |fault: &Fault| !matches!(fault, Fault::Squeezes | Fault::Cuts | Fault::Follows);
        let faults = FAULTS.iter().filter(|(fault, _)| by_itself(fault));
        let faults = faults.filter(|_| rng.u32(..10) < 6);
        let faults = faults.fold(0, |bits, (fault, _)| bits | fault.bit());
        let mut plan = Plan {
            seed,
            salt: 0,
            clients: CLIENTS,
            calls: CALLS + rng.u32(..32),
            shards: rng.u16(2..=4),
            policy,
            faults,
            // What is lost under the other policies may have been seen.
            appends: policy == Policy::Always && rng.u8(..3) == 0,
            pushes: rng.bool(),
            policy_of_memory: "noeviction",
            scripts: false,
            replicas: 0,
            is_chain: false,
            promotes: Promotes::Never,
        };
        // Lists that only grow never go.
        if !plan.appends && rng.u8(..3) == 0 {
            plan.faults |= Fault::Squeezes.bit();
            plan.policy_of_memory = POLICIES_OF_MEMORY[rng.usize(..POLICIES_OF_MEMORY.len())];
        }
        plan.scripts = rng.bool();
        if plan.rng(Stream::Clients).u8(..4) > 0 {
            plan.faults |= Fault::Follows.bit();
        }
        plan.with_replicas()
    }

    /// The same with the replicas that its seed has.
    fn with_replicas(mut self) -> Plan {
        let mut rng = self.rng(Stream::Replicas);
        if rng.u32(..REPLICAS_EVERY) == 0 {
            self.replicas = rng.u32(1..=REPLICAS_MAX);
            self.is_chain = rng.bool();
            self.faults |= if rng.u8(..4) > 0 { Fault::Cuts.bit() } else { 0 };
            self.promotes = match rng.u8(..8) {
                0..2 => Promotes::Midway,
                2 => Promotes::AtEnd,
                _ => Promotes::Never,
            };
        }
        self
    }

    /// The settings of replication: those that cost no time, or that let something end soon.
    pub fn set_replication(&self, settings: &mut Settings) {
        let mut rng = self.rng(Stream::Replicas);
        let mut set = |name: &str, values: &[&str]| {
            let value = values[rng.usize(..values.len())];
            settings.set(name, &[value]).expect("that is a setting");
        };
        set("repl-diskless-sync", &["yes", "yes", "no"]);
        set("repl-diskless-sync-delay", &["0", "0", "0", "1"]);
        set("repl-backlog-size", &["16384", "1048576"]);
        set("repl-backlog-ttl", &["1", "3600"]);
        set("repl-ping-replica-period", &["1", "10"]);
    }

    /// Whether there is trouble of this kind.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    /// The same without this kind of trouble.
    pub fn without(&self, fault: Fault) -> Plan {
        Plan { faults: self.faults & !fault.bit(), ..self.clone() }
    }

    /// A source of random numbers.
    pub fn rng(&self, stream: Stream) -> Rng {
        let salt = if stream == Stream::Schedule { self.salt } else { 0 };
        rng(self.seed, salt, stream)
    }

    /// A size by which plans are compared: how much there is to read of one.
    pub fn size(&self) -> u32 {
        let calls = self.clients * self.calls;
        calls * 4 + self.faults.count_ones() + u32::from(self.shards) + self.replicas
    }

    /// The plan that a text tells, as `Display` writes it: what it leaves out is as the seed has
    /// it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Plan, String> {
        let mut words = text.split(',').filter(|word| !word.is_empty());
        let seed = words.next().and_then(|word| word.parse().ok());
        let mut plan = Plan::of(seed.ok_or("a plan begins with its seed")?);
        for word in words {
            let wrong = || format!("{word} is no part of a plan");
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            let number = || value.parse::<u32>().map_err(|_| wrong());
            match name {
                "salt" => plan.salt = u64::from(number()?),
                "clients" => plan.clients = number()?.clamp(1, CLIENTS),
                "calls" => plan.calls = number()?.max(1),
                "shards" => plan.shards = number()?.clamp(1, 8) as u16,
                "replicas" => plan.replicas = number()?.min(REPLICAS_MAX),
                "without" => {
                    for name in value.split('+') {
                        let found = FAULTS.iter().find(|(_, word)| *word == name);
                        plan = plan.without(found.ok_or_else(wrong)?.0);
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(plan)
    }
}

impl Fault {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Plan::of(self.seed);
        write!(f, "{}", self.seed)?;
        for (name, own, its) in [
            ("salt", self.salt, whole.salt),
            ("clients", u64::from(self.clients), u64::from(whole.clients)),
            ("calls", u64::from(self.calls), u64::from(whole.calls)),
            ("shards", u64::from(self.shards), u64::from(whole.shards)),
            ("replicas", u64::from(self.replicas), u64::from(whole.replicas)),
        ] {
            if own != its {
                write!(f, ",{name}={own}")?;
            }
        }
        let gone = FAULTS.iter().filter(|(fault, _)| whole.has(*fault) && !self.has(*fault));
        let gone: Vec<&str> = gone.map(|(_, word)| *word).collect();
        if gone.is_empty() { Ok(()) } else { write!(f, ",without={}", gone.join("+")) }
    }
}

fn rng(seed: u64, salt: u64, stream: Stream) -> Rng {
    let number = match stream {
        Stream::Plan => 1,
        Stream::Schedule => 2,
        Stream::Disk(crashes) => 1_000 + u64::from(crashes),
        Stream::Clock => 4,
        Stream::Replicas => 5,
        Stream::Clients => 6,
        Stream::Follower(replica) => 8 + u64::from(replica),
        Stream::Client(client) => 16 + u64::from(client),
    };
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93);
    Rng::with_seed(mixed.wrapping_add(number << 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_plan_is_the_plan() {
        let whole = Plan::of(7);
        assert_eq!(Plan::parse(&whole.to_string()), Ok(whole.clone()));
        let had = FAULTS.iter().find(|(fault, _)| whole.has(*fault)).expect("it has some");
        let small = Plan { clients: 2, calls: 3, salt: 4, ..whole.without(had.0) };
        assert_ne!(small, whole);
        assert_eq!(Plan::parse(&small.to_string()), Ok(small));
        assert!(Plan::parse("7,colour=3").is_err() && Plan::parse("").is_err());
    }

    #[test]
    fn a_whole_run_has_at_least_500_calls_of_8_clients_on_2_to_4_shards() {
        for seed in 0..1_000 {
            let plan = Plan::of(seed);
            assert!(plan.clients * plan.calls >= 500 && plan.clients == 8);
            assert!((2..=4).contains(&plan.shards));
        }
    }
}

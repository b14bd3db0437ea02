//! The ACL categories of a command, from its group, its flags and what its declaration adds.

use crate::commands::command::{Categories, Command, Flags, Group, Run};

impl Command {
    /// All ACL categories of the command. A container that only its subcommands run through is in
    /// none but `@slow`, as in Redis: what counts is the subcommand. A command over several types,
    /// or about a connection, is in those categories and not in that of keys; and what runs scripts
    /// is not in that of reads.
    pub fn acl_categories(&self) -> Categories {
        let is_container = matches!(self.run, Run::Container);
        let types = Categories::LIST.and(Categories::SET).and(Categories::SORTED_SET);
        let is_of_others =
            self.categories.has(types) || self.categories.has(Categories::CONNECTION);
        let has_no_group = is_container || is_of_others;
        let group = if has_no_group { Categories::NONE } else { self.group.category() };
        let speed = if self.flags.has(Flags::FAST) { Categories::FAST } else { Categories::SLOW };
        [
            (Flags::WRITE, Categories::WRITE),
            (Flags::READONLY, Categories::READ),
            (Flags::ADMIN, Categories::ADMIN.and(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::BLOCKING, Categories::BLOCKING),
        ]
        .into_iter()
        .filter(|(flag, _)| self.flags.has(*flag))
        .filter(|(flag, _)| self.group != Group::Scripting || *flag != Flags::READONLY)
        .fold(self.categories.and(group).and(speed), |all, (_, category)| all.and(category))
    }
}

impl Group {
    /// The category of the group's commands, where it has one.
    const fn category(self) -> Categories {
        match self {
            Group::Bitmap => Categories::BITMAP,
            Group::Connection => Categories::CONNECTION,
            Group::Geo => Categories::GEO,
            Group::Hash => Categories::HASH,
            Group::HyperLogLog => Categories::HYPERLOGLOG,
            Group::List => Categories::LIST,
            Group::Scripting => Categories::SCRIPTING,
            Group::Set => Categories::SET,
            Group::SortedSet => Categories::SORTED_SET,
            Group::Stream => Categories::STREAM,
            Group::String => Categories::STRING,
            Group::Transactions => Categories::TRANSACTION,
            // That follows from a flag.
            Group::PubSub => Categories::NONE,
            // Those of keys say it: not all have one.
            Group::Generic => Categories::NONE,
            Group::Cluster | Group::Module | Group::Server => Categories::NONE,
        }
    }
}

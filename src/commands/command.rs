//! The declaration of a command: everything that is known of it, written once, beside its handler.
//!
//! Lookup, arity errors, key extraction, routing, ACL categories, COMMAND and its subcommands, INFO
//! commandstats and the generator of test programs are all derived from these tables. [`Name`] has
//! no `PartialEq`, so that nothing can branch on the name of a command.

use std::fmt;

use crate::commands::call::Call;
pub use crate::commands::run::Run;
use crate::settings::{Permission, Settings};

/// One command or subcommand.
#[derive(Debug)]
pub struct Command {
    /// Lower-case name; a subcommand is `container|sub`.
    pub name: Name,
    /// The group of the documentation.
    pub group: Group,
    /// Version of Redis or Valkey that brought it.
    pub since: &'static str,
    /// Time complexity, as documentation prints it.
    pub complexity: &'static str,
    /// One sentence with a full stop.
    pub summary: &'static str,
    /// Number of arguments, the name included (a subcommand counts both words).
    pub arity: Arity,
    /// Where its keys stand.
    pub keys: &'static [KeySpec],
    /// Its keys that no specification finds, or not for certain, from its words, the name first:
    /// where they stand. It finds all that specifications look for behind a word, too; the last
    /// specification says what is done with them.
    pub further: Option<OfWords<Vec<usize>>>,
    /// `further` finds those that stand at one place, too.
    pub finds_all_keys: bool,
    /// Whether names of its keys follow from values, from its words: a record of it is applied
    /// where every slot is.
    pub anywhere: Option<OfWords<bool>>,
    /// What it does with keys that are declared with [`Access::VARIABLE_FLAGS`], from its words,
    /// the name first.
    pub varying_access: Option<OfWords<Access>>,
    /// Position of the first element that it looks for by name in the collection of its key; so
    /// that is in the cache when it runs.
    pub element: Option<u16>,
    /// What it may do, and when.
    pub flags: Flags,
    /// ACL categories beyond those that follow from group and flags.
    pub categories: Categories,
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// Its arguments, for COMMAND DOCS.
    pub args: &'static [Arg],
    /// Later changes: version and what it brought.
    pub history: &'static [(&'static str, &'static str)],
    /// Version since which it is deprecated and what to use instead.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Its subcommands are a matter of routing alone: clients see one command with free arguments,
    /// and one error for whatever is wrong with them.
    pub hides_subcommands: bool,
    /// The subcommands of a container, sorted by name.
    pub subcommands: &'static [Command],
    /// Which of its arguments no log may show, told from the call and a position; none where
    /// [`Flags::SENSITIVE`] says it of all.
    pub secret: Option<fn(&Call<'_>, usize) -> bool>,
    /// Who may run it, where a setting says so.
    pub permission: Option<fn(&Settings) -> Permission>,
    /// It runs at once in a transaction, in place of being queued.
    pub is_never_queued: bool,
    /// It came from nobody: it is not counted, and no log shows it.
    pub is_unsent: bool,
    /// A client that subscribes to something may run it in version 2 of the protocol too.
    pub is_for_subscribers: bool,
    /// Its answers are messages outside the replies, which a client gets whatever replies it wants.
    pub answers_by_push: bool,
    /// Where and how it runs.
    pub run: Run,
}

impl Command {
    /// What a declaration leaves out: `Command { name: .., ..Command::BASE }`.
    pub const BASE: Command = Command {
        name: Name(""),
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        arity: Arity::AtLeast(1),
        keys: &[],
        further: None,
        finds_all_keys: false,
        anywhere: None,
        varying_access: None,
        element: None,
        flags: Flags::NONE,
        categories: Categories::NONE,
        tips: &[],
        args: &[],
        history: &[],
        deprecated: None,
        hides_subcommands: false,
        subcommands: &[],
        secret: None,
        permission: None,
        is_never_queued: false,
        is_unsent: false,
        is_for_subscribers: false,
        answers_by_push: false,
        run: Run::Container,
    };

    /// True when `argc` words (the name included) are an acceptable number.
    pub const fn accepts(&self, argc: usize) -> bool {
        match self.arity {
            Arity::Exactly(n) => argc == n as usize,
            Arity::AtLeast(n) => argc >= n as usize,
        }
    }

    /// The subcommands that COMMAND and ACLs know.
    pub const fn shown_subcommands(&self) -> &'static [Command] {
        if self.hides_subcommands { &[] } else { self.subcommands }
    }

    /// True when no log may show the argument at `index`.
    pub fn hides(&self, call: &Call<'_>, index: usize) -> bool {
        match self.secret {
            Some(secret) => secret(call, index),
            None => {
                let words = 1 + usize::from(self.name.as_str().contains('|'));
                index >= words && self.flags.has(Flags::SENSITIVE)
            }
        }
    }

    /// True when the command changes the data set.
    pub const fn writes(&self) -> bool {
        self.flags.has(Flags::WRITE)
    }

    /// True when it may call commands that change the data set.
    pub const fn may_write(&self) -> bool {
        matches!(self.run, Run::Script(_)) && !self.flags.has(Flags::READONLY)
    }
}

/// What the words of a call tell, the name first.
pub type OfWords<R> = fn(&[&[u8]]) -> R;

/// A command's name. It can be shown and looked up, never compared.
#[derive(Clone, Copy)]
pub struct Name(pub &'static str);

impl Name {
    /// The name as text, for registries, replies and logs.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }

    /// The last word of the name: `get` of `config|get`.
    pub fn last_word(&self) -> &'static str {
        self.0.rsplit('|').next().unwrap_or(self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How many words a command takes, its name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// This many.
    Exactly(u16),
    /// This many or more.
    AtLeast(u16),
}

impl Arity {
    /// As COMMAND INFO prints it: negative for "at least".
    pub const fn as_integer(self) -> i64 {
        match self {
            Arity::Exactly(n) => n as i64,
            Arity::AtLeast(n) => -(n as i64),
        }
    }
}

/// The groups of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Geo,
    Hash,
    HyperLogLog,
    List,
    Module,
    PubSub,
    Scripting,
    Server,
    Set,
    SortedSet,
    Stream,
    String,
    Transactions,
}

impl Group {
    /// As COMMAND DOCS prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Group::Bitmap => "bitmap",
            Group::Cluster => "cluster",
            Group::Connection => "connection",
            Group::Generic => "generic",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::List => "list",
            Group::Module => "module",
            Group::PubSub => "pubsub",
            Group::Scripting => "scripting",
            Group::Server => "server",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transactions",
        }
    }
}

/// A set of bits with names, as COMMAND INFO prints them.
macro_rules! bits {
    ($(#[$doc:meta])* $type:ident: $inner:ty {
        $($(#[$item:meta])* $name:ident = $bit:expr, $text:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $type($inner);

        impl $type {
            /// No bit.
            pub const NONE: $type = $type(0);
            $($(#[$item])* pub const $name: $type = $type(1 << $bit);)*

            /// Both sets of bits.
            pub const fn and(self, other: $type) -> $type {
                $type(self.0 | other.0)
            }

            /// The bits of this set that are not in `other`.
            pub const fn except(self, other: $type) -> $type {
                $type(self.0 & !other.0)
            }

            /// True when every bit of `other` is set.
            pub const fn has(self, other: $type) -> bool {
                self.0 & other.0 == other.0
            }

            /// The names of the bits that are set, in order of the bits.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                let all = [$(($type::$name, $text)),*];
                all.into_iter().filter_map(move |(bit, text)| self.has(bit).then_some(text))
            }
        }
    };
}

bits! {
    /// What a command may do, and when it may run.
    Flags: u32 {
        /// Changes the data set.
        WRITE = 0, "write";
        /// Only reads the data set.
        READONLY = 1, "readonly";
        /// Refused when memory is over its limit.
        DENY_OOM = 2, "denyoom";
        /// For administrators.
        ADMIN = 3, "admin";
        /// About publishing and subscribing.
        PUBSUB = 4, "pubsub";
        /// Not from scripts.
        NO_SCRIPT = 5, "noscript";
        /// May block its client.
        BLOCKING = 6, "blocking";
        /// Allowed while the data set loads.
        LOADING = 7, "loading";
        /// Allowed on a replica with stale data.
        STALE = 8, "stale";
        /// Not shown to MONITOR.
        SKIP_MONITOR = 9, "skip_monitor";
        /// Not put into the slow log.
        SKIP_SLOWLOG = 10, "skip_commandlog";
        /// Implies ASKING.
        ASKING = 11, "asking";
        /// O(1) or O(log n).
        FAST = 12, "fast";
        /// Allowed before authentication.
        NO_AUTH = 13, "no_auth";
        /// May replicate though it is not a write.
        MAY_REPLICATE = 14, "may_replicate";
        /// Not inside a transaction.
        NO_MULTI = 15, "no_multi";
        /// Its keys cannot be told from positions alone.
        MOVABLE_KEYS = 16, "movablekeys";
        /// Allowed while a script runs too long.
        ALLOW_BUSY = 17, "allow_busy";
        /// Not while a replica loads beside serving.
        NO_ASYNC_LOADING = 18, "no_async_loading";
        /// Its arguments never reach a log.
        SENSITIVE = 19, "sensitive";
        /// May be called without any key.
        NO_MANDATORY_KEYS = 20, "no_mandatory_keys";
    }
}

impl Flags {
    /// Those of which COMMAND does not tell.
    pub const UNTOLD: Flags = Flags::SENSITIVE.and(Flags::MAY_REPLICATE);
}

bits! {
    /// ACL categories.
    Categories: u32 {
        /// Keys whatever their type.
        KEYSPACE = 0, "@keyspace";
        /// Reads.
        READ = 1, "@read";
        /// Writes.
        WRITE = 2, "@write";
        /// Sets.
        SET = 3, "@set";
        /// Sorted sets.
        SORTED_SET = 4, "@sortedset";
        /// Lists.
        LIST = 5, "@list";
        /// Hashes.
        HASH = 6, "@hash";
        /// Strings.
        STRING = 7, "@string";
        /// Bitmaps.
        BITMAP = 8, "@bitmap";
        /// HyperLogLog.
        HYPERLOGLOG = 9, "@hyperloglog";
        /// Geo.
        GEO = 10, "@geo";
        /// Streams.
        STREAM = 11, "@stream";
        /// Publish and subscribe.
        PUBSUB = 12, "@pubsub";
        /// Administration.
        ADMIN = 13, "@admin";
        /// O(1) or O(log n).
        FAST = 14, "@fast";
        /// All that is not fast.
        SLOW = 15, "@slow";
        /// Blocks its client.
        BLOCKING = 16, "@blocking";
        /// Can harm a server in use.
        DANGEROUS = 17, "@dangerous";
        /// The connection itself.
        CONNECTION = 18, "@connection";
        /// Transactions.
        TRANSACTION = 19, "@transaction";
        /// Scripts.
        SCRIPTING = 20, "@scripting";
    }
}

bits! {
    /// What a command does with the keys of one specification.
    Access: u16 {
        /// Reads the value, does not change it.
        RO = 0, "RO";
        /// Reads and changes the value.
        RW = 1, "RW";
        /// Overwrites the value without reading it.
        OW = 2, "OW";
        /// Deletes the key.
        RM = 3, "RM";
        /// Gives the user's data back.
        READS = 4, "access";
        /// May change data that was there.
        UPDATE = 5, "update";
        /// May add data.
        INSERT = 6, "insert";
        /// May delete part of the value.
        DELETE = 7, "delete";
        /// Looks like a key, but is none.
        NOT_KEY = 8, "not_key";
        /// Does not find all keys.
        INCOMPLETE = 9, "incomplete";
        /// What it does depends on the arguments.
        VARIABLE_FLAGS = 10, "variable_flags";
    }
}

/// Where some of a command's keys stand and what is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// What the command does with them.
    pub access: Access,
    /// Where they begin.
    pub begin: Begin,
    /// How they go on from there.
    pub find: Find,
    /// A remark for COMMAND DOCS, or empty.
    pub notes: &'static str,
}

/// Where keys begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(u16),
    /// After this word, searched from the given argument (negative: from the end).
    Keyword(&'static str, i16),
    /// Nobody can tell.
    Unknown,
}

/// How keys go on from where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last` (relative to the first; negative: from the end), every `step` arguments; a
    /// negative `last` with `limit` n stops after the n-th part of the arguments.
    Range {
        /// Last key, relative to the first; -1 is the last argument.
        last: i16,
        /// Distance between two keys.
        step: u16,
        /// Part of the arguments to look at, 0 for all.
        limit: u16,
    },
    /// An argument holds how many there are.
    KeyNum {
        /// Where the number stands, relative to where keys begin.
        at: u16,
        /// Where the first key stands, relative to where keys begin.
        first: u16,
        /// Distance between two keys.
        step: u16,
    },
    /// Nobody can tell.
    Unknown,
}

impl KeySpec {
    /// One key at argument `index`.
    pub const fn one(index: u16, access: Access) -> KeySpec {
        KeySpec {
            access,
            begin: Begin::Index(index),
            find: Find::Range { last: 0, step: 1, limit: 0 },
            notes: "",
        }
    }

    /// Keys from argument `index` to the last, every `step` arguments.
    pub const fn rest(index: u16, step: u16, access: Access) -> KeySpec {
        KeySpec {
            access,
            begin: Begin::Index(index),
            find: Find::Range { last: -1, step, limit: 0 },
            notes: "",
        }
    }

    /// A number at argument `index`, then that many keys, every `step` arguments.
    pub const fn counted(index: u16, step: u16, access: Access) -> KeySpec {
        KeySpec {
            access,
            begin: Begin::Index(index),
            find: Find::KeyNum { at: 0, first: 1, step },
            notes: "",
        }
    }
}

/// An argument, for COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgKind,
    /// The word before it, where there is one.
    pub token: Option<&'static str>,
    /// It may be left out.
    pub optional: bool,
    /// It may be given several times.
    pub multiple: bool,
    /// Its token is repeated each time.
    pub multiple_token: bool,
    /// Version that brought it, or empty.
    pub since: &'static str,
    /// Version that it is deprecated since, or empty.
    pub deprecated: &'static str,
    /// How it is shown; the name, unless another text says more.
    pub shown: &'static str,
}

/// What an argument is.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ArgKind {
    /// A key, of the key specification with this index.
    Key(u8),
    String,
    Integer,
    Double,
    Pattern,
    UnixTime,
    /// A bare word.
    PureToken,
    /// One of these.
    OneOf(&'static [Arg]),
    /// All of these, in order.
    Block(&'static [Arg]),
}

impl ArgKind {
    /// As COMMAND DOCS prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ArgKind::Key(_) => "key",
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf(_) => "oneof",
            ArgKind::Block(_) => "block",
        }
    }
}

impl Arg {
    /// Rows of arguments as one of `N`: what commands share beside what they do not.
    pub(crate) const fn joined<const N: usize>(rows: &[&[Arg]]) -> [Arg; N] {
        let (mut all, mut count, mut row) = ([Arg::new("", ArgKind::String); N], 0, 0);
        while row < rows.len() {
            let mut at = 0;
            while at < rows[row].len() {
                all[count] = rows[row][at];
                (count, at) = (count + 1, at + 1);
            }
            row += 1;
        }
        assert!(count == N, "the caller says how many there are");
        all
    }

    const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg {
            name,
            kind,
            token: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            since: "",
            deprecated: "",
            shown: name,
        }
    }

    /// A key of the first key specification.
    pub const fn key(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Key(0))
    }

    /// A key of the key specification `spec`.
    pub const fn key_of(name: &'static str, spec: u8) -> Arg {
        Arg::new(name, ArgKind::Key(spec))
    }

    /// Bytes.
    pub const fn string(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::String)
    }

    /// A whole number.
    pub const fn integer(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Integer)
    }

    /// A floating-point number.
    pub const fn double(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Double)
    }

    /// A glob.
    pub const fn pattern(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::Pattern)
    }

    /// A unix time.
    pub const fn unix_time(name: &'static str) -> Arg {
        Arg::new(name, ArgKind::UnixTime)
    }

    /// A bare word.
    pub const fn word(name: &'static str, token: &'static str) -> Arg {
        Arg::new(name, ArgKind::PureToken).token(token)
    }

    /// One of several arguments.
    pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg::new(name, ArgKind::OneOf(args))
    }

    /// Several arguments in order.
    pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
        Arg::new(name, ArgKind::Block(args))
    }

    /// With a word before it.
    pub const fn token(mut self, token: &'static str) -> Arg {
        self.token = Some(token);
        self
    }

    /// It may be left out.
    pub const fn optional(mut self) -> Arg {
        self.optional = true;
        self
    }

    /// It may be given several times.
    pub const fn multiple(mut self) -> Arg {
        self.multiple = true;
        self
    }

    /// Its token is repeated each time.
    pub const fn multiple_token(mut self) -> Arg {
        self.multiple = true;
        self.multiple_token = true;
        self
    }

    /// How it is shown, where the name says too little.
    pub const fn shown(mut self, text: &'static str) -> Arg {
        self.shown = text;
        self
    }

    /// Version that it is deprecated since.
    pub const fn deprecated(mut self, version: &'static str) -> Arg {
        self.deprecated = version;
        self
    }

    /// Version that brought it.
    pub const fn since(mut self, version: &'static str) -> Arg {
        self.since = version;
        self
    }
}

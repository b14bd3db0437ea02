//! Random scripts, answered by ours and by Valkey, reply by reply.
//!
//! Scripts run one after the other on keys of every type, declared or not, as EVAL, EVALSHA,
//! EVAL_RO or a function, for clients of RESP2 and RESP3; at the end of each sequence the whole
//! content is compared. `grammar` has the rules by which scripts are made, `said` what need not be
//! the same. When replies differ, the sequence is shrunk, then each script by its tree, and printed
//! with its seed.
//!
//! Each run goes over the same scripts, 400 with each number of shards. `TROUPE_DIFF_SCRIPTS`
//! says how many others, made anew, a longer run compares, and `TROUPE_SEED` repeats one:
//!
//! ```sh
//! TROUPE_DIFF_SCRIPTS=100000 cargo test -p troupe-actors --test integration differential::scripts
//! ```

mod grammar;
mod said;
mod tree;
mod writer;

use self::tree::{Node, quoted};
use self::writer::Writer;
use super::{Author, Command, Lockstep};
use crate::support::client::shown;
use crate::support::oracle::Oracle;
use crate::support::reply::Reply;
use crate::support::server::Options;
use crate::support::{env_number, seed};

/// Scripts in a sequence.
const SEQUENCE: usize = 20;

/// Scripts that are compared each time, and the seed of the first sequence of them.
const SCRIPTS: u64 = 400;
const FIRST_SEED: u64 = 1;

/// How a script is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Eval,
    Sha,
    ReadOnly,
    /// With a first line that says that it writes nothing.
    Declared,
    Function,
    ReadOnlyFunction,
}

impl Way {
    fn reads(self) -> bool {
        matches!(self, Way::ReadOnly | Way::Declared | Way::ReadOnlyFunction)
    }
}

#[derive(Clone, Debug)]
struct Script {
    way: Way,
    body: Node,
    keys: Command,
    arguments: Command,
}

/// A name of a library or a function that no other script of the sequence has.
fn named(kind: &str, number: usize) -> String {
    format!("{kind}{number}")
}

impl Script {
    /// What loads it, if it has to be loaded.
    fn loading(&self, number: usize) -> Option<Command> {
        let body = self.body.text();
        match self.way {
            Way::Eval | Way::ReadOnly | Way::Declared => None,
            Way::Sha => Some(vec![b"SCRIPT".to_vec(), b"LOAD".to_vec(), body.into()]),
            Way::Function | Way::ReadOnlyFunction => {
                let (library, function) = (named("lib", number), named("run", number));
                let flags = if self.way.reads() { "'no-writes'" } else { "" };
                let code = format!(
                    "#!lua name={library}\n\
                     redis.register_function{{function_name='{function}', flags={{{flags}}}, \
                     callback=function(KEYS, ARGV)\n{body}\nend}}"
                );
                Some(vec![b"FUNCTION".to_vec(), b"LOAD".to_vec(), code.into()])
            }
        }
    }

    /// What runs it, with what its loading was answered with.
    fn call(&self, number: usize, loaded: Option<&Reply>) -> Command {
        let (name, what) = match self.way {
            Way::Eval => ("EVAL", self.body.text()),
            Way::ReadOnly => ("EVAL_RO", self.body.text()),
            Way::Declared => ("EVAL", format!("#!lua flags=no-writes\n{}", self.body.text())),
            Way::Sha => {
                let sha = loaded.and_then(Reply::bytes).map(String::from_utf8_lossy);
                ("EVALSHA", sha.unwrap_or_default().into_owned())
            }
            Way::Function => ("FCALL", named("run", number)),
            Way::ReadOnlyFunction => ("FCALL_RO", named("run", number)),
        };
        let mut call = vec![name.into(), what.into(), self.keys.len().to_string().into()];
        call.extend(self.keys.clone());
        call.extend(self.arguments.clone());
        call
    }

    /// For a person to read and to run.
    fn shown(&self) -> String {
        let words = |words: &Command| words.iter().map(|word| quoted(word)).collect::<Vec<_>>();
        let (keys, arguments) = (words(&self.keys).join(" "), words(&self.arguments).join(" "));
        format!("{:?} keys {keys}, arguments {arguments}\n{}", self.way, self.body.text())
    }
}

/// Commands that fill keys, and then scripts.
#[derive(Clone, Debug, Default)]
struct Sequence {
    filling: Vec<Command>,
    scripts: Vec<Script>,
}

impl Author {
    fn sequence(&mut self) -> Sequence {
        let filling = (0..30).map(|_| {
            let kind = self.random.u8(..7);
            self.any_command(kind)
        });
        let filling = filling.collect();
        let scripts = (0..SEQUENCE).map(|_| self.script()).collect();
        Sequence { filling, scripts }
    }

    fn script(&mut self) -> Script {
        let way = match self.random.u8(..12) {
            0 => Way::ReadOnly,
            1 => Way::Declared,
            2 => Way::ReadOnlyFunction,
            3 | 4 => Way::Function,
            5 | 6 => Way::Sha,
            _ => Way::Eval,
        };
        let keys = self.keys().split_off(1);
        let arguments = (0..self.random.usize(..4)).map(|_| self.value()).collect();
        let mut writer = Writer { author: self, keys };
        let body = writer.body();
        Script { way, body, keys: writer.keys, arguments }
    }
}

impl Lockstep {
    /// Runs a sequence on both; the number of the script that differs first (none for the content
    /// at the end), and how.
    fn scripts_differ(&self, sequence: &Sequence) -> Option<(Option<usize>, String)> {
        let (mut ours, mut theirs) = self.fresh();
        let numbered = || sequence.scripts.iter().enumerate();
        let flush = ["SCRIPT", "FUNCTION"].map(|name| vec![name.into(), b"FLUSH".to_vec()]);
        let before: Vec<Command> = flush.into_iter().chain(sequence.filling.clone()).collect();
        for client in [&mut ours, &mut theirs] {
            client.pipeline(&before).unwrap();
        }
        let loads = numbered().filter_map(|(number, script)| script.loading(number));
        let loads: Vec<Command> = loads.collect();
        let (mine, other) = (ours.pipeline(&loads).unwrap(), theirs.pipeline(&loads).unwrap());
        for (load, (ours, theirs)) in loads.iter().zip(mine.iter().zip(&other)) {
            if !said::same(ours, theirs) {
                let (ours, theirs) = (ours.printed(), theirs.printed());
                return Some((None, format!("{}: ours {ours}\ntheirs {theirs}", shown(load))));
            }
        }
        let mut loaded = other.iter();
        let calls = numbered().map(|(number, script)| {
            let loaded = script.loading(number).and_then(|_| loaded.next());
            script.call(number, loaded)
        });
        let calls: Vec<Command> = calls.collect();
        let mut early = Vec::new().into_iter();
        if self.pipelined {
            early = ours.pipeline(&calls).unwrap().into_iter();
        }
        let right = theirs.pipeline(&calls).unwrap();
        for (number, (call, theirs)) in calls.iter().zip(right).enumerate() {
            let ours = early.next().unwrap_or_else(|| ours.call(call));
            if !said::same(&ours, &theirs) {
                let (ours, theirs) = (ours.printed(), theirs.printed());
                return Some((Some(number), format!("ours   {ours}\ntheirs {theirs}")));
            }
        }
        self.content_difference(&mut ours, &mut theirs, said::same_content).map(|said| (None, said))
    }

    /// The least that still differs.
    fn shrink_scripts(&self, mut sequence: Sequence) -> Sequence {
        if let Some((Some(number), _)) = self.scripts_differ(&sequence) {
            sequence.scripts.truncate(number + 1);
        }
        for at in (0..sequence.scripts.len()).rev() {
            let mut shorter = sequence.clone();
            shorter.scripts.remove(at);
            if self.scripts_differ(&shorter).is_some() {
                sequence = shorter;
            }
        }
        for at in (0..sequence.filling.len()).rev() {
            let mut shorter = sequence.clone();
            shorter.filling.remove(at);
            if self.scripts_differ(&shorter).is_some() {
                sequence = shorter;
            }
        }
        for at in 0..sequence.scripts.len() {
            let body = sequence.scripts[at].body.clone();
            let mut smaller = sequence.clone();
            sequence.scripts[at].body = body.shrunk(|body| {
                smaller.scripts[at].body = body.clone();
                self.scripts_differ(&smaller).is_some()
            });
        }
        sequence
    }
}

/// Runs sequences until enough scripts are compared, or panics with the shortest one.
fn compare(shards: usize) {
    let Some(oracle) = Oracle::Valkey.start() else { return };
    let ours = Options::shards(shards).debug().start();
    let scripts = env_number("TROUPE_DIFF_SCRIPTS", SCRIPTS);
    let seed = match std::env::var_os("TROUPE_DIFF_SCRIPTS") {
        Some(_) => seed("scripts"),
        None => env_number("TROUPE_SEED", FIRST_SEED),
    };
    for number in 0..scripts.div_ceil(SEQUENCE as u64) {
        let seed = seed.wrapping_add(number);
        let random = fastrand::Rng::with_seed(seed);
        let mut author = Author { random, last_id: 0 };
        let pair = Lockstep::new(ours.port, oracle.port, &mut author);
        let sequence = author.sequence();
        if pair.scripts_differ(&sequence).is_some() {
            let sequence = pair.shrink_scripts(sequence);
            let filling: Vec<String> = sequence.filling.iter().map(|each| shown(each)).collect();
            let scripts: Vec<String> = sequence.scripts.iter().map(Script::shown).collect();
            let (_, difference) =
                pair.scripts_differ(&sequence).unwrap_or((None, "gone when run again".into()));
            let how = pair.shown();
            let what = format!("{}\n{}", filling.join("\n"), scripts.join("\n"));
            panic!("TROUPE_SEED={seed}, {shards} shards, {how}\n{what}\n{difference}");
        }
    }
    println!("{scripts} scripts gave the same replies with {shards} shards");
}

#[test]
fn scripts_on_one_shard_answer_as_valkey_does() {
    compare(1);
}

#[test]
fn scripts_on_two_shards_answer_as_valkey_does() {
    compare(2);
}

#[test]
fn scripts_on_four_shards_answer_as_valkey_does() {
    compare(4);
}

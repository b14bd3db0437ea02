//! The scripts that clients run: their texts are few and fixed, and each is told once more in Rust,
//! so that the model knows what it does.
//!
//! A script takes its keys and its other words in one row, whatever of it is declared: so the same
//! script runs with keys that are declared and with keys that are not.

use troupe::script::Sha;

use crate::model::Model;
use crate::reply::Reply;
use crate::workload::Call;

/// What every text begins with.
const HEAD: &str = "local call, a = redis.call, {} \
                    for _, v in ipairs(KEYS) do a[#a+1] = v end \
                    for _, v in ipairs(ARGV) do a[#a+1] = v end\n";

/// Each text comes in so many versions, which differ in nothing but their digest.
pub const VERSIONS: u32 = 3;

/// What a script comes to: a reply, or the error that ended it.
type Result = std::result::Result<Reply, Reply>;

/// A script.
pub struct Script {
    /// What it does.
    pub name: &'static str,
    /// Its text, behind the part that all share.
    body: &'static str,
    /// What its keys mostly hold, by the initials of their names.
    pub keys: &'static str,
    /// Values that no other call has, behind the keys.
    pub values: usize,
    /// The same as the text.
    run: fn(&mut Host<'_>, &[&str]) -> Result,
    /// It writes nothing.
    pub reads_only: bool,
    /// It looks at everything, or changes everything.
    pub is_over_all: bool,
    /// Only who kills it ends it.
    pub loops: bool,
}

const PLAIN: Script = Script {
    name: "",
    body: "",
    keys: "",
    values: 0,
    run: never_ends,
    reads_only: false,
    is_over_all: false,
    loops: false,
};

/// All scripts.
pub const SCRIPTS: [Script; 15] = [
    Script {
        name: "copies",
        body: "local v = call('GET', a[1]) call('SET', a[2], v or a[3]) return v",
        keys: "ss",
        values: 1,
        run: |host, a| {
            let there = host.call(&["GET", a[0]])?;
            let text = if let Reply::Bulk(text) = &there { text } else { a[2] };
            host.call(&["SET", a[1], text])?;
            Ok(there)
        },
        ..PLAIN
    },
    Script {
        name: "counts twice",
        body: "local n = call('INCR', a[1]) return {n, call('INCR', a[2])}",
        keys: "cc",
        run: |host, a| {
            let first = host.call(&["INCR", a[0]])?;
            Ok(Reply::List(vec![first, host.call(&["INCR", a[1]])?]))
        },
        ..PLAIN
    },
    Script {
        name: "follows",
        body: "call('SET', a[1], a[4]) local v = call('GET', a[2]) \
               return call('APPEND', v and #v % 2 == 0 and a[2] or a[3], a[5])",
        keys: "sss",
        values: 2,
        run: |host, a| {
            host.call(&["SET", a[0], a[3]])?;
            let there = host.call(&["GET", a[1]])?;
            let is_even = matches!(&there, Reply::Bulk(text) if text.len() % 2 == 0);
            host.call(&["APPEND", if is_even { a[1] } else { a[2] }, a[4]])
        },
        ..PLAIN
    },
    Script {
        name: "moves",
        body: "call('INCR', a[3]) local v = call('RPOP', a[1]) \
               if v then call('LPUSH', a[2], v) end return v",
        keys: "llc",
        run: |host, a| {
            host.call(&["INCR", a[2]])?;
            let taken = host.call(&["RPOP", a[0]])?;
            if let Reply::Bulk(text) = &taken {
                host.call(&["LPUSH", a[1], text])?;
            }
            Ok(taken)
        },
        ..PLAIN
    },
    Script {
        name: "pushes and takes back",
        body: "call('LPUSH', a[1], a[3]) call('LPUSH', a[2], a[4]) return call('RPOP', a[1])",
        keys: "ll",
        values: 2,
        run: |host, a| {
            host.call(&["LPUSH", a[0], a[2]])?;
            host.call(&["LPUSH", a[1], a[3]])?;
            host.call(&["RPOP", a[0]])
        },
        ..PLAIN
    },
    Script {
        name: "fails",
        body: "call('SET', a[1], a[3]) call('APPEND', a[2], a[3]) \
               call('LPUSH', a[1], 'never') call('SET', a[2], 'never')",
        keys: "ms",
        values: 1,
        run: |host, a| {
            host.call(&["SET", a[0], a[2]])?;
            host.call(&["APPEND", a[1], a[2]])?;
            host.call(&["LPUSH", a[0], "never"])?;
            host.call(&["SET", a[1], "never"])
        },
        ..PLAIN
    },
    Script {
        name: "raises",
        body: "call('MSET', a[1], a[3], a[2], a[3]) error({err = 'MINE it fails'})",
        keys: "mm",
        values: 1,
        run: |host, a| {
            host.call(&["MSET", a[0], a[2], a[1], a[2]])?;
            Err(Reply::Begins("MINE it fails".to_owned()))
        },
        ..PLAIN
    },
    Script {
        name: "returns an error",
        body: "call('DEL', a[1]) call('RENAME', a[2], a[1]) \
               return redis.error_reply('MINE it fails')",
        keys: "ms",
        run: |host, a| {
            host.call(&["DEL", a[0]])?;
            host.call(&["RENAME", a[1], a[0]])?;
            Ok(Reply::Begins("MINE it fails".to_owned()))
        },
        ..PLAIN
    },
    Script {
        name: "goes on",
        body: "call('SET', a[1], a[3]) local e = redis.pcall('LPUSH', a[1], 'never') \
               return {e.err and 1 or 0, call('INCR', a[2])}",
        keys: "xc",
        values: 1,
        run: |host, a| {
            host.call(&["SET", a[0], a[2]])?;
            let has_failed = matches!(host.pcall(&["LPUSH", a[0], "never"]), Reply::Error(_));
            let count = host.call(&["INCR", a[1]])?;
            Ok(Reply::List(vec![Reply::Int(i64::from(has_failed)), count]))
        },
        ..PLAIN
    },
    Script {
        name: "takes long",
        body: "call('APPEND', a[1], a[4]) for i = 1, 4000 do end local v = call('GET', a[3]) \
               call('PUBLISH', 'h0', a[5]) for i = 1, 4000 do end \
               call('APPEND', a[2], a[4]) return v",
        keys: "sss",
        values: 2,
        run: |host, a| {
            host.call(&["APPEND", a[0], a[3]])?;
            let there = host.call(&["GET", a[2]])?;
            host.call(&["PUBLISH", "h0", a[4]])?;
            host.call(&["APPEND", a[1], a[3]])?;
            Ok(there)
        },
        ..PLAIN
    },
    Script {
        name: "reads",
        body: "local v = call('MGET', a[1], a[2]) for i = 1, 1000 do end \
               v[3] = call('GET', a[3]) return v",
        keys: "mms",
        reads_only: true,
        run: |host, a| {
            let Reply::List(mut values) = host.call(&["MGET", a[0], a[1]])? else {
                return Ok(Reply::Nil);
            };
            values.push(host.call(&["GET", a[2]])?);
            Ok(Reply::List(values))
        },
        ..PLAIN
    },
    Script {
        name: "counts everything",
        body: "call('SET', a[1], a[2], 'PX', 300) return call('DBSIZE')",
        keys: "x",
        values: 1,
        is_over_all: true,
        run: |host, a| {
            host.call(&["SET", a[0], a[1], "PX", "300"])?;
            host.call(&["DBSIZE"])
        },
        ..PLAIN
    },
    Script {
        name: "writes and loops",
        body: "call('SET', a[1], a[5]) call('DEL', a[2]) call('LPUSH', a[3], a[5]) \
               call('PUBLISH', 'h1', a[6]) call('APPEND', a[1], a[5]) call('INCR', a[4]) \
               while true do end",
        keys: "smlc",
        values: 2,
        run: never_ends,
        loops: true,
        ..PLAIN
    },
    Script {
        name: "reads and loops",
        body: "call('GET', a[1]) while true do redis.pcall('GET', a[2]) end",
        keys: "sm",
        run: never_ends,
        loops: true,
        ..PLAIN
    },
    Script {
        name: "swaps and loops",
        body: "local pcall = redis.pcall call('SET', a[1], a[3]) call('SWAPDB', 0, 1) \
               pcall('SET', a[1], a[3]) pcall('DEL', a[1]) pcall('SWAPDB', 0, 1) \
               pcall('APPEND', a[1], a[3]) pcall('DEL', a[2]) while true do end",
        keys: "sm",
        values: 1,
        is_over_all: true,
        run: never_ends,
        loops: true,
        ..PLAIN
    },
];

/// One that is never whole, unless a call of it fails: that is told by what it has called.
fn never_ends(host: &mut Host<'_>, _: &[&str]) -> Result {
    while let Some(words) = host.next_words() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        host.call(&words)?;
    }
    Ok(Reply::Nil)
}

impl Script {
    /// The text of a version.
    pub fn text(&self, version: u32) -> String {
        format!("{HEAD}{} --{version}", self.body)
    }

    /// The script with this text, or with this digest.
    pub fn find(word: &str) -> Option<&'static Script> {
        static ALL: [Script; SCRIPTS.len()] = SCRIPTS;
        thread_local! {
            static BY_WORD: std::collections::BTreeMap<String, usize> = by_word();
        }
        BY_WORD.with(|all| all.get(word).map(|at| &ALL[*at]))
    }
}

fn by_word() -> std::collections::BTreeMap<String, usize> {
    let versions = (0..SCRIPTS.len()).flat_map(|at| (0..VERSIONS).map(move |v| (at, v)));
    let texts = versions.map(|(at, version)| (SCRIPTS[at].text(version), at));
    texts.flat_map(|(text, at)| [(digest(&text), at), (text, at)]).collect()
}

/// The digest of a text, as EVALSHA takes it.
pub fn digest(text: &str) -> String {
    Sha::of(text.as_bytes()).to_string()
}

/// A command that a script has called, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The command.
    pub words: Vec<String>,
    /// What it was answered.
    pub reply: Reply,
}

/// What answers the commands of a script in the model. What gates have refused is refused here too.
pub struct Host<'a> {
    model: &'a mut Model,
    now: i64,
    called: &'a [Called],
    at: usize,
    ran: Vec<Call>,
    wrong: Option<String>,
}

/// What a script comes to in the model.
#[derive(Debug)]
pub struct Replayed {
    /// Its reply.
    pub reply: Reply,
    /// Its commands that were not refused.
    pub ran: Vec<Call>,
    /// In what it is not what the shard has run.
    pub wrong: Option<String>,
}

/// Runs the script of a call, which has called these commands, on the model.
pub fn replay(call: &Call, called: &[Called], model: &mut Model, now: i64) -> Replayed {
    let words: Vec<&str> = call.0.iter().skip(3).map(String::as_str).collect();
    let mut host = Host { model, now, called, at: 0, ran: Vec::new(), wrong: None };
    let reply = match Script::find(&call.0[1]) {
        Some(script) => (script.run)(&mut host, &words).unwrap_or_else(|error| error),
        None => Reply::Any,
    };
    let Host { at, ran, wrong, .. } = host;
    let left = called.get(at).map(|left| format!("{left:?} is one too many"));
    Replayed { reply, ran, wrong: wrong.or(left) }
}

impl Host<'_> {
    fn next_words(&self) -> Option<Vec<String>> {
        self.called.get(self.at).map(|called| called.words.clone())
    }

    /// A command whose error ends the script.
    fn call(&mut self, words: &[&str]) -> Result {
        match self.pcall(words) {
            // The engine says where.
            Reply::Error(error) => Err(Reply::Begins(error)),
            reply => Ok(reply),
        }
    }

    /// A command.
    fn pcall(&mut self, words: &[&str]) -> Reply {
        let called = self.called.get(self.at);
        self.at += 1;
        let Some(Called { reply, .. }) = called.filter(|called| called.words == words) else {
            let wrong = format!("{words:?} is next in a script, and {called:?} ran");
            self.wrong.get_or_insert(wrong);
            return Reply::Error("ERR the script goes wrong".to_owned());
        };
        if is_refusal(reply) {
            return reply.clone();
        }
        let call = Call(words.iter().map(|word| (*word).to_owned()).collect());
        let wanted = self.model.run(&call, self.now);
        if !wanted.allows(reply) {
            let wrong = format!("{words:?} was answered {reply:?}; the model says {wanted:?}");
            self.wrong.get_or_insert(wrong);
        }
        self.ran.push(call);
        wanted
    }
}

/// Whether a gate has refused a command, or the time was not right.
pub fn is_refusal(reply: &Reply) -> bool {
    let words = ["MISCONF", "OOM", "LOADING", "BUSY"];
    matches!(reply, Reply::Error(error) if words.iter().any(|word| error.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_known_by_text_and_digest() {
        for script in &SCRIPTS {
            let text = script.text(1);
            assert_eq!(Script::find(&text).map(|it| it.name), Some(script.name));
            assert_eq!(Script::find(&digest(&text)).map(|it| it.name), Some(script.name));
        }
        assert!(Script::find("return 1").is_none());
    }

    #[test]
    fn what_a_script_has_called_must_be_what_it_calls() {
        let text = SCRIPTS[1].text(0);
        let call = Call(["EVAL", &text, "1", "c0", "c1"].map(str::to_owned).into());
        let called = |key: &str, reply| {
            let words = ["INCR", key].map(str::to_owned).into();
            Called { words, reply }
        };
        let run = |called: &[Called]| replay(&call, called, &mut Model::default(), 0);
        let right = run(&[called("c0", Reply::Int(1)), called("c1", Reply::Int(1))]);
        assert_eq!((right.wrong, right.ran.len()), (None, 2));
        assert_eq!(right.reply, Reply::List(vec![Reply::Int(1), Reply::Int(1)]));
        assert!(run(&[called("c0", Reply::Int(1))]).wrong.is_some());
        assert!(run(&[called("c0", Reply::Int(2)), called("c1", Reply::Int(1))]).wrong.is_some());
        let refused = run(&[called("c0", Reply::Error("MISCONF no".to_owned()))]);
        assert_eq!((refused.wrong, refused.ran.len()), (None, 0));
        assert_eq!(refused.reply, Reply::Begins("MISCONF no".to_owned()));
    }
}

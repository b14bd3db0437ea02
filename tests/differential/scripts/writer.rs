//! Writes scripts at random, by the rules of `grammar`.

use super::super::{ALL_KEYS, Author, Command};
use super::grammar::rules;
use super::tree::{Node, Part, quoted};

/// How deep a script nests.
const DEPTH: u32 = 4;

/// Keys that a script declares, at most.
const KEYS_MAX: usize = 4;

const LITERALS: [&str; 30] = [
    "0",
    "1",
    "2",
    "-1",
    "3",
    "7",
    "10",
    "0.1",
    "0.5",
    "-2.5",
    "1.5",
    "3.14159",
    "100",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "1e14",
    "123456789012345",
    "99999999999999",
    "1e15",
    "1e100",
    "-1e-7",
    "0x10",
    "9223372036854775807",
    "1e16",
];

const WORDS: [&[u8]; 26] = [
    b"",
    b"a",
    b"b",
    b"abc",
    b"a,b,c",
    b"hello world",
    b"x=1, y=22",
    b"  padded  ",
    b"10",
    b"3.5",
    b"1e3",
    b"0x1F",
    b"-7",
    b"(a(b)c)",
    b"\0",
    b"a\0b",
    b"\r\n",
    b"line\nline",
    b"\xff\xfe\x80",
    b"\xc3\xa9",
    b"%d",
    b"100%",
    b"[1,2,{\"a\":null}]",
    b"{\"k\":[1.5,true,\"\\u0041\"]}",
    b"'quoted\"\\",
    b"ABCdef",
];

/// Commands that are not compared: what they say depends on a clock, or has no order that a script
/// could make.
const LEFT_OUT: [&[u8]; 16] = [
    b"TTL",
    b"PTTL",
    b"EXPIRETIME",
    b"PEXPIRETIME",
    b"HTTL",
    b"HPTTL",
    b"HEXPIRETIME",
    b"HPEXPIRETIME",
    b"XINFO",
    b"XPENDING",
    b"OBJECT",
    b"HSCAN",
    b"SSCAN",
    b"ZSCAN",
    b"HRANDFIELD",
    b"ZRANDMEMBER",
];

/// Commands whose replies have no order.
const UNORDERED: [&[u8]; 10] = [
    b"HGETALL",
    b"HKEYS",
    b"HVALS",
    b"SMEMBERS",
    b"SINTER",
    b"SUNION",
    b"SDIFF",
    b"SPOP",
    b"SRANDMEMBER",
    b"KEYS",
];

/// What puts an order into a reply without one: the texts in it, sorted.
pub(super) const SORTED: &str = "local function sorted(reply)\n\
    if type(reply) ~= 'table' or reply.err then return reply end\n\
    local texts = {}\n\
    for key, value in pairs(reply.map or reply.set or reply) do\n\
    if reply.map or reply.set then texts[#texts + 1] = tostring(key) end\n\
    if type(value) ~= 'boolean' then texts[#texts + 1] = tostring(value) end\n\
    end\n\
    table.sort(texts)\n\
    return texts\n\
    end\n";

/// Writes one script.
pub(super) struct Writer<'a> {
    pub(super) author: &'a mut Author,
    /// What the script is called with.
    pub(super) keys: Command,
}

impl Writer<'_> {
    /// The body of a script.
    pub(super) fn body(&mut self) -> Node {
        let mut parts = vec![Part::Text(
            "local n1, n2, t1, l1, m1, out = 3, 0.5, 'abc', {1, 'x'}, {'m', 2}, {}\n".into(),
        )];
        for _ in 0..self.author.random.usize(1..5) {
            parts.push(Part::Node(self.grow('S', DEPTH)));
            parts.push(Part::Text("\n".into()));
        }
        parts.push(Part::Text("return ".into()));
        let end = match self.author.random.u8(..6) {
            0 => self.grow('A', DEPTH),
            1 => self.grow('E', DEPTH),
            2 => self.grow('N', DEPTH),
            _ => Node::leaf('R', "out"),
        };
        parts.push(Part::Node(end));
        let mut body = Node { kind: 'F', parts };
        if body.text().contains("sorted(") {
            body.parts.insert(0, Part::Text(SORTED.into()));
        }
        body
    }

    fn grow(&mut self, kind: char, depth: u32) -> Node {
        match kind {
            '#' => return Node::leaf(kind, self.literal()),
            '"' => return Node::leaf(kind, self.word()),
            'I' => return Node::leaf(kind, self.author.random.i32(-3..12).to_string()),
            'J' => return Node::leaf(kind, self.author.random.i32(1..5).to_string()),
            'C' => return Node::leaf(kind, self.command()),
            _ => {}
        }
        let (leaves, branches) = rules(kind);
        let is_leaf = depth == 0 || self.author.one_in(3) && kind != 'S';
        let rule = self.author.pick(if is_leaf { leaves } else { branches });
        let mut parts = Vec::new();
        let mut rest = rule;
        while let Some((before, after)) = rest.split_once('@') {
            parts.push(Part::Text(before.into()));
            let mut letters = after.chars();
            let inner = letters.next().expect("a kind");
            parts.push(Part::Node(self.grow(inner, depth.saturating_sub(1))));
            rest = letters.as_str();
        }
        parts.push(Part::Text(rest.into()));
        Node { kind, parts }
    }

    fn literal(&mut self) -> String {
        match self.author.random.u8(..4) {
            0 => self.author.random.i32(-1000..1000).to_string(),
            1 => format!("{:.3}", self.author.random.f64() * 200.0 - 100.0),
            _ => self.author.pick(&LITERALS).to_owned(),
        }
    }

    fn word(&mut self) -> String {
        let word = WORDS[self.author.random.usize(..WORDS.len())];
        match self.author.random.u8(..12) {
            0 => quoted(
                &(0..self.author.random.usize(..9))
                    .map(|_| self.author.random.u8(..))
                    .collect::<Vec<_>>(),
            ),
            1 => quoted(self.author.pick(&ALL_KEYS).as_bytes()),
            _ => quoted(word),
        }
    }

    /// A command as a script calls it.
    fn command(&mut self) -> String {
        let command = loop {
            let kind = self.author.random.u8(..10);
            let command = self.author.any_command(kind);
            let name = command[0].to_ascii_uppercase();
            let size: usize = command.iter().map(Vec::len).sum();
            if !LEFT_OUT.contains(&&*name) && size < 200 {
                break command;
            }
        };
        let name = command[0].to_ascii_uppercase();
        if let [_, key, ..] = &command[..]
            && self.keys.len() < KEYS_MAX
            && self.author.random.bool()
        {
            self.keys.push(key.clone());
        }
        let words: Vec<String> = command.iter().map(|word| self.argument(word)).collect();
        let by = self.author.pick(&["redis.call", "redis.pcall", "redis.pcall", "server.pcall"]);
        let call = format!("{by}({})", words.join(", "));
        if UNORDERED.contains(&&*name) { format!("sorted({call})") } else { call }
    }

    fn argument(&mut self, word: &[u8]) -> String {
        if let Some(at) = self.keys.iter().position(|key| key == word)
            && self.author.random.bool()
        {
            return format!("KEYS[{}]", at + 1);
        }
        let text = String::from_utf8_lossy(word);
        let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
        match number {
            Some(number) if number.to_string() == text && self.author.random.bool() => text.into(),
            _ => quoted(word),
        }
    }
}

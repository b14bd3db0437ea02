//! Lua 5.1 as scripts are written in it, rewritten where the engine reads it otherwise.
//!
//! - The escapes `\x`, `\u` and `\z` stand for the letter alone: the engine decodes them.
//! - A function with `...` has a table `arg` of what it was given, if the program speaks of `arg`.
//! - A back-tick is no symbol: the engine begins a string there.
//!
//! Nothing moves to another line. What is more than 5.1 and does not mean something else there is
//! left to the engine. The scan takes time in proportion to the program and keeps no stack.

use std::borrow::Cow;

/// What a function with `...` begins with.
const ARG: &[u8] = b" local arg={n=select(\"#\",...),...}";

/// Rewrites a program.
///
/// # Errors
/// The line and the text of what is wrong with it.
pub(super) fn rewrite(program: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let has = |word: &[u8]| memchr::memmem::find(program, word).is_some();
    let speaks_of_arg = has(b"arg") && has(b"...");
    let is_plain =
        !speaks_of_arg && !has(b"`") && ![b"\\x", b"\\u", b"\\z"].into_iter().any(|e| has(e));
    if is_plain {
        return Ok(Cow::Borrowed(program));
    }
    let mut scan = Scan { program, at: 0, kept: 0, out: Vec::new(), speaks_of_arg };
    scan.run()?;
    scan.out.extend_from_slice(&program[scan.kept..]);
    Ok(Cow::Owned(scan.out))
}

/// How far the head of a function has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    /// No head.
    Outside,
    /// Behind `function`, before the parenthesis.
    Name,
    /// Between the parentheses.
    Parameters,
    /// Behind `...`, before the closing parenthesis.
    Rest,
}

struct Scan<'a> {
    program: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// What comes before is in `out`.
    kept: usize,
    out: Vec<u8>,
    speaks_of_arg: bool,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut head = Head::Outside;
        while let Some(byte) = self.program.get(self.at) {
            match byte {
                b'`' => return Err(format!("{}: unexpected symbol near '`'", self.line())),
                b'"' | b'\'' => self.quoted(*byte),
                b'-' if self.follows(b"--") => self.comment(),
                b'[' if long_bracket(&self.program[self.at..]).is_some() => self.long(),
                b'.' if self.follows(b"...") => {
                    if head == Head::Parameters {
                        head = Head::Rest;
                    }
                    self.at += 3;
                }
                b'(' if head == Head::Name => {
                    head = Head::Parameters;
                    self.at += 1;
                }
                b')' if head != Head::Outside => {
                    self.at += 1;
                    if head == Head::Rest && self.speaks_of_arg {
                        self.insert(ARG);
                    }
                    head = Head::Outside;
                }
                _ if is_name(*byte) => {
                    let rest = &self.program[self.at..];
                    let len = rest.iter().take_while(|byte| is_name(**byte)).count();
                    if rest[..len] == *b"function" {
                        head = Head::Name;
                    }
                    self.at += len;
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn follows(&self, word: &[u8]) -> bool {
        self.program[self.at..].starts_with(word)
    }

    fn line(&self) -> usize {
        1 + memchr::memchr_iter(b'\n', &self.program[..self.at]).count()
    }

    /// Passes a string in quotes; one that does not end ends with its line.
    fn quoted(&mut self, mark: u8) {
        self.at += 1;
        while let Some(byte) = self.program.get(self.at) {
            match byte {
                b'\\' => {
                    if matches!(self.program.get(self.at + 1), Some(b'x' | b'u' | b'z')) {
                        self.out.extend_from_slice(&self.program[self.kept..self.at]);
                        self.kept = self.at + 1;
                    }
                    self.at += 2;
                }
                b'\n' => return,
                _ => {
                    self.at += 1;
                    if *byte == mark {
                        return;
                    }
                }
            }
        }
        self.at = self.program.len();
    }

    fn comment(&mut self) {
        self.at += 2;
        if long_bracket(&self.program[self.at..]).is_some() {
            return self.long();
        }
        let rest = &self.program[self.at..];
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// Passes what stands between long brackets.
    fn long(&mut self) {
        let rest = &self.program[self.at..];
        let level = long_bracket(rest).unwrap_or(0);
        let close = [b"]".as_slice(), &b"=".repeat(level), b"]"].concat();
        let open = level + 2;
        let found = memchr::memmem::find(&rest[open..], &close);
        self.at += found.map_or(rest.len(), |found| open + found + close.len());
    }

    fn insert(&mut self, text: &[u8]) {
        self.out.extend_from_slice(&self.program[self.kept..self.at]);
        self.out.extend_from_slice(text);
        self.kept = self.at;
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The level of the long bracket that opens here, if one does.
fn long_bracket(rest: &[u8]) -> Option<usize> {
    let inside = rest.strip_prefix(b"[")?;
    let level = inside.iter().take_while(|byte| **byte == b'=').count();
    (inside.get(level) == Some(&b'[')).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(program: &str) -> String {
        String::from_utf8(rewrite(program.as_bytes()).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn what_the_engine_reads_alike_stays() {
        for program in [
            "return 1",
            "return '\\65\\n\\\\'",
            "-- \\x41\nreturn [[\\x41]]",
            "--[==[ ` ]] ]==] return 1",
            "return ARGV[1], '`', [=[`]=] -- `",
            "local function f(a, ...) return ... end return f(1)",
            "return x.arg",
        ] {
            assert_eq!(rewritten(program), program);
        }
    }

    #[test]
    fn escapes_of_later_lua_lose_their_backslash() {
        assert_eq!(rewritten("return '\\x41\\\\x' .. \"\\u\\z\""), "return 'x41\\\\x' .. \"uz\"");
        assert_eq!(rewritten("return 'open \\x"), "return 'open x");
        assert_eq!(rewritten("return '\\x\\"), "return 'x\\");
    }

    #[test]
    fn a_function_with_dots_has_its_arg() {
        let local = "local arg={n=select(\"#\",...),...}";
        assert_eq!(
            rewritten("local function f(a, ...) return arg.n end"),
            format!("local function f(a, ...) {local} return arg.n end"),
        );
        assert_eq!(
            rewritten("x = function (...) --[[ ( ]] return arg end f('...)')"),
            format!("x = function (...) {local} --[[ ( ]] return arg end f('...)')"),
        );
        assert_eq!(rewritten("return f(arg, ...)"), "return f(arg, ...)");
    }

    #[test]
    fn a_back_tick_is_no_symbol() {
        let error = rewrite(b"local a = 1\nreturn `a`").unwrap_err();
        assert_eq!(error, "2: unexpected symbol near '`'");
    }

    #[test]
    fn no_program_is_too_odd_to_scan() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = [
            "'", "\"", "\\x", "\\", "[[", "]]", "[=[", "--", "\n", "function", "(", "...", ")",
            "arg", " ", "a",
        ];
        for _ in 0..20_000 {
            let picks = random.usize(..12);
            let program: String =
                (0..picks).map(|_| pieces[random.usize(..pieces.len())]).collect();
            assert!(rewrite(program.as_bytes()).is_ok());
        }
    }
}

//! JSON as values of Lua.
//!
//! A text ends at its first zero byte, as a string of C does.

use mlua::{MultiValue, Value};

use super::{DEPTH_MAX, Set};
use crate::script::lua::native::{Context, Failure, Outcome, bad_argument, one};
use crate::script::lua::number;

/// `decode`: the value of a text.
pub(super) fn decode(context: &Context<'_>, mut values: MultiValue) -> Outcome {
    let set = context.natives.json.get(&mut values);
    if values.len() != 1 {
        return Err(bad_argument(1, "decode", "expected 1 argument"));
    }
    let text = match &values[0] {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Integer(number) => number::general(*number as f64, 14).into_bytes(),
        Value::Number(number) => number::general(*number, 14).into_bytes(),
        other => {
            let got = number::kind(Some(other));
            return Err(bad_argument(1, "decode", &format!("string expected, got {got}")));
        }
    };
    if text.len() >= 2 && text[..2].contains(&0) {
        return Err("JSON parser does not support UTF-16 or UTF-32".into());
    }
    let mut decoder = Decoder { context, set, text: &text, at: 0, depth: 0, token_at: 0 };
    let token = decoder.token()?;
    let value = decoder.value(token)?;
    match decoder.token()? {
        Token::End => one(value),
        token => Err(decoder.unexpected("the end", &token)),
    }
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// What is no token, and why.
    Error(&'static str),
}

impl Token {
    /// What a message calls it.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(why) => why,
        }
    }
}

struct Decoder<'a> {
    context: &'a Context<'a>,
    set: Set,
    text: &'a [u8],
    at: usize,
    depth: i64,
    /// Where the last token began, or what is wrong with it.
    token_at: usize,
}

impl Decoder<'_> {
    /// The byte so far ahead; zero is the end.
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn token(&mut self) -> Result<Token, Failure> {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.token_at = self.at;
        let single = match self.peek(0) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return Ok(Token::End),
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if self.set.decodes_invalid == 0 && self.is_invalid_number() {
                    return Ok(Token::Error("invalid number"));
                }
                return Ok(self.number());
            }
            _ => return Ok(self.word()),
        };
        self.at += 1;
        Ok(single)
    }

    fn word(&mut self) -> Token {
        let words = [
            ("true", Token::Boolean(true)),
            ("false", Token::Boolean(false)),
            ("null", Token::Null),
        ];
        for (word, token) in words {
            if self.rest().starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        let may_begin = matches!(self.peek(0), b'i' | b'I' | b'n' | b'N' | b'+');
        if may_begin && self.set.decodes_invalid == 1 && self.is_invalid_number() {
            return self.number();
        }
        Token::Error("invalid token")
    }

    /// Whether what comes is no number of JSON, but one of C.
    fn is_invalid_number(&self) -> bool {
        let rest = self.rest();
        if rest.first() == Some(&b'+') {
            return true;
        }
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        match rest {
            [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
            [b'i' | b'I' | b'n' | b'N', ..] => {
                let word = rest.get(..3).unwrap_or_default().to_ascii_lowercase();
                word == *b"inf" || word == *b"nan"
            }
            _ => false,
        }
    }

    fn number(&mut self) -> Token {
        match number::prefix(self.rest()) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Result<Token, Failure> {
        self.at += 1;
        let mut string = Vec::new();
        loop {
            let rest = self.rest();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0));
            let plain = plain.unwrap_or(rest.len());
            string.extend_from_slice(&rest[..plain]);
            self.at += plain;
            self.context.work(plain)?;
            match self.peek(0) {
                b'"' => {
                    self.at += 1;
                    return Ok(Token::String(string));
                }
                b'\\' => {
                    if let Err(why) = self.escape(&mut string) {
                        self.token_at = self.at;
                        return Ok(Token::Error(why));
                    }
                }
                _ => {
                    self.token_at = self.at;
                    return Ok(Token::Error("unexpected end of string"));
                }
            }
        }
    }

    fn escape(&mut self, string: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.peek(1) {
            b'u' => return self.unicode(string).ok_or("invalid unicode escape code"),
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            _ => return Err("invalid escape code"),
        };
        string.push(byte);
        self.at += 2;
        Ok(())
    }

    /// Takes a character by its number, or by the two of a pair.
    fn unicode(&mut self, string: &mut Vec<u8>) -> Option<()> {
        let first = self.unit(2)?;
        let (code, len) = match first {
            0xdc00..0xe000 => return None,
            0xd800..0xdc00 => {
                if (self.peek(6), self.peek(7)) != (b'\\', b'u') {
                    return None;
                }
                let second = self.unit(8).filter(|unit| (0xdc00..0xe000).contains(unit))?;
                (0x10000 + ((first & 0x3ff) << 10 | second & 0x3ff), 12)
            }
            _ => (first, 6),
        };
        let character = char::from_u32(code)?;
        string.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Some(())
    }

    /// Four hexadecimal digits, so far ahead.
    fn unit(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |unit, digit| {
            Some(unit << 4 | char::from(self.peek(ahead + digit)).to_digit(16)?)
        })
    }

    fn unexpected(&self, expected: &str, token: &Token) -> Failure {
        let found = token.name();
        format!("Expected {expected} but found {found} at character {}", self.token_at + 1).into()
    }

    fn value(&mut self, token: Token) -> Result<Value, Failure> {
        self.context.work(32)?;
        Ok(match token {
            Token::String(text) => Value::String(self.context.lua.create_string(text)?),
            Token::Number(number) => Value::Number(number),
            Token::Boolean(truth) => Value::Boolean(truth),
            Token::Null => Value::NULL,
            Token::ObjectBegin => self.object()?,
            Token::ArrayBegin => self.array()?,
            other => return Err(self.unexpected("value", &other)),
        })
    }

    fn descend(&mut self) -> Result<(), Failure> {
        self.depth += 1;
        if self.depth > self.set.decode_depth.min(DEPTH_MAX) {
            let (depth, at) = (self.depth, self.at);
            let text = format!("Found too many nested data structures ({depth}) at character {at}");
            return Err(text.into());
        }
        Ok(())
    }

    fn object(&mut self) -> Result<Value, Failure> {
        self.descend()?;
        let object = self.context.lua.create_table()?;
        let mut token = self.token()?;
        if !matches!(token, Token::ObjectEnd) {
            loop {
                let Token::String(key) = token else {
                    return Err(self.unexpected("object key string", &token));
                };
                match self.token()? {
                    Token::Colon => {}
                    token => return Err(self.unexpected("colon", &token)),
                }
                let value = self.token()?;
                let value = self.value(value)?;
                object.raw_set(self.context.lua.create_string(key)?, value)?;
                match self.token()? {
                    Token::ObjectEnd => break,
                    Token::Comma => token = self.token()?,
                    token => return Err(self.unexpected("comma or object end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(object))
    }

    fn array(&mut self) -> Result<Value, Failure> {
        self.descend()?;
        let array = self.context.lua.create_table()?;
        let mut token = self.token()?;
        if !matches!(token, Token::ArrayEnd) {
            loop {
                let value = self.value(token)?;
                array.raw_push(value)?;
                match self.token()? {
                    Token::ArrayEnd => break,
                    Token::Comma => token = self.token()?,
                    token => return Err(self.unexpected("comma or array end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(array))
    }
}

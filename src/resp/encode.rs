//! Replies and requests as bytes.
//!
//! [`Reply`] writes one client's dialect: every method knows what its value becomes in version 2 of
//! the protocol, so handlers never ask which version a client speaks. Invariant: a finished reply
//! is one complete value; a handler that fails half-way rewinds to its mark and writes the error
//! instead. Left out: counting that an announced length is met, which is the handler's business
//! (and a test's).

use std::fmt::Display;
use std::io::Write;

use crate::base::float;

/// Writes replies for one client.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    resp3: bool,
}

/// Where an aggregate whose length is not known yet began; to be given back to [`Reply::set_len`].
#[derive(Debug)]
#[must_use]
pub struct Later {
    at: usize,
    header_bytes: usize,
}

impl<'a> Reply<'a> {
    /// Appends to `out`, in version 3 of the protocol or 2.
    pub fn new(out: &'a mut Vec<u8>, resp3: bool) -> Self {
        Reply { out, resp3 }
    }

    /// True if the client speaks version 3.
    pub fn is_resp3(&self) -> bool {
        self.resp3
    }

    /// Goes on in version 3 of the protocol or 2: the client has just asked for it.
    pub fn speak(&mut self, resp3: bool) {
        self.resp3 = resp3;
    }

    /// The place to [`rewind`](Reply::rewind) to.
    #[inline]
    pub fn mark(&self) -> usize {
        self.out.len()
    }

    /// Takes back everything written after the mark.
    pub fn rewind(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line; the text must be one line.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']));
        self.out.push(b'+');
        self.line(text.as_bytes());
    }

    /// An error line with its code word, such as `ERR no such key`.
    pub fn error(&mut self, text: impl Display) {
        self.out.push(b'-');
        let start = self.out.len();
        // Writing to a vector cannot fail; a `Display` that gives up leaves a shorter text.
        let _ = write!(self.out, "{text}");
        self.end_error(start);
    }

    /// An error line from bytes that may be no UTF-8, such as one that quotes a client.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.out.push(b'-');
        let start = self.out.len();
        self.out.extend_from_slice(text);
        self.end_error(start);
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, number: i64) {
        match number {
            0..=9 => self.out.extend_from_slice(&[b':', b'0' + number as u8, b'\r', b'\n']),
            _ => {
                self.out.push(b':');
                self.line(itoa::Buffer::new().format(number).as_bytes());
            }
        }
    }

    /// A string of bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        bulk(self.out, bytes);
    }

    /// An integer as a string.
    #[inline]
    pub fn bulk_int(&mut self, number: i64) {
        bulk(self.out, itoa::Buffer::new().format(number).as_bytes());
    }

    /// The absence of a value.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// The absence of an array.
    #[inline]
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// Makes room for so many bytes at once.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// The head of an array of `len` values.
    #[inline]
    pub fn array(&mut self, len: usize) {
        header(self.out, b'*', len);
    }

    /// The head of a map of `pairs` keys and values; an array of twice as many values in version 2.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 { header(self.out, b'%', pairs) } else { header(self.out, b'*', pairs * 2) }
    }

    /// The head of a set of `len` values; an array in version 2.
    #[inline]
    pub fn set(&mut self, len: usize) {
        header(self.out, if self.resp3 { b'~' } else { b'*' }, len);
    }

    /// The head of a message outside the replies; an array in version 2.
    #[inline]
    pub fn push(&mut self, len: usize) {
        header(self.out, if self.resp3 { b'>' } else { b'*' }, len);
    }

    /// The head of `pairs` attributes of the next value. Version 2 has none: false, and nothing may
    /// be written for them.
    #[must_use]
    pub fn attribute(&mut self, pairs: usize) -> bool {
        if self.resp3 {
            header(self.out, b'|', pairs);
        }
        self.resp3
    }

    /// A float in its shortest form; a string in version 2.
    pub fn double(&mut self, number: f64) {
        if let (Some(whole), false) = (float::whole(number), self.resp3) {
            return self.bulk_int(whole);
        }
        let text = float::Text::of(number);
        if self.resp3 {
            self.out.push(b',');
            self.line(text.as_bytes());
        } else {
            bulk(self.out, text.as_bytes());
        }
    }

    /// The digits of an integer of any size; a string in version 2.
    pub fn big_number(&mut self, digits: &[u8]) {
        if self.resp3 {
            self.out.push(b'(');
            self.line(digits);
        } else {
            bulk(self.out, digits);
        }
    }

    /// A truth value; 1 or 0 in version 2.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        match (self.resp3, value) {
            (true, true) => self.out.extend_from_slice(b"#t\r\n"),
            (true, false) => self.out.extend_from_slice(b"#f\r\n"),
            (false, value) => self.int(i64::from(value)),
        }
    }

    /// Text of a named format (`txt`, `mkd`); a string in version 2.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if self.resp3 {
            header(self.out, b'=', text.len() + 4);
            self.out.extend_from_slice(format);
            self.out.push(b':');
            self.line(text);
        } else {
            bulk(self.out, text);
        }
    }

    /// Bytes that are a reply already.
    #[inline]
    pub fn raw(&mut self, reply: &[u8]) {
        self.out.extend_from_slice(reply);
    }

    /// Begins an array whose length comes after its values.
    ///
    /// If `guess` has as many digits as the length turns out to have, nothing is moved; otherwise
    /// the values are moved once.
    pub fn array_later(&mut self, guess: usize) -> Later {
        let at = self.out.len();
        header(self.out, b'*', guess);
        Later { at, header_bytes: self.out.len() - at }
    }

    /// Ends what [`array_later`](Reply::array_later) began, as an array of `len` values.
    pub fn set_len(&mut self, later: Later, len: usize) {
        self.replace_header(later, b'*', len);
    }

    /// Ends what [`array_later`](Reply::array_later) began, as a set of `len` values.
    pub fn set_len_of_set(&mut self, later: Later, len: usize) {
        self.replace_header(later, if self.resp3 { b'~' } else { b'*' }, len);
    }

    /// Ends what [`array_later`](Reply::array_later) began, as a map of `pairs` keys and values.
    pub fn set_len_of_map(&mut self, later: Later, pairs: usize) {
        let (kind, len) = if self.resp3 { (b'%', pairs) } else { (b'*', pairs * 2) };
        self.replace_header(later, kind, len);
    }

    fn replace_header(&mut self, later: Later, kind: u8, len: usize) {
        let mut head = Vec::with_capacity(24);
        header(&mut head, kind, len);
        self.out.splice(later.at..later.at + later.header_bytes, head);
    }

    #[inline]
    fn line(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    /// An error is one line whatever it quotes.
    fn end_error(&mut self, start: usize) {
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends a request as clients and journals write it: an array of strings.
pub fn command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.reserve(args.iter().map(|arg| arg.len() + 16).sum::<usize>() + 16);
    header(out, b'*', args.len());
    for arg in args {
        bulk(out, arg);
    }
}

/// Appends a type byte and a length.
#[inline]
pub fn header(out: &mut Vec<u8>, kind: u8, len: usize) {
    match len {
        0..=9 => out.extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']),
        10..=99 => out.extend_from_slice(&[
            kind,
            b'0' + (len / 10) as u8,
            b'0' + (len % 10) as u8,
            b'\r',
            b'\n',
        ]),
        _ => {
            out.push(kind);
            out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Bytes that a bulk string takes at the most, its head included.
pub fn bulk_len(bytes: &[u8]) -> usize {
    "$\r\n\r\n".len() + bytes.len().max(1).ilog10() as usize + 1 + bytes.len()
}

/// Appends a string of bytes.
#[inline]
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 16);
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `write` writes in version 2 and in version 3.
    fn both(write: impl Fn(&mut Reply)) -> [String; 2] {
        [false, true].map(|resp3| {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, resp3));
            String::from_utf8(out).unwrap()
        })
    }

    fn assert_both(write: impl Fn(&mut Reply), resp2: &str, resp3: &str) {
        assert_eq!(both(write), [resp2, resp3]);
    }

    #[test]
    fn values_that_are_the_same_in_both_versions() {
        let same = |write: &dyn Fn(&mut Reply), text: &str| assert_both(write, text, text);
        same(&|r| r.ok(), "+OK\r\n");
        same(&|r| r.simple("QUEUED"), "+QUEUED\r\n");
        same(&|r| r.int(7), ":7\r\n");
        same(&|r| r.int(10), ":10\r\n");
        same(&|r| r.int(-1), ":-1\r\n");
        same(&|r| r.int(i64::MIN), ":-9223372036854775808\r\n");
        same(&|r| r.bulk(b""), "$0\r\n\r\n");
        same(&|r| r.bulk(&[b'x'; 12]), "$12\r\nxxxxxxxxxxxx\r\n");
        same(&|r| r.bulk(&[b'x'; 345]), &format!("$345\r\n{}\r\n", "x".repeat(345)));
        same(&|r| r.bulk_int(-42), "$3\r\n-42\r\n");
        same(&|r| r.array(1000), "*1000\r\n");
    }

    #[test]
    fn values_that_only_version_3_has() {
        assert_both(|r| r.null(), "$-1\r\n", "_\r\n");
        assert_both(|r| r.null_array(), "*-1\r\n", "_\r\n");
        assert_both(|r| r.map(3), "*6\r\n", "%3\r\n");
        assert_both(|r| r.set(3), "*3\r\n", "~3\r\n");
        assert_both(|r| r.push(3), "*3\r\n", ">3\r\n");
        assert_both(|r| assert_eq!(r.attribute(1), r.is_resp3()), "", "|1\r\n");
        assert_both(|r| r.double(3.25), "$4\r\n3.25\r\n", ",3.25\r\n");
        assert_both(|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        assert_both(|r| r.big_number(b"1234567"), "$7\r\n1234567\r\n", "(1234567\r\n");
        assert_both(|r| r.bool(true), ":1\r\n", "#t\r\n");
        assert_both(|r| r.bool(false), ":0\r\n", "#f\r\n");
        assert_both(|r| r.verbatim(b"txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn an_error_is_one_line() {
        assert_both(|r| r.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
        let mut out = b"+\r\n".to_vec();
        Reply::new(&mut out, false).error_bytes(b"ERR '\xff\n'");
        assert_eq!(out, b"+\r\n-ERR '\xff '\r\n");
    }

    #[test]
    fn a_half_written_reply_can_be_replaced() {
        assert_both(
            |r| {
                r.ok();
                let mark = r.mark();
                r.array(2);
                r.int(1);
                r.rewind(mark);
                r.error("ERR no");
            },
            "+OK\r\n-ERR no\r\n",
            "+OK\r\n-ERR no\r\n",
        );
    }

    #[test]
    fn a_length_can_come_last() {
        for guess in [0, 5, 10, 100, 123456] {
            for len in [0usize, 3, 10, 99, 100, 1000] {
                assert_both(
                    |r| {
                        r.ok();
                        let later = r.array_later(guess);
                        (0..len).for_each(|_| r.int(1));
                        r.set_len(later, len);
                        r.ok();
                    },
                    &format!("+OK\r\n*{len}\r\n{}+OK\r\n", ":1\r\n".repeat(len)),
                    &format!("+OK\r\n*{len}\r\n{}+OK\r\n", ":1\r\n".repeat(len)),
                );
            }
        }
        let map = |r: &mut Reply| {
            let later = r.array_later(0);
            (0..14).for_each(|n| r.int(n % 10));
            r.set_len_of_map(later, 7);
        };
        let [resp2, resp3] = both(map);
        assert!(resp2.starts_with("*14\r\n:0\r\n") && resp3.starts_with("%7\r\n:0\r\n"));
    }

    #[test]
    fn nested_lengths_can_come_last() {
        assert_both(
            |r| {
                let outer = r.array_later(0);
                let inner = r.array_later(0);
                (0..12).for_each(|_| r.ok());
                r.set_len_of_set(inner, 12);
                r.set_len(outer, 1);
            },
            &format!("*1\r\n*12\r\n{}", "+OK\r\n".repeat(12)),
            &format!("*1\r\n~12\r\n{}", "+OK\r\n".repeat(12)),
        );
    }

    #[test]
    fn a_request_is_an_array_of_strings() {
        let mut out = Vec::new();
        command(&mut out, &[b"SET", b"k", b"", b"0123456789"]);
        assert_eq!(out, b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$10\r\n0123456789\r\n");
    }
}

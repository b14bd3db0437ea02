//! Requests out of a byte stream, without copying and without reading a byte twice.
//!
//! The decoder looks at the connection's read buffer, appends every complete request to [`Frames`]
//! as ranges of that buffer and says how many bytes it consumed. Invariant: the caller drops
//! exactly those bytes before the next call, so an unfinished request always begins at the front of
//! the buffer; what is known of it (position, arguments still to come, a length whose argument has
//! not arrived, the spans so far) is kept here, relative to its first byte. The work of a call is
//! therefore bounded by the new bytes, however small the pieces in which a request arrives.
//!
//! Every line and every argument must end in CR LF, as Valkey demands (Redis skips two bytes
//! unseen), and lengths have one form; so a complete request is byte for byte what
//! [`encode::command`] writes and may be copied to a journal as it is. Where Redis's verdict
//! depends on how a line over 64 KiB was cut into reads, here the line is always refused. A byte
//! other than `$` is refused when it is seen, not when its line is complete. Left out: the limit on
//! the whole query buffer (the buffer's owner has it) and any knowledge of commands.

use super::frames::{Frame, Frames, Span};
use super::inline::Words;
use super::limits::{LINE_BYTES_MAX, Limits, ProtocolError, RESERVE_ON_TRUST};
use crate::base::integer;

/// Spans of an unfinished request for which memory is kept between requests.
const PENDING_KEPT: usize = 1024;

/// What one call found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The bytes of the complete requests, to be taken off the front of the buffer.
    pub consumed: usize,
    /// True if the batch was full: there may be more requests in the rest of the buffer.
    pub full: bool,
}

/// The resumable decoder of one connection.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The unfinished multibulk request at the front of the buffer, if there is one.
    progress: Option<Progress>,
    /// Its arguments so far.
    pending: Vec<Span>,
    /// Bytes of the unfinished line at the front that were searched for its end.
    searched: usize,
    /// Set when the stream broke; every later call returns it.
    failed: Option<ProtocolError>,
    /// See [`Decoder::wanted`].
    wanted: usize,
    words: Words,
}

/// How far a multibulk request has been read. Positions are relative to the buffer given to the
/// current call.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// The next byte to look at.
    at: usize,
    /// Arguments still to come.
    left: u32,
    /// The length of the argument at `at`, if its line has been read.
    bulk: Option<usize>,
}

/// The number on a line, if it is one, and the position after the line.
struct Line {
    number: Option<i64>,
    next: usize,
}

impl Decoder {
    /// Appends the complete requests at the front of `buffer` to `out`, up to the batch limits.
    ///
    /// Spans are relative to the start of `buffer`. When the stream breaks after complete requests,
    /// they come out first and the next call returns the error; an error is final.
    pub fn decode(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
        out: &mut Frames,
    ) -> Result<Decoded, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.wanted = 0;
        let frames_before = out.frames.len();
        let visible = &buffer[..buffer.len().min(u32::MAX as usize)];
        let mut at = 0;
        let full = loop {
            if out.frames.len() - frames_before >= limits.batch_commands || at >= limits.batch_bytes
            {
                break true;
            }
            let Some(&first) = visible.get(at) else { break false };
            let step = if first == b'*' {
                self.multibulk(visible, at, limits, out)
            } else {
                self.inline(visible, at, out)
            };
            match step {
                Ok(Some(next)) => {
                    at = next;
                    self.searched = 0;
                }
                Ok(None) if visible.len() - at < u32::MAX as usize => break false,
                Ok(None) => {
                    return self.fail(ProtocolError::InvalidBulkLength, at, frames_before, out);
                }
                Err(error) => return self.fail(error, at, frames_before, out),
            }
        };
        Ok(Decoded { consumed: at, full })
    }

    /// How many bytes to make room for before the next read: what the argument being received still
    /// lacks, zero if unknown. Never more than the request has already brought and 256 KiB, so that
    /// a client cannot make the server allocate by announcing; but where little more than that
    /// would do, all of it.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// How many bytes at the front of the buffer belong to a multibulk request and stand ahead of
    /// the argument that is coming.
    pub fn begun(&self) -> usize {
        self.progress.map_or(0, |progress| progress.at)
    }

    /// True if the front of the buffer holds part of a multibulk request.
    pub fn is_midway(&self) -> bool {
        self.progress.is_some() || self.searched > 0
    }

    #[cold]
    fn fail(
        &mut self,
        error: ProtocolError,
        at: usize,
        before: usize,
        out: &mut Frames,
    ) -> Result<Decoded, ProtocolError> {
        out.args.truncate(out.frames.last().map_or(0, |last| (last.first + last.argc) as usize));
        self.failed = Some(error);
        self.progress = None;
        self.pending = Vec::new();
        if out.frames.len() == before {
            Err(error)
        } else {
            Ok(Decoded { consumed: at, full: true })
        }
    }

    /// Reads the multibulk request at `start`; the position after it, or none if it is not
    /// complete.
    fn multibulk(
        &mut self,
        buffer: &[u8],
        start: usize,
        limits: &Limits,
        out: &mut Frames,
    ) -> Result<Option<usize>, ProtocolError> {
        if let Some(progress) = self.progress.take() {
            return self.resume(progress, buffer, limits, out);
        }
        let (count, line_bytes) = match short_line(b'*', &buffer[start..]) {
            Some((count, line_bytes)) => (count as i64, line_bytes),
            None => match self.line(buffer, start, start, ProtocolError::MultibulkLine)? {
                Some(Line { number: Some(count), next }) => (count, next - start),
                Some(_) => return Err(ProtocolError::InvalidMultibulkLength),
                None => return Ok(None),
            },
        };
        if count > limits.arguments {
            return Err(limits.arguments_error(count));
        }
        if count <= 0 {
            return Ok(Some(start + line_bytes));
        }
        let first = out.args.len();
        let mut progress = Progress { at: start + line_bytes, left: count as u32, bulk: None };
        if self.arguments(&mut progress, buffer, start, limits, &mut out.args)? {
            out.frames.push(frame(Span::between(start, progress.at), first, out.args.len()));
            return Ok(Some(progress.at));
        }
        self.pending.extend(
            out.args.drain(first..).map(|span| Span { start: span.start - start as u32, ..span }),
        );
        self.progress = Some(Progress { at: progress.at - start, ..progress });
        Ok(None)
    }

    /// Goes on with the request at the front. Its spans stay in `pending` until it is complete:
    /// moving them at every read would cost a client's tiny reads the square of its arguments.
    #[cold]
    fn resume(
        &mut self,
        mut progress: Progress,
        buffer: &[u8],
        limits: &Limits,
        out: &mut Frames,
    ) -> Result<Option<usize>, ProtocolError> {
        let mut pending = std::mem::take(&mut self.pending);
        let complete = self.arguments(&mut progress, buffer, 0, limits, &mut pending)?;
        self.pending = pending;
        if !complete {
            self.progress = Some(progress);
            return Ok(None);
        }
        let first = out.args.len();
        out.args.append(&mut self.pending);
        self.pending.shrink_to(PENDING_KEPT);
        out.frames.push(frame(Span::between(0, progress.at), first, out.args.len()));
        Ok(Some(progress.at))
    }

    /// Reads arguments into `args` until the request that began at `start` is complete (true) or
    /// the bytes end (false).
    #[inline]
    fn arguments(
        &mut self,
        progress: &mut Progress,
        buffer: &[u8],
        start: usize,
        limits: &Limits,
        args: &mut Vec<Span>,
    ) -> Result<bool, ProtocolError> {
        let mut waiting = progress.bulk.take();
        while progress.left > 0 {
            let rest = &buffer[progress.at..];
            let (length, line_bytes) = if let Some(length) = waiting.take() {
                (length, 0)
            } else if let Some(line) = short_line(b'$', rest) {
                line
            } else {
                match self.bulk_line(buffer, progress.at, start)? {
                    Some(line) => line,
                    None => return Ok(false),
                }
            };
            if length as u64 > limits.bulk_bytes {
                return Err(limits.bulk_error(length as u64));
            }
            let body = &rest[line_bytes..];
            progress.at += line_bytes;
            match body.get(length..).and_then(<[u8]>::first_chunk::<2>) {
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::InvalidLineEnd),
                None => return self.await_bulk(progress, length, body.len(), progress.at - start),
            }
            args.push(Span { start: progress.at as u32, len: length as u32 });
            progress.at += length + 2;
            progress.left -= 1;
        }
        Ok(true)
    }

    /// The length of the argument at `at`, whatever its line looks like, and the bytes of the line.
    #[cold]
    fn bulk_line(
        &mut self,
        buffer: &[u8],
        at: usize,
        start: usize,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        match buffer.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
        }
        let Some(line) = self.line(buffer, at, start, ProtocolError::BulkLine)? else {
            return Ok(None);
        };
        let length = line.number.and_then(|number| usize::try_from(number).ok());
        Ok(Some((length.ok_or(ProtocolError::InvalidBulkLength)?, line.next - at)))
    }

    /// Remembers an argument of `length` bytes of which `present` have come, `before` bytes into
    /// its request.
    #[cold]
    fn await_bulk(
        &mut self,
        progress: &mut Progress,
        length: usize,
        present: usize,
        before: usize,
    ) -> Result<bool, ProtocolError> {
        if length > u32::MAX as usize - 2 - before {
            return Err(ProtocolError::InvalidBulkLength);
        }
        progress.bulk = Some(length);
        let lacks = length + 2 - present;
        let trusted = RESERVE_ON_TRUST.max(before + present);
        self.wanted = if lacks <= trusted + RESERVE_ON_TRUST { lacks } else { trusted };
        Ok(false)
    }

    /// Reads the number after the type byte at `at`, in the request that began at `start`; none if
    /// the line is not complete.
    #[cold]
    fn line(
        &mut self,
        buffer: &[u8],
        at: usize,
        start: usize,
        too_long: ProtocolError,
    ) -> Result<Option<Line>, ProtocolError> {
        // `searched` counts from the first byte of the request, because that one stays at the front
        // between calls. It may be about an earlier line.
        let from = (start + self.searched).max(at);
        let found = buffer[from..].iter().position(|byte| *byte == b'\r').map(|index| from + index);
        let end = found.unwrap_or(buffer.len());
        if end - at > LINE_BYTES_MAX {
            return Err(too_long);
        }
        match buffer.get(end + 1) {
            None => {
                self.searched = end - start;
                Ok(None)
            }
            Some(b'\n') => {
                Ok(Some(Line { number: integer::parse(&buffer[at + 1..end]), next: end + 2 }))
            }
            Some(_) => Err(ProtocolError::InvalidLineEnd),
        }
    }

    /// Reads the inline request at `start`; the position after it, or none if it is not complete.
    ///
    /// A NUL hides the line feed after it, as in Redis, so such a line ends in an error at 64 KiB.
    fn inline(
        &mut self,
        buffer: &[u8],
        start: usize,
        out: &mut Frames,
    ) -> Result<Option<usize>, ProtocolError> {
        let from = start + self.searched;
        let found = buffer[from..]
            .iter()
            .position(|byte| *byte == b'\n' || *byte == 0)
            .map(|index| from + index);
        let end = found.filter(|end| buffer[*end] == b'\n');
        let line_bytes = end.map_or(buffer.len() - start, |end| end - start);
        if line_bytes > LINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooBig);
        }
        let Some(end) = end else {
            self.searched = found.unwrap_or(buffer.len()) - start;
            return Ok(None);
        };
        self.words.split(&buffer[start..end])?;
        if !self.words.is_empty() {
            let frame = out.make(self.words.iter());
            out.frames.push(frame);
        }
        Ok(Some(end + 1))
    }
}

/// Reads a line of up to four digits that is all there, as nearly all lines are: the number and the
/// bytes of the line. None says nothing about the line: `Decoder::line` has the verdict.
#[inline(always)]
fn short_line(kind: u8, bytes: &[u8]) -> Option<(usize, usize)> {
    // Nothing shorter than this follows a line but the end of an empty argument.
    let window = bytes.first_chunk::<7>()?;
    if window[0] != kind {
        return None;
    }
    let mut number = 0;
    for at in 1..=5 {
        let digit = window[at].wrapping_sub(b'0');
        if digit > 9 {
            let is_end = at > 1 && window[at..at + 2] == *b"\r\n";
            return is_end.then_some((number, at + 2));
        }
        if at == 5 || at > 1 && number == 0 {
            break;
        }
        number = number * 10 + usize::from(digit);
    }
    None
}

fn frame(raw: Span, first: usize, end: usize) -> Frame {
    Frame { raw, first: first as u32, argc: (end - first) as u32, multibulk: true }
}

#[cfg(test)]
mod tests;

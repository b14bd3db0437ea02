//! A batch of requests as ranges: what the decoder hands out.
//!
//! Ranges and not slices, so that a batch and its bytes can travel together without borrowing. Each
//! frame has one source, the client's buffer or `side`, chosen once a frame and not once an
//! argument; `Frames::bytes_of` makes that choice.

use std::ops::Range;

use super::encode;

/// Capacity kept by [`Frames::clear`]: arguments.
const ARGUMENTS_KEPT: usize = 8 * 1024;
/// Capacity kept by [`Frames::clear`]: bytes of rewritten inline requests.
const SIDE_KEPT: usize = 64 * 1024;

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: u32,
    /// How many bytes it has.
    pub len: u32,
}

impl Span {
    /// The span from `start` to `end`; both must be under 4 GiB, which the decoder checks for the
    /// whole buffer.
    #[inline]
    pub(super) fn between(start: usize, end: usize) -> Span {
        Span { start: start as u32, len: (end - start) as u32 }
    }

    /// The same as a range of indices.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// The bytes of this span.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.range()]
    }
}

/// One complete request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// All bytes of the request in its source: what [`command`](super::encode::command) writes for
    /// its arguments.
    pub raw: Span,
    /// Where its arguments begin in [`Frames::args`].
    pub first: u32,
    /// How many arguments it has; at least one.
    pub argc: u32,
    /// True if the source is the client's buffer; false for a request of [`Frames::make`], whose
    /// source is [`Frames::side`].
    pub multibulk: bool,
}

/// Complete requests in the order they came. Reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// The arguments of all frames, one after the other.
    pub args: Vec<Span>,
    /// The frames.
    pub frames: Vec<Frame>,
    /// Requests of [`Frames::make`]: inline ones, unquoted and rewritten as multibulk requests, and
    /// those that nobody has sent.
    pub side: Vec<u8>,
}

impl Frames {
    /// Forgets all frames; keeps the allocations unless a giant passed through.
    pub fn clear(&mut self) {
        self.args.clear();
        self.frames.clear();
        self.side.clear();
        if self.args.capacity() > ARGUMENTS_KEPT {
            self.args.shrink_to(ARGUMENTS_KEPT);
        }
        if self.side.capacity() > SIDE_KEPT {
            self.side.shrink_to(SIDE_KEPT);
        }
    }

    /// A request of these words, which has not come like that: they stand in the side buffer. Where
    /// among the frames it is to be, the caller knows.
    pub fn make<'a>(&mut self, words: impl ExactSizeIterator<Item = &'a [u8]>) -> Frame {
        let (start, first, argc) = (self.side.len(), self.args.len(), words.len());
        encode::header(&mut self.side, b'*', argc);
        for word in words {
            encode::bulk(&mut self.side, word);
            let end = self.side.len() - b"\r\n".len();
            self.args.push(Span::between(end - word.len(), end));
        }
        let raw = Span::between(start, self.side.len());
        Frame { raw, first: first as u32, argc: argc as u32, multibulk: false }
    }

    /// True if there is no frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The argument spans of a frame; they index [`Frames::bytes_of`] the same frame.
    #[inline]
    pub fn args_of(&self, frame: &Frame) -> &[Span] {
        &self.args[frame.first as usize..frame.first as usize + frame.argc as usize]
    }

    /// The bytes that the spans of a frame index: `buffer`, or the side buffer.
    #[inline]
    pub fn bytes_of<'a>(&'a self, frame: &Frame, buffer: &'a [u8]) -> &'a [u8] {
        if frame.multibulk { buffer } else { &self.side }
    }

    /// One argument of a frame, none past its last.
    #[inline]
    pub fn arg<'a>(&'a self, frame: &Frame, index: usize, buffer: &'a [u8]) -> Option<&'a [u8]> {
        let span = self.args_of(frame).get(index)?;
        Some(span.of(self.bytes_of(frame, buffer)))
    }
}

//! How much a pack of a list may hold, as `list-max-listpack-size` says it.

use crate::data::pack::Pack;

/// Bytes of a pack for the settings -1 to -5.
const BYTES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];

/// Bytes of a pack whose limit is a number of items.
const SAFE_BYTES: usize = 8192;

/// What a listpack takes beside the bytes of its only item, where that is a long one.
const ALONE_AROUND: usize = 14;

/// What an item takes beside its bytes, at the most, where it is estimated.
const ITEM_ESTIMATE: usize = 8;

/// The limits of a pack.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    setting: i32,
}

impl Limits {
    /// The limits by the setting: a number of items, or the size of a pack where it is negative.
    pub fn of(setting: i32) -> Limits {
        Limits { setting }
    }

    /// True when a listpack of so many bytes and items is too large.
    pub(super) fn are_passed(self, bytes: usize, items: usize) -> bool {
        match self.bytes_max() {
            Some(most) => bytes > most,
            None => bytes > SAFE_BYTES || items > self.items_max(),
        }
    }

    /// True when the pack is within the limits.
    pub(super) fn hold(self, pack: &Pack) -> bool {
        !self.are_passed(pack.listpack_len(), pack.len())
    }

    /// True when the pack is within half of the limits. Those of items bind no bytes, but for an
    /// item that has a pack of its own.
    pub(super) fn hold_half(self, pack: &Pack) -> bool {
        match self.bytes_max() {
            Some(most) => pack.listpack_len() <= most / 2,
            None => {
                let is_alone = pack.len() == 1 && pack.listpack_len() > SAFE_BYTES + ALONE_AROUND;
                !is_alone && pack.len() <= self.items_max() / 2
            }
        }
    }

    /// True when an item of `len` bytes may be added to the pack.
    pub(super) fn admit(self, pack: &Pack, len: usize) -> bool {
        let bytes = pack.listpack_len() + len + ITEM_ESTIMATE;
        !self.is_alone(len) && !self.are_passed(bytes, pack.len() + 1)
    }

    /// True when the two packs may become one.
    pub(super) fn admit_both(self, left: &Pack, right: &Pack) -> bool {
        !self.are_passed(left.listpack_len() + right.byte_len(), left.len() + right.len())
    }

    /// True when a pack that would grow to so many bytes is to be split: no command may ever have
    /// to move much more than the limit says.
    pub(super) fn want_split(self, bytes: usize) -> bool {
        bytes > 2 * self.bytes_max().unwrap_or(SAFE_BYTES)
    }

    /// True when an item of `len` bytes has a pack of its own.
    pub(super) fn is_alone(self, len: usize) -> bool {
        len > self.bytes_max().unwrap_or(SAFE_BYTES)
    }

    fn bytes_max(self) -> Option<usize> {
        let level = usize::try_from(self.setting.checked_neg()?.checked_sub(1)?).ok()?;
        Some(BYTES[level.min(BYTES.len() - 1)])
    }

    fn items_max(self) -> usize {
        usize::try_from(self.setting).unwrap_or(0).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_setting_are_limits_too() {
        for (setting, bytes, items) in [
            (-1, 4096, usize::MAX),
            (-2, 8192, usize::MAX),
            (-5, 65_536, usize::MAX),
            (-99, 65_536, usize::MAX),
            (-i32::MAX, 65_536, usize::MAX),
            (0, 8192, 1),
            (1, 8192, 1),
            (128, 8192, 128),
            (i32::MAX, 8192, i32::MAX as usize),
        ] {
            let limits = Limits::of(setting);
            assert!(!limits.are_passed(bytes, items), "{setting}");
            assert!(limits.are_passed(bytes + 1, 1), "{setting}");
            assert!(items == usize::MAX || limits.are_passed(bytes, items + 1), "{setting}");
            assert!(limits.is_alone(bytes + 1) && !limits.is_alone(bytes), "{setting}");
        }
        assert!(!Limits::of(i32::MIN).are_passed(8192, 1));
    }
}

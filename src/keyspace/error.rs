//! Why a key does not do what is wanted of it. The words that clients read of it are the commands'.

/// What a key holds is not what was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It is of another type.
    WrongType,
    /// It is a string, but no whole number.
    NotAnInteger,
    /// The sum would be no number of 64 bits.
    Overflow,
}

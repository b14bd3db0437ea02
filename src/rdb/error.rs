//! What can be wrong with RDB bytes, and where.
//!
//! The texts hold the words of Redis where it has any for the same fault: logs are searched for
//! them.

use thiserror::Error;

use crate::rdb::module;

/// Why bytes could not be read, and how far from their start that was seen. Of what stands inside
/// a packed string it is the place of that string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("offset {offset}: {fault}")]
pub struct RdbError {
    /// Bytes before it.
    pub offset: usize,
    /// What it is.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// No fault: what is here is not all, and more is to come.
    #[error("the rest is still to come")]
    More,
    /// Something is longer than what is left.
    #[error("it ends too early")]
    Truncated,
    /// The checksum at the end is another.
    #[error("RDB CRC error: the checksum does not match")]
    Checksum,
    /// It does not begin as an RDB file.
    #[error("this is no RDB file")]
    NotRdb,
    /// A version from the future, or of nobody.
    #[error("version {0} is not known")]
    Version(u32),
    /// A type of value, or an operation code, that its version does not have.
    #[error("there is no type {0} in this version")]
    UnknownType(u8),
    /// A value that only a module can read, with the name of its type.
    #[error("a value of the type {} of a module", String::from_utf8_lossy(.0))]
    Module([u8; module::NAME_LEN]),
    /// A number of a database that there is not.
    #[error("there is no database {0}")]
    Database(u64),
    /// What is well known and has no place here.
    #[error("{0} cannot be kept by this server")]
    Unsupported(&'static str),
    /// A value without elements, which no server keeps.
    #[error("a collection without elements")]
    Empty,
    /// Something that cannot be in a packed form of this name.
    #[error("{form} integrity check failed: {what}")]
    Packed {
        /// The form.
        form: &'static str,
        /// What cannot be.
        what: &'static str,
    },
    /// Anything else that cannot be.
    #[error("{0}")]
    Damaged(&'static str),
}

impl Fault {
    /// The fault with its place.
    pub fn at(self, offset: usize) -> RdbError {
        RdbError { offset, fault: self }
    }

    /// The fault as that of a packed form of this name.
    pub(super) fn within(self, form: &'static str) -> Fault {
        match self {
            Fault::Damaged(what) => Fault::Packed { form, what },
            other => other,
        }
    }

    /// What helps where it stands in a file.
    pub fn remedy(self) -> &'static str {
        match self {
            Fault::Checksum => {
                "restore it from a backup, or set rdbchecksum to no to load it as it is"
            }
            Fault::Version(_) | Fault::UnknownType(_) => {
                "have a server that reads it write its commands (BGREWRITEAOF, \
                 aof-use-rdb-preamble no), or restore it from a backup"
            }
            Fault::Unsupported(_) | Fault::Module(_) => {
                "load it with the server that wrote it, delete what cannot be kept, and save it \
                 again"
            }
            Fault::Database(_) => "set databases as high as it was where the file was written",
            _ => "restore it from a backup",
        }
    }
}

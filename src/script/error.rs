//! Why a script or a library is refused before it runs.

use thiserror::Error;

/// A refusal, in the words of the reply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScriptError {
    /// The first line of a script begins a shebang and does not end.
    #[error("ERR Invalid script shebang")]
    Shebang,
    /// The shebang of a script names nothing.
    #[error("ERR Invalid engine in script shebang")]
    ShebangEngine,
    /// It names another engine.
    #[error("ERR Could not find scripting engine '{0}'")]
    UnknownEngine(String),
    /// A flag of a script that does not exist.
    #[error("ERR Unexpected flag in script shebang: {0}")]
    UnknownFlag(String),
    /// An option of a script that does not exist.
    #[error("ERR Unknown lua shebang option: {0}")]
    UnknownOption(String),
    /// A script that is no program.
    #[error("ERR Error compiling script (new function): {0}")]
    Script(String),
    /// A library that is no program.
    #[error("ERR Error compiling function: {0}")]
    Compiling(String),
    /// A library that failed while it registered its functions.
    #[error("ERR Error registering functions: {0}")]
    Registering(String),
    /// A library without a shebang.
    #[error("ERR Missing library metadata")]
    NoMetadata,
    /// The shebang of a library cannot be read.
    #[error("ERR Invalid library metadata")]
    Metadata,
    /// An option of a library that does not exist.
    #[error("ERR Invalid metadata value given: {0}")]
    MetadataValue(String),
    /// A library with several names.
    #[error("ERR Invalid metadata value, name argument was given multiple times")]
    NamedTwice,
    /// A library without a name.
    #[error("ERR Library name was not given")]
    NoName,
    /// The name of a library is none.
    #[error(
        "ERR Library names can only contain letters, numbers, or underscores(_) and must be at \
         least one character long"
    )]
    LibraryName,
    /// A library for another engine.
    #[error("ERR Engine '{0}' not found")]
    NoEngine(String),
    /// A library that registers nothing.
    #[error("ERR No functions registered")]
    NoFunctions,
    /// The name of a function is none.
    #[error(
        "ERR Function names can only contain letters, numbers, or underscores(_) and must be at \
         least one character long"
    )]
    FunctionName,
    /// A library registers two functions of one name.
    #[error("ERR Function already exists in the library")]
    FunctionTwice,
    /// There is a library of that name.
    #[error("ERR Library '{0}' already exists")]
    LibraryExists(String),
    /// A payload holds a library that is there.
    #[error("ERR Library {0} already exists")]
    RestoredExists(String),
    /// Another library has that function.
    #[error("ERR Function {0} already exists")]
    FunctionExists(String),
    /// There is no library of that name.
    #[error("ERR Library not found")]
    NoLibrary,
}

//! Libraries of functions by name.
//!
//! A library comes and goes as a whole, and no function has two libraries. Names of libraries are
//! compared as they are, those of functions in any case, as Valkey does. What cannot be done leaves
//! all as it was.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::error::ScriptError;
use super::flags::Flags;
use super::scripts::Sha;

/// Bytes that the tables here need for a library or a function, beside its text.
const OVERHEAD_BYTES: usize = 200;

/// A function of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name as it was registered.
    pub name: String,
    /// What it says about itself.
    pub description: Option<Bytes>,
    /// What it declares.
    pub flags: Flags,
}

/// A library that has been compiled, with the functions that it registered. It belongs to no
/// thread.
#[derive(Debug)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its text as the client sent it.
    pub code: Bytes,
    /// Its functions, in the order in which they were registered.
    pub functions: Vec<Function>,
    /// The digest of the text.
    pub(super) sha: Sha,
    /// What the engine made of it.
    pub(super) program: Bytes,
}

/// What a payload's libraries do to those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    /// They come instead.
    Flush,
    /// They come too; a name that is there is refused.
    Append,
    /// They come too; a library of the same name gives way.
    Replace,
}

/// The libraries that are known.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    known: HashMap<String, Arc<Library>>,
    /// The library of each function, and its place there, by the name in lower case.
    functions: HashMap<String, (Arc<Library>, usize)>,
}

impl Libraries {
    /// Adds a library, or with `replaces` puts it in the place of the one of its name.
    ///
    /// # Errors
    /// If there is a library of its name, or another library has one of its functions.
    pub fn load(&mut self, library: Arc<Library>, replaces: bool) -> Result<(), ScriptError> {
        let old = self.known.get(&library.name);
        if old.is_some() && !replaces {
            return Err(ScriptError::LibraryExists(library.name.clone()));
        }
        if let Some(name) = self.taken(&library, old) {
            return Err(ScriptError::FunctionExists(name));
        }
        self.insert(library);
        Ok(())
    }

    /// Takes in the libraries of a payload, all or none.
    ///
    /// # Errors
    /// If one is there that may not be replaced, or a function would have two libraries.
    pub fn restore(
        &mut self,
        libraries: Vec<Arc<Library>>,
        how: Restore,
    ) -> Result<(), ScriptError> {
        let mut new = if how == Restore::Flush { Libraries::default() } else { self.clone() };
        for library in libraries {
            let old = new.known.get(&library.name);
            if old.is_some() && how != Restore::Replace {
                return Err(ScriptError::RestoredExists(library.name.clone()));
            }
            if let Some(name) = new.taken(&library, old) {
                return Err(ScriptError::FunctionExists(name));
            }
            new.insert(library);
        }
        *self = new;
        Ok(())
    }

    /// Removes a library.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), ScriptError> {
        let known = std::str::from_utf8(name).ok().and_then(|name| self.known.remove(name));
        let library = known.ok_or(ScriptError::NoLibrary)?;
        self.forget_functions(&library);
        Ok(())
    }

    /// Removes all.
    pub fn flush(&mut self) {
        *self = Libraries::default();
    }

    /// The function of a name, in any case, and its library.
    pub fn function(&self, name: &[u8]) -> Option<(&Arc<Library>, &Function)> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let (library, at) = self.functions.get(&name)?;
        Some((library, &library.functions[*at]))
    }

    /// The library of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Library>> {
        self.known.get(name)
    }

    /// The libraries by name, rising.
    pub fn sorted(&self) -> Vec<&Arc<Library>> {
        let mut libraries: Vec<_> = self.known.values().collect();
        libraries.sort_by(|one, other| one.name.cmp(&other.name));
        libraries
    }

    /// Their sources, in that order.
    pub fn sources(&self) -> Vec<Bytes> {
        self.sorted().into_iter().map(|library| library.code.clone()).collect()
    }

    /// How many libraries there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many functions they have.
    pub fn functions_len(&self) -> usize {
        self.functions.len()
    }

    /// Bytes that they take here, programs of the engine included.
    pub fn bytes(&self) -> usize {
        let texts = self.known.values().map(|library| library.code.len() + library.program.len());
        texts.sum::<usize>() + (self.known.len() + self.functions.len()) * OVERHEAD_BYTES
    }

    /// A function of `library` that belongs to another, unless to the `old` one that gives way.
    fn taken(&self, library: &Library, old: Option<&Arc<Library>>) -> Option<String> {
        let mut functions = library.functions.iter();
        let is_taken = |function: &&Function| {
            let owner = self.functions.get(&function.name.to_ascii_lowercase());
            owner.is_some_and(|(owner, _)| old.is_none_or(|old| !Arc::ptr_eq(owner, old)))
        };
        functions.find(is_taken).map(|function| function.name.clone())
    }

    fn insert(&mut self, library: Arc<Library>) {
        if let Some(old) = self.known.remove(&library.name) {
            self.forget_functions(&old);
        }
        for (at, function) in library.functions.iter().enumerate() {
            self.functions.insert(function.name.to_ascii_lowercase(), (library.clone(), at));
        }
        self.known.insert(library.name.clone(), library);
    }

    fn forget_functions(&mut self, library: &Library) {
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str, functions: &[&str]) -> Arc<Library> {
        let code = Bytes::from(format!("#!lua name={name}\n{functions:?}"));
        let function = |name: &&str| Function {
            name: (*name).to_owned(),
            description: None,
            flags: Flags::NONE,
        };
        Arc::new(Library {
            name: name.to_owned(),
            sha: Sha::of(&code),
            program: code.clone(),
            code,
            functions: functions.iter().map(function).collect(),
        })
    }

    fn names(libraries: &Libraries) -> Vec<&str> {
        libraries.sorted().iter().map(|library| library.name.as_str()).collect()
    }

    #[test]
    fn a_library_comes_as_a_whole() {
        let mut libraries = Libraries::default();
        libraries.load(library("a", &["one", "two"]), false).unwrap();
        let exists = libraries.load(library("a", &["three"]), false).unwrap_err();
        assert_eq!(exists.to_string(), "ERR Library 'a' already exists");
        let taken = libraries.load(library("b", &["three", "TWO"]), false).unwrap_err();
        assert_eq!(taken.to_string(), "ERR Function TWO already exists");
        assert!(libraries.function(b"three").is_none());
        libraries.load(library("a", &["two", "three"]), true).unwrap();
        assert!(libraries.function(b"one").is_none());
        assert_eq!(libraries.function(b"Three").unwrap().1.name, "three");
        assert_eq!((libraries.len(), libraries.functions_len()), (1, 2));
        libraries.delete(b"a").unwrap();
        assert!(libraries.is_empty() && libraries.function(b"two").is_none());
        assert_eq!(libraries.delete(b"a"), Err(ScriptError::NoLibrary));
    }

    #[test]
    fn a_payload_comes_as_a_whole() {
        let mut libraries = Libraries::default();
        libraries.load(library("a", &["one"]), false).unwrap();
        let payload = || vec![library("b", &["two"]), library("a", &["three"])];
        let exists = libraries.restore(payload(), Restore::Append).unwrap_err();
        assert_eq!(exists.to_string(), "ERR Library a already exists");
        assert_eq!(names(&libraries), ["a"]);
        libraries.restore(payload(), Restore::Replace).unwrap();
        assert_eq!(names(&libraries), ["a", "b"]);
        assert!(libraries.function(b"one").is_none());
        libraries.restore(vec![library("c", &["two"])], Restore::Flush).unwrap();
        assert_eq!(names(&libraries), ["c"]);
        let taken = libraries.restore(vec![library("d", &["two"])], Restore::Replace).unwrap_err();
        assert_eq!(taken.to_string(), "ERR Function two already exists");
    }
}

//! A stack of its own for code that must be able to stand still in the middle of anything: a
//! metamethod, a comparison of a sort, a callback from C++.
//!
//! [`Stack`] runs a body on its own stack. Whatever the body calls may [`Pause::suspend`]; then
//! [`Stack::resume`] returns to whoever called it, and the next one goes on behind the suspension.
//! A panic of the body comes out of `resume`.
//!
//! The one thing here that the compiler cannot check is that a body suspends only itself. So each
//! thread notes which stack it is on, and suspending any other is a panic. The frames of a body
//! that stands still may belong to C++, which nothing may unwind from outside: who owns a stack
//! brings its body to an end before it drops the stack.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::ptr;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of a stack, of which memory is taken only as far as it is used. A parser of C++ that goes
/// a thousand levels deep, and two hundred calls between Lua and Rust below it, need less than
/// half.
const STACK_BYTES: usize = 8 * 1024 * 1024;

thread_local! {
    /// The stack that this thread is on, by the address of its note; null for the thread's own.
    static CURRENT: Cell<*const ()> = const { Cell::new(ptr::null()) };
}

/// What a stack and its body share: where to suspend, null unless the body has begun.
type Note<In, Out> = Rc<Cell<*const Yielder<In, Out>>>;

/// A body and the stack that it runs on. It is given an `In` whenever it goes on, and hands out an
/// `Out` whenever it stands still.
pub(super) struct Stack<In: 'static, Out: 'static> {
    coroutine: Coroutine<In, Out, ()>,
    note: Note<In, Out>,
}

/// The body's own hand on its stack.
pub(super) struct Pause<In: 'static, Out: 'static> {
    note: Note<In, Out>,
}

/// Puts back what the thread was on before.
struct Before(*const ());

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Forgets where to suspend once the body has ended, however it did.
struct Begun<In: 'static, Out: 'static>(Note<In, Out>);

impl<In, Out> Drop for Begun<In, Out> {
    fn drop(&mut self) {
        self.0.set(ptr::null());
    }
}

impl<In: 'static, Out: 'static> Stack<In, Out> {
    /// Takes a stack for a body, which begins with the first [`resume`](Stack::resume).
    ///
    /// # Errors
    /// If the system has no memory for it.
    pub(super) fn new(body: impl FnOnce(Pause<In, Out>, In) + 'static) -> io::Result<Self> {
        let note: Note<In, Out> = Rc::new(Cell::new(ptr::null()));
        let inner = note.clone();
        let coroutine = Coroutine::with_stack(
            DefaultStack::new(STACK_BYTES)?,
            move |yielder: &Yielder<In, Out>, first| {
                inner.set(ptr::from_ref(yielder));
                let _begun = Begun(inner.clone());
                body(Pause { note: inner }, first);
            },
        );
        Ok(Stack { coroutine, note })
    }

    /// Goes on with the body until it stands still; none if it has ended, now or before.
    pub(super) fn resume(&mut self, input: In) -> Option<Out> {
        if self.coroutine.done() {
            return None;
        }
        let _before = Before(CURRENT.replace(Rc::as_ptr(&self.note).cast()));
        match self.coroutine.resume(input) {
            CoroutineResult::Yield(out) => Some(out),
            CoroutineResult::Return(()) => None,
        }
    }
}

impl<In: 'static, Out: 'static> Pause<In, Out> {
    /// Stands still until the stack is resumed; returns what it is resumed with.
    ///
    /// # Panics
    /// If the thread is on another stack.
    pub(super) fn suspend(&self, out: Out) -> In {
        assert_eq!(CURRENT.get(), Rc::as_ptr(&self.note).cast(), "only a body suspends itself");
        let yielder = self.note.get();
        // SAFETY: the thread is on the stack of this note, so its body has begun and has not ended.
        // The yielder stands at the bottom of that stack for as long, and the note was set to it
        // before the body began. Nothing of it is ever borrowed mutably.
        unsafe { &*yielder }.suspend(out)
    }
}

impl<In, Out> Clone for Pause<In, Out> {
    fn clone(&self) -> Self {
        Pause { note: self.note.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_on_where_it_stood() {
        let mut stack = Stack::new(|pause: Pause<u32, u32>, first| {
            let second = pause.suspend(first * 10);
            pause.suspend(first + second);
        })
        .unwrap();
        assert_eq!(stack.resume(1), Some(10));
        assert_eq!(stack.resume(2), Some(3));
        assert_eq!(stack.resume(0), None);
        assert_eq!(stack.resume(0), None);
    }

    #[test]
    fn stacks_stand_in_stacks() {
        let mut outer = Stack::new(|outside: Pause<u32, u32>, _| {
            let mut inner = Stack::new(|inside: Pause<u32, u32>, first| {
                inside.suspend(first + 1);
            })
            .unwrap();
            let answer = inner.resume(1).unwrap();
            outside.suspend(answer);
            assert_eq!(inner.resume(0), None);
        })
        .unwrap();
        assert_eq!(outer.resume(0), Some(2));
        assert_eq!(outer.resume(0), None);
    }

    #[test]
    fn a_panic_comes_out() {
        let mut stack = Stack::new(|_: Pause<(), ()>, ()| panic!("as planned")).unwrap();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stack.resume(())));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"as planned"));
        assert_eq!(stack.resume(()), None);
    }

    #[test]
    fn nobody_suspends_another_stack() {
        let mut stack = Stack::new(|outside: Pause<(), ()>, ()| {
            let mut inner = Stack::new(move |_: Pause<(), ()>, ()| outside.suspend(())).unwrap();
            inner.resume(());
        })
        .unwrap();
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stack.resume(())));
        assert!(refused.is_err());
    }
}

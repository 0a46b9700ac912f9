//! A value beside what was once made of it, so that readers copy a rendering in place of making it again.

use std::ops::Deref;
use std::sync::OnceLock;

/// A value and up to `Memo::SLOTS` renderings of it. What a slot means is the readers' affair; a change of the value
/// forgets all of them.
#[derive(Debug, Default)]
pub struct Memo<T> {
    value: T,
    renderings: [OnceLock<Box<[u8]>>; 2],
}

impl<T> Memo<T> {
    pub const SLOTS: usize = 2;

    pub fn new(value: T) -> Memo<T> {
        Memo { value, renderings: Default::default() }
    }

    /// The rendering of `slot`, made by `make` the first time it is asked for.
    pub fn rendering(&self, slot: usize, make: impl FnOnce(&T) -> Vec<u8>) -> &[u8] {
        self.renderings[slot].get_or_init(|| make(&self.value).into_boxed_slice())
    }

    /// The value, to be changed: the renderings are forgotten.
    pub fn change(&mut self) -> &mut T {
        self.renderings = Default::default();
        &mut self.value
    }

    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Memo<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone> Clone for Memo<T> {
    /// A clone is made to be changed: it starts without renderings.
    fn clone(&self) -> Memo<T> {
        Memo::new(self.value.clone())
    }
}

impl<T: PartialEq> PartialEq for Memo<T> {
    fn eq(&self, other: &Memo<T>) -> bool {
        self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_forgets_the_renderings() {
        let mut memo = Memo::new(1);
        assert_eq!(memo.rendering(0, |v| vec![*v]), [1]);
        assert_eq!(memo.rendering(0, |_| vec![9]), [1]);
        *memo.change() = 2;
        assert_eq!(memo.rendering(0, |v| vec![*v]), [2]);
    }
}

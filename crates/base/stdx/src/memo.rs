//! A value beside what was once made of it, so that readers copy a rendering in place of making it again.

use std::ops::Deref;
use std::sync::OnceLock;

/// A value and up to `SLOTS` renderings of it. What a slot means is the readers' affair; a change of the value
/// forgets all of them.
#[derive(Debug)]
pub struct Memo<T, const SLOTS: usize = 2> {
    value: T,
    renderings: [OnceLock<Box<[u8]>>; SLOTS],
}

impl<T, const SLOTS: usize> Memo<T, SLOTS> {
    pub fn new(value: T) -> Memo<T, SLOTS> {
        Memo { value, renderings: [const { OnceLock::new() }; SLOTS] }
    }

    /// The rendering of `slot`, made by `make` the first time it is asked for.
    pub fn rendering(&self, slot: usize, make: impl FnOnce(&T) -> Vec<u8>) -> &[u8] {
        self.renderings[slot].get_or_init(|| make(&self.value).into_boxed_slice())
    }

    /// The rendering of `slot`, where it was asked for before.
    pub fn rendered(&self, slot: usize) -> Option<&[u8]> {
        self.renderings[slot].get().map(AsRef::as_ref)
    }

    /// The value, to be changed: the renderings are forgotten.
    pub fn change(&mut self) -> &mut T {
        self.renderings = [const { OnceLock::new() }; SLOTS];
        &mut self.value
    }

    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T, const SLOTS: usize> Deref for Memo<T, SLOTS> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone, const SLOTS: usize> Clone for Memo<T, SLOTS> {
    /// A clone is made to be changed: it starts without renderings.
    fn clone(&self) -> Memo<T, SLOTS> {
        Memo::new(self.value.clone())
    }
}

impl<T: PartialEq, const SLOTS: usize> PartialEq for Memo<T, SLOTS> {
    fn eq(&self, other: &Memo<T, SLOTS>) -> bool {
        self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_forgets_the_renderings() {
        let mut memo = Memo::<_, 2>::new(1);
        assert_eq!(memo.rendered(0), None);
        assert_eq!(memo.rendering(0, |v| vec![*v]), [1]);
        assert_eq!(memo.rendered(0), Some(&[1][..]));
        assert_eq!(memo.rendering(0, |_| vec![9]), [1]);
        *memo.change() = 2;
        assert_eq!(memo.rendering(0, |v| vec![*v]), [2]);
    }
}

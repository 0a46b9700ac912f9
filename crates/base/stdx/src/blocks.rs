//! A list of what is over: it grows at its end and is forgotten from its start. Must not know what is in it.

use std::collections::VecDeque;
use std::ops::Index;
use std::sync::Arc;

use crate::Memo;

/// A part of a list, and what was made of all of it.
pub type Block<T> = Memo<Vec<Arc<T>>, 3>;

/// So many are in a block.
const BLOCK: usize = 128;

/// A list of shared values in blocks, which its copies share: a copy costs a pointer a block. A block that is full does not
/// change any more, so that what was made of all of it can be kept.
#[derive(Clone, Debug)]
pub struct Blocks<T> {
    /// None is empty; all but the last are full.
    blocks: VecDeque<Arc<Block<T>>>,
    /// So many of the first block are forgotten.
    forgotten: usize,
}

/// What a list is written from.
#[derive(Debug)]
pub enum Part<'a, T> {
    /// A block that does not change any more.
    Full(&'a Arc<Block<T>>),
    Some(&'a [Arc<T>]),
}

impl<T> Default for Blocks<T> {
    fn default() -> Blocks<T> {
        Blocks { blocks: VecDeque::new(), forgotten: 0 }
    }
}

impl<T> Blocks<T> {
    pub fn len(&self) -> usize {
        let last = self.blocks.back().map_or(0, |block| block.len());
        (self.blocks.len().saturating_sub(1) * BLOCK + last).saturating_sub(self.forgotten)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push_back(&mut self, value: Arc<T>) {
        match self.blocks.back_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => Arc::make_mut(block).change().push(value),
            None => self.blocks.push_back(Arc::new(Memo::new(vec![value]))),
        }
    }

    /// Forgets the oldest.
    pub fn forget_first(&mut self) {
        if self.is_empty() {
            return;
        }
        self.forgotten += 1;
        if self.blocks.front().is_some_and(|block| self.forgotten >= block.len()) {
            self.blocks.pop_front();
            self.forgotten = 0;
        }
    }

    /// Keeps those that are wanted.
    pub fn retain(&mut self, is_wanted: impl Fn(&T) -> bool) {
        if self.iter().any(|value| !is_wanted(value)) {
            *self = self.iter().filter(|value| is_wanted(value)).cloned().collect();
        }
    }

    fn slices(&self) -> impl DoubleEndedIterator<Item = &[Arc<T>]> {
        let from = |number| if number == 0 { self.forgotten } else { 0 };
        self.blocks.iter().enumerate().map(move |(number, block)| &block[from(number)..])
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<T>> {
        self.slices().flatten()
    }

    pub fn parts(&self) -> impl Iterator<Item = Part<'_, T>> {
        self.blocks.iter().zip(self.slices()).map(|(block, slice)| match slice.len() {
            BLOCK => Part::Full(block),
            _ => Part::Some(slice),
        })
    }
}

impl<T> FromIterator<Arc<T>> for Blocks<T> {
    fn from_iter<I: IntoIterator<Item = Arc<T>>>(values: I) -> Blocks<T> {
        let mut all = Blocks::default();
        values.into_iter().for_each(|value| all.push_back(value));
        all
    }
}

impl<T> Index<usize> for Blocks<T> {
    type Output = Arc<T>;

    fn index(&self, at: usize) -> &Arc<T> {
        let at = at + self.forgotten;
        &self.blocks[at / BLOCK][at % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        let mut random = crate::Random::new(7);
        let (mut blocks, mut list) = (Blocks::default(), VecDeque::new());
        for round in 0..5_000_usize {
            // Now it grows, now it shrinks, to nothing at times.
            let grows = (round / 500).is_multiple_of(2);
            match random.below(100) {
                0 => {
                    let of = random.below(5) + 2;
                    blocks.retain(|value| value % of != 0);
                    list.retain(|value| value % of != 0);
                }
                roll if (roll < 70) == grows => {
                    blocks.push_back(Arc::new(round as u64));
                    list.push_back(round as u64);
                }
                _ => {
                    blocks.forget_first();
                    list.pop_front();
                }
            }
            assert_eq!(blocks.len(), list.len());
            assert_eq!(blocks.is_empty(), list.is_empty());
            if round % 50 == 0 {
                assert!(blocks.iter().map(|value| **value).eq(list.iter().copied()));
                assert!(blocks.iter().rev().map(|value| **value).eq(list.iter().rev().copied()));
                let parts = blocks.parts().flat_map(|part| match part {
                    Part::Full(all) => all.to_vec(),
                    Part::Some(some) => some.to_vec(),
                });
                assert!(parts.map(|value| *value).eq(list.iter().copied()));
                assert!((0..list.len()).all(|at| *blocks[at] == list[at]));
            }
        }
    }

    #[test]
    fn a_copy_stays_as_it_is_and_shares_what_is_full() {
        let mut blocks: Blocks<usize> = (0..BLOCK + 1).map(Arc::new).collect();
        let copy = blocks.clone();
        blocks.push_back(Arc::new(1000));
        blocks.forget_first();
        assert_eq!((copy.len(), *copy[0], *copy[BLOCK]), (BLOCK + 1, 0, BLOCK));
        assert_eq!((blocks.len(), *blocks[0], *blocks[BLOCK]), (BLOCK + 1, 1, 1000));
        assert!(Arc::ptr_eq(&copy.blocks[0], &blocks.blocks[0]));
        assert!(matches!(copy.parts().next(), Some(Part::Full(all)) if all.len() == BLOCK));
        assert!(matches!(blocks.parts().next(), Some(Part::Some(some)) if some.len() == BLOCK - 1));
    }
}

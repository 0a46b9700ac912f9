//! Sets of small numbers as bits: which clients are active, which are settled for an agent.

#[derive(Clone, Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub fn insert(&mut self, bit: usize) {
        let word = bit / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (bit % 64);
    }

    pub fn remove(&mut self, bit: usize) {
        if let Some(word) = self.0.get_mut(bit / 64) {
            *word &= !(1 << (bit % 64));
        }
    }

    pub fn contains(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn extend(&mut self, others: &Bits) {
        if others.0.len() > self.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word |= other;
        }
    }

    /// Adds what is in `all` and not in `kept`.
    pub fn extend_without(&mut self, all: &Bits, kept: &Bits) {
        if all.0.len() > self.0.len() {
            self.0.resize(all.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(all.words_without(kept)) {
            *word |= other;
        }
    }

    fn words_without<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = u64> + 'a {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        self.0.iter().zip(others).map(|(word, other)| word & !other)
    }

    /// How many bits are in here and not in `other`, counted no further than to `limit` or a little more.
    pub fn count_without(&self, other: &Bits, limit: usize) -> usize {
        let mut count = 0;
        for word in self.words_without(other) {
            count += word.count_ones() as usize;
            if count >= limit {
                break;
            }
        }
        count
    }

    /// The bits that are in here and not in `other`, ascending.
    pub fn iter_without<'a>(&'a self, other: &'a Bits) -> impl Iterator<Item = usize> + 'a {
        self.words_without(other).enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let (mut all, mut some) = (Bits::default(), Bits::default());
        for bit in [0, 3, 63, 64, 200] {
            all.insert(bit);
        }
        some.insert(3);
        some.insert(64);
        assert_eq!(all.iter_without(&some).collect::<Vec<_>>(), [0, 63, 200]);
        assert_eq!(all.count_without(&some, 100), 3);
        assert_eq!(some.count_without(&all, 100), 0);
        some.remove(64);
        some.remove(1000);
        assert!(!some.contains(64) && some.contains(3) && !some.contains(999));
        let mut union = some.clone();
        union.extend(&all);
        assert_eq!(union.iter_without(&Bits::default()).collect::<Vec<_>>(), [0, 3, 63, 64, 200]);
        assert!(!union.is_empty() && Bits::default().is_empty());
        let mut rest = Bits::default();
        rest.extend_without(&all, &some);
        assert_eq!(rest.iter_without(&Bits::default()).collect::<Vec<_>>(), [0, 63, 64, 200]);
        some.clear();
        assert_eq!(all.count_without(&some, 100), 5);
    }
}

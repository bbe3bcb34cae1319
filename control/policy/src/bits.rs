//! Sets of rule numbers.

/// A set of small numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn insert(&mut self, bit: usize) {
        if self.0.len() <= bit / 64 {
            self.0.resize(bit / 64 + 1, 0);
        }
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Puts a number in or takes it out. Equal sets stay equal values: no empty words at the end.
    pub(crate) fn set(&mut self, bit: usize, is_in: bool) {
        if is_in {
            self.insert(bit);
        } else if let Some(word) = self.0.get_mut(bit / 64) {
            *word &= !(1 << (bit % 64));
            while self.0.last() == Some(&0) {
                self.0.pop();
            }
        }
    }

    pub(crate) fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|w| w & (1 << (bit % 64)) != 0)
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// Members of both, in order.
    pub(crate) fn both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        self.0.iter().zip(&other.0).enumerate().flat_map(|(w, (a, b))| ones(w, a & b))
    }

    /// Members of either, in order.
    pub(crate) fn either(&self, other: &Self) -> Vec<usize> {
        let word = |x: &Self, w: usize| x.0.get(w).copied().unwrap_or(0);
        (0..self.0.len().max(other.0.len())).flat_map(|w| ones(w, word(self, w) | word(other, w))).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(w, x)| ones(w, *x))
    }
}

fn ones(word: usize, mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (bits != 0).then(|| {
            let bit = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            word * 64 + bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let (mut a, mut b) = (Bits::default(), Bits::default());
        [1, 64, 200].into_iter().for_each(|x| a.insert(x));
        [2, 64].into_iter().for_each(|x| b.insert(x));
        assert!(a.has(200) && !b.has(200) && a.meets(&b));
        assert_eq!(a.both(&b).collect::<Vec<_>>(), [64]);
        assert_eq!(a.either(&b), [1, 2, 64, 200]);
    }
}

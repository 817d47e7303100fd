//! [`Pair`]: two slices that are one sequence, as the two parts of a ring are.

/// Values for changing, in two slices.
pub(super) struct Pair<'a, T> {
    pub(super) front: &'a mut [T],
    pub(super) back: &'a mut [T],
}

impl<T> Pair<'_, T> {
    pub(super) fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        self.front.get(index).or_else(|| self.back.get(index - self.front.len()))
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let in_front = self.front.len();
        if index < in_front { self.front.get_mut(index) } else { self.back.get_mut(index - in_front) }
    }

    /// Exchanges two values, both of which are there.
    pub(super) fn swap(&mut self, a: usize, b: usize) {
        let in_front = self.front.len();
        match (a.min(b), a.max(b)) {
            (a, b) if b < in_front => self.front.swap(a, b),
            (a, b) if a >= in_front => self.back.swap(a - in_front, b - in_front),
            (a, b) => std::mem::swap(&mut self.front[a], &mut self.back[b - in_front]),
        }
    }

    /// Moves the first `count` values, no more than there are, to the end.
    pub(super) fn rotate_left(&mut self, count: usize) {
        let len = self.len();
        if self.back.is_empty() {
            self.front.rotate_left(count);
        } else if self.front.is_empty() {
            self.back.rotate_left(count);
        } else if count == 1 {
            // The value that crosses over is exchanged at the border; the rest moves within its slice.
            self.front.rotate_left(1);
            self.swap(self.front.len() - 1, self.front.len());
            self.back.rotate_left(1);
        } else if count + 1 == len {
            self.back.rotate_right(1);
            self.swap(self.front.len() - 1, self.front.len());
            self.front.rotate_right(1);
        } else {
            self.reverse(0, count);
            self.reverse(count, len);
            self.reverse(0, len);
        }
    }

    /// Moves the last `count` values, no more than there are, to the front.
    pub(super) fn rotate_right(&mut self, count: usize) {
        self.rotate_left(self.len() - count);
    }

    /// Turns the values from `start` to before `end` round.
    pub(super) fn reverse(&mut self, start: usize, end: usize) {
        for step in 0..(end - start) / 2 {
            self.swap(start + step, end - 1 - step);
        }
    }
}

#[cfg(test)]
mod tests {
    //! Would catch a value that is lost or doubled where it crosses from one slice to the other.
    use super::*;

    #[test]
    fn rotating_two_slices_is_rotating_one() {
        for len in 0..9usize {
            for border in 0..=len {
                for count in 0..=len {
                    let mut values: Vec<usize> = (0..len).collect();
                    let mut expected = values.clone();
                    expected.rotate_left(count);
                    let (front, back) = values.split_at_mut(border);
                    let mut pair = Pair { front, back };
                    pair.rotate_left(count);
                    assert_eq!(values, expected, "{len} {border} {count}");
                }
            }
        }
    }
}

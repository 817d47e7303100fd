//! Medians, and measurements in pairs.

use std::time::Instant;

use crate::Result;

/// The median; NaN of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let Some(upper) = values.get(values.len() / 2) else { return f64::NAN };
    match values.len() % 2 {
        0 => (values[values.len() / 2 - 1] + upper) / 2.0,
        _ => *upper,
    }
}

/// Nanoseconds that `run` takes.
///
/// # Errors
///
/// Those of `run`.
pub fn nanos<T>(run: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    let value = run()?;
    let nanos = start.elapsed().as_nanos() as f64;
    drop(std::hint::black_box(value));
    Ok(nanos)
}

/// Turns in a second of as many threads as there are lanes, all at once; each takes so many turns with its own lane.
///
/// # Errors
///
/// Those of a turn.
pub fn turns_per_second<T: Send>(
    lanes: &mut [T],
    turns: usize,
    turn: impl Fn(&mut T) -> Result<()> + Sync,
) -> Result<f64> {
    let count = lanes.len() * turns;
    let turn = &turn;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = lanes
            .iter_mut()
            .map(|lane| scope.spawn(move || (0..turns).try_for_each(|_| turn(lane))))
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Two things measured in turn.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    figures: Vec<f64>,
    limits: Vec<f64>,
}

impl Pairs {
    /// Measures `figure` and `limit` `rounds` times in turn, each first in half of the rounds. One round before that
    /// is not counted.
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub fn measure(
        rounds: usize,
        mut figure: impl FnMut() -> Result<f64>,
        mut limit: impl FnMut() -> Result<f64>,
    ) -> Result<Self> {
        let mut pairs = Self::default();
        figure()?;
        limit()?;
        for round in 0..rounds {
            let (a, b);
            if round % 2 == 0 {
                a = figure()?;
                b = limit()?;
            } else {
                b = limit()?;
                a = figure()?;
            }
            pairs.push(a, b);
        }
        Ok(pairs)
    }

    /// Adds a pair.
    pub fn push(&mut self, figure: f64, limit: f64) {
        self.figures.push(figure);
        self.limits.push(limit);
    }

    /// Median of the figures.
    #[must_use]
    pub fn figure(&self) -> f64 {
        median(self.figures.clone())
    }

    /// Median of the limits.
    #[must_use]
    pub fn limit(&self) -> f64 {
        median(self.limits.clone())
    }

    /// Median of the ratios of the pairs: what disturbs both halves of a pair leaves it alone.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        median(self.figures.iter().zip(&self.limits).map(|(figure, limit)| figure / limit).collect())
    }

    /// A row of these medians.
    #[must_use]
    pub fn row(&self, name: impl Into<String>, unit: &'static str) -> crate::report::Row {
        crate::report::Row::new(name, self.figure(), unit).limit_and_ratio(self.limit(), self.ratio())
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}

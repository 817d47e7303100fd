//! A queue of jobs that survives kills.
//!
//! Each job is in exactly one of three places: waiting, running, done. It moves in one transaction, so no crash loses it
//! or does it twice over; a job that a killed process was busy with is waiting again after [`Queue::recover`].
//! Submitting, taking and finishing are a transaction each, and the work between them holds no lock.

use pobj::{PBTreeMap, PDeque, PString, Persistent, Result, Tx};

/// Something to be done.
#[derive(Persistent)]
#[repr(C)]
pub struct Job<'p> {
    id: u64,
    /// How often somebody has begun it.
    attempts: u64,
    text: PString<'p>,
}

impl Job<'_> {
    /// The number that [`Queue::submit`] gave it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often somebody has begun it.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// What is to be done.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A job that is done.
#[derive(Persistent)]
#[repr(C)]
pub struct Done<'p> {
    attempts: u64,
    text: PString<'p>,
    result: PString<'p>,
}

impl Done<'_> {
    /// How often it was begun.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// What was to be done.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What came of it.
    #[must_use]
    pub fn result(&self) -> &str {
        &self.result
    }
}

/// Jobs in the order in which they were submitted.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct Queue<'p> {
    /// How many were ever submitted; the next one's number.
    submitted: u64,
    waiting: PDeque<'p, Job<'p>>,
    running: PBTreeMap<'p, u64, Job<'p>>,
    done: PBTreeMap<'p, u64, Done<'p>>,
}

impl<'p> Queue<'p> {
    /// Puts a job at the end. Gives its number.
    ///
    /// # Errors
    ///
    /// Those of taking memory.
    pub fn submit(&mut self, tx: &Tx<'p>, text: &str) -> Result<u64> {
        let id = self.submitted;
        self.waiting.push_back(tx, Job { id, attempts: 0, text: PString::from_str(tx, text)? })?;
        self.submitted += 1;
        Ok(id)
    }

    /// Begins the job that waits longest: its number and text.
    ///
    /// # Errors
    ///
    /// Those of taking memory. To be returned from the transaction, so that it rolls back.
    pub fn take(&mut self, tx: &Tx<'p>) -> Result<Option<(u64, String)>> {
        let Some(mut job) = self.waiting.pop_front() else { return Ok(None) };
        job.attempts += 1;
        let taken = (job.id, job.text.as_str().to_owned());
        self.running.insert(tx, job.id, job)?;
        Ok(Some(taken))
    }

    /// Ends a job that is running. Whether it was.
    ///
    /// # Errors
    ///
    /// Those of taking memory. To be returned from the transaction, so that it rolls back.
    pub fn finish(&mut self, tx: &Tx<'p>, id: u64, result: &str) -> Result<bool> {
        let Some(job) = self.running.remove(&id, tx) else { return Ok(false) };
        let result = PString::from_str(tx, result)?;
        self.done.insert(tx, id, Done { attempts: job.attempts, text: job.text, result })?;
        Ok(true)
    }

    /// What was running is waiting again, before all others: for a program that has just opened the pool, as nobody
    /// works on it any more. Gives how many there were.
    ///
    /// # Errors
    ///
    /// Those of taking memory. To be returned from the transaction, so that it rolls back.
    pub fn recover(&mut self, tx: &Tx<'p>) -> Result<usize> {
        let count = self.running.len();
        while let Some((_, job)) = self.running.pop_last(tx) {
            self.waiting.push_front(tx, job)?;
        }
        Ok(count)
    }

    /// How many were ever submitted.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Those that nobody has begun, or whose process died; the next one first.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Job<'p>> {
        self.waiting.iter()
    }

    /// Those that somebody works on.
    pub fn running(&self) -> impl Iterator<Item = &Job<'p>> {
        self.running.values()
    }

    /// Those that are done, by number.
    pub fn done(&self) -> impl Iterator<Item = (u64, &Done<'p>)> {
        self.done.iter().map(|(id, done)| (*id, done))
    }
}

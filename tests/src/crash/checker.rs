//! Opens what a crash could have left, compares it with the model, and uses it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pobj::media::Media;
use pobj::media::sim::{CrashPoint, Fault, Presence, SimMedia, Trace, fingerprint};
use pobj::{Durability, Pool};

use super::{Action, Bounds, Effort, Mark, Report, options, run_on};
use crate::workload::{Model, Op, Root, word};

/// Violations that a report tells in full.
const TOLD_MAX: usize = 8;

/// Tries what every cut of a history could leave.
pub struct Checker<'h> {
    media: &'h SimMedia,
    models: &'h [Model],
    effort: Effort,
    faults_in_recovery: &'h [Fault],
    /// Outcome of each state that was opened, by checksum.
    known: HashMap<u64, Result<u64, String>>,
    /// What was found.
    pub report: Report,
}

impl<'h> Checker<'h> {
    /// A checker of states over `media` against `models`.
    #[must_use]
    pub fn new(media: &'h SimMedia, models: &'h [Model], effort: Effort) -> Self {
        Self {
            media,
            models,
            effort,
            faults_in_recovery: &[],
            known: HashMap::new(),
            report: Report::default(),
        }
    }

    /// Plants faults in each recovery that is cut.
    #[must_use]
    pub fn with_faults_in_recovery(self, faults: &'h [Fault]) -> Self {
        Self { faults_in_recovery: faults, ..self }
    }

    /// Tries the whole history.
    #[must_use]
    pub fn check(mut self) -> Report {
        let trace = self.media.trace();
        let nothing = Bounds { created: false, started: 0, ordered: 0, durable: 0 };
        self.check_trace(&trace, nothing, self.effort.samples, 0, true);
        self.report
    }

    /// Tries the last moment only, as after a failure that ended the script.
    #[must_use]
    pub fn check_end(mut self) -> Report {
        let trace = self.media.trace();
        let nothing = Bounds { created: false, started: 0, ordered: 0, durable: 0 };
        let last = trace.events().len();
        self.check_trace(&trace, nothing, self.effort.samples, last, false);
        self.report
    }

    fn check_trace(&mut self, trace: &Trace, from: Bounds, samples: usize, first: usize, recover: bool) {
        let mut cuts = trace.cuts();
        let mut bytes = Vec::new();
        while let Some(point) = cuts.next() {
            if point.index() < first {
                continue;
            }
            if self.effort.stop_at_first && self.report.violation_count > 0 {
                return;
            }
            self.report.cuts += 1;
            let bounds = from.at(point);
            if point.presence() != Presence::Present && bounds.created {
                self.violation(point, "the pool was created and may be absent".to_owned());
            }
            if point.presence() == Presence::Absent {
                self.report.states += 1;
                self.report.exhaustive += 1;
                continue;
            }
            let choices = point.choices(samples, self.effort.seed);
            if point.pending_count() <= 12 {
                self.report.exhaustive += 1;
            }
            for choice in &choices {
                point.build_into(choice, &mut bytes);
                if let Err(what) = self.check_state(&bytes, bounds.durable, bounds.started) {
                    self.violation(point, format!("{what} [{choice:?}]"));
                }
            }
            if let Err(what) = self.check_state(&point.after_kill(), bounds.ordered, bounds.started) {
                self.violation(point, format!("after a kill: {what}"));
            }
            if recover && point.index() % self.effort.recover_every == 0 && bounds.created {
                let random = word(self.effort.seed, point.index() as u64, 0) as usize;
                point.build_into(&choices[random % choices.len()], &mut bytes);
                self.check_recovery(point, &self.media.with_bytes(bytes.clone()), bounds, true);
                self.check_recovery(point, &self.media.killed_at(point), bounds, false);
            }
        }
    }

    /// Opens `media`, writes once, closes, and cuts the power at every moment of that. `settled`: nothing was pending
    /// when it was opened, so that every recovery from it shows the same.
    fn check_recovery(&mut self, point: &CrashPoint<'_>, media: &SimMedia, bounds: Bounds, settled: bool) {
        let floor = if settled { bounds.durable } else { bounds.ordered };
        self.faults_in_recovery.iter().for_each(|fault| media.plant(*fault));
        let opened = guarded(|| {
            let before = media.trace().events().len();
            let pool = options().open_on(Arc::new(media.clone())).map_err(|e| e.to_string())?;
            let step = Model::observe(&pool.read())?.step;
            // What an open pool shows is there to stay.
            media.mark(Mark::Durable(step).encode());
            let mut models = self.models.get(..=step as usize).ok_or("a step that never was")?.to_vec();
            let script = [Action::Write(Op::Push(2), Durability::Immediate)];
            run_on(pool, media, &script, &mut models).map_err(|e| e.to_string())?;
            Ok((before, step, models))
        });
        match opened {
            Ok((before, step, models)) if (floor..=bounds.started).contains(&step) => {
                let mut inner = Checker::new(media, &models, self.effort);
                let durable = if settled { step } else { bounds.durable };
                let from = Bounds { created: true, started: step, ordered: step, durable };
                inner.check_trace(&media.trace(), from, self.effort.recovery_samples, before, false);
                self.report.cuts += inner.report.cuts;
                self.report.exhaustive += inner.report.exhaustive;
                self.report.states += inner.report.states;
                self.report.distinct += inner.report.distinct;
                for violation in inner.report.violations {
                    self.violation(point, format!("in the recovery: {violation}"));
                }
            }
            Ok((_, step, _)) => {
                self.violation(point, format!("recovered step {step}, {floor} was acknowledged"))
            }
            Err(what) => self.violation(point, format!("recovery: {what}")),
        }
    }

    fn violation(&mut self, point: &CrashPoint<'_>, what: String) {
        self.report.violation_count += 1;
        if self.report.violations.len() < TOLD_MAX {
            let event = point.last_event().map_or(String::new(), |event| {
                let mut text = format!("{event:?}");
                text.truncate(60);
                text
            });
            self.report.violations.push(format!("cut {} (after {event}): {what}", point.index()));
        }
    }

    /// Opens a state, and demands a step from `floor` to `ceiling`.
    fn check_state(&mut self, bytes: &[u8], floor: u64, ceiling: u64) -> Result<(), String> {
        self.report.states += 1;
        let sum = fingerprint(bytes);
        if !self.known.contains_key(&sum) {
            self.report.distinct += 1;
            let outcome = guarded(|| self.use_state(bytes));
            self.known.insert(sum, outcome);
        }
        match &self.known[&sum] {
            Ok(step) if (floor..=ceiling).contains(step) => Ok(()),
            Ok(step) => Err(format!("step {step} found; {floor} was acknowledged, {ceiling} begun")),
            Err(what) => Err(what.clone()),
        }
    }

    /// Opens, compares and uses a state. Gives the step that it shows.
    fn use_state(&self, bytes: &[u8]) -> Result<u64, String> {
        let media: Arc<dyn Media> = Arc::new(self.media.ram_with_bytes(bytes.to_vec()));
        let open = || options().open_on(Arc::clone(&media));
        let pool = open().map_err(|e| format!("open: {e}"))?;
        let found = self.compare(&pool, self.models)?;
        let mut next = self.models[found as usize].clone();
        let op = Op::Push(3);
        op.apply_to_model(&mut next);
        pool.write(|root, tx| op.apply(root, tx)).map_err(|e| format!("use: {e}"))?;
        pool.close().map_err(|e| format!("close: {e}"))?;
        let pool = open().map_err(|e| format!("open after use: {e}"))?;
        let mut models = self.models[..=found as usize].to_vec();
        models.push(next);
        if self.compare(&pool, &models)? != found + 1 {
            return Err("the transaction after the crash is lost".to_owned());
        }
        Ok(found)
    }

    fn compare(&self, pool: &Pool<Root<'static>>, models: &[Model]) -> Result<u64, String> {
        let found = Model::observe(&pool.read())?;
        let step = found.step;
        let model = models.get(step as usize).ok_or_else(|| format!("step {step} never was"))?;
        if &found != model {
            return Err(format!("not the state after step {step}: {found:?}, expected {model:?}"));
        }
        let blocks = pool.stats().heap.live_blocks;
        if blocks != model.blocks() {
            return Err(format!("{blocks} blocks in use after step {step}, {} reachable", model.blocks()));
        }
        Ok(step)
    }
}

/// A panic is a violation like any other.
fn guarded<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("without a message")))
    })
}

//! Opens what a crash could have left, compares it with the model, and uses it.

use std::collections::HashMap;
use std::sync::Arc;

use pobj::media::Media;
use pobj::media::sim::{Choice, CrashPoint, Event, Fault, Presence, SimMedia, Trace, fingerprint};
use pobj::{Durability, Pool};

use super::{Action, Bounds, Effort, History, Mark, Mode, Report, run_on};
use crate::support::panics::guarded;
use crate::workload::{Model, Op, Root, word};

/// Violations that a report tells in full.
const TOLD_MAX: usize = 8;

/// The step that a state shows, or what is wrong with it.
type Outcome = Result<u64, String>;

/// Tries what every cut of a history could leave.
pub struct Checker<'h> {
    mode: Mode,
    media: &'h SimMedia,
    models: &'h [Model],
    effort: Effort,
    faults_in_recovery: &'h [Fault],
    /// Outcome of each state that was opened, by checksum.
    known: HashMap<u64, Outcome>,
    /// What was found.
    pub report: Report,
}

impl<'h> Checker<'h> {
    /// A checker of everything that a history went through.
    #[must_use]
    pub fn of(history: &'h History, effort: Effort) -> Self {
        Self::new(history.mode, &history.media, &history.models, effort)
    }

    /// A checker of states over `media` against `models`.
    #[must_use]
    pub fn new(mode: Mode, media: &'h SimMedia, models: &'h [Model], effort: Effort) -> Self {
        Self {
            mode,
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
        let samples = self.effort.samples_for(&trace);
        self.check_trace(&trace, nothing, samples, 0, true);
        self.report
    }

    /// Tries the history from the moment at which this step was acknowledged.
    #[must_use]
    pub fn check_from_step(mut self, step: u64) -> Report {
        let trace = self.media.trace();
        let nothing = Bounds { created: false, started: 0, ordered: 0, durable: 0 };
        let is_step = |event: &Event| *event == Event::Mark(Mark::Durable(step).encode());
        let first = trace.events().iter().position(is_step).unwrap_or(0);
        self.check_trace(&trace, nothing, self.effort.samples, first, true);
        self.report
    }

    /// Tries the history from where a planted bug took effect: before, nothing differs from a run without it.
    #[must_use]
    pub fn check_planted(mut self) -> Report {
        let Some(first) = self.media.first_hit() else { return self.report };
        let trace = self.media.trace();
        let nothing = Bounds { created: false, started: 0, ordered: 0, durable: 0 };
        self.check_trace(&trace, nothing, self.effort.samples, first, true);
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
        let share = if recover { self.effort.share_of_cuts(trace, samples) } else { 1.0 };
        let mut cuts = trace.cuts();
        let mut bytes = Vec::new();
        // What the present states show. Marks and flushes change only what is expected of them.
        let mut outcomes: Vec<(Option<Choice>, Outcome)> = Vec::new();
        let mut last_version = None;
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
            if last_version != Some(point.version()) {
                last_version = Some(point.version());
                outcomes.clear();
                // States that the next cut has too are tried there.
                let skipped =
                    word(self.effort.seed, point.index() as u64, 1) as f64 >= share * u64::MAX as f64;
                if self.effort.every_cut || !(point.grows() || skipped) {
                    self.report.exhaustive += u64::from(point.is_exhaustive(samples));
                    for choice in point.choices(samples, self.effort.seed) {
                        point.build_into(&choice, &mut bytes);
                        outcomes.push((Some(choice), self.outcome(&bytes)));
                    }
                    outcomes.push((None, self.outcome(&point.after_kill())));
                }
            }
            for (choice, outcome) in &outcomes {
                let floor = if choice.is_some() { bounds.durable } else { bounds.ordered };
                if let Err(found) = judge(outcome, floor, bounds.started) {
                    let what = choice.as_ref().map_or("after a kill".into(), |choice| format!("{choice:?}"));
                    self.violation(point, format!("{found} [{what}]"));
                }
            }
            if recover && bounds.created && self.effort.recovers_at(point.index(), trace.events().len()) {
                let random = word(self.effort.seed, point.index() as u64, 0) as usize;
                let choices = point.choices(samples, self.effort.seed);
                if let Some(choice) = choices.get(random % choices.len()) {
                    point.build_into(choice, &mut bytes);
                    self.check_recovery(point, &self.media.with_bytes(bytes.clone()), bounds, true);
                }
                self.check_recovery(point, &self.media.killed_at(point), bounds, false);
            }
        }
    }

    /// Opens `media`, writes once, closes, and cuts the power at every moment of that. `settled`: nothing was pending
    /// when it was opened, so that every recovery from it shows the same.
    fn check_recovery(&mut self, point: &CrashPoint<'_>, media: &SimMedia, bounds: Bounds, settled: bool) {
        let floor = if settled { bounds.durable } else { bounds.ordered };
        let mode = self.mode;
        self.faults_in_recovery.iter().for_each(|fault| media.plant(*fault));
        let opened = guarded(|| {
            let before = media.trace().events().len();
            let pool = mode.options().open_on(Arc::new(media.clone())).map_err(|e| e.to_string())?;
            let step = Model::observe(&pool.read())?.step;
            // What an open pool shows is there to stay.
            media.mark(Mark::Durable(step).encode());
            let mut models = self.models.get(..=step as usize).ok_or("a step that never was")?.to_vec();
            let script = [Action::Write(Op::Push(2), Durability::Immediate)];
            run_on(mode, pool, media, &script, &mut models).map_err(|e| e.to_string())?;
            Ok((before, step, models))
        });
        match opened {
            Ok((before, step, models)) if (floor..=bounds.started).contains(&step) => {
                let mut inner = Checker::new(mode, media, &models, self.effort);
                let durable = if settled { step } else { bounds.durable };
                let from = Bounds { created: true, started: step, ordered: step, durable };
                inner.check_trace(&media.trace(), from, self.effort.recovery_samples, before, false);
                let found = std::mem::take(&mut inner.report.violations);
                inner.report.violation_count = 0;
                self.report.add(&inner.report);
                for violation in found {
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

    /// Opens and uses a state, unless that was done before.
    fn outcome(&mut self, bytes: &[u8]) -> Outcome {
        self.report.states += 1;
        let sum = fingerprint(bytes);
        if let Some(known) = self.known.get(&sum) {
            return known.clone();
        }
        self.report.distinct += 1;
        let outcome = guarded(|| self.use_state(bytes));
        self.known.insert(sum, outcome.clone());
        outcome
    }

    /// Opens, compares and uses a state. Gives the step that it shows.
    fn use_state(&self, bytes: &[u8]) -> Outcome {
        let media: Arc<dyn Media> = Arc::new(self.media.ram_with_bytes(bytes.to_vec()));
        let open = || self.mode.options().open_on(Arc::clone(&media));
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

/// Whether the step is one from `floor` to `ceiling`.
fn judge(outcome: &Outcome, floor: u64, ceiling: u64) -> Result<(), String> {
    match outcome {
        Ok(step) if (floor..=ceiling).contains(step) => Ok(()),
        Ok(step) => Err(format!("step {step} found; {floor} was acknowledged, {ceiling} begun")),
        Err(what) => Err(what.clone()),
    }
}

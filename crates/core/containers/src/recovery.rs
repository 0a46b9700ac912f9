//! Taking up what the agent of before left: what runs and is wanted goes on, all else ends as any container does.

use std::collections::{BTreeMap, BTreeSet};

use messor_types::ContainerId;

use crate::container::{Container, End, Phase, State};
use crate::containers::{Containers, Effects, info};
use crate::effect::Effect;
use crate::event::{Found, Kind, Process, Spec};

#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    under_way: bool,
    known: BTreeSet<ContainerId>,
    /// Of which nothing may be left before the recovery is told of.
    awaited: BTreeSet<ContainerId>,
    running: BTreeMap<ContainerId, Option<i32>>,
    destroyed: usize,
}

impl Recovery {
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }
}

impl Containers {
    pub(crate) fn recover(&mut self, effects: Effects<'_>, known: Vec<ContainerId>) {
        self.recovery =
            Recovery { under_way: true, known: known.iter().cloned().collect(), ..Recovery::default() };
        effects.push(Effect::Look { known });
    }

    pub(crate) fn looked(&mut self, effects: Effects<'_>, found: Result<Vec<Found>, String>) {
        let found = match found {
            Ok(found) => found,
            Err(message) => return effects.push(Effect::RecoveryFailed { message }),
        };
        // By their ids, parents come before their children.
        let found: BTreeMap<ContainerId, Found> =
            found.into_iter().map(|one| (one.container.clone(), one)).collect();
        let (mut going_on, mut orphans) = (Vec::new(), Vec::new());
        for (id, one) in found {
            let parent_goes_on = id.parent().is_some_and(|parent| going_on.contains(parent));
            let known = self.recovery.known.contains(&id);
            let wanted = match one.kind {
                Kind::Executor => known,
                Kind::Standalone => true,
                Kind::Nested => parent_goes_on,
                // Whoever had the session open is gone with the agent.
                Kind::Debug => false,
            };
            let pid = match one.process {
                Process::Runs(pid) => Some(pid),
                Process::None => None,
            };
            if let Some(termination) = one.termination {
                // It was cleaned up before that was noted; what is kept of it goes with its root.
                if parent_goes_on {
                    self.ended.insert(id, termination);
                }
                continue;
            }
            let goes_on = wanted && pid.is_some();
            let ended_meanwhile = wanted && one.kind == Kind::Executor && one.status.is_some();
            let container = Container {
                run: self.next_run(),
                // That it has an image is not known here: where it has none, nothing is done.
                spec: Spec { kind: one.kind, image: false, fetches: false },
                state: if goes_on { State::Running } else { State::Destroying },
                pending: None,
                prepared: Vec::new(),
                forked: true,
                provisioned: true,
                pid,
                launched: goes_on || ended_meanwhile,
                launch: None,
                stale: false,
                ending: (!goes_on).then_some(Phase::Waiting),
                end: End { status: one.status, ..End::default() },
                attempts: 0,
                waiting: Vec::new(),
                expected: Vec::new(),
                held: true,
            };
            self.containers.insert(id.clone(), container);
            // Which of them prepared it is not known; the others do nothing.
            let all = self.isolators_of(&id, one.kind);
            if let Some(container) = self.containers.get_mut(&id) {
                container.prepared = all;
            }
            if goes_on {
                if one.kind == Kind::Executor {
                    self.recovery.running.insert(id.clone(), pid);
                }
                going_on.push(id);
                continue;
            }
            if ended_meanwhile {
                self.recovery.running.insert(id.clone(), None);
            } else if id.parent().is_none() {
                self.recovery.awaited.insert(id.clone());
                if !known && one.kind == Kind::Executor {
                    self.recovery.destroyed += 1;
                    info(effects, format!("Destroying container {id}, which is of no known executor"));
                }
            }
            orphans.push(id);
        }
        effects.push(Effect::RecoverIsolators { going_on, orphans });
    }

    pub(crate) fn isolators_recovered(&mut self, effects: Effects<'_>, outcome: Result<(), String>) {
        if let Err(message) = outcome {
            return effects.push(Effect::RecoveryFailed { message });
        }
        // All others begin to go on, or to end, when the recovery was told of: nobody hears of their end before.
        let awaited = self.containers.keys().filter(|id| self.recovery.awaited.contains(id.root()));
        self.release(effects, awaited.cloned().collect());
        self.tell_recovered(effects);
    }

    fn release(&mut self, effects: Effects<'_>, all: Vec<ContainerId>) {
        for id in all {
            let Some(found) = self.containers.get_mut(&id).filter(|found| found.held) else { continue };
            found.held = false;
            match (&found.ending, found.pid) {
                (None, Some(pid)) => {
                    effects.push(Effect::Watch { container: id.clone(), run: found.run, pid });
                }
                _ => self.go_on_ending(effects, &id),
            }
        }
    }

    pub(crate) fn orphan_is_gone(&mut self, effects: Effects<'_>, container: &ContainerId) {
        if self.recovery.awaited.remove(container) {
            self.tell_recovered(effects);
        }
    }

    fn tell_recovered(&mut self, effects: Effects<'_>) {
        if !self.recovery.under_way || !self.recovery.awaited.is_empty() {
            return;
        }
        let recovery = std::mem::take(&mut self.recovery);
        effects.push(Effect::Recovered { running: recovery.running, destroyed: recovery.destroyed });
        let all = self.containers.keys().cloned().collect();
        self.release(effects, all);
    }
}

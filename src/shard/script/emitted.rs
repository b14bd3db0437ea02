//! What a script has caused, and nobody has seen: it is kept back until the script ends, or is
//! dropped with what the script has changed.
//!
//! While the script runs, what it causes is collected where every call's is; what others have
//! caused before, in the same turn or in the same transaction, is put aside meanwhile ([`Outer`]).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::hook::push::Push;
use crate::keyspace::effect::Suspended;
use crate::keyspace::keys::{AwaitedKey, Figures};
use crate::keyspace::tracked::Invalidations;
use crate::keyspace::undo::Undo;
use crate::pubsub::Message;
use crate::route::ShardId;
use crate::session::Session;
use crate::shard::execute::Engine;
use crate::shard::script::Running;
use crate::shard::script::counting::Uncounted;

/// What a script has caused, while it stands still.
pub(super) struct Emitted {
    effects: Suspended,
    awaited: VecDeque<AwaitedKey>,
    invalidations: Invalidations,
    published: Vec<(ShardId, Arc<Message>)>,
    /// What its client gets that it has published itself.
    own: Vec<u8>,
    pushes: Vec<Push>,
    figures: Figures,
    undo: Option<Box<Undo>>,
    random: fastrand::Rng,
    /// What it has called and is not counted yet.
    uncounted: Vec<Uncounted>,
}

impl Emitted {
    /// Nothing yet.
    pub(super) fn new(undo: Undo, seed: u64) -> Emitted {
        Emitted {
            effects: Suspended::default(),
            awaited: VecDeque::new(),
            invalidations: Invalidations::default(),
            published: Vec::new(),
            own: Vec::new(),
            pushes: Vec::new(),
            figures: Figures::default(),
            undo: Some(Box::new(undo)),
            random: fastrand::Rng::with_seed(seed),
            uncounted: Vec::new(),
        }
    }
}

impl Emitted {
    /// What can be taken back, while the run stands still.
    pub(super) fn undo(&self) -> Option<&Undo> {
        self.undo.as_deref()
    }
}

/// What others have caused, while a script runs.
pub(super) struct Outer {
    /// Where its effects begin.
    effects: usize,
    published: usize,
    /// Where begins what its client gets that it has published itself.
    own: usize,
    awaited: VecDeque<AwaitedKey>,
    invalidations: Invalidations,
    pushes: Vec<Push>,
    figures: Figures,
    random: fastrand::Rng,
    db: u32,
    resp3: bool,
}

impl Engine {
    /// The run goes on: what it causes is its own from here on.
    pub(super) fn take_in(&mut self, running: &mut Running, session: &mut Session) -> Outer {
        let Running { emitted, db, seed, .. } = running;
        let new = Emitted::new(Undo::new(0, false), *seed);
        let Emitted {
            effects,
            awaited,
            invalidations,
            published,
            own,
            pushes,
            figures,
            undo,
            random,
            uncounted,
        } = std::mem::replace(emitted, new);
        session.resp3_of_client = Some(session.resp3);
        let tools = &mut self.tools;
        let outer = Outer {
            effects: tools.effects.len(),
            published: self.register.published_len(),
            own: session.subscribed.own_len(),
            awaited: std::mem::replace(&mut tools.awaited, awaited),
            invalidations: tools.invalidations.take(),
            pushes: std::mem::replace(&mut self.pushes, pushes),
            figures: std::mem::replace(&mut tools.figures, figures),
            random: std::mem::replace(&mut tools.random, random),
            db: std::mem::replace(&mut session.db, *db),
            resp3: session.resp3,
        };
        tools.effects.resume(effects);
        tools.invalidations.resume(invalidations);
        tools.undo = undo;
        self.register.publish_again(published);
        session.subscribed.give_own(&own);
        self.uncounted = uncounted;
        outer
    }

    /// The run stands still: what it has caused goes along with it.
    pub(super) fn put_aside(&mut self, running: &mut Running, outer: Outer, session: &mut Session) {
        running.db = session.db;
        let tools = &mut self.tools;
        running.emitted = Emitted {
            effects: tools.effects.suspend(outer.effects),
            awaited: std::mem::replace(&mut tools.awaited, outer.awaited),
            invalidations: tools.invalidations.take(),
            published: self.register.take_published_from(outer.published),
            own: session.subscribed.take_own_from(outer.own),
            pushes: std::mem::replace(&mut self.pushes, outer.pushes),
            figures: std::mem::replace(&mut tools.figures, outer.figures),
            undo: tools.undo.take(),
            random: std::mem::replace(&mut tools.random, outer.random),
            uncounted: std::mem::take(&mut self.uncounted),
        };
        tools.invalidations.resume(outer.invalidations);
        (session.db, session.resp3) = (outer.db, outer.resp3);
        session.resp3_of_client = None;
        // Nobody has to be told of what is not published yet.
        self.register.was_stirred();
    }

    /// The run has ended: what it has caused is true.
    pub(super) fn commit(&mut self, _: &mut Running, outer: Outer, session: &mut Session) {
        let Outer {
            mut awaited, invalidations, mut pushes, mut figures, random, db, resp3, ..
        } = outer;
        let tools = &mut self.tools;
        tools.effects.close();
        awaited.append(&mut tools.awaited);
        pushes.append(&mut self.pushes);
        figures.add(&tools.figures);
        tools.invalidations.resume(invalidations);
        (tools.awaited, self.pushes, tools.figures, tools.random) =
            (awaited, pushes, figures, random);
        tools.undo = None;
        (session.db, session.resp3) = (db, resp3);
        session.resp3_of_client = None;
    }

    /// The run has to be as if it had never been: takes back what it has changed, and drops what it
    /// has caused. Who has cached a key that it had changed is told all the same, since it is not
    /// known here any more that he has.
    pub(super) fn undo(&mut self, mut running: Box<Running>, outer: Outer, session: &mut Session) {
        self.put_aside(&mut running, outer, session);
        let Emitted { invalidations, undo, .. } = running.emitted;
        self.tools.invalidations.resume(invalidations);
        let Some(undo) = undo.filter(|undo| undo.has_changes()) else { return };
        if !self.space.undo(*undo, &mut self.tools) {
            // Nobody can say what is here.
            self.phase = crate::hook::Phase::Suspect;
        }
    }

    /// The run has panicked: drops the keys that it had changed, where no journal can tell what
    /// they held.
    pub(super) fn drop_changed(&mut self) {
        let Some(undo) = self.tools.undo.take() else { return };
        if !self.has_journal {
            undo.keys().for_each(|(db, key)| self.drop_key(db, key));
        }
    }
}

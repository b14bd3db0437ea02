//! The one way in which a call runs: what has to happen ahead of it, the gates, the handler under
//! `catch_unwind`, its effects, the sinks.
//!
//! The next call of a batch and a record of the journal both come through [`Engine::execute`]. A
//! panic costs the caller an error and makes the shard distrust its tables. What the command had
//! written of its reply is taken back; it had recorded no effect, since that is done at its end, or
//! what it recorded is taken back too.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::clients::Pause;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::command::{Command, Flags, Run};
use crate::commands::error::CommandError;
use crate::commands::run::{Blocking, Wait};
use crate::commands::scripting::Scripting;
use crate::commands::walk::{Step, Walk};
use crate::counted::counters::Counters;
use crate::hook::push::Push;
use crate::hook::{Called, Outcome, Part, Phase, Room, Standing, is_plain};
use crate::keyspace::expiry::Expiry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Keys, Tools};
use crate::keyspace::space::Keyspace;
use crate::parked::Served;
use crate::pubsub::{Author, Register};
use crate::resp::Reply;
use crate::session::Session;
use crate::shard::Ticks;
use crate::shard::call::note_fault;
use crate::shard::gates::Gates;
use crate::shard::script::counting::Uncounted;
use crate::shard::script::kill::Runs;
use crate::shard::script::needs::KnownNeeds;
use crate::shard::sinks::Sinks;
use crate::transaction::Transaction;

/// What runs calls: the keys, the layers around them, and whether they can be trusted.
pub(super) struct Engine {
    pub(super) space: Keyspace,
    pub(super) tools: Tools,
    pub(super) gates: Gates,
    pub(super) counters: Counters,
    pub(super) sinks: Sinks,
    /// Who subscribes to what, and what was published in this turn.
    pub(super) register: Register,
    /// Keys that have changed in this turn, where somebody wants to hear of all with a prefix; each
    /// with who has changed it, where that was one.
    pub(super) changed: BTreeMap<Box<[u8]>, Author>,
    /// To clients that did not ask: they leave at the end of the turn.
    pub(super) pushes: Vec<Push>,
    /// What came of the waits of clients: it leaves at the end of the turn as well.
    pub(super) served: Vec<Served>,
    /// The number of the last wait that has begun here.
    pub(super) waits: u64,
    pub(super) phase: Phase,
    pub(super) journal_failed: Option<String>,
    pub(super) snapshot_failed: bool,
    pub(super) has_credit: bool,
    pub(super) pause: Option<Pause>,
    pub(super) room: Room,
    pub(super) lacks_replicas: bool,
    pub(super) part: Part,
    pub(super) panics: u64,
    pub(super) last_panic: String,
    pub(super) has_journal: bool,
    /// What is known of scripts and functions.
    pub(super) scripting: Scripting,
    /// The libraries have changed, and other shards have not been told.
    pub(super) libraries_changed: bool,
    /// Scripts that stand still.
    pub(super) runs: Runs,
    /// Scripts may call what is not for them: for tests.
    pub(super) allows_all_in_scripts: bool,
    /// What scripts have turned out to need.
    pub(super) known_needs: KnownNeeds,
    /// What the script that runs has called and is not counted yet.
    pub(super) uncounted: Vec<Uncounted>,
}

/// On whose behalf a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A client's: it waits for what has to happen ahead, gates may refuse it, sinks hear of it.
    Client {
        /// It has waited, and runs again where all is that it needs.
        has_waited: bool,
    },
    /// A client's that waited, and that a change of a key has woken.
    Served,
    /// A client's, inside its EXEC, whose panic it is as well.
    Transaction,
    /// That of a script, whose panic it is as well.
    Script {
        /// It runs whether there is memory for it or not.
        allows_oom: bool,
    },
    /// The journal's: it was let in once, and what it did is written down.
    Journal,
}

impl Origin {
    fn is_client(self) -> bool {
        matches!(self, Origin::Client { .. })
    }

    fn is_script(self) -> bool {
        matches!(self, Origin::Script { .. })
    }

    /// It was begun by a call whose panic it is, and whose end is told of for all.
    fn is_inside(self) -> bool {
        self == Origin::Transaction || self.is_script()
    }

    /// The call has waited for its keys, as sinks were told then.
    fn has_waited(self) -> bool {
        matches!(self, Origin::Client { has_waited: true } | Origin::Served)
    }
}

/// What a call may change beside the keys while it runs.
pub(super) struct Around<'a> {
    pub(super) session: &'a mut Session,
    pub(super) replies: &'a mut Vec<u8>,
    pub(super) walk: &'a mut Option<Box<Walk>>,
    /// Slots that the call met and that are not here.
    pub(super) wider: &'a mut Vec<u16>,
}

impl Around<'_> {
    /// The script that the call runs stands still.
    pub(super) fn stands_still(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.run.is_some())
    }
}

/// How a call ended. It goes through several hands, so it is small.
#[derive(Debug)]
pub(super) enum Ended {
    /// It ran.
    Ran,
    /// It ran and failed.
    Failed(Box<CommandError>),
    /// It was refused.
    Refused(Box<CommandError>),
    /// It panicked.
    Panicked,
    /// Not yet: another step of it is left, or something goes ahead of it.
    GoesOn,
    /// Not yet: its connection has to do this first.
    Asks(Box<Action>),
    /// Not yet: its client waits.
    Waits(Box<Wait>),
    /// Not at all: it runs again when the slots are here too that it met ([`Around::wider`]).
    Lacks,
}

impl Ended {
    /// How a handler ended.
    #[inline]
    pub(super) fn of(result: Result<(), CommandError>) -> Ended {
        match result {
            Ok(()) => Ended::Ran,
            Err(error) => Ended::Failed(Box::new(error)),
        }
    }

    /// The call has asked for something, and goes on with the answer.
    pub(super) fn asks(action: Action) -> Ended {
        Ended::Asks(Box::new(action))
    }

    /// How a handler ended that may ask for something.
    pub(super) fn of_one_that_may_ask(result: Result<Option<Action>, CommandError>) -> Ended {
        match result {
            Ok(Some(action)) => Ended::asks(action),
            Ok(None) => Ended::Ran,
            Err(error) => Ended::of(Err(error)),
        }
    }

    /// True when the call is answered.
    fn is_over(&self) -> bool {
        !matches!(self, Ended::GoesOn | Ended::Asks(_) | Ended::Waits(_) | Ended::Lacks)
    }

    /// The error that the client gets.
    pub(super) fn error(&self) -> Option<&CommandError> {
        match self {
            Ended::Failed(error) | Ended::Refused(error) => Some(error),
            Ended::Panicked => Some(&CommandError::Internal),
            _ => None,
        }
    }
}

/// Something that goes ahead of a call. Returns true when the call has to wait for more of it.
type Ahead = fn(&mut Engine, &Call<'_>, &Session) -> bool;

/// What goes ahead of a client's call, in order.
const AHEAD: [Ahead; 2] = [Engine::save_ahead_of, Engine::expire_ahead_of];

/// What a client's call finds of what has expired.
#[inline]
pub(super) fn expiry_of(call: &Call<'_>, session: &Session) -> Expiry {
    let settings = call.settings;
    match () {
        () if settings.replication.replicaof.is_some() => {
            Expiry::of_elsewhere(session.is_primary(), call.command.writes())
        }
        () if settings.import_mode => Expiry::of_elsewhere(session.imports, call.command.writes()),
        () => Expiry::Usual,
    }
}

impl AsMut<Keyspace> for Engine {
    fn as_mut(&mut self) -> &mut Keyspace {
        &mut self.space
    }
}

impl Engine {
    /// Lets happen what goes ahead of a call. Returns true when it has to wait for more of that.
    #[inline]
    pub(super) fn goes_ahead(&mut self, call: &Call<'_>, session: &Session) -> bool {
        AHEAD.iter().any(|ahead| ahead(self, call, session))
    }

    /// Runs a call whose declared keys are here. `start` is the time now; returns how it ended, and
    /// the time then.
    // Twenty instructions a call fewer than where it is not (`tests/measure/instructions.py`).
    #[inline(always)]
    pub(super) fn execute(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        origin: Origin,
        start: u64,
        clock: &mut dyn Ticks,
    ) -> (Ended, u64) {
        let db = around.session.db;
        if origin.is_client() && self.goes_ahead(call, around.session) {
            return (Ended::GoesOn, clock.nanos());
        }
        // One that is refused never sets out for what it lacks.
        if origin.is_client()
            && self.lacks_for_waiters(call, around.wider)
            && !self.refuses(call, around.session)
        {
            return (Ended::Lacks, clock.nanos());
        }
        let reply = around.walk.as_ref().map_or(around.replies.len(), |walk| walk.reply);
        let effects = self.tools.effects.len();
        let notices = self.tools.notices.len();
        let ran = catch_unwind(AssertUnwindSafe(|| self.dispatch(call, around, origin, clock)));
        let end = clock.nanos();
        let ended = match ran {
            Ok(ended) => ended,
            Err(panic) if origin == Origin::Journal || origin.is_inside() => resume_unwind(panic),
            Err(panic) => {
                self.tools.effects.rewind(effects);
                self.tools.notices.truncate(notices);
                self.panicked(call, db, panic.as_ref());
                Ended::Panicked
            }
        };
        if around.session.tracking.is_some() && !matches!(ended, Ended::Lacks) {
            self.note_reads(call, around.session);
        }
        let mut nanos = end - start;
        if let Some(walk) = around.walk {
            nanos += walk.nanos;
            (walk.reply, walk.nanos) = (reply, nanos);
        }
        if let Ended::Lacks = ended {
            around.replies.truncate(reply);
            self.tools.notices.truncate(notices);
        } else if origin != Origin::Journal && ended.is_over() {
            let (has_waited, in_script) = (origin.has_waited(), origin.is_script());
            let marks = Marks { reply, effects, has_waited, in_script };
            match origin.is_script() {
                true => self.close_in_script(call, around, &ended, marks, nanos),
                false => self.close(call, around, &ended, marks, nanos),
            }
        }
        if self.tools.notices.len() > 0 {
            let is_own = origin.is_client() || origin.is_inside();
            self.publish_notices(is_own.then_some(&mut *around.session));
        }
        // EXEC and scripts tell of all their commands at once.
        if !self.tools.invalidations.is_empty() && !origin.is_inside() {
            let client = around.session.id;
            let is_served = origin == Origin::Served;
            self.tell_outdated(if is_served { Author::served } else { Author::client }(client));
        }
        (ended, end)
    }

    /// True when a gate refuses the call, so that it need not set out for other shards.
    pub(super) fn refuses(&mut self, call: &Call<'_>, session: &Session) -> bool {
        self.admit(call, session).is_err()
    }

    /// True when a gate holds the call back for now, and none refuses it.
    pub(super) fn holds_back(&mut self, call: &Call<'_>, session: &Session) -> bool {
        let replicates = self.pause.is_some() && self.replicates(call, session);
        let (gates, standing) = self.gates();
        let standing = Standing { replicates, ..standing };
        gates.hold_back(call, session, &standing) && !self.refuses(call, session)
    }

    /// Whether replicas may hear of a call, or of one that it runs.
    pub(super) fn replicates(&self, call: &Call<'_>, session: &Session) -> bool {
        let Command { run, flags, .. } = call.command;
        let may = call.command.writes() || flags.has(Flags::MAY_REPLICATE);
        match *run {
            Run::Exec => session.transaction.as_deref().is_some_and(Transaction::replicates),
            Run::Script(named) => may && !self.declares_no_writes(named, call),
            _ => may,
        }
    }

    pub(super) fn admit(&mut self, call: &Call<'_>, session: &Session) -> Result<(), CommandError> {
        self.admit_in(call, session, Origin::Client { has_waited: false })
    }

    /// The same, of a call on anybody's behalf.
    #[inline]
    fn admit_in(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        origin: Origin,
    ) -> Result<(), CommandError> {
        if self.gates.rest_while_well && self.is_well() && is_plain(call, session) {
            return Ok(());
        }
        let (gates, standing) = self.gates();
        let was_let_in = origin == Origin::Transaction;
        let is_in_exec = was_let_in || origin == Origin::Script { allows_oom: true };
        gates.admit(call, session, &Standing { is_in_exec, was_let_in, ..standing })
    }

    /// What gates are told is [`Standing::WELL`].
    #[inline]
    fn is_well(&self) -> bool {
        let is_kept =
            self.journal_failed.is_none() && !self.snapshot_failed && !self.lacks_replicas;
        let is_kept = is_kept && self.part == Part::Primary;
        let takes_writes = self.has_credit && is_kept && self.room == Room::Enough;
        takes_writes && self.phase == Phase::Serving && self.pause.is_none()
    }

    fn gates(&mut self) -> (&mut Gates, Standing<'_>) {
        let Engine {
            gates,
            phase,
            journal_failed,
            snapshot_failed,
            has_credit,
            pause,
            room,
            lacks_replicas,
            part,
            ..
        } = self;
        let standing = Standing {
            phase: *phase,
            journal_failed: journal_failed.as_deref(),
            snapshot_failed: *snapshot_failed,
            has_credit: *has_credit,
            pause: *pause,
            room: *room,
            lacks_replicas: *lacks_replicas,
            part: *part,
            is_in_exec: false,
            was_let_in: false,
            replicates: false,
        };
        (gates, standing)
    }

    fn dispatch(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        origin: Origin,
        clock: &mut dyn Ticks,
    ) -> Ended {
        // A script that stands still was let in, and has to be undone where it cannot go on.
        if (origin.is_client() || origin.is_inside())
            && !around.stands_still()
            && let Err(error) = self.admit_in(call, around.session, origin)
            && !self.has_answer(around)
        {
            return Ended::Refused(Box::new(error));
        }
        if call.command.run.is_on_scripts() {
            return self.on_scripts(call, around, origin, clock);
        }
        let Around { session, replies, walk, wider } = around;
        let mut reply = Reply::new(replies, session.resp3);
        match call.command.run {
            Run::Keys(run) | Run::All(run) => {
                self.on_keys(call, session, wider, origin, |_, keys| run(call, keys, &mut reply))
            }
            Run::SessionAndKeys(run) => {
                self.on_keys(call, session, wider, origin, |session, keys| {
                    run(call, session, keys, &mut reply)
                })
            }
            Run::Blocking(Blocking { run, .. }) => {
                let mut waits = None;
                let ended = self.on_keys(call, session, wider, origin, |_, keys| {
                    waits = run(call, keys, &mut reply)?;
                    Ok(())
                });
                match (ended, waits) {
                    (Ended::Ran, Some(wait)) if origin.is_client() => Ended::Waits(Box::new(wait)),
                    (Ended::Ran, Some(wait)) => {
                        wait.nil.reply(&mut reply);
                        Ended::Ran
                    }
                    (ended, _) => ended,
                }
            }
            Run::Session(run) => Ended::of(run(call, session, &mut reply)),
            Run::Held(run) => {
                let walk = walk.get_or_insert_default();
                let mut asked = None;
                let ended = self.on_keys(call, session, wider, origin, |_, keys| {
                    asked = run(call, keys, walk, &mut reply)?;
                    Ok(())
                });
                match (ended, asked) {
                    (Ended::Ran, Some(action)) => Ended::asks(action),
                    (ended, _) => ended,
                }
            }
            // Whom it was for has had it.
            Run::PubSub(_) if origin == Origin::Journal => Ended::Ran,
            Run::PubSub(run) => {
                let ended = Ended::of(run(call, session, &mut self.register, &mut reply));
                if call.command.flags.has(Flags::MAY_REPLICATE) {
                    self.tools.effects.publish(session.db, call.raw);
                }
                self.listen_to_prefixes();
                ended
            }
            Run::Asks(run) => {
                let walk = walk.get_or_insert_default();
                let ran = run(call, session, &mut self.register, walk, &mut reply);
                let ended = Ended::of_one_that_may_ask(ran);
                self.listen_to_prefixes();
                ended
            }
            Run::Server(run) => match run(call, session) {
                Ok(asked) => {
                    session.last = Some(call.command);
                    Ended::asks(if origin.is_inside() { asked.inside_exec() } else { asked })
                }
                Err(error) => Ended::of(Err(error)),
            },
            Run::Steps(run) | Run::Walk(run) => {
                let walk = walk.get_or_insert_default();
                let mut goes_on = false;
                let ended = self.on_keys(call, session, wider, origin, |_, keys| {
                    if let Step::At(slot) = run(call, keys, walk, &mut reply)? {
                        walk.at = Some(slot);
                        goes_on = true;
                    }
                    Ok(())
                });
                if goes_on { Ended::GoesOn } else { ended }
            }
            Run::Exec | Run::Script(_) | Run::Scripts(_) | Run::Libraries(_) | Run::Container => {
                Ended::of(Err(CommandError::WrongArity(call.command.name.as_str())))
            }
        }
    }

    /// True where a call has been let in before, and what it asked for was done meanwhile.
    #[cold]
    fn has_answer(&self, around: &Around<'_>) -> bool {
        let walk = around.walk.as_ref();
        self.phase == Phase::Serving && walk.is_some_and(|walk| walk.answer.is_some())
    }

    #[inline]
    fn on_keys(
        &mut self,
        call: &Call<'_>,
        session: &mut Session,
        wider: &mut Vec<u16>,
        origin: Origin,
        run: impl FnOnce(&mut Session, &mut Keys<'_>) -> Result<(), CommandError>,
    ) -> Ended {
        self.tools.effects.begin_call();
        let (hits, misses) = (self.tools.figures.hits, self.tools.figures.misses);
        let db = session.db;
        let mut keys = Keys::new(&mut self.space, &mut self.tools, db, call.now);
        keys.untouched = session.no_touch;
        keys.expiry = match origin {
            Origin::Journal => Expiry::Replay,
            _ => expiry_of(call, session),
        };
        keys.is_on_replica = call.settings.replication.replicaof.is_some();
        keys.is_served = origin == Origin::Served;
        let result = run(session, &mut keys);
        let changes = keys.changes;
        // A record over everything applies to what is here.
        if call.command.run.is_on_keys() && !keys.is_served && keys.lacks_any() {
            assert!(changes == 0, "a call looks at all that it needs before it changes anything");
            wider.extend(keys.absent());
            (self.tools.figures.hits, self.tools.figures.misses) = (hits, misses);
            return Ended::Lacks;
        }
        keys.end();
        if changes > 0 && origin != Origin::Journal {
            self.tools.figures.changes += changes;
            self.tools.effects.end_call(db, call.raw);
        }
        Ended::of(result)
    }

    /// A command panicked half way. With a journal its shard is rebuilt; without one the keys that
    /// it named are dropped, since nobody can say what they hold.
    fn panicked(&mut self, call: &Call<'_>, db: u32, panic: &(dyn Any + Send)) {
        self.note_panic(call.command, panic);
        if !self.has_journal {
            call.declared_keys().for_each(|key| self.drop_key(db, key));
        }
    }

    /// Nothing that the shard holds is trusted any more.
    pub(super) fn note_panic(&mut self, command: &Command, panic: &(dyn Any + Send)) {
        self.panics += 1;
        self.last_panic = format!("{}: {}", command.name, text_of(panic));
        self.phase = Phase::Suspect;
    }

    /// Drops a key of which nobody can say what it holds.
    pub(super) fn drop_key(&mut self, db: u32, key: Key<'_>) {
        let dropped = self.space.change(db, key, |table, _| table.remove(key.in_table()));
        if dropped.is_some() {
            self.tools.effects.aside(db, &[b"DEL", key.name]);
        }
    }

    /// The marks of a call whose reply begins here, and that has no effects yet.
    #[inline]
    pub(super) fn marks(&self, reply: usize) -> Marks {
        let effects = self.tools.effects.len();
        Marks { reply, effects, has_waited: false, in_script: false }
    }

    /// The call is over: writes the error, if it is one, counts the call and tells the sinks, and
    /// brings the session up to date.
    #[inline]
    pub(super) fn close(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        ended: &Ended,
        marks: Marks,
        nanos: u64,
    ) {
        if call.command.is_unsent {
            return self.close_unsent(call, around, ended, marks);
        }
        let Around { session, replies, .. } = around;
        let tracks_latency = call.settings.latency_tracking;
        let outcome = match ended.error() {
            None => {
                self.counters.ran(call.command, nanos, tracks_latency);
                Outcome::Ran(replies.len() - marks.reply)
            }
            Some(error) => {
                replies.truncate(marks.reply);
                error.reply(&mut Reply::new(replies, session.resp3));
                if let Some(primary) = &mut session.primary {
                    note_fault(&mut primary.faults, call, error, matches!(ended, Ended::Failed(_)));
                }
                match ended {
                    Ended::Refused(_) => {
                        self.counters.refused(call.command, error);
                        Outcome::Refused(error)
                    }
                    _ => {
                        self.counters.ran(call.command, nanos, tracks_latency);
                        self.counters.failed(call.command, error);
                        self.sinks.failed(session, error);
                        Outcome::Failed(error)
                    }
                }
            }
        };
        if self.sinks.see(nanos, call.raw.len(), outcome.reply_bytes()) {
            self.show(call, around, outcome, marks, nanos);
        }
        let Around { session, replies, .. } = around;
        session.last = Some(call.command);
        session.commands += 1;
        self.sinks.replied(session, replies, marks.reply);
    }

    /// Tells the sinks of a call that is over.
    #[cold]
    pub(super) fn show(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        outcome: Outcome<'_>,
        marks: Marks,
        nanos: u64,
    ) {
        let Around { session, replies, .. } = around;
        let Marks { effects, has_waited, in_script, .. } = marks;
        let (now, effects) = (call.now, self.tools.effects.since(effects));
        let called = Called { call, session, now, nanos, outcome, effects, has_waited, in_script };
        let others = self.pushes.len();
        self.sinks.called(&called, &mut self.pushes);
        // What concerns the caller itself stands behind its reply, as in Redis.
        let is_own =
            |push: &mut Push| matches!(push, Push::Bytes { client, .. } if *client == session.id);
        for push in self.pushes.extract_if(others.., is_own) {
            if let Push::Bytes { bytes, .. } = push {
                replies.extend_from_slice(&bytes);
            }
        }
    }
}

/// What is known of a call before it ends: where its reply and its effects begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) reply: usize,
    pub(super) effects: usize,
    /// It has waited for its keys.
    pub(super) has_waited: bool,
    /// A script has called it.
    pub(super) in_script: bool,
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without words",
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::command::{Access, Command, KeySpec, Name, Run};
    use crate::keyspace::keys::Deadline;
    use crate::keyspace::listener::Event;
    use crate::testing::{Still, Store, printed};

    static BOTH: Command = Command {
        name: Name("both"),
        keys: &[KeySpec::one(1, Access::OW.and(Access::UPDATE))],
        run: Run::SessionAndKeys(|call, session, keys, reply| {
            session.no_touch = true;
            keys.set_string(call.key(1), b"1", Deadline::Clear, Event::SET);
            reply.ok();
            Ok(())
        }),
        ..Command::BASE
    };

    #[test]
    fn a_command_may_need_its_session_and_its_keys() {
        let mut store = Store::new();
        let mut batch = store.batch(&[b"GET", b"k"]);
        batch.routed[0].command = Some(&BOTH);
        let home = store.shard.visit(batch, &mut Still).expect("one shard has everything");
        assert_eq!((printed(&home.replies).as_str(), home.session.no_touch), ("OK", true));
        assert_eq!(store.run("GET k"), "\"1\"");
    }
}

//! The sink behind SLOWLOG and COMMANDLOG: commands that ran long, asked much or answered much.
//!
//! A shard keeps as many entries as the log of the server may have, so that the newest of all
//! shards are the newest of the server. Ids are counted over all shards together: entries are rare,
//! so one shared counter costs nothing. It is told of commands that pass a threshold alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::commands::command::Flags;
use crate::counted::log::{LogEntry, trimmed};
use crate::hook::answer::Answer;
use crate::hook::push::Push;
use crate::hook::{Called, Outcome, Published, Sees, Sink};
use crate::question::{LogKind, Question};

/// The ids of the entries of each log, shared by all shards.
#[derive(Clone, Debug, Default)]
pub struct LogIds(Arc<[AtomicU64; LogKind::ALL.len()]>);

impl LogIds {
    fn next(&self, kind: LogKind) -> u64 {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed)
    }
}

/// The logs of one shard.
#[derive(Debug)]
pub struct CommandLogs {
    ids: LogIds,
    logs: [VecDeque<LogEntry>; LogKind::ALL.len()],
}

impl CommandLogs {
    /// Empty logs.
    pub fn new(ids: LogIds) -> CommandLogs {
        CommandLogs { ids, logs: Default::default() }
    }

    #[cold]
    fn push(&mut self, kind: LogKind, amount: u64, called: &Called<'_>) {
        let log = &mut self.logs[kind as usize];
        let most = kind.len_max(called.call.settings);
        log.truncate(most.saturating_sub(1));
        if most > 0 {
            log.push_front(LogEntry {
                id: self.ids.next(kind),
                at: called.now.as_secs(),
                amount,
                args: trimmed(called.call),
                client: called.session.peer.address.clone(),
                name: called.session.names.client.clone(),
            });
        }
    }
}

impl Sink for CommandLogs {
    fn adapt(&mut self, published: &Published<'_>) -> Sees {
        let from = |kind: LogKind| kind.threshold(published.settings).unwrap_or(u64::MAX);
        Sees {
            nanos: from(LogKind::Slow).saturating_mul(1_000),
            request: from(LogKind::LargeRequest),
            reply: from(LogKind::LargeReply),
        }
    }

    #[inline]
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        let reply = match called.outcome {
            Outcome::Refused(_) => return,
            Outcome::Ran(size) => size as u64,
            Outcome::Failed(_) => 0,
        };
        let amounts = [called.nanos / 1_000, called.call.raw.len() as u64, reply];
        for (kind, amount) in LogKind::ALL.into_iter().zip(amounts) {
            let threshold = kind.threshold(called.call.settings);
            if threshold.is_some_and(|threshold| amount >= threshold)
                && !called.call.command.flags.has(Flags::SKIP_SLOWLOG)
            {
                self.push(kind, amount, called);
            }
        }
    }

    fn answer(&mut self, question: &Question) -> Option<Answer> {
        match question {
            Question::Log(kind, most) => {
                let log = &self.logs[*kind as usize];
                Some(Answer::Log(log.iter().take(*most).cloned().collect()))
            }
            Question::LogReset(kind) => {
                self.logs[*kind as usize].clear();
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::error::CommandError;
    use crate::hooks::sample;

    fn log(logs: &mut CommandLogs, kind: LogKind) -> Vec<LogEntry> {
        match logs.answer(&Question::Log(kind, usize::MAX)) {
            Some(Answer::Log(entries)) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_passes_a_threshold_is_kept() {
        let (mut logs, session) = (CommandLogs::new(LogIds::default()), sample::session());
        let call = sample::words(&["get", "k"]);
        logs.called(&sample::ran(&call, &session, 9_999), &mut Vec::new());
        logs.called(&sample::ran(&call, &session, 10_000), &mut Vec::new());
        let large = Outcome::Ran(1 << 20);
        logs.called(&Called { outcome: large, ..sample::ran(&call, &session, 1) }, &mut Vec::new());
        let refused = Outcome::Refused(&CommandError::NoAuth);
        logs.called(
            &Called { outcome: refused, ..sample::ran(&call, &session, 99_999) },
            &mut Vec::new(),
        );
        let slow = log(&mut logs, LogKind::Slow);
        assert_eq!(slow.len(), 1);
        assert_eq!((slow[0].amount, slow[0].client.as_str()), (10_000, "127.0.0.1:5000"));
        assert_eq!(slow[0].args, [b"get".to_vec(), b"k".to_vec()]);
        assert_eq!(log(&mut logs, LogKind::LargeReply)[0].amount, 1 << 20);
        assert!(log(&mut logs, LogKind::LargeRequest).is_empty());
        logs.answer(&Question::LogReset(LogKind::Slow));
        assert!(log(&mut logs, LogKind::Slow).is_empty());
    }

    #[test]
    fn the_log_is_bounded_and_ids_go_on() {
        let (mut logs, session) = (CommandLogs::new(LogIds::default()), sample::session());
        let call = sample::words(&["get", "k"]);
        (0..200).for_each(|_| logs.called(&sample::ran(&call, &session, 20_000), &mut Vec::new()));
        let slow = log(&mut logs, LogKind::Slow);
        assert_eq!((slow.len(), slow[0].id, slow[127].id), (128, 199, 72));
    }

    #[test]
    fn passwords_are_not_kept() {
        let (mut logs, session) = (CommandLogs::new(LogIds::default()), sample::session());
        let call = sample::words(&["config", "set", "requirepass", "x", "timeout", "3"]);
        logs.called(&sample::ran(&call, &session, 20_000), &mut Vec::new());
        let args = &log(&mut logs, LogKind::Slow)[0].args;
        assert_eq!((args[3].as_slice(), args[5].as_slice()), (&b"(redacted)"[..], &b"3"[..]));
    }
}

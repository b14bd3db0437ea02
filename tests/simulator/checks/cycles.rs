//! Strict serializability as clients alone can see it: K. Kingsbury and P. Alvaro, "Elle: Inferring
//! Isolation Anomalies from Experimental Observations" (2020), for lists that only grow.
//!
//! Nothing is known here but what was asked and answered, and when. Each element is appended once,
//! so a read of a list tells which transactions came before it, and in which order. A transaction
//! depends on another where it has read or follows what that appended, has come behind it on one
//! connection, or was sent when the other had been answered; and the other must come behind it
//! where it has not read what that appended. If there is an order that explains all, the
//! dependencies have no cycle. A call alone is a transaction of one.

use std::collections::{BTreeMap, VecDeque};

use super::Broken;
use crate::reply::Reply;
use crate::workload::Call;

/// What a transaction did to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    /// It added this element at the end.
    Append(String, String),
    /// It saw these elements.
    Read(String, Vec<String>),
}

/// What ran as one.
#[derive(Clone, Debug)]
struct Transaction {
    ops: Vec<Op>,
    connection: u64,
    sent_us: u64,
    /// When it was answered; none where nobody knows whether it ran.
    answered_us: Option<u64>,
    /// It has not run.
    has_failed: bool,
}

/// Calls of a connection that are not answered, and those that are queued behind MULTI.
#[derive(Debug, Default)]
struct Connection {
    asked: VecDeque<(u64, Call)>,
    queued: Option<Vec<Call>>,
}

/// What clients have seen of the lists that only grow.
#[derive(Debug, Default)]
pub struct Cycles {
    connections: BTreeMap<u64, Connection>,
    transactions: Vec<Transaction>,
    is_doubtful: bool,
}

impl Cycles {
    /// Calls were sent.
    pub fn asked(&mut self, connection: u64, now_us: u64, calls: &[Call]) {
        let asked = calls.iter().map(|call| (now_us, call.clone()));
        self.connections.entry(connection).or_default().asked.extend(asked);
    }

    /// From now on what is read may be lost: the journal is, and who only reads is not held back.
    /// Or that is over.
    pub fn doubt(&mut self, is_doubtful: bool) {
        self.is_doubtful = is_doubtful;
    }

    /// The next of the calls was answered.
    pub fn answered(&mut self, connection: u64, now_us: u64, reply: &Reply) {
        let of = self.connections.entry(connection).or_default();
        let Some((sent_us, call)) = of.asked.pop_front() else { return };
        let is_ok = !matches!(reply, Reply::Error(_));
        let (calls, replies) = match (call.name(), of.queued.take()) {
            ("MULTI", None) if is_ok => {
                of.queued = Some(Vec::new());
                return;
            }
            ("EXEC", Some(queued)) => {
                let replies = if let Reply::List(replies) = reply { &replies[..] } else { &[] };
                (queued, replies)
            }
            ("DISCARD", Some(queued)) => (queued, &[][..]),
            (_, Some(mut queued)) => {
                queued.extend(is_ok.then_some(call));
                of.queued = Some(queued);
                return;
            }
            (_, None) => (vec![call], std::slice::from_ref(reply)),
        };
        let has_failed = replies.len() != calls.len();
        let ops = match has_failed {
            true => calls.iter().filter_map(appended).collect(),
            false => {
                calls.iter().zip(replies).filter_map(|(call, reply)| seen(call, reply)).collect()
            }
        };
        self.add(Transaction { ops, connection, sent_us, answered_us: Some(now_us), has_failed });
        if !has_failed {
            let failed = calls.iter().zip(replies).filter(|(_, r)| matches!(r, Reply::Error(_)));
            let ops = failed.filter_map(|(call, _)| appended(call)).collect();
            let answered_us = Some(now_us);
            self.add(Transaction { ops, connection, sent_us, answered_us, has_failed: true });
        }
    }

    /// The connection has ended: of what is not answered nobody knows whether it ran.
    pub fn ended(&mut self, connection: u64) {
        let Some(Connection { asked, mut queued }) = self.connections.remove(&connection) else {
            return;
        };
        for (sent_us, call) in asked {
            let calls = match (call.name(), queued.take()) {
                ("MULTI", None) => {
                    queued = Some(Vec::new());
                    continue;
                }
                ("EXEC" | "DISCARD", Some(calls)) => calls,
                (_, Some(mut calls)) => {
                    calls.push(call);
                    queued = Some(calls);
                    continue;
                }
                (_, None) => vec![call],
            };
            let ops = calls.iter().filter_map(appended).collect();
            let (answered_us, has_failed) = (None, false);
            self.add(Transaction { ops, connection, sent_us, answered_us, has_failed });
        }
    }

    fn add(&mut self, mut transaction: Transaction) {
        if self.is_doubtful {
            transaction.ops.retain(|op| matches!(op, Op::Append(..)));
            transaction.answered_us = None;
        }
        if !transaction.ops.is_empty() {
            self.transactions.push(transaction);
        }
    }

    /// Looks at all that was seen.
    ///
    /// # Errors
    /// No order of the transactions explains it.
    pub fn check(&self) -> Result<(), Broken> {
        let writers = self.writers()?;
        let orders = self.orders()?;
        let mut graph = Graph::of(self.transactions.len());
        for (key, order) in &orders {
            for element in *order {
                let writer = writers.get(&(key, element)).ok_or_else(|| {
                    format!("{element} was read of {key}, and nobody appended it")
                })?;
                if self.transactions[*writer].has_failed {
                    return Err(format!("{element} was read of {key}, and its append has failed"));
                }
            }
            for pair in order.windows(2) {
                graph.add(writers[&(*key, &pair[0])], writers[&(*key, &pair[1])]);
            }
        }
        for (reader, transaction) in self.transactions.iter().enumerate() {
            transaction.sees_itself()?;
            for (key, read) in transaction.reads() {
                let order = orders.get(key.as_str()).copied().unwrap_or_default();
                if let Some(last) = read.last() {
                    graph.add(writers[&(key.as_str(), last)], reader);
                }
                if let Some(next) = order.get(read.len()) {
                    graph.add(reader, writers[&(key.as_str(), next)]);
                }
                // One that nobody knows to have run may not have.
                let never_read = writers.iter().filter(|((of, element), writer)| {
                    let is_done = self.transactions[**writer].answered_us.is_some();
                    of == key && is_done && !order.contains(element)
                });
                never_read.for_each(|(_, writer)| graph.add(reader, *writer));
            }
        }
        self.add_time(&mut graph);
        match graph.cycle() {
            None => Ok(()),
            Some(cycle) => {
                let of = |number: &usize| self.transactions.get(*number);
                Err(format!(
                    "no order explains {:?}",
                    cycle.iter().filter_map(of).collect::<Vec<_>>()
                ))
            }
        }
    }

    /// Who appended each element of each list.
    fn writers(&self) -> Result<BTreeMap<(&str, &String), usize>, Broken> {
        let mut writers = BTreeMap::new();
        for (number, transaction) in self.transactions.iter().enumerate() {
            for op in &transaction.ops {
                if let Op::Append(key, element) = op
                    && writers.insert((key.as_str(), element), number).is_some()
                {
                    return Err(format!("{element} was appended to {key} twice"));
                }
            }
        }
        Ok(writers)
    }

    /// The order of the elements of each list, as far as anybody has seen it.
    fn orders(&self) -> Result<BTreeMap<&str, &[String]>, Broken> {
        let mut orders: BTreeMap<&str, &[String]> = BTreeMap::new();
        let reads = || self.transactions.iter().flat_map(Transaction::reads);
        for (key, read) in reads() {
            let longest = orders.entry(key).or_default();
            if read.len() > longest.len() {
                *longest = read;
            }
        }
        for (key, read) in reads() {
            if !orders[key.as_str()].starts_with(read) {
                return Err(format!(
                    "{key} was read as {read:?} and as {:?}",
                    orders[key.as_str()]
                ));
            }
        }
        Ok(orders)
    }

    /// What was answered comes before what was sent later. Moments are nodes of their own, each
    /// behind the one before it, so that this takes few edges.
    fn add_time(&self, graph: &mut Graph) {
        let mut events = Vec::new();
        let mut last_of: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, transaction) in self.transactions.iter().enumerate() {
            if transaction.has_failed {
                continue;
            }
            events.push((transaction.sent_us, false, number));
            events.extend(transaction.answered_us.map(|at| (at, true, number)));
            if let Some(before) = last_of.insert(transaction.connection, number) {
                graph.add(before, number);
            }
        }
        events.sort_unstable();
        let mut moment = None;
        for (_, is_answer, number) in events {
            if !is_answer {
                moment.into_iter().for_each(|moment| graph.add(moment, number));
                continue;
            }
            let next = graph.node();
            graph.add(number, next);
            moment.into_iter().for_each(|moment| graph.add(moment, next));
            moment = Some(next);
        }
    }
}

impl Transaction {
    /// What it has appended it sees at the end.
    fn sees_itself(&self) -> Result<(), Broken> {
        let mut own: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
        for op in &self.ops {
            match op {
                Op::Append(key, element) => own.entry(key).or_default().push(element),
                Op::Read(key, read) => {
                    let own = own.get(key.as_str()).map_or(&[][..], |own| own);
                    let end = read.len().checked_sub(own.len()).map(|from| &read[from..]);
                    if !end.is_some_and(|end| end.iter().eq(own.iter().copied())) {
                        return Err(format!("a transaction does not see what it did: {self:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn reads(&self) -> impl Iterator<Item = (&String, &[String])> {
        self.ops.iter().filter_map(|op| match op {
            Op::Read(key, elements) => Some((key, &elements[..])),
            Op::Append(..) => None,
        })
    }
}

/// What a call appends to a list that only grows.
fn appended(call: &Call) -> Option<Op> {
    let words: Vec<&str> = call.0.iter().map(String::as_str).collect();
    match *words {
        ["RPUSH", key, element] => Some(Op::Append(key.to_owned(), element.to_owned())),
        _ => None,
    }
}

/// What a call did to such a list, by its reply.
fn seen(call: &Call, reply: &Reply) -> Option<Op> {
    match reply {
        Reply::Error(_) => None,
        Reply::List(elements) if call.name() == "LRANGE" && call.is_of_appended() => {
            let elements = elements.iter().filter_map(|element| match element {
                Reply::Bulk(text) => Some(text.clone()),
                _ => None,
            });
            Some(Op::Read(call.0[1].clone(), elements.collect()))
        }
        _ => appended(call),
    }
}

/// What comes before what.
#[derive(Debug, Default)]
struct Graph(Vec<Vec<usize>>);

impl Graph {
    fn of(nodes: usize) -> Graph {
        Graph(vec![Vec::new(); nodes])
    }

    fn node(&mut self) -> usize {
        self.0.push(Vec::new());
        self.0.len() - 1
    }

    fn add(&mut self, before: usize, after: usize) {
        if before != after {
            self.0[before].push(after);
        }
    }

    /// A cycle, if there is one. What comes before all others is taken away, as long as there is
    /// something (A. Kahn, 1962): what is left is on a cycle, or behind one.
    fn cycle(&self) -> Option<Vec<usize>> {
        let mut ahead = vec![0; self.0.len()];
        self.0.iter().flatten().for_each(|after| ahead[*after] += 1);
        let mut free: Vec<usize> = (0..ahead.len()).filter(|node| ahead[*node] == 0).collect();
        while let Some(node) = free.pop() {
            for after in &self.0[node] {
                ahead[*after] -= 1;
                free.extend((ahead[*after] == 0).then_some(*after));
            }
        }
        let is_left = |node: usize| ahead[node] > 0;
        let before = |node: usize| {
            (0..self.0.len()).find(|before| is_left(*before) && self.0[*before].contains(&node))
        };
        let mut way = vec![(0..self.0.len()).find(|node| is_left(*node))?];
        loop {
            let next = before(*way.last()?)?;
            if let Some(at) = way.iter().position(|node| *node == next) {
                return Some(way.split_off(at));
            }
            way.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: connection, when it was sent, when it was answered, calls; reads with what they
    /// saw behind `=`.
    fn check(lines: &[&str]) -> Result<(), Broken> {
        let mut cycles = Cycles::default();
        for line in lines {
            let (head, calls) = line.split_once(": ").expect("a line has a head");
            let numbers: Vec<u64> = head.split(' ').map(|n| n.parse().expect("a number")).collect();
            let calls: Vec<(Call, Reply)> = calls.split("; ").map(call).collect();
            let (calls, replies): (Vec<Call>, Vec<Reply>) = calls.into_iter().unzip();
            let mut asked = vec![Call::of("MULTI")];
            asked.extend(calls);
            asked.push(Call::of("EXEC"));
            cycles.asked(numbers[0], numbers[1], &asked);
            if numbers[2] == 0 {
                cycles.ended(numbers[0]);
                continue;
            }
            cycles.answered(numbers[0], numbers[2], &Reply::ok());
            for _ in &replies {
                let queued = Reply::Status("QUEUED".to_owned());
                cycles.answered(numbers[0], numbers[2], &queued);
            }
            cycles.answered(numbers[0], numbers[2], &Reply::List(replies));
        }
        cycles.check()
    }

    fn call(text: &str) -> (Call, Reply) {
        match text.split_once('=') {
            None => (Call::of(&format!("RPUSH {text}")), Reply::Int(1)),
            Some((key, elements)) => {
                let elements: Vec<String> =
                    elements.split_whitespace().map(str::to_owned).collect();
                (Call::of(&format!("LRANGE {key} 0 -1")), Reply::texts(elements.iter()))
            }
        }
    }

    #[test]
    fn what_some_order_explains_is_fine() {
        assert_eq!(check(&["1 1 9: a0 x; a1 y", "2 2 8: a0=; a1=", "2 9 10: a0=x; a1=x"]), {
            Err("x was read of a1, and nobody appended it".to_owned())
        });
        assert_eq!(check(&["1 1 9: a0 x; a1 y", "2 2 8: a0=; a1=", "2 9 10: a0=x; a1=y"]), Ok(()));
        assert_eq!(check(&["1 1 9: a0 x", "2 2 8: a0=x", "3 3 0: a0 z", "2 9 10: a0=x z"]), Ok(()));
    }

    #[test]
    fn every_anomaly_is_noticed() {
        for (anomaly, lines) in [
            ("half of a transaction", &["1 1 9: a0 x; a1 y", "2 2 8: a0=x; a1="][..]),
            ("a read of the past", &["1 1 2: a0 x", "2 3 4: a0="]),
            ("a lost append", &["1 1 2: a0 x", "2 3 4: a0 y", "3 5 6: a0=y"]),
            ("two orders", &["1 1 9: a0 x", "2 1 9: a0 y", "3 1 9: a0=x", "4 1 9: a0=y"]),
            ("write skew", &["1 1 9: a0=; a1 x", "2 1 9: a1=; a0 y", "3 10 11: a0=y; a1=x"]),
            ("an intermediate read", &["1 1 9: a0 x; a0 y", "2 1 9: a0=x", "3 10 11: a0=x y"]),
            ("a transaction that misses itself", &["1 1 9: a0 x; a0=", "2 10 11: a0=x"]),
        ] {
            assert!(check(lines).is_err(), "{anomaly}");
        }
    }

    #[test]
    fn what_was_refused_is_never_seen() {
        let mut cycles = Cycles::default();
        cycles.asked(1, 1, &[Call::of("RPUSH a0 x"), Call::of("LRANGE a0 0 -1")]);
        cycles.answered(1, 2, &Reply::Error("LOADING".to_owned()));
        cycles.answered(1, 2, &Reply::List(vec![Reply::Bulk("x".to_owned())]));
        let broken = "x was read of a0, and its append has failed".to_owned();
        assert_eq!(cycles.check(), Err(broken));
    }
}

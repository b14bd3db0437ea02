//! The part of the primary goes from node to node: a replica is made one, clients write to it, and
//! the others follow it, the old primary among them. It may have less than that one by then.

use super::World;
use crate::checks::Broken;
use crate::follower::{self, Follower, Source};
use crate::link::{Link, Own};
use crate::plan::Fault;
use crate::rare::Rare;
use crate::start;
use crate::upstream::Upstream;

impl World {
    /// The replica that leads, or is to.
    fn chosen(&self) -> Option<usize> {
        self.followers.iter().position(Follower::is_chosen)
    }

    /// A replica is made a primary, or where there is one, another replica follows it.
    pub(super) fn hand_over_more(&mut self) {
        let Some(leader) = self.chosen() else {
            let number = self.context.rng.usize(..self.followers.len());
            return self.with_follower(number, Follower::promote);
        };
        let is_left = |follower: &Follower| {
            let source = follower.next_source.unwrap_or(follower.source);
            !follower.is_chosen() && source != Source::Follower(leader)
        };
        if self.followers[leader].is_primary()
            && let Some(number) = self.followers.iter().position(is_left)
        {
            self.with_follower(number, |it, server| it.follow(Source::Follower(leader), server));
        }
    }

    /// Replicas with a journal are read back from it.
    pub(super) fn cut_power_of_replicas(&mut self) {
        for number in 0..self.followers.len() {
            if self.followers[number].has_journal() && !self.followers[number].leads() {
                self.with_follower(number, |it, server| it.restart(server, true));
            }
        }
    }

    /// The first node and all replicas follow one that is made a primary.
    pub(super) fn hand_over(&mut self) {
        let leads = |world: &World| {
            world.chosen().is_some_and(|number| world.followers[number].is_primary())
        };
        while !leads(self) && self.context.history.borrow().broken.is_none() {
            self.hand_over_more();
            self.run_until(|world| world.chosen().is_none() || leads(world));
        }
        let Some(leader) = self.chosen() else { return };
        // No client writes any more, and what was written is in the stream.
        self.context.set_primary(&["primary", "6379"]);
        self.rest();
        self.context.history.borrow_mut().is_over = true;
        self.context.upstream = Some(Upstream::default());
        let is_known = self.context.replicas.is_on();
        self.context.replicas.follow();
        self.tender.record(false, &mut self.context);
        self.run_until(|world| world.tender.rests());
        self.context.met(Rare::Demoted);
        self.link = Some((Link::of_primary(self.context.plan.replicas, is_known), leader));
        for _ in 0..self.followers.len() {
            self.hand_over_more();
        }
        self.is_handing_over = true;
        self.run_until(|world| world.followers[leader].is_written());
        self.is_handing_over = false;
        self.settle(World::check_followers);
    }

    /// Some trouble of a kind that the run has.
    pub(super) fn trouble_handover(&mut self) {
        let faults = [Fault::Cuts, Fault::Cuts, Fault::ShardPanics, Fault::Kills, Fault::Moves];
        let fault = faults[self.context.rng.usize(..faults.len())];
        if !self.context.plan.has(fault) {
            return;
        }
        if fault != Fault::Cuts || self.context.rng.bool() {
            return self.trouble_replica(fault);
        }
        let World { followers, context, link, .. } = self;
        if let Some((link, leader)) = link {
            followers[*leader].context.now_us = context.now_us;
            link.cut(&mut followers[*leader].server(), context);
        }
    }

    /// The link of the first node goes on.
    pub(super) fn follow_on(&mut self) {
        let World { followers, context, threads, sockets, saver, link, .. } = self;
        if let Some((link, leader)) = link {
            let server = &mut followers[*leader];
            server.context.now_us = context.now_us;
            link.act(&mut server.server(), Own { threads, sockets, saver }, context);
            server.look_at_streams();
        }
    }

    /// Every replica holds what the node does whose stream it has.
    pub(super) fn check_followers(&mut self) -> Result<(), Broken> {
        let before = self.counted();
        let checked = self.check_all();
        self.counted_before += self.counted() - before;
        checked
    }

    fn check_all(&mut self) -> Result<(), Broken> {
        let leader = self.chosen();
        let led = match leader.map(|number| &mut self.followers[number]) {
            Some(leader) if leader.is_primary() => Some(leader.check_as_primary()?),
            Some(_) => return Err("a replica is about to lead".to_owned()),
            None => None,
        };
        let World { threads, context, router, link, .. } = self;
        if let (Some((link, _)), Some((place, held))) = (link, &led) {
            follower::check(link, threads, router, context, (place, held))?;
            context.replicas.broken.take().map_or(Ok(()), Err)?;
        }
        let first = (context.replicas.place(), start::found(threads, router.map()));
        for number in (0..self.followers.len()).filter(|number| Some(*number) != leader) {
            let (place, held) = match self.root(number) == leader {
                true => led.as_ref().unwrap_or(&first),
                false => &first,
            };
            self.followers[number].check(place, held)?;
        }
        Ok(())
    }

    /// The replica that leads whose stream comes to another one, through whomever. None where it is
    /// that of the first node.
    fn root(&self, mut number: usize) -> Option<usize> {
        while !self.followers[number].leads() {
            match self.followers[number].source {
                Source::First => return self.link.as_ref().map(|(_, leader)| *leader),
                Source::Follower(next) => number = next,
            }
        }
        Some(number)
    }
}

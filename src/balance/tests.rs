//! The decision against loads that a model makes.

use std::sync::Arc;

use super::*;
use crate::settings::Settings;

/// Milliseconds of a window.
const WINDOW_MS: u64 = 2_000;

/// Shards whose threads are busy with their slots, and with clients.
struct Model {
    map: Arc<Map>,
    balance: Balance,
    rules: Rebalancing,
    /// By slot, in shares of a core.
    loads: BTreeMap<u16, f64>,
    /// By shard: what its clients cost, wherever their keys are.
    clients: Vec<f64>,
    random: fastrand::Rng,
    now_ms: u64,
    moves: usize,
    moved: usize,
}

impl Model {
    fn new(shards: ShardId, clients: f64) -> Model {
        Model {
            map: Arc::new(Map::new(shards)),
            balance: Balance::default(),
            rules: Settings::default().rebalancing.clone(),
            loads: BTreeMap::new(),
            clients: vec![clients; usize::from(shards)],
            random: fastrand::Rng::with_seed(5),
            now_ms: 0,
            moves: 0,
            moved: 0,
        }
    }

    /// A slot of this shard, the `nth`.
    fn slot(&self, shard: ShardId, nth: usize) -> u16 {
        self.map.slots_of(shard).nth(nth).unwrap()
    }

    /// How busy the shards are; a core is full at 1.
    fn busy(&self) -> Vec<f64> {
        let mut busy = self.clients.clone();
        for (slot, load) in &self.loads {
            busy[usize::from(self.map.owner(*slot))] += load;
        }
        busy
    }

    /// A window, with a tenth of noise in everything; what is decided is done.
    fn window(&mut self) -> Verdict {
        self.now_ms += WINDOW_MS;
        let mut windows = vec![Window::default(); self.clients.len()];
        let random = &mut self.random;
        let mut noisy = |share: f64| share * (0.95 + 0.1 * random.f64());
        for (slot, load) in &self.loads {
            let window = &mut windows[usize::from(self.map.owner(*slot))];
            window.slots.push((*slot, noisy(*load)));
        }
        for (window, clients) in windows.iter_mut().zip(&self.clients) {
            let slots: f64 = window.slots.iter().map(|(_, load)| load).sum();
            window.busy = (slots + noisy(*clients)).min(1.0);
        }
        let verdict = self.balance.decide(&self.map, &windows, &self.rules, self.now_ms);
        if let Verdict::Move(Gap { to, .. }, slots, _) = &verdict {
            self.balance.moves(slots, &self.rules, self.now_ms);
            self.map = Arc::new(self.map.with_moves(slots, *to));
            self.moves += 1;
            self.moved += slots.len();
        }
        verdict
    }

    fn windows(&mut self, count: usize) {
        (0..count).for_each(|_| drop(self.window()));
    }
}

/// A Zipf law over `count` slots, drawn at random, that takes this share of a core.
fn zipf(model: &mut Model, count: usize, share: f64) {
    let sum: f64 = (1..=count).map(|rank| 1.0 / (rank as f64).powf(0.99)).sum();
    for rank in 1..=count {
        let slot = model.random.u16(..SLOTS);
        *model.loads.entry(slot).or_default() += share / (rank as f64).powf(0.99) / sum;
    }
}

#[test]
fn a_load_that_is_even_moves_nothing_in_ten_minutes() {
    for shards in [2, 4, 8] {
        let mut model = Model::new(shards, 0.5);
        for slot in 0..SLOTS {
            model.loads.insert(slot, 0.4 * f64::from(shards) / f64::from(SLOTS));
        }
        model.windows(300);
        assert_eq!(model.moves, 0, "{shards} shards");
    }
}

#[test]
fn hot_slots_are_spread_once_and_stay() {
    for shards in [2_u16, 4, 8] {
        let mut model = Model::new(shards, 0.1);
        for nth in 0..40 {
            model.loads.insert(model.slot(0, nth), 0.02 * f64::from(shards));
        }
        let before = model.busy();
        model.windows(300);
        let busy = model.busy();
        let (most, least) = (busy.iter().copied().fold(0.0, f64::max), busy[0]);
        assert!(before[0] > 1.5 * most && most < 0.97 && least > 0.5, "{before:?} to {busy:?}");
        let (moves, moved) = (model.moves, model.moved);
        assert!(moves <= 4 * usize::from(shards) && moved <= 40, "{moves} moves, {moved} slots");
        let last = model.window();
        assert!(matches!(last, Verdict::Calm(_)), "{last}");
    }
}

#[test]
fn a_zipf_law_is_spread_with_few_moves() {
    let mut model = Model::new(4, 0.2);
    zipf(&mut model, 5_000, 2.4);
    // What a shard cannot do is not done.
    model.windows(300);
    let busy = model.busy();
    let most = busy.iter().copied().fold(0.0, f64::max);
    assert!(most < 1.0, "{busy:?}");
    assert!(model.moves < 30, "{} moves", model.moves);
}

#[test]
fn one_hot_slot_is_reported_and_not_moved_to_and_fro() {
    let mut model = Model::new(2, 0.2);
    let hot = model.slot(1, 7);
    model.loads.insert(hot, 0.8);
    let verdicts: Vec<Verdict> = (0..300).map(|_| model.window()).collect();
    assert_eq!((model.moves, model.map.owner(hot)), (0, 1));
    let last = verdicts.last().unwrap();
    assert!(matches!(last, Verdict::Stuck(_, Some((slot, _))) if *slot == hot), "{last}");
    assert!(verdicts[0].word() == "uneven" && verdicts[2].word() == "stuck");
    let text = last.to_string();
    assert!(text.contains(&format!("slot {hot} alone takes")), "{text}");
}

#[test]
fn what_stands_beside_a_hot_slot_makes_room_for_it() {
    let mut model = Model::new(2, 0.2);
    let hot = model.slot(0, 3);
    model.loads.insert(hot, 0.6);
    for nth in 10..20 {
        model.loads.insert(model.slot(0, nth), 0.015);
    }
    model.windows(100);
    let beside = model.loads.keys().filter(|slot| model.map.owner(**slot) == 0).count();
    assert_eq!((beside, model.map.owner(hot), model.moved), (1, 0, 10));
}

#[test]
fn a_load_that_shifts_is_followed_and_a_short_one_is_not() {
    let mut model = Model::new(2, 0.2);
    let shift = |model: &mut Model, shard| {
        model.loads.clear();
        for nth in 0..20 {
            model.loads.insert(model.slot(shard, 100 + nth), 0.04);
        }
    };
    // Each for one window less than it takes to begin.
    for round in 0..100 {
        shift(&mut model, round % 2);
        model.windows(2);
        model.loads.clear();
        model.windows(1);
    }
    assert_eq!(model.moves, 0);
    shift(&mut model, 0);
    model.windows(3);
    let busy = model.busy();
    assert!(model.moves == 1 && (busy[0] - busy[1]).abs() < 0.2, "{busy:?}");
}

#[test]
fn the_load_has_gone_and_nothing_moves_any_more() {
    let mut model = Model::new(2, 0.1);
    model.rules.rest_s = 0;
    for nth in 0..600 {
        model.loads.insert(model.slot(0, nth), 0.0015);
    }
    model.windows(3);
    assert_eq!(model.moves, 1);
    let later: BTreeMap<u16, f64> = model
        .loads
        .iter()
        .filter(|(slot, _)| model.map.owner(**slot) == 0)
        .map(|(s, l)| (*s, l / 5.0))
        .collect();
    model.loads = later;
    model.clients = vec![0.05, 0.0];
    model.windows(10);
    assert_eq!(model.moves, 1, "it is uneven, but no shard is busy");
}

#[test]
fn a_slot_that_has_moved_rests() {
    let mut model = Model::new(2, 0.05);
    let slots = [model.slot(0, 1), model.slot(0, 2)];
    model.loads.extend(slots.map(|slot| (slot, 0.45)));
    model.balance.moves(&slots, &model.rules, 0);
    model.windows(14);
    assert_eq!(model.moves, 0, "they rest");
    model.windows(2);
    assert_eq!((model.moves, model.moved), (1, 1), "they have rested, and one is enough");
}

#[test]
fn verdicts_are_told_in_words() {
    let gap = Gap { from: 1, most: 0.97, to: 0, least: 0.41 };
    let told = |verdict: Verdict| (verdict.word(), verdict.to_string());
    let begin = "shard 1 is busy for 97% of the time and shard 0 for 41%";
    assert_eq!(told(Verdict::Calm(gap)), ("calm", begin.to_owned()));
    assert_eq!(told(Verdict::Uneven(gap, 2)), ("uneven", format!("{begin} in window 2 running")));
    let moved = Verdict::Move(gap, vec![1, 2], 0.28);
    assert_eq!(told(moved), ("move", format!("{begin} and 2 slots with 28% go there")));
    let stuck = told(Verdict::Stuck(gap, None)).1;
    assert_eq!(stuck, format!("{begin} and no slot that may move makes it better"));
    assert_eq!(told(Verdict::None), ("none", "nothing was measured".to_owned()));
}

#[test]
fn a_thread_takes_few_clients_in_a_window_and_none_when_it_is_busy() {
    let mut figures = figures::Figures::default();
    assert!((0..100).all(|_| figures.takes_client(1, 0, 0.85)), "nothing was measured");
    let (map, balance) = (Map::new(2), Balance::default());
    let windows = [0.9, 0.5].map(|busy| Window { busy, slots: Vec::new() });
    for clients in [0, 100] {
        figures.note(&balance, &map, &windows, &Verdict::None, true);
        let mut taken =
            |shard| (0..100).filter(|_| figures.takes_client(shard, clients, 0.85)).count();
        assert_eq!((taken(0), taken(1)), (0, 4 + clients / 4));
    }
}

//! The heaviest of many keys in a bounded room: Space-Saving (A. Metwally, D. Agrawal and A. El
//! Abbadi, 2005).
//!
//! There are so many counters at the most. A key that has one adds its weight to it. A key that has
//! none takes a free counter, or else the smallest, and goes on counting from there: what stood in
//! it is the error that the sum of the key may have. So no sum is too small, none is too large by
//! more than its error, and a key is always among the counted ones whose weight is more than that
//! of all keys by the number of counters.
//!
//! The counters form a heap, the smallest on top: a weight costs the logarithm of their number.
//! A key is told apart by its hash, which is of all its bytes and has random seeds. Of its name the
//! first [`NAME_MAX`] bytes are kept, and how many there are.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::base::hash::Hasher;

/// Bytes of a name that are kept. A longer one is shown as SLOWLOG shows long words.
const NAME_MAX: usize = 512;

/// Which key a counter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId {
    /// The hash of its name, the same on every shard.
    pub hash: u64,
    /// The database, where keys of several are told apart.
    pub db: u32,
}

/// How much of one key was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// Which key.
    pub id: KeyId,
    /// Its name, or how that begins and how much is missing.
    pub name: Vec<u8>,
    /// Its weight, as well as it is known.
    pub weight: u64,
}

#[derive(Clone, Debug)]
struct Counter {
    id: KeyId,
    /// How the name begins.
    name: Vec<u8>,
    /// Bytes of the whole name.
    name_bytes: usize,
    sum: u64,
    error: u64,
    /// Where it stands in the heap.
    place: usize,
}

impl Counter {
    /// The middle of what the weight may be.
    fn weight(&self) -> u64 {
        self.sum - self.error / 2
    }

    fn shown(&self) -> Vec<u8> {
        let mut name = self.name.clone();
        if self.name_bytes > NAME_MAX {
            let more = self.name_bytes - NAME_MAX;
            name.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
        }
        name
    }

    fn rename(&mut self, id: KeyId, name: &[u8]) {
        self.id = id;
        self.name.clear();
        self.name.extend_from_slice(&name[..name.len().min(NAME_MAX)]);
        self.name_bytes = name.len();
    }
}

/// The heaviest keys.
#[derive(Clone, Debug)]
pub struct Sketch {
    most: usize,
    counters: Vec<Counter>,
    /// Numbers of counters, none smaller than that at half its place.
    heap: Vec<usize>,
    /// The counter of each key.
    known: HashMap<KeyId, usize, Hasher>,
    total: u64,
}

impl Sketch {
    /// A sketch with so many counters, one at least.
    pub fn new(most: usize) -> Sketch {
        Sketch {
            most: most.max(1),
            counters: Vec::new(),
            heap: Vec::new(),
            // What is hashed here is a hash with random seeds already.
            known: HashMap::with_hasher(Hasher::with_seeds([1, 2, 3, 4])),
            total: 0,
        }
    }

    /// Adds to the weight of a key.
    pub fn add(&mut self, id: KeyId, name: &[u8], weight: u64) {
        self.total = self.total.saturating_add(weight);
        let counter = match self.known.get(&id) {
            Some(counter) => *counter,
            None if self.counters.len() < self.most => self.take_free(id, name),
            None => self.take_smallest(id, name),
        };
        let counter = &mut self.counters[counter];
        counter.sum = counter.sum.saturating_add(weight);
        let place = counter.place;
        self.sink(place);
    }

    /// The weight of all keys.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The heaviest keys, so many at the most.
    pub fn heaviest(&self, most: usize) -> Vec<Weighed> {
        let mut counters: Vec<&Counter> = self.counters.iter().collect();
        counters.sort_unstable_by_key(|counter| (Reverse(counter.weight()), counter.id));
        counters.truncate(most);
        let weighed = |of: &&Counter| Weighed { id: of.id, name: of.shown(), weight: of.weight() };
        counters.iter().map(weighed).collect()
    }

    /// A counter that nobody has had, at zero.
    fn take_free(&mut self, id: KeyId, name: &[u8]) -> usize {
        let (number, place) = (self.counters.len(), self.heap.len());
        let (name_bytes, sum, error) = (0, 0, 0);
        let mut counter = Counter { id, name: Vec::new(), name_bytes, sum, error, place };
        counter.rename(id, name);
        self.counters.push(counter);
        self.heap.push(number);
        self.known.insert(id, number);
        self.rise(place);
        number
    }

    /// The smallest counter, at what it stands at.
    fn take_smallest(&mut self, id: KeyId, name: &[u8]) -> usize {
        let number = self.heap[0];
        let counter = &mut self.counters[number];
        self.known.remove(&counter.id);
        counter.error = counter.sum;
        counter.rename(id, name);
        self.known.insert(id, number);
        number
    }

    fn sum_at(&self, place: usize) -> u64 {
        self.counters[self.heap[place]].sum
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.counters[self.heap[a]].place = a;
        self.counters[self.heap[b]].place = b;
    }

    /// A counter has become smaller than others: it goes up as far as it has to.
    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.sum_at(place) < self.sum_at((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    /// A counter has grown: it goes down as far as it has to.
    fn sink(&mut self, mut place: usize) {
        loop {
            let below = (2 * place + 1..self.heap.len()).take(2);
            let Some(least) = below.min_by_key(|at| self.sum_at(*at)) else { return };
            if self.sum_at(place) <= self.sum_at(least) {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }
}

/// The heaviest keys of several sketches, so many at the most: what each says of a key is added up.
pub fn heaviest(of: impl Iterator<Item = Weighed>, most: usize) -> Vec<Weighed> {
    let mut all: HashMap<KeyId, Weighed> = HashMap::new();
    for weighed in of {
        match all.get_mut(&weighed.id) {
            Some(known) => known.weight = known.weight.saturating_add(weighed.weight),
            None => drop(all.insert(weighed.id, weighed)),
        }
    }
    let mut all: Vec<Weighed> = all.into_values().collect();
    all.sort_unstable_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::zipf::Zipf;

    fn id(key: usize) -> KeyId {
        // As hashes are: far apart.
        KeyId { hash: (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), db: 0 }
    }

    fn add(sketch: &mut Sketch, key: usize, weight: u64) {
        sketch.add(id(key), format!("key:{key}").as_bytes(), weight);
    }

    #[test]
    fn few_keys_are_counted_to_the_last() {
        let mut sketch = Sketch::new(4);
        for (key, weight) in [(1, 5), (2, 1), (3, 7), (1, 4), (4, 2)] {
            add(&mut sketch, key, weight);
        }
        let found: Vec<(Vec<u8>, u64)> =
            sketch.heaviest(9).into_iter().map(|found| (found.name, found.weight)).collect();
        let expected = [("key:1", 9), ("key:3", 7), ("key:4", 2), ("key:2", 1)];
        assert_eq!(found, expected.map(|(name, weight)| (name.as_bytes().to_vec(), weight)));
        assert_eq!((sketch.total(), sketch.heaviest(1).len()), (19, 1));
    }

    #[test]
    fn a_new_key_goes_on_from_the_smallest_counter() {
        let mut sketch = Sketch::new(2);
        add(&mut sketch, 1, 10);
        add(&mut sketch, 2, 4);
        add(&mut sketch, 3, 1);
        let of = |sketch: &Sketch, key| {
            sketch
                .counters
                .iter()
                .find(|counter| counter.id == id(key))
                .map(|of| (of.sum, of.error))
        };
        assert_eq!(of(&sketch, 1), Some((10, 0)));
        assert_eq!(of(&sketch, 2), None, "its counter was the smallest");
        assert_eq!(of(&sketch, 3), Some((5, 4)));
        assert_eq!(sketch.heaviest(2)[1].weight, 3, "between 1 and 5");
    }

    /// The bounds that the paper proves, for weights of any size.
    #[test]
    fn no_sum_is_too_small_nor_too_large_by_more_than_its_error() {
        let (mut sketch, mut truth) = (Sketch::new(50), HashMap::<usize, u64>::new());
        let (mut zipf, mut random) = (Zipf::new(1_000, 0.99, 7), fastrand::Rng::with_seed(8));
        for _ in 0..20_000 {
            let (key, weight) = (zipf.next(), random.u64(1..100));
            add(&mut sketch, key, weight);
            *truth.entry(key).or_default() += weight;
        }
        let known: HashMap<KeyId, &Counter> =
            sketch.counters.iter().map(|counter| (counter.id, counter)).collect();
        let total: u64 = truth.values().sum();
        assert_eq!((total, known.len()), (sketch.total(), 50));
        assert_eq!(sketch.counters.iter().map(|counter| counter.sum).sum::<u64>(), total);
        for (key, weight) in truth {
            match known.get(&id(key)) {
                Some(counter) => {
                    assert!(counter.sum >= weight && counter.sum - counter.error <= weight);
                }
                None => assert!(weight <= total / 50, "{key} is left out with {weight}"),
            }
        }
        for place in 1..sketch.heap.len() {
            assert!(sketch.sum_at(place) >= sketch.sum_at((place - 1) / 2));
            assert_eq!(sketch.counters[sketch.heap[place]].place, place);
        }
    }

    #[test]
    fn a_long_name_is_kept_in_part_and_told_apart_from_others() {
        let mut sketch = Sketch::new(4);
        let names = [vec![b'x'; 512], vec![b'x'; 600], vec![b'x'; 601]];
        for (number, name) in names.iter().enumerate() {
            sketch.add(id(number), name, 9 - number as u64);
        }
        let found = sketch.heaviest(4);
        assert_eq!(found[0].name, names[0]);
        assert!(found[1].name.ends_with(b"x... (88 more bytes)"));
        assert!(found[2].name.ends_with(b"x... (89 more bytes)"));
        assert!(sketch.counters.iter().all(|counter| counter.name.len() <= NAME_MAX));
    }

    #[test]
    fn sums_of_shards_are_added_up() {
        let weighed = |key, weight| Weighed { id: id(key), name: vec![b'a' + key as u8], weight };
        let (one, other) = ([weighed(1, 5), weighed(2, 3)], [weighed(2, 4), weighed(3, 5)]);
        let found = heaviest(one.into_iter().chain(other), 2);
        assert_eq!(found, [weighed(2, 7), weighed(1, 5)], "of equal ones the first name");
    }
}

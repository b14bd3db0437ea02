//! A stream against a naive one: a sorted list of entries.

use super::*;

const LIMITS: Limits = Limits { node_bytes: 200, node_entries: 7 };

type Model = Vec<(Id, Vec<Vec<u8>>)>;

fn words(entry: Entry<'_>) -> Vec<Vec<u8>> {
    entry.pairs.flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect()
}

fn content(stream: &Stream) -> Model {
    stream.range(Id::MIN, Id::MAX).map(|entry| (entry.id, words(entry))).collect()
}

fn random_words(random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let fields = if random.u8(0..4) == 0 { random.usize(1..5) } else { 2 };
    let names: [&[u8]; 3] = [b"temp", b"hum", b"12"];
    (0..fields)
        .flat_map(|at| {
            let name = names[if random.u8(0..5) == 0 { random.usize(0..3) } else { at % 3 }];
            let value = match random.u8(0..4) {
                0 => random.i64(..).to_string().into_bytes(),
                1 => vec![b'x'; random.usize(0..90)],
                _ => random.u8(..).to_string().into_bytes(),
            };
            [name.to_vec(), value]
        })
        .collect()
}

/// What trimming does, entry by entry.
fn trim_model(model: &mut Model, bound: Bound) {
    match bound {
        Bound::Len(len) => drop(model.drain(..model.len().saturating_sub(len as usize))),
        Bound::Id(id) => model.retain(|(entry, _)| *entry >= id),
    }
}

#[test]
fn random_operations_agree_with_a_sorted_list() {
    let seed = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..if cfg!(miri) { 2 } else { 60 } {
        let (mut stream, mut model) = (Stream::default(), Model::new());
        for _ in 0..300 {
            let some = |random: &mut fastrand::Rng, model: &Model| {
                let near = Id::new(random.u64(0..300), random.u64(0..3));
                model.get(random.usize(0..=model.len())).map_or(near, |(id, _)| *id)
            };
            match random.u8(0..10) {
                0..5 => {
                    let (ms, seq) = (random.u64(0..3), random.u64(1..400));
                    let last = stream.last_id;
                    let id = Id::new(last.ms + ms, if ms == 0 { last.seq + seq } else { seq });
                    let words = random_words(&mut random);
                    stream.push(id, &words.iter().map(Vec::as_slice).collect::<Vec<_>>(), LIMITS);
                    model.push((id, words));
                }
                5 | 6 => {
                    let id = some(&mut random, &model);
                    let there = model.iter().position(|(entry, _)| *entry == id);
                    let gone = stream.delete(id, References::Keep) == Deleted::Gone;
                    assert_eq!(gone, there.is_some(), "seed {seed}");
                    there.into_iter().for_each(|at| drop(model.remove(at)));
                }
                7 => {
                    let bound = match random.bool() {
                        true => Bound::Len(random.u64(0..60)),
                        false => Bound::Id(some(&mut random, &model)),
                    };
                    let approximate = random.bool();
                    let references = References::Keep;
                    let trim = Trim { bound, approximate, limit: None, references };
                    let trimmed = stream.trim(trim);
                    if approximate {
                        // What went is the front, and nothing that the bound keeps.
                        let mut least = model.clone();
                        trim_model(&mut least, bound);
                        model.drain(..trimmed as usize);
                        assert!(model.len() >= least.len(), "seed {seed}");
                    } else {
                        trim_model(&mut model, bound);
                    }
                }
                _ => {
                    let (start, end) = (some(&mut random, &model), some(&mut random, &model));
                    let inside = |(id, _): &&(Id, _)| (start..=end).contains(id);
                    let expected: Vec<Id> = model.iter().filter(inside).map(|e| e.0).collect();
                    let mut back: Vec<Id> =
                        stream.range_back(start, end).map(|entry| entry.id).collect();
                    back.reverse();
                    let forth: Vec<Id> = stream.range(start, end).map(|entry| entry.id).collect();
                    assert_eq!(forth, expected, "seed {seed}");
                    assert_eq!(back, expected, "seed {seed}");
                }
            }
            assert_eq!(content(&stream), model, "seed {seed}");
            assert_eq!(stream.entries(), model.len() as u64);
            assert_eq!(stream.first_id(), model.first().map_or(Id::MIN, |(id, _)| *id));
        }
    }
}

fn numbered(count: u64) -> Stream {
    let mut stream = Stream::default();
    (1..=count).for_each(|ms| stream.push(Id::new(ms, 0), &[b"f", b"1"], LIMITS));
    stream
}

#[test]
fn an_approximate_trim_takes_whole_nodes_up_to_its_limit() {
    let trim = |len, limit| Trim {
        bound: Bound::Len(len),
        approximate: true,
        limit,
        references: References::Keep,
    };
    let mut stream = numbered(70);
    assert_eq!(stream.nodes(), 10);
    assert_eq!(stream.trim(trim(60, None)), 7);
    assert_eq!(stream.trim(trim(60, None)), 0);
    assert_eq!(stream.trim(trim(0, Some(20))), 14);
    assert_eq!(stream.trim(trim(0, Some(6))), 0);
}

#[test]
fn references_keep_entries_or_go_with_them() {
    let mut stream = numbered(10);
    let mut group = Group::new(Id::new(8, 0), Some(8));
    let (owner, _) = group.hear(b"c", crate::base::millis::Millis(1));
    let pending = Pending { owner, delivered: crate::base::millis::Millis(1), count: 1 };
    [2, 4].iter().for_each(|ms| group.deliver(Id::new(*ms, 0), pending));
    stream.add_group(b"g", group);
    assert_eq!(stream.delete(Id::new(2, 0), References::Obey), Deleted::Referenced);
    assert_eq!(stream.delete(Id::new(9, 0), References::Obey), Deleted::Referenced);
    assert_eq!(stream.delete(Id::new(1, 0), References::Obey), Deleted::Gone);
    let trim = |len, references| Trim {
        bound: Bound::Len(len),
        approximate: false,
        limit: None,
        references,
    };
    assert_eq!(stream.trim(trim(0, References::Obey)), 5);
    let left: Vec<u64> = content(&stream).iter().map(|(id, _)| id.ms).collect();
    assert_eq!(left, [2, 4, 9, 10]);
    assert_eq!(stream.trim(trim(3, References::Delete)), 1);
    assert_eq!(stream.group(b"g").unwrap().pending_len(), 1);
}

#[test]
fn a_stream_is_dropped_bit_by_bit() {
    let mut stream = numbered(2_000);
    let mut group = Group::new(Id::MIN, None);
    let (owner, _) = group.hear(b"c", crate::base::millis::Millis(1));
    let pending = Pending { owner, delivered: crate::base::millis::Millis(1), count: 1 };
    (1..=500).for_each(|ms| group.deliver(Id::new(ms, 0), pending));
    stream.add_group(b"g", group);
    assert_eq!(Collection::len(&stream), 2_500);
    let steps = (0..).take_while(|_| stream.drop_some()).count();
    assert!((5..50).contains(&steps), "{steps}");
}

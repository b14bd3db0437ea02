//! Lists against a naive model, by seeded random operations.

use super::*;

fn texts(list: &List) -> Vec<Vec<u8>> {
    list.iter().map(Value::to_vec).collect()
}

fn item(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(0..12) {
        0 => vec![b'x'; random.usize(0..3000)],
        1 if random.u8(0..4) == 0 => vec![b'y'; random.usize(4000..9000)],
        2..6 => random.i64(..).to_string().into_bytes(),
        6..8 => random.u8(..4).to_string().into_bytes(),
        _ => vec![b'a' + random.u8(0..3); random.usize(0..100)],
    }
}

/// One random change on both.
fn change(random: &mut fastrand::Rng, list: &mut List, model: &mut Vec<Vec<u8>>, limits: Limits) {
    let (item, index) = (item(random), random.usize(0..=model.len()));
    let end = if random.bool() { End::Front } else { End::Back };
    match random.u8(0..10) {
        0..4 => {
            list.make_room(item.len(), 1, limits);
            list.push(end, &item, limits);
            let at = if end == End::Front { 0 } else { model.len() };
            model.insert(at, item);
        }
        4 | 5 if index < model.len() => {
            let behind = random.bool();
            list.make_room(item.len(), 1, limits);
            list.insert(index, behind, &item, limits);
            model.insert(index + usize::from(behind), item);
        }
        6 | 7 if index < model.len() => {
            list.make_room(item.len(), 1, limits);
            list.set(index, &item, limits);
            list.settle(limits);
            model[index] = item;
        }
        8 => {
            let count = if random.u8(0..9) == 0 { random.usize(0..2000) } else { 1 };
            let cut_end = usize::min(index + count, model.len());
            list.cut(index, count);
            list.settle(limits);
            model.drain(index..cut_end);
        }
        _ => {
            let (item, most) = (b"1".to_vec(), random.usize(0..5));
            let removed = list.remove_equal(&item, end, most);
            list.settle(limits);
            let mut left = most;
            if end == End::Back {
                model.reverse();
            }
            model.retain(|there| {
                let goes = *there == item && left > 0;
                left -= usize::from(goes);
                !goes
            });
            if end == End::Back {
                model.reverse();
            }
            assert_eq!(removed, most - left);
        }
    }
}

fn check(list: &List, model: &[Vec<u8>], limits: Limits) {
    assert_eq!(texts(list), model);
    assert_eq!(list.len(), model.len());
    let mut backwards: Vec<_> =
        list.walk(model.len().wrapping_sub(1), End::Front).map(Value::to_vec).collect();
    backwards.reverse();
    assert_eq!(backwards, model);
    if let List::Linked(linked) = list {
        assert!(linked.packs().iter().all(|pack| !pack.is_empty()));
        let fits = |pack: &Pack| pack.len() == 1 || !limits.want_split(pack.listpack_len() * 2 / 3);
        assert!(linked.packs().iter().all(fits));
    }
}

#[test]
fn random_changes_agree_with_a_vector() {
    let seed = 3;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..if cfg!(miri) { 1 } else { 60 } {
        let limits = Limits::of([-1, -2, -5, 0, 1, 3, 128, i32::MAX][round % 8]);
        let (mut list, mut model) = (List::default(), Vec::new());
        for step in 0..400 {
            change(&mut random, &mut list, &mut model, limits);
            if step % 10 == 0 {
                check(&list, &model, limits);
            }
            let index = random.usize(0..=model.len());
            let (got, there) = (list.get(index).map(Value::to_vec), model.get(index).cloned());
            assert_eq!(got, there, "seed {seed}, round {round}");
        }
        check(&list, &model, limits);
    }
}

#[test]
fn a_list_is_packed_again_at_half_of_the_limit() {
    let limits = Limits::of(4);
    let mut list = List::default();
    for number in 0..5 {
        list.make_room(1, 1, limits);
        list.push(End::Back, number.to_string().as_bytes(), limits);
        assert_eq!(list.encoding(), if number < 4 { "listpack" } else { "quicklist" });
    }
    for len in [4, 3, 2] {
        list.cut(len, 1);
        list.settle(limits);
        assert_eq!((list.len(), list.encoding() == "listpack"), (len, len == 2));
    }
}

#[test]
fn a_long_list_is_dropped_in_pieces() {
    let limits = Limits::of(1);
    let mut list = List::default();
    list.make_room(0, 2, limits);
    (0..100).for_each(|_| list.push(End::Back, b"x", limits));
    assert!(list.memory() >= 100 * 16);
    let mut pieces = 1;
    while list.drop_some() {
        pieces += 1;
    }
    assert_eq!((pieces, list.len()), (4, 0));
}

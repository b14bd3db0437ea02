//! Entries of every shape against plain models.

use super::*;
use crate::data::list::List;
use crate::data::pack::Pack;
use crate::keyspace::object::tests::of_each_form;

fn value_of(entry: &Entry) -> Vec<u8> {
    entry.string().expect("the value is a string").to_vec()
}

#[test]
fn a_small_string_takes_one_grain_less_than_its_parts_apart() {
    let entry = Entry::new(&[b'k'; 16], NewValue::Bytes(&[b'v'; 8]), None, 0);
    assert_eq!(entry.memory(), 32);
}

#[test]
fn every_shape_gives_back_what_was_put_in() {
    for key_len in [0, 1, 255, 256, 70_000] {
        for value_len in [0, 1, 8, INLINE_MAX, INLINE_MAX + 1, 5_000] {
            for deadline in [None, Some(Millis::MAX)] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                let entry = Entry::new(&key, NewValue::Bytes(&value), deadline, 0xabcdef);
                assert_eq!((entry.key(), value_of(&entry)), (&key[..], value));
                assert_eq!((entry.deadline(), entry.access()), (deadline, 0xabcdef));
            }
        }
    }
}

#[test]
fn objects_come_and_go() {
    let list = |items: &[&[u8]]| Object::List(List::Packed(Pack::of(items)));
    let len = |entry: &Entry| entry.object().map(|object| object.collection().len());
    let mut entry = Entry::new(b"k", NewValue::Object(list(&[b"a"])), None, 3);
    assert_eq!((len(&entry), entry.string(), entry.memory()), (Some(1), None, 32));
    entry.edit_object(|object| *object = list(&[b"a", &[b'b'; 70]]));
    entry.set_deadline(Some(Millis(5)));
    entry.bless(true);
    let mut copy = entry.copied(b"copy");
    let renamed = entry.renamed(&[b'n'; 300]);
    assert!(copy.is_blessed() && renamed.is_blessed());
    assert_eq!((len(&renamed), renamed.deadline()), (Some(2), Some(Millis(5))));
    copy.replace(NewValue::Bytes(b"text"), None);
    assert_eq!((value_of(&copy), len(&copy)), (b"text".to_vec(), None));
    copy.replace(NewValue::Object(list(&[])), None);
    assert!(copy.take_object().is_some() && copy.take_object().is_none());
    assert!(copy.is_blessed());
    assert_eq!((value_of(&copy).len(), copy.next_deadline()), (1, NEVER));
}

#[test]
fn every_entry_is_asked_for() {
    for object in of_each_form(3).into_iter().chain(of_each_form(40)) {
        let entry = Entry::new(b"k", NewValue::Object(object), None, 0);
        entry.prefetch();
        entry.prefetch_object();
    }
    let entry = Entry::new(b"k", NewValue::Integer(1), None, 0);
    entry.prefetch();
    entry.prefetch_object();
}

#[test]
fn an_entry_keeps_its_size_when_its_object_is_taken() {
    for key_len in 0..64 {
        let object = Object::Set(crate::data::set::Set::default());
        let value = NewValue::Object(object);
        let mut entry = Entry::new(&vec![b'k'; key_len], value, None, 0);
        let size = entry.shape().size();
        assert!(entry.take_object().is_some());
        assert_eq!(entry.shape().size(), size, "{key_len}");
        assert_eq!(entry.string(), Some(Value::Integer(0)));
    }
}

#[test]
fn random_changes_agree_with_a_plain_model() {
    let seed = 7;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let key: Vec<u8> = (0..random.usize(0..300)).map(|_| random.u8(..)).collect();
        let mut entry = Entry::new(&key, NewValue::Integer(1), None, 5);
        let mut model = (b"1".to_vec(), None);
        let mut is_blessed = false;
        for _ in 0..30 {
            match random.u8(0..6) {
                0 => {
                    let number = random.i64(..);
                    model = (number.to_string().into_bytes(), model.1);
                    entry.replace(NewValue::Integer(number), model.1);
                }
                1 => {
                    let bytes = vec![b'b'; random.usize(0..400)];
                    entry.replace(NewValue::Bytes(&bytes), model.1);
                    model.0 = bytes;
                }
                2 => {
                    model.1 = random.bool().then(|| Millis(random.i64(..)));
                    entry.set_deadline(model.1);
                }
                3 => {
                    let more = vec![b'm'; random.usize(0..100)];
                    entry.edit(|bytes| bytes.extend_from_slice(&more));
                    model.0.extend_from_slice(&more);
                }
                4 => {
                    is_blessed = random.bool();
                    entry.bless(is_blessed);
                }
                _ => entry.edit(|bytes| {
                    let half = bytes.len() / 2;
                    bytes.truncate(half);
                    model.0.truncate(half);
                }),
            }
            assert_eq!(value_of(&entry), model.0, "seed {seed}");
            assert_eq!((entry.deadline(), entry.key()), (model.1, &key[..]), "seed {seed}");
            assert_eq!(entry.is_blessed(), is_blessed, "seed {seed}");
        }
        assert_eq!(entry.access(), 5);
    }
}

#[test]
fn a_mark_stays_with_the_name() {
    let mut entry = Entry::new(b"k", NewValue::Integer(1), None, 0);
    assert_eq!(entry.mark(), None);
    entry.set_mark(5);
    entry.replace(NewValue::Bytes(&[b'x'; 100]), None);
    entry.set_deadline(Some(Millis(1)));
    entry.edit(|bytes| bytes.extend_from_slice(&[b'y'; 300]));
    assert_eq!((entry.mark(), entry.copied(b"k").mark()), (Some(5), None));
    assert_eq!(entry.renamed(b"other").mark(), None);
}

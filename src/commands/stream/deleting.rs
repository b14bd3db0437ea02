//! Deleting entries by their ids: XDEL, XDELEX, XACKDEL.
//!
//! XDELEX and XACKDEL are Redis 8.2's; what they answer for each id is -1 where it is not there, 1
//! where it is gone, 2 where it stays because it is still referred to.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::stream::id;
use crate::commands::stream::trimming::{REFERENCES, take_references};
use crate::data::Collection;
use crate::data::stream::{Deleted, Id, References, Stream};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

const IDS: Arg =
    Arg::block("ids", &[Arg::integer("numids"), Arg::string("id").multiple()]).token("IDS");

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("xackdel"),
        group: Group::Stream,
        since: "8.2.0",
        complexity: "O(1) for each id.",
        summary: "Acknowledges entries for a group and deletes them.",
        arity: Arity::AtLeast(6),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("group"), REFERENCES.optional(), IDS],
        run: Run::Keys(xackdel),
        ..Command::BASE
    },
    Command {
        name: Name("xdel"),
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(1) for each id.",
        summary: "Deletes entries and answers how many there were.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("id").multiple()],
        run: Run::Keys(xdel),
        ..Command::BASE
    },
    Command {
        name: Name("xdelex"),
        group: Group::Stream,
        since: "8.2.0",
        complexity: "O(1) for each id.",
        summary: "Deletes entries, with or without what refers to them.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), REFERENCES.optional(), IDS],
        run: Run::Keys(xdelex),
        ..Command::BASE
    },
];

fn xackdel(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (references, ids) = references_and_ids(call, 3)?;
    delete_each(call, keys, reply, &ids, |stream, id| {
        let group = stream.group_mut(call.arg(2));
        if !group.is_some_and(|group| group.acknowledge(id)) {
            return Deleted::Missing;
        }
        match stream.delete(id, references) {
            Deleted::Missing => Deleted::Gone,
            deleted => deleted,
        }
    })
}

fn xdel(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let deleted = keys.edit_as(call.key(1), |stream: &mut Stream, _| {
        let ids = call.args_from(2).map(|text| id(text, 0)).collect::<Result<Vec<_>, _>>()?;
        let gone = |id: &&Id| stream.delete(**id, References::Keep) == Deleted::Gone;
        Ok::<_, CommandError>(ids.iter().filter(gone).count())
    })?;
    let deleted = deleted.unwrap_or(Ok(0))?;
    keys.changed(call.key(1), Event::XDEL, deleted);
    reply.int(deleted as i64);
    Ok(())
}

fn xdelex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (references, ids) = references_and_ids(call, 2)?;
    delete_each(call, keys, reply, &ids, |stream, id| stream.delete(id, references))
}

/// Deletes each of `ids` as `delete` does, and answers what became of it.
fn delete_each(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    ids: &[Id],
    mut delete: impl FnMut(&mut Stream, Id) -> Deleted,
) -> Result<(), CommandError> {
    let deleted = keys.edit_as(call.key(1), |stream: &mut Stream, _| {
        let before = Collection::len(stream);
        let deleted: Vec<Deleted> = ids.iter().map(|id| delete(stream, *id)).collect();
        (deleted, before != Collection::len(stream))
    })?;
    let (deleted, has_changed) =
        deleted.unwrap_or_else(|| (vec![Deleted::Missing; ids.len()], false));
    reply.array(deleted.len());
    for deleted in &deleted {
        reply.int(match deleted {
            Deleted::Missing => -1,
            Deleted::Gone => 1,
            Deleted::Referenced => 2,
        });
    }
    let gone = deleted.iter().filter(|deleted| **deleted == Deleted::Gone).count();
    keys.changed(call.key(1), Event::XDEL, gone.max(usize::from(has_changed)));
    Ok(())
}

/// The options from `index` on: what happens to references, and IDS, in any order.
fn references_and_ids(
    call: &Call<'_>,
    index: usize,
) -> Result<(References, Vec<Id>), CommandError> {
    let (mut options, mut references, mut ids) = (call.options(index), None, None);
    while options.left() > 0 {
        if let Some(asked) = take_references(&mut options) {
            if references.replace(asked).is_some() {
                return Err(CommandError::Syntax);
            }
        } else if ids.is_none() && options.take_word("IDS") {
            ids = Some(super::counted_ids(&mut options)?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let ids = ids.ok_or(CommandError::Syntax)?;
    Ok((references.unwrap_or(References::Keep), ids))
}

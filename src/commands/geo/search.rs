//! What all searches for positions share: reading the call, looking through the cells, the reply.
//!
//! The forms differ in where their words stand; what is wrong with a call is said in the order in
//! which Redis looks at it. The area's cells are looked through as intervals of scores. Without an
//! order members come as they stand in the cells; with COUNT they are sorted, unless ANY says that
//! the first ones found will do.

use crate::base::float;
use crate::commands::call::{Call, Options};
use crate::commands::error::{CommandError, quoting};
use crate::commands::geo::{point, reply_distance, reply_point, unit};
use crate::commands::recreate;
use crate::commands::zset::limits;
use crate::data::Collection;
use crate::data::geo::{Area, Point, Shape};
use crate::data::zset::{Edge, Zset};
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::{Ref, Typed};
use crate::resp::Reply;

/// Which form a call has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// GEORADIUS: center and radius come first. True where it may store.
    Radius(bool),
    /// GEORADIUSBYMEMBER, likewise.
    RadiusByMember(bool),
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE: the key of the result comes first.
    SearchStore,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    None,
    Nearest,
    Farthest,
}

/// A call as far as it is read.
#[derive(Debug, Default)]
struct Query {
    center: Option<Point>,
    /// FROMMEMBER was said; the center is missing where the key is.
    named_member: bool,
    /// FROMLONLAT was said.
    named_point: bool,
    shape: Option<Shape>,
    polygon: Option<Area>,
    /// Metres of the unit that distances are given in.
    unit: f64,
    order: Order,
    /// 0 for all.
    count: usize,
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_point: bool,
    /// Position of the key to store in.
    store: Option<usize>,
    stores_distance: bool,
}

/// A member that was found.
struct Found {
    name: Vec<u8>,
    score: f64,
    /// In metres.
    distance: f64,
    point: Point,
}

/// Runs a search of any form.
pub(super) fn run(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    form: Form,
) -> Result<(), CommandError> {
    let source = call.key(if form == Form::SearchStore { 2 } else { 1 });
    let zset = keys.read_as::<Zset>(source)?;
    let query = Query::of(call, form, zset.as_ref())?;
    let mut found = match (zset, query.area()) {
        (Some(zset), Some(area)) => look_through(&zset, &area, query.enough()),
        _ => Vec::new(),
    };
    match query.order() {
        Order::None => {}
        Order::Nearest => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
        Order::Farthest => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
    }
    if query.count > 0 {
        found.truncate(query.count);
    }
    match query.store {
        Some(at) => {
            let event =
                if form.is_search() { Event::GEOSEARCHSTORE } else { Event::GEORADIUSSTORE };
            store(call, keys, reply, &query, (at, event), &found);
        }
        None => show(reply, &query, &found),
    }
    Ok(())
}

/// The members in an area, up to `enough`.
fn look_through(zset: &Ref<'_, Zset>, area: &Area, enough: usize) -> Vec<Found> {
    let mut all = Vec::new();
    for (low, high) in area.intervals() {
        let start = zset.rank(Edge::BeforeScore(low));
        zset.visit(start, usize::MAX, false, &mut |name, score| {
            if score >= high {
                return false;
            }
            let point = Point::of_score(score);
            if let Some(distance) = area.distance_inside(point) {
                all.push(Found { name: name.to_vec(), score, distance, point });
            }
            all.len() < enough
        });
        if all.len() >= enough {
            break;
        }
    }
    all
}

fn show(reply: &mut Reply<'_>, query: &Query, found: &[Found]) {
    let besides = [query.with_distance, query.with_hash, query.with_point];
    let besides = besides.into_iter().filter(|is_wanted| *is_wanted).count();
    reply.array(found.len());
    for member in found {
        if besides > 0 {
            reply.array(1 + besides);
        }
        reply.bulk(&member.name);
        if query.with_distance {
            reply_distance(reply, member.distance / query.unit);
        }
        if query.with_hash {
            reply.int(member.score as i64);
        }
        if query.with_point {
            reply_point(reply, member.point);
        }
    }
}

fn store(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    query: &Query,
    (at, event): (usize, Event),
    found: &[Found],
) {
    let (mut zset, limits) = (Zset::default(), limits(call));
    for member in found {
        let distance = member.distance / query.unit;
        let score = if query.stores_distance { distance } else { member.score };
        zset.put(&member.name, score, limits, call.hasher);
    }
    reply.int(zset.len() as i64);
    let destination = call.key(at);
    if keys.set_object(destination, zset.into_object(), event) {
        recreate::rewrite_over_slots(call, keys, destination);
    }
}

impl Query {
    fn of(
        call: &Call<'_>,
        form: Form,
        zset: Option<&Ref<'_, Zset>>,
    ) -> Result<Query, CommandError> {
        let mut query = Query { unit: 1.0, ..Query::default() };
        let mut options = match form {
            Form::Radius(_) => {
                query.center = Some(point(call.arg(2), call.arg(3))?);
                query.take_circle(call.arg(4), call.arg(5))?;
                call.options(6)
            }
            Form::RadiusByMember(_) => {
                query.take_member(call.arg(2), zset)?;
                if zset.is_some() {
                    query.take_circle(call.arg(3), call.arg(4))?;
                }
                call.options(5)
            }
            Form::Search => call.options(2),
            Form::SearchStore => {
                query.store = Some(1);
                call.options(3)
            }
        };
        while options.left() > 0 {
            let is_taken = query.take_choice(&mut options)?
                || query.take_destination(&mut options, form)
                || (form.is_search() && query.take_area(&mut options, zset)?);
            if !is_taken {
                return Err(CommandError::Syntax);
            }
        }
        query.check(call, form)?;
        Ok(query)
    }

    /// What there is to give, and how much of it.
    fn take_choice(&mut self, options: &mut Options<'_>) -> Result<bool, CommandError> {
        if options.take_word("WITHDIST") {
            self.with_distance = true;
        } else if options.take_word("WITHHASH") {
            self.with_hash = true;
        } else if options.take_word("WITHCOORD") {
            self.with_point = true;
        } else if options.take_word("ANY") {
            self.any = true;
        } else if options.take_word("ASC") {
            self.order = Order::Nearest;
        } else if options.take_word("DESC") {
            self.order = Order::Farthest;
        } else if options.left() > 1 && options.take_word("COUNT") {
            let count = usize::try_from(options.integer()?).ok().filter(|count| *count > 0);
            self.count = count.ok_or(CommandError::Text("ERR COUNT must be > 0"))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The key in which the result is stored, or what of it.
    fn take_destination(&mut self, options: &mut Options<'_>, form: Form) -> bool {
        if form == Form::SearchStore && options.take_word("STOREDIST") {
            self.stores_distance = true;
            return true;
        }
        if !matches!(form, Form::Radius(true) | Form::RadiusByMember(true)) || options.left() < 2 {
            return false;
        }
        let by_distance = options.take_word("STOREDIST");
        if !by_distance && !options.take_word("STORE") {
            return false;
        }
        self.stores_distance = by_distance;
        self.store = Some(options.position());
        options.take();
        true
    }

    /// Center and shape, as GEOSEARCH has them.
    fn take_area(
        &mut self,
        options: &mut Options<'_>,
        zset: Option<&Ref<'_, Zset>>,
    ) -> Result<bool, CommandError> {
        let left = options.left();
        let (has_circle, has_box) = (
            matches!(self.shape, Some(Shape::Circle { .. })),
            matches!(self.shape, Some(Shape::Box { .. })),
        );
        let has_polygon = self.polygon.is_some();
        let (has_member, has_point) = (self.named_member, self.named_point);
        if left > 1 && !has_point && !has_polygon && options.take_word("FROMMEMBER") {
            self.named_member = true;
            self.take_member(options.value()?, zset)?;
        } else if left > 2 && !has_member && !has_polygon && options.take_word("FROMLONLAT") {
            self.named_point = true;
            self.center = Some(point(options.value()?, options.value()?)?);
        } else if left > 2 && !has_box && !has_polygon && options.take_word("BYRADIUS") {
            self.take_circle(options.value()?, options.value()?)?;
        } else if left > 3 && !has_circle && !has_polygon && options.take_word("BYBOX") {
            self.take_box(options.value()?, options.value()?, options.value()?)?;
        } else if left > 1
            && !(has_circle || has_box || has_member || has_point)
            && options.take_word("BYPOLYGON")
        {
            self.take_polygon(options)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn take_member(
        &mut self,
        name: &[u8],
        zset: Option<&Ref<'_, Zset>>,
    ) -> Result<(), CommandError> {
        let Some(zset) = zset else { return Ok(()) };
        let Some(score) = zset.score(name) else {
            return Err(quoting("ERR member {} does not exist", &[name]));
        };
        self.center = Some(Point::of_score(score));
        Ok(())
    }

    fn take_circle(&mut self, radius: &[u8], unit_word: &[u8]) -> Result<(), CommandError> {
        let radius = float::parse(radius).ok_or(CommandError::Text("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(CommandError::Text("ERR radius cannot be negative"));
        }
        self.unit = unit(unit_word)?;
        self.shape = Some(Shape::Circle { radius: radius * self.unit });
        Ok(())
    }

    fn take_box(
        &mut self,
        width: &[u8],
        height: &[u8],
        unit_word: &[u8],
    ) -> Result<(), CommandError> {
        let width = float::parse(width).ok_or(CommandError::Text("ERR need numeric width"))?;
        let height = float::parse(height).ok_or(CommandError::Text("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::Text("ERR height or width cannot be negative"));
        }
        self.unit = unit(unit_word)?;
        let (width, height) = (width * self.unit, height * self.unit);
        self.shape = Some(Shape::Box { width, height });
        Ok(())
    }

    fn take_polygon(&mut self, options: &mut Options<'_>) -> Result<(), CommandError> {
        let count = options.integer().ok().and_then(|count| i32::try_from(count).ok());
        let count = count.ok_or(CommandError::Text("ERR invalid number of vertices"))?;
        let count = usize::try_from(count).unwrap_or(0);
        if count < 3 || count > options.left() / 2 {
            return Err(CommandError::Text(
                "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices",
            ));
        }
        let mut corners = Vec::with_capacity(count);
        for _ in 0..count {
            corners.push(point(options.value()?, options.value()?)?);
        }
        self.polygon = Some(Area::polygon(corners));
        Ok(())
    }

    fn check(&self, call: &Call<'_>, form: Form) -> Result<(), CommandError> {
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_point) {
            let what =
                if form.is_search() { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::Quoted(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if form.is_search() && !(self.named_member || self.named_point || self.polygon.is_some()) {
            let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}";
            return Err(quoting(text, &[call.arg(0)]));
        }
        if form.is_search() && self.shape.is_none() && self.polygon.is_none() {
            let text = "ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for {}";
            return Err(quoting(text, &[call.arg(0)]));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::Text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// None where there is no center, the key being missing.
    fn area(&self) -> Option<Area> {
        if let Some(polygon) = &self.polygon {
            return Some(polygon.clone());
        }
        Some(Area { center: self.center?, shape: self.shape.clone()? })
    }

    /// COUNT without an order means the nearest, unless any will do.
    fn order(&self) -> Order {
        let is_implied = self.order == Order::None && self.count > 0 && !self.any;
        if is_implied { Order::Nearest } else { self.order }
    }

    /// With so many members found, no more are looked for.
    fn enough(&self) -> usize {
        if self.any { self.count } else { usize::MAX }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn results_are_stored_and_journaled_by_value_over_slots() {
        let mut store = Store::new();
        store.run("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
        store.effects();
        store.run("GEORADIUS g 15 37 100 km STORE d");
        assert_eq!(store.effects(), "MULTI\nDEL d\nZADD d 3479447370796909 Catania\nEXEC");
        store.run("GEOSEARCHSTORE {g}d g FROMMEMBER Palermo BYRADIUS 1 m STOREDIST");
        let record = "GEOSEARCHSTORE {g}d g FROMMEMBER Palermo BYRADIUS 1 m STOREDIST";
        assert_eq!(store.effects(), record);
        dialogue(&mut store, "> ZRANGE {g}d 0 -1 WITHSCORES\n1) \"Palermo\"\n2) \"0\"");
        store.run("GEORADIUS g 15 37 100 km");
        store.run("GEORADIUS none 15 37 100 km STORE none2");
        assert_eq!(store.effects(), "");
    }
}

//! Positions on the globe as whole numbers of 52 bits, and areas in which to look for them.
//!
//! A position is a cell: longitude and latitude in 2^26 steps each, their bits in turn, a
//! latitude's bit lowest (G. M. Morton's curve, 1966). A larger cell has fewer steps, and all the
//! cells in it have numbers in one interval; so an area is looked through as nine cells of the size
//! that covers it, each an interval of scores. Distances are great circles by the haversine formula
//! on a sphere of radius [`EARTH`].
//!
//! The order of the nine cells, the rules that choose their size and the factors are Redis's, since
//! replies that nobody sorts follow from them. Latitudes end at 85.05112878, where a square map
//! (EPSG:3857) ends.

use std::f64::consts::PI;

/// Radius of the sphere, in metres.
pub const EARTH: f64 = 6_372_797.560856;
/// The highest longitude, in degrees; the lowest is its negative.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The highest latitude, in degrees; the lowest is its negative.
pub const LATITUDE_MAX: f64 = 85.05112878;

/// Steps of a position: 2 to this power in each direction.
const STEP_MAX: u32 = 26;

/// Half of the equator on the square map, in metres.
const HALF_EQUATOR: f64 = 20_037_726.37;

const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A position, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

impl Point {
    /// A position; none where it is not on the map.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let fits = longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX;
        fits.then_some(Point { longitude, latitude })
    }

    /// The number of its cell, a whole one.
    pub fn score(self) -> f64 {
        Cell::of(self, STEP_MAX, LATITUDE_MAX).bits() as f64
    }

    /// The middle of the cell with this number; some position where it is no number of a cell.
    pub fn of_score(score: f64) -> Point {
        let cell = Cell::with_bits(score_bits(score));
        let (min, max) = cell.corners();
        let middle = |min: f64, max: f64, end: f64| ((min + max) / 2.0).min(end).max(-end);
        Point {
            longitude: middle(min.longitude, max.longitude, LONGITUDE_MAX),
            latitude: middle(min.latitude, max.latitude, LATITUDE_MAX),
        }
    }

    /// The standard geohash (G. Niemeyer, 2008) in eleven letters, of which the last says nothing.
    pub fn geohash(self) -> [u8; 11] {
        // There, latitudes end at the poles.
        let bits = Cell::of(self, STEP_MAX, 90.0).bits();
        std::array::from_fn(|place| {
            let at = 5 * (place as u32 + 1);
            let index = if at > 2 * STEP_MAX { 0 } else { (bits >> (2 * STEP_MAX - at)) & 31 };
            LETTERS[index as usize]
        })
    }

    /// Metres to another position.
    pub fn distance(self, other: Point) -> f64 {
        let radians = |degrees: f64| degrees * (PI / 180.0);
        let v = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if v == 0.0 {
            return self.latitude_distance(other);
        }
        let (from, to) = (radians(self.latitude), radians(other.latitude));
        let u = ((to - from) / 2.0).sin();
        let a = u * u + from.cos() * to.cos() * v * v;
        2.0 * EARTH * a.sqrt().asin()
    }

    fn latitude_distance(self, other: Point) -> f64 {
        EARTH * (other.latitude * (PI / 180.0) - self.latitude * (PI / 180.0)).abs()
    }
}

/// A score as the bits of a number, with the wrapping that Redis's platform has.
fn score_bits(score: f64) -> u64 {
    if score < 0.0 {
        (score as i64) as u64
    } else if score < 18_446_744_073_709_551_616.0 {
        score as u64
    } else {
        0
    }
}

/// A cell of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// Steps from the west.
    x: u64,
    /// Steps from the south.
    y: u64,
    /// There are 2 to this power of them in each direction.
    step: u32,
}

impl Cell {
    fn of(point: Point, step: u32, latitude_max: f64) -> Cell {
        let steps = (1u64 << step) as f64;
        let offset = |value: f64, max: f64| ((value + max) / (max - -max) * steps) as u64;
        Cell {
            x: offset(point.longitude, LONGITUDE_MAX),
            y: offset(point.latitude, latitude_max),
            step,
        }
    }

    fn with_bits(bits: u64) -> Cell {
        Cell { x: gathered(bits >> 1), y: gathered(bits), step: STEP_MAX }
    }

    fn bits(self) -> u64 {
        spread(self.x) << 1 | spread(self.y)
    }

    fn moved(self, east: i64, north: i64) -> Cell {
        let mask = (1u64 << self.step) - 1;
        let moved = |at: u64, by: i64| if by == 0 { at } else { at.wrapping_add_signed(by) & mask };
        Cell { x: moved(self.x, east), y: moved(self.y, north), ..self }
    }

    /// The south-west corner and the north-east one.
    fn corners(self) -> (Point, Point) {
        let steps = (1u64 << self.step) as f64;
        let at = |step: u64, max: f64| -max + step as f64 / steps * (max - -max);
        let corner = |x: u64, y: u64| Point {
            longitude: at(x, LONGITUDE_MAX),
            latitude: at(y, LATITUDE_MAX),
        };
        (corner(self.x, self.y), corner(self.x + 1, self.y + 1))
    }

    /// The scores of the positions in it: from the first up to before the second.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEP_MAX - self.step);
        ((self.bits() << shift) as f64, ((self.bits() + 1) << shift) as f64)
    }
}

/// The low 32 bits with a gap behind each.
fn spread(number: u64) -> u64 {
    (0..32).fold(0, |bits, bit| bits | (number >> bit & 1) << (2 * bit))
}

/// Every other bit, from the lowest on.
fn gathered(bits: u64) -> u64 {
    (0..32).fold(0, |number, bit| number | (bits >> (2 * bit) & 1) << bit)
}

/// What an area looks like; lengths in metres.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
    Polygon { corners: Vec<Point> },
}

/// Where to look for positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// What distances are measured from.
    pub center: Point,
    /// What lies around it.
    pub shape: Shape,
}

impl Area {
    /// The inside of a polygon; its center is the mean of its corners on the sphere.
    pub fn polygon(corners: Vec<Point>) -> Area {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for corner in &corners {
            let (longitude, latitude) =
                (corner.longitude * (PI / 180.0), corner.latitude * (PI / 180.0));
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        let count = corners.len() as f64;
        let (x, y, z) = (x / count, y / count, z / count);
        let degrees = |radians: f64| radians / (PI / 180.0);
        let center = Point {
            longitude: degrees(y.atan2(x)),
            latitude: degrees(z.atan2((x * x + y * y).sqrt())),
        };
        Area { center, shape: Shape::Polygon { corners } }
    }

    /// Metres from the center to a position in the area; none where it is outside.
    pub fn distance_inside(&self, point: Point) -> Option<f64> {
        match &self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance(point);
                (distance <= *radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                if point.latitude_distance(self.center) > height / 2.0 {
                    return None;
                }
                let level = Point { longitude: self.center.longitude, ..point };
                let is_inside = point.distance(level) <= width / 2.0;
                is_inside.then(|| self.center.distance(point))
            }
            Shape::Polygon { corners } => {
                is_inside(corners, point).then(|| self.center.distance(point))
            }
        }
    }

    /// Intervals of scores in which all positions in the area lie, in the order in which Redis
    /// looks through them: each from the first up to before the second.
    pub fn intervals(&self) -> Vec<(f64, f64)> {
        let (min, max) = self.bounds();
        let mut step = steps_for(self.reach(), self.center.latitude);
        let mut cell = Cell::of(self.center, step, LATITUDE_MAX);
        let reaches_out = cell.moved(0, 1).corners().1.latitude < max.latitude
            || cell.moved(0, -1).corners().0.latitude > min.latitude
            || cell.moved(1, 0).corners().1.longitude < max.longitude
            || cell.moved(-1, 0).corners().0.longitude > min.longitude;
        if step > 1 && reaches_out {
            step -= 1;
            cell = Cell::of(self.center, step, LATITUDE_MAX);
        }
        let (low, high) = cell.corners();
        // Where the cell itself reaches beyond the area, nothing further on is needed.
        let is_needless = |east: i64, north: i64| {
            step >= 2
                && ((north < 0 && low.latitude < min.latitude)
                    || (north > 0 && high.latitude > max.latitude)
                    || (east < 0 && low.longitude < min.longitude)
                    || (east > 0 && high.longitude > max.longitude))
        };
        let mut cells: Vec<Cell> = vec![cell];
        for (east, north) in AROUND {
            let next = cell.moved(east, north);
            // On a small globe one neighbour may be another; the first is met once more.
            let is_again = cells.len() > 1 && cells.last() == Some(&next);
            if !is_needless(east, north) && !is_again {
                cells.push(next);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }

    /// The south-west and the north-east corner of a rectangle around the area.
    fn bounds(&self) -> (Point, Point) {
        let (half_width, half_height) = match &self.shape {
            Shape::Circle { radius } => (*radius, *radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
            Shape::Polygon { corners } => return bounds_of(corners),
        };
        let degrees = |radians: f64| radians / (PI / 180.0);
        let Point { longitude, latitude } = self.center;
        let north = degrees(half_height / EARTH);
        let width_at =
            |latitude: f64| degrees(half_width / EARTH / (latitude * (PI / 180.0)).cos());
        let east = width_at(if latitude < 0.0 { latitude - north } else { latitude + north });
        (
            Point { longitude: longitude - east, latitude: latitude - north },
            Point { longitude: longitude + east, latitude: latitude + north },
        )
    }

    /// How far the area reaches from its center, in metres.
    fn reach(&self) -> f64 {
        match &self.shape {
            Shape::Circle { radius } => *radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
            // To the corners of the rectangle around it.
            Shape::Polygon { corners } => {
                let (low, high) = bounds_of(corners);
                let at = |longitude, latitude| Point { longitude, latitude };
                let others = [at(low.longitude, high.latitude), at(high.longitude, low.latitude)];
                let corners = [low, high].into_iter().chain(others);
                corners.map(|corner| self.center.distance(corner)).fold(0.0, f64::max)
            }
        }
    }
}

/// The neighbours of a cell, steps to the east and to the north.
const AROUND: [(i64, i64); 8] =
    [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

fn bounds_of(corners: &[Point]) -> (Point, Point) {
    let fold = |of: fn(&Point) -> f64, pick: fn(f64, f64) -> f64, from: f64| {
        corners.iter().map(of).fold(from, pick)
    };
    let corner = |pick: fn(f64, f64) -> f64, from: f64| Point {
        longitude: fold(|corner| corner.longitude, pick, from),
        latitude: fold(|corner| corner.latitude, pick, from),
    };
    (corner(f64::min, f64::INFINITY), corner(f64::max, f64::NEG_INFINITY))
}

/// The size of cells of which nine cover `reach` metres around a latitude. Near the poles a cell is
/// narrower.
fn steps_for(reach: f64, latitude: f64) -> u32 {
    if reach == 0.0 {
        return STEP_MAX;
    }
    let (mut step, mut reach) = (1i32, reach);
    while reach < HALF_EQUATOR {
        reach *= 2.0;
        step += 1;
    }
    step -= 2;
    step -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    step.clamp(1, STEP_MAX as i32) as u32
}

/// True when a ray from the point crosses the sides an odd number of times.
fn is_inside(corners: &[Point], point: Point) -> bool {
    let Some(mut last) = corners.last() else { return false };
    let mut inside = false;
    for corner in corners {
        let spans = (corner.latitude > point.latitude) != (last.latitude > point.latitude);
        let crossing = |from: &Point, to: &Point| {
            (to.longitude - from.longitude) * (point.latitude - from.latitude)
                / (to.latitude - from.latitude)
                + from.longitude
        };
        if spans && point.longitude < crossing(corner, last) {
            inside = !inside;
        }
        last = corner;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point::new(longitude, latitude).expect("the position is on the map")
    }

    #[test]
    fn scores_and_geohashes_are_those_of_valkey() {
        let palermo = point(13.361389, 38.115556);
        assert_eq!(palermo.score(), 3479099956230698.0);
        assert_eq!(point(15.087269, 37.502669).score(), 3479447370796909.0);
        assert_eq!(&Point::of_score(3479099956230698.0).geohash(), b"sqc8b49rny0");
        assert_eq!(&Point::of_score(3479447370796909.0).geohash(), b"sqdtr74hyu0");
        let east = point(180.0, 85.05112878);
        assert_eq!(Point::of_score(east.score()), east);
        for score in [-5.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, 0.5] {
            let found = Point::of_score(score);
            assert!(Point::new(found.longitude, found.latitude).is_some(), "{score}");
        }
    }

    #[test]
    fn what_is_inside_is_found_in_an_interval() {
        let mut random = fastrand::Rng::with_seed(9);
        let mut anywhere = || point(random.f64() * 360.0 - 180.0, random.f64() * 170.0 - 85.0);
        let mut inside = 0;
        for round in 0..300 {
            let center = anywhere();
            let size = 10f64.powf(f64::from(round % 7) + 0.5);
            let area = match round % 2 {
                0 => Area { center, shape: Shape::Circle { radius: size } },
                _ => Area { center, shape: Shape::Box { width: size, height: size * 2.0 } },
            };
            let intervals = area.intervals();
            for _ in 0..30 {
                let step = size / 111_000.0;
                let near = Point::new(
                    center.longitude + step * (anywhere().longitude / 180.0),
                    center.latitude + step * (anywhere().latitude / 85.0),
                );
                let Some(score) = near.map(Point::score) else { continue };
                if area.distance_inside(Point::of_score(score)).is_some() {
                    inside += 1;
                    let found = intervals.iter().any(|(low, high)| *low <= score && score < *high);
                    assert!(found, "{area:?} {score}");
                }
            }
        }
        assert!(inside > 1_000, "{inside}");
    }

    #[test]
    fn a_polygon_has_an_inside_and_a_center() {
        let corners = [(10.0, 30.0), (20.0, 30.0), (20.0, 40.0), (10.0, 40.0)];
        let area = Area::polygon(corners.map(|(x, y)| point(x, y)).to_vec());
        assert!(area.distance_inside(point(15.0, 35.0)).is_some());
        assert!(area.distance_inside(point(21.0, 35.0)).is_none());
        // As Valkey 9.1.2 answered.
        let catania = Point::of_score(3479447370796909.0);
        let distance = area.distance_inside(catania).expect("it is inside");
        assert!((distance - 267_053.969_6).abs() < 0.001, "{distance}");
    }
}

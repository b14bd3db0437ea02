//! Positions on the globe, in sorted sets whose scores are the numbers of cells.

pub(super) mod position;
pub(super) mod radius;
mod search;
pub(super) mod searching;

use crate::base::float;
use crate::commands::error::CommandError;
use crate::data::geo::Point;
use crate::resp::Reply;

/// Longitude and latitude.
fn point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let number = |text| float::parse(text).ok_or(CommandError::NotAFloat);
    let (longitude, latitude) = (number(longitude)?, number(latitude)?);
    Point::new(longitude, latitude).ok_or_else(|| {
        CommandError::Quoted(format!(
            "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
        ))
    })
}

/// Metres of a unit.
fn unit(word: &[u8]) -> Result<f64, CommandError> {
    match &word.to_ascii_lowercase()[..] {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(CommandError::Text("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// A distance with four digits behind the point.
fn reply_distance(reply: &mut Reply<'_>, distance: f64) {
    let rounded = (distance * 10_000.0).round_ties_even() / 10_000.0;
    reply.bulk(format!("{rounded:.4}").as_bytes());
}

/// Longitude and latitude with all their digits.
fn reply_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        if reply.is_resp3() {
            reply.raw(format!(",{text}\r\n").as_bytes());
        } else {
            reply.bulk(text.as_bytes());
        }
    }
}

//! The number of a command: its place in [`registry::all`], found from its address.
//!
//! Counters are arrays by this number, and every command that runs needs it, so it costs one
//! multiplication and one load. The table is built once: multipliers are tried until no two
//! commands share a place. A command that is not in the registry (a test's) gets the number after
//! the last.

use std::sync::LazyLock;

use crate::commands::command::Command;
use crate::commands::registry;

/// Places a command, on average; more make a multiplier without collisions easy to find.
const SPREAD: usize = 32;

/// Multipliers to try before the table is doubled.
const TRIES: u64 = 1_000;

/// Where each command's number stands.
#[derive(Debug)]
pub struct Numbers {
    multiplier: u64,
    shift: u32,
    places: Vec<(usize, u16)>,
    count: usize,
}

static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| Numbers::new(registry::all()));

/// The numbers of all commands. Keep the reference: it saves a look whether they are there yet.
pub fn numbers() -> &'static Numbers {
    &NUMBERS
}

impl Numbers {
    fn new(commands: &[&'static Command]) -> Numbers {
        let mut bits = (commands.len() * SPREAD).next_power_of_two().trailing_zeros().max(1);
        loop {
            let mut random = fastrand::Rng::with_seed(u64::from(bits));
            for _ in 0..TRIES {
                let multiplier = random.u64(..) | 1;
                if let Some(places) = place(commands, multiplier, 64 - bits) {
                    return Numbers { multiplier, shift: 64 - bits, places, count: commands.len() };
                }
            }
            bits += 1;
        }
    }

    /// The number of a command.
    #[inline]
    pub fn of(&self, command: &'static Command) -> usize {
        let address = std::ptr::from_ref(command).addr();
        let (known, number) = self.places[index(address, self.multiplier, self.shift)];
        if known == address { usize::from(number) } else { self.count }
    }

    /// How many numbers there are, the one of strangers included.
    pub fn count(&self) -> usize {
        self.count + 1
    }
}

#[inline]
fn index(address: usize, multiplier: u64, shift: u32) -> usize {
    ((address as u64).wrapping_mul(multiplier) >> shift) as usize
}

fn place(commands: &[&'static Command], multiplier: u64, shift: u32) -> Option<Vec<(usize, u16)>> {
    let mut places = vec![(0, 0); 1 << (64 - shift)];
    for (number, command) in commands.iter().enumerate() {
        let address = std::ptr::from_ref::<Command>(command).addr();
        let place: &mut (usize, u16) = &mut places[index(address, multiplier, shift)];
        if place.0 != 0 {
            return None;
        }
        *place = (address, u16::try_from(number).ok()?);
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_finds_its_own_number() {
        for (number, command) in registry::all().iter().enumerate() {
            assert_eq!(numbers().of(command), number, "{}", command.name);
            let found = registry::named(command.name.as_str().as_bytes()).unwrap();
            assert_eq!(numbers().of(found), number);
        }
    }

    #[test]
    fn a_stranger_gets_the_number_after_the_last() {
        static STRANGER: Command = Command::BASE;
        assert_eq!(numbers().of(&STRANGER), registry::all().len());
    }
}

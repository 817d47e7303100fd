//! A small adventure whose world is a pool: each command is one transaction, so there is nothing to save.
//!
//! Rooms, things and the player are persistent structs; the words are part of the program. A lamp burns down with each
//! turn, so that even looking changes the world.

use pobj::{PBTreeMap, PString, PVec, Persistent, Result, Tx};

/// The ways out of a room.
pub const DIRECTIONS: [&str; 4] = ["north", "east", "south", "west"];

/// Turns that the lamp burns.
const OIL: u64 = 40;

#[derive(Persistent)]
#[repr(C)]
struct Room<'p> {
    name: PString<'p>,
    text: PString<'p>,
    /// Where each of [`DIRECTIONS`] leads.
    exits: [Option<std::num::NonZeroU64>; 4],
    things: PVec<'p, PString<'p>>,
    visited: bool,
}

/// The world and who walks in it.
#[derive(Persistent, Default)]
#[repr(C)]
pub struct World<'p> {
    /// By number, from 1.
    rooms: PBTreeMap<'p, u64, Room<'p>>,
    place: u64,
    carried: PVec<'p, PString<'p>>,
    turns: u64,
    won: u64,
}

/// Name, text, exits by number (0: none), things.
const ROOMS: [(&str, &str, [u64; 4], &[&str]); 5] = [
    ("Jetty", "Planks over black water. A path leads north.", [2, 0, 0, 0], &["lamp"]),
    ("Yard", "Weeds between stones. A house to the east, a well to the west.", [0, 3, 1, 4], &[]),
    ("House", "One room, one table, dust.", [0, 0, 0, 2], &["rope"]),
    ("Well", "It goes down further than you see. Rungs are missing.", [0, 2, 5, 0], &[]),
    ("Cave", "A cave below the well. Something glitters.", [4, 0, 0, 0], &["crown"]),
];

impl<'p> World<'p> {
    /// The world as it is at first.
    ///
    /// # Errors
    ///
    /// Those of taking memory.
    pub fn new(tx: &Tx<'p>) -> Result<Self> {
        let mut world = Self { place: 1, ..Self::default() };
        for (number, (name, text, exits, things)) in (1..).zip(ROOMS) {
            let mut room = Room {
                name: PString::from_str(tx, name)?,
                text: PString::from_str(tx, text)?,
                exits: exits.map(std::num::NonZeroU64::new),
                things: PVec::default(),
                visited: false,
            };
            for thing in things {
                room.things.push(tx, PString::from_str(tx, thing)?)?;
            }
            world.rooms.insert(tx, number, room)?;
        }
        Ok(world)
    }

    /// Obeys a command, and says what happened. One turn.
    ///
    /// # Errors
    ///
    /// Those of taking memory. To be returned from the transaction, so that the turn did not happen.
    pub fn turn(&mut self, tx: &Tx<'p>, command: &str) -> Result<String> {
        self.turns += 1;
        let (verb, object) = command.trim().split_once(' ').unwrap_or((command.trim(), ""));
        Ok(match verb {
            "look" => self.look(true),
            "take" => self.take(tx, object)?,
            "drop" => self.put_down(tx, object)?,
            "bag" => format!("You carry {}.", listed(&self.carried)),
            _ => {
                match DIRECTIONS.iter().position(|direction| *direction == verb || direction[..1] == *verb) {
                    Some(direction) => self.go(tx, direction),
                    None => "You can go north, east, south, west, look, take, drop, and look into your bag."
                        .into(),
                }
            }
        })
    }

    /// Turns so far, and whether the crown was brought to the jetty.
    #[must_use]
    pub fn state(&self) -> (u64, bool) {
        (self.turns, self.won > 0)
    }

    /// What the player sees.
    #[must_use]
    pub fn look(&self, whole: bool) -> String {
        let Some(room) = self.rooms.get(&self.place) else { return "Nothing.".into() };
        if self.place == 5 && !(self.has("lamp") && self.turns < OIL) {
            return "It is dark. Something breathes.".into();
        }
        let text = if whole { format!("\n{}", room.text) } else { String::new() };
        let things =
            if room.things.is_empty() { String::new() } else { format!("\nHere: {}.", listed(&room.things)) };
        format!("{}{text}{things}", room.name)
    }

    fn has(&self, thing: &str) -> bool {
        self.carried.iter().any(|carried| carried == thing)
    }

    fn go(&mut self, tx: &Tx<'p>, direction: usize) -> String {
        let room = self.rooms.get(&self.place);
        let Some(next) = room.and_then(|room| room.exits[direction]) else {
            return "There is no way.".into();
        };
        if next.get() == 5 && !self.has("rope") {
            return "Without a rope you would not come up again.".into();
        }
        self.place = next.get();
        let seen = self.rooms.get_mut(&self.place, tx).map(|room| std::mem::replace(&mut room.visited, true));
        if self.place == 1 && self.has("crown") && self.won == 0 {
            self.won = self.turns;
            return format!("You hold the crown up to the moon. {} turns. The end.", self.turns);
        }
        self.look(seen == Some(false))
    }

    fn take(&mut self, tx: &Tx<'p>, object: &str) -> Result<String> {
        if self.place == 5 && self.look(false).starts_with("It is dark") {
            return Ok("You feel about, and find something that has teeth.".into());
        }
        let Some(room) = self.rooms.get_mut(&self.place, tx) else { return Ok("Nothing.".into()) };
        moved(tx, &mut room.things, &mut self.carried, object).map(|done| said(done, "Taken."))
    }

    fn put_down(&mut self, tx: &Tx<'p>, object: &str) -> Result<String> {
        let Some(room) = self.rooms.get_mut(&self.place, tx) else { return Ok("Nothing.".into()) };
        moved(tx, &mut self.carried, &mut room.things, object).map(|done| said(done, "Dropped."))
    }
}

/// Moves a thing from one list to the other: the string itself moves, no byte of it is copied.
fn moved<'p>(
    tx: &Tx<'p>,
    from: &mut PVec<'p, PString<'p>>,
    to: &mut PVec<'p, PString<'p>>,
    name: &str,
) -> Result<bool> {
    let Some(at) = from.iter().position(|thing| thing == name) else { return Ok(false) };
    if let Some(thing) = from.remove(at, tx) {
        to.push(tx, thing)?;
    }
    Ok(true)
}

fn said(done: bool, what: &str) -> String {
    if done { what.into() } else { "There is no such thing.".into() }
}

fn listed(things: &PVec<'_, PString<'_>>) -> String {
    let names: Vec<&str> = things.iter().map(PString::as_str).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

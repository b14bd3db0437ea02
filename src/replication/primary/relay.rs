//! A primary that is a replica itself: its stream is that of its own primary, byte for byte, and
//! passed on to its replicas under the same offsets.

use super::Primary;
use crate::replication::backlog::Backlog;

impl Primary {
    /// The stream is another server's from here on. What was the server's own until now may be a
    /// part of that one's. Returns the clients that are replicas, which have to come anew.
    pub fn follow(&mut self) -> Vec<u64> {
        self.follows = true;
        self.asked = None;
        self.clients()
    }

    /// The stream is the one with this id, from this offset on. Returns the clients that are
    /// replicas, which have to come anew.
    pub fn follow_from(&mut self, id: String, offset: u64) -> Vec<u64> {
        (self.id, self.second) = (id, None);
        (self.is_on, self.follows) = (true, true);
        self.backlog = Backlog::at(offset);
        self.syncs.clear();
        self.clients()
    }

    /// The stream has another id from here on. Returns the clients that are replicas, which have to
    /// hear of that.
    pub fn rename(&mut self, id: String) -> Vec<u64> {
        if self.id == id {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.id, id);
        self.second = Some((before, self.backlog.end() + 1));
        self.clients()
    }

    /// More of another server's stream.
    pub fn append_as_it_came(&mut self, bytes: &[u8]) {
        self.backlog.append(bytes);
    }

    /// The stream is the server's own from here on, under this id. Who has it all so far may go on
    /// with it. Returns the clients that are replicas, which have to hear of the id.
    pub fn lead(&mut self, id: String, now_ms: u64) -> Vec<u64> {
        self.follows = false;
        (self.alone_since_ms, self.pinged_ms) = (now_ms, now_ms);
        self.rename(id)
    }

    /// The same where the data set is not what the stream has made of it: nobody may go on with it,
    /// and it begins anew under this id.
    pub fn lead_anew(&mut self, id: String, now_ms: u64) -> Vec<u64> {
        self.follows = false;
        (self.alone_since_ms, self.pinged_ms) = (now_ms, now_ms);
        self.end(id)
    }

    /// Whether the stream is another server's.
    pub fn follows(&self) -> bool {
        self.follows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::action::SyncRequest;
    use crate::replication::{Arrival, Fed, Limits, Pulled};
    use crate::session::Presented;
    use crate::settings::Settings;

    const OWN: &str = "1111111111111111111111111111111111111111";
    const ITS: &str = "2222222222222222222222222222222222222222";
    const NEXT: &str = "3333333333333333333333333333333333333333";

    /// What a replica is told that asks for this.
    fn told(primary: &mut Primary, client: u64, id: &str, number: i64) -> String {
        let presented = Presented { takes_new_ids: true, ..Presented::default() };
        let request = SyncRequest::From { id: id.into(), number };
        let address = "10.0.0.7".to_owned();
        primary.attach(Arrival { client, address, presented, request, stub: None }, 0);
        pulled(primary, client)
    }

    fn pulled(primary: &mut Primary, client: u64) -> String {
        let mut out = Vec::new();
        while primary.pull(client, 1_000, &mut out, 0) == Pulled::Some {}
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_stream_is_passed_on_as_it_came() {
        let mut primary = Primary::new(OWN.to_owned());
        primary.follow();
        assert_eq!(primary.follow_from(ITS.to_owned(), 100), [0; 0]);
        primary.append_as_it_came(b"0123456789");
        assert_eq!(told(&mut primary, 5, ITS, 106), format!("+CONTINUE {ITS}\r\n56789"));
        primary.append_as_it_came(b"more");
        primary.feed(&Fed::Ask(7));
        assert_eq!(pulled(&mut primary, 5), "more", "nothing is put in");
        let limits = Limits::of(&Settings::default());
        let tick = primary.tick(&limits, false, 100_000_000);
        assert!(!tick.is_ping_due && !tick.ends);
        assert_eq!(primary.end(NEXT.to_owned()), [0; 0]);
        assert_eq!(primary.place(), (ITS, 114));
    }

    #[test]
    fn who_has_all_of_it_goes_on_when_the_server_leads() {
        let mut primary = Primary::new(OWN.to_owned());
        primary.follow_from(ITS.to_owned(), 100);
        primary.append_as_it_came(b"0123456789");
        assert_eq!(primary.lead(NEXT.to_owned(), 0), [0; 0]);
        primary.feed(&Fed::Bytes(b"own"[..].into()));
        assert_eq!(told(&mut primary, 5, ITS, 111), format!("+CONTINUE {NEXT}\r\nown"));
        assert_eq!(told(&mut primary, 6, NEXT, 114), format!("+CONTINUE {NEXT}\r\n"));
        assert_eq!(told(&mut primary, 7, ITS, 112), "", "it has what was never passed on");
    }

    #[test]
    fn nobody_goes_on_with_who_leads_and_has_lost_something() {
        let mut primary = Primary::new(OWN.to_owned());
        primary.follow_from(ITS.to_owned(), 100);
        primary.append_as_it_came(b"0123456789");
        told(&mut primary, 5, ITS, 111);
        assert_eq!(primary.lead_anew(NEXT.to_owned(), 0), [5]);
        assert_eq!((primary.place(), primary.is_on()), ((NEXT, 110), false));
        assert!(!primary.follows());
        primary.begin(0);
        assert_eq!(told(&mut primary, 6, ITS, 111), "", "it waits for a snapshot");
        assert_eq!(told(&mut primary, 7, NEXT, 111), format!("+CONTINUE {NEXT}\r\n"));
    }

    #[test]
    fn a_server_that_led_follows_from_where_it_was() {
        let mut primary = Primary::new(OWN.to_owned());
        primary.begin(0);
        primary.feed(&Fed::Bytes(b"own"[..].into()));
        told(&mut primary, 5, OWN, 1);
        assert_eq!(primary.follow(), [5]);
        assert_eq!(primary.rename(NEXT.to_owned()), [5]);
        assert_eq!(primary.rename(NEXT.to_owned()), [0; 0]);
        primary.append_as_it_came(b"its");
        assert_eq!(told(&mut primary, 6, OWN, 4), format!("+CONTINUE {NEXT}\r\nits"));
    }
}

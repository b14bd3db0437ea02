//! Replies and pushes as clients read them, in both versions of the protocol, and when one is what
//! a model expects.

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// A word such as OK.
    Status(String),
    /// An error.
    Error(String),
    /// A number.
    Int(i64),
    /// A text.
    Bulk(String),
    /// Nothing.
    Nil,
    /// Several.
    List(Vec<Reply>),
    /// Several that belong to no reply, or that confirm a subscription.
    Push(Vec<Reply>),
    /// An error that begins so.
    Begins(String),
    /// Whatever it is: for what the model does not know.
    Any,
}

impl Reply {
    /// The word OK.
    pub fn ok() -> Reply {
        Reply::Status("OK".to_owned())
    }

    /// A text, or nothing.
    pub fn bulk(text: Option<&str>) -> Reply {
        text.map_or(Reply::Nil, |text| Reply::Bulk(text.to_owned()))
    }

    /// A list of texts.
    pub fn texts<'a>(texts: impl Iterator<Item = &'a String>) -> Reply {
        Reply::List(texts.map(|text| Reply::Bulk(text.clone())).collect())
    }

    /// The same with the elements of lists in one order, for replies that have none.
    pub fn sorted(self) -> Reply {
        match self {
            Reply::List(mut elements) => {
                elements.sort();
                Reply::List(elements)
            }
            other => other,
        }
    }

    /// Whether `said` is what this one expects.
    pub fn allows(&self, said: &Reply) -> bool {
        match (self, said) {
            (Reply::Any, said) => !matches!(said, Reply::Push(_)),
            (Reply::Begins(text), Reply::Error(said)) => said.starts_with(text),
            (Reply::List(each), Reply::List(all)) => {
                each.len() == all.len() && each.iter().zip(all).all(|(one, said)| one.allows(said))
            }
            (one, said) => one == said,
        }
    }

    /// Its words, where it is a push.
    pub fn push_words(&self) -> Option<Vec<&str>> {
        let Reply::Push(elements) = self else { return None };
        // What follows the words is numbers or lists.
        let words = elements.iter().map_while(|element| match element {
            Reply::Bulk(text) => Some(text.as_str()),
            _ => None,
        });
        Some(words.collect())
    }

    /// Takes the first whole reply off the front of `bytes`: it, and how long it was. None where
    /// there is no whole one.
    ///
    /// # Errors
    /// What stands there in the place of a reply.
    pub fn take(bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let (kind, text) = line.split_at_checked(1).ok_or("an empty line")?;
        let number = || text.parse::<i64>().map_err(|_| format!("no number: {line}"));
        let at = end + 2;
        Ok(Some(match kind {
            "+" => (Reply::Status(text.to_owned()), at),
            "-" => (Reply::Error(text.to_owned()), at),
            ":" => (Reply::Int(number()?), at),
            "$" => match usize::try_from(number()?) {
                Err(_) => (Reply::Nil, at),
                Ok(len) if bytes.len() < at + len + 2 => return Ok(None),
                Ok(len) => {
                    let text = String::from_utf8_lossy(&bytes[at..at + len]).into_owned();
                    (Reply::Bulk(text), at + len + 2)
                }
            },
            "_" => (Reply::Nil, at),
            "*" | "~" | "%" | ">" => {
                let mut at = at;
                let mut elements = Vec::new();
                let Ok(count) = usize::try_from(number()?) else {
                    return Ok(Some((Reply::Nil, at)));
                };
                let count = if kind == "%" { 2 * count } else { count };
                for _ in 0..count {
                    let Some((element, len)) = Reply::take(&bytes[at..])? else { return Ok(None) };
                    elements.push(element);
                    at += len;
                }
                let is_push = kind == ">";
                (if is_push { Reply::Push(elements) } else { Reply::List(elements) }, at)
            }
            _ => return Err(format!("no reply: {line}")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_replies_are_taken_off_the_front() {
        let bytes = b"*2\r\n$1\r\na\r\n$-1\r\n:5\r\n-ERR x\r\n";
        let (list, len) = Reply::take(bytes).unwrap().unwrap();
        assert_eq!(list, Reply::List(vec![Reply::Bulk("a".to_owned()), Reply::Nil]));
        let (number, more) = Reply::take(&bytes[len..]).unwrap().unwrap();
        assert_eq!((number, more), (Reply::Int(5), 4));
        let cut = (0..len).map(|end| Reply::take(&bytes[..end]));
        assert!(cut.into_iter().all(|reply| reply == Ok(None)), "a part of one is none");
        assert_eq!(Reply::take(b"*-1\r\n"), Ok(Some((Reply::Nil, 5))));
        assert!(Reply::take(b"OK\r\n").is_err());
    }

    #[test]
    fn version_3_has_pushes_sets_maps_and_a_null_of_its_own() {
        let bytes = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n~1\r\n:1\r\n%1\r\n+a\r\n_\r\n";
        let (push, at) = Reply::take(bytes).unwrap().unwrap();
        assert_eq!(push.push_words(), Some(vec!["invalidate"]));
        let (set, more) = Reply::take(&bytes[at..]).unwrap().unwrap();
        assert_eq!((set.push_words(), &set), (None, &Reply::List(vec![Reply::Int(1)])));
        let (map, _) = Reply::take(&bytes[at + more..]).unwrap().unwrap();
        let expected = Reply::List(vec![Reply::Status("a".to_owned()), Reply::Nil]);
        assert_eq!(map, expected);
        assert!(Reply::List(vec![Reply::Any, Reply::Nil]).allows(&map));
        assert!(!Reply::Any.allows(&push) && !expected.allows(&set));
    }
}

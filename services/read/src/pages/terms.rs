//! The words of a search as Postgres has parsed them, and the text queries that are made of them.
//!
//! Only what stands in a product decides how well it matches, never how many others do: so no other product's change moves
//! it in a list.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// More words than anybody types; of a longer text the first ones are searched for.
pub(crate) const TERMS_MAX: usize = 16;

/// What is searched for, word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms(pub(crate) Vec<Term>);

/// One word, in the lexemes of Postgres. A word with a sign inside has several of them, which belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    /// As it stands (configuration `simple`). Never empty.
    pub(crate) exact: Vec<String>,
    /// By its English stem; empty if the word means nothing by itself ("the").
    pub(crate) stem: Vec<String>,
    /// Whether a longer word that begins like this one will do too: the last one may not be typed to its end.
    pub(crate) is_beginning: bool,
    pub(crate) usage: Usage,
}

/// How many products have a word; looked at only where few have all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Usage {
    /// None has it; the lexeme in its place is what was probably meant.
    Unknown {
        instead: Option<String>,
    },
    Rare,
    Common,
}

impl Terms {
    /// The text query for products that a search of this reach looks for; empty, and finding nothing, if no word is left.
    pub(crate) fn query(&self, reach: Reach) -> String {
        let joined_if = |is_wanted: fn(&Term) -> bool| {
            joined(self.meaningful().filter(|term| is_wanted(term)).map(Term::query), " | ")
        };
        let query = match reach {
            Reach::Verbatim => joined(self.0.iter().map(Term::whole), " & "),
            Reach::Whole => joined(self.meaningful().map(Term::whole), " & "),
            Reach::All => joined(self.meaningful().map(Term::query), " & "),
            Reach::Some => joined_if(Term::is_rare).or_else(|| joined_if(Term::is_common)),
        };
        query.unwrap_or_default()
    }

    /// The words that mean something by themselves.
    pub(crate) fn meaningful(&self) -> impl Iterator<Item = &Term> {
        self.0.iter().filter(|term| !term.stem.is_empty())
    }

    /// Whether no word means anything by itself.
    pub(crate) fn mean_nothing(&self) -> bool {
        self.meaningful().next().is_none()
    }

    /// How far a search looks at first.
    pub(crate) fn nearest(&self) -> Reach {
        if self.0.iter().any(|term| term.stem.is_empty()) { Reach::Verbatim } else { Reach::Whole }
    }
}

/// Which products a search looks for: no further than it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reach {
    /// Those that have all the words whole, also words that mean nothing by themselves: "watering can".
    Verbatim,
    /// Those that have all the other words whole.
    Whole,
    /// Those that have all of these in any way.
    All,
    /// Those that have any of these that are rare, or any if none is: who looks for "usb fan" wants no other thing with USB.
    Some,
}

/// Which of the words a search looked for in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stage {
    pub(crate) terms: Terms,
    pub(crate) reach: Reach,
}

impl Stage {
    /// Whether a product with these lexemes, separated by spaces, is found.
    pub(crate) fn is_met_by(&self, words: &str) -> bool {
        let terms = &self.terms;
        match self.reach {
            Reach::Verbatim => !terms.0.is_empty() && terms.0.iter().all(|term| term.is_whole_in(words)),
            Reach::Whole => !terms.mean_nothing() && terms.meaningful().all(|term| term.is_whole_in(words)),
            Reach::All => !terms.mean_nothing() && terms.meaningful().all(|term| term.is_in(words)),
            Reach::Some => {
                let is_met = |is_wanted: fn(&Term) -> bool| {
                    let mut wanted = terms.meaningful().filter(|term| is_wanted(term)).peekable();
                    wanted.peek().is_some().then(|| wanted.any(|term| term.is_in(words)))
                };
                is_met(Term::is_rare).or_else(|| is_met(Term::is_common)).unwrap_or_default()
            }
        }
    }
}

impl Term {
    /// Whether the word is among these lexemes in any way; what [`query`](Self::query) asks of Postgres.
    fn is_in(&self, words: &str) -> bool {
        let has_beginning = |lexeme: &String| words.split(' ').any(|word| word.starts_with(lexeme.as_str()));
        self.is_whole_in(words)
            || self.is_beginning && self.exact.iter().all(has_beginning)
            || matches!(&self.usage, Usage::Unknown { instead: Some(lexeme) } if has(words, lexeme))
    }

    /// Whether the whole word is among these lexemes; what [`whole`](Self::whole) asks of Postgres.
    fn is_whole_in(&self, words: &str) -> bool {
        let has_all = |lexemes: &[String]| !lexemes.is_empty() && lexemes.iter().all(|lexeme| has(words, lexeme));
        has_all(&self.exact) || has_all(&self.stem)
    }

    fn is_rare(&self) -> bool {
        matches!(self.usage, Usage::Rare | Usage::Unknown { instead: Some(_) })
    }

    fn is_common(&self) -> bool {
        self.usage == Usage::Common
    }

    /// The text query for products that have the word in any way.
    pub(crate) fn query(&self) -> String {
        let (beginning, corrected) = (self.beginning(), self.correction());
        [Some(self.whole()), beginning, corrected].into_iter().flatten().collect::<Vec<_>>().join(" | ")
    }

    /// The one for products that have the whole word, as it stands or by its stem.
    pub(crate) fn whole(&self) -> String {
        let exact = together(&self.exact, "");
        // Asked once: Postgres would look up each.
        if self.stem.is_empty() || self.exact == self.stem {
            exact
        } else {
            format!("({exact}) | ({})", together(&self.stem, ""))
        }
    }

    /// The one for products that have a word which begins like this one.
    pub(crate) fn beginning(&self) -> Option<String> {
        self.is_beginning.then(|| format!("({})", together(&self.exact, ":*")))
    }

    /// The one for products that have what was probably meant.
    pub(crate) fn correction(&self) -> Option<String> {
        match &self.usage {
            Usage::Unknown { instead: Some(lexeme) } => Some(quoted(lexeme)),
            _ => None,
        }
    }

    /// Every lexeme that differs from the word by one letter: one left out, too many or another, or two exchanged. None of
    /// a word that is short or has digits, where a neighbour is another thing.
    pub(crate) fn neighbours(&self) -> Vec<String> {
        let [word] = self.exact.as_slice() else { return Vec::new() };
        let letters: Vec<char> = word.chars().collect();
        let is_long = (CORRECTED_LENGTH_MIN..=CORRECTED_LENGTH_MAX).contains(&letters.len());
        if !is_long || !letters.iter().all(|letter| letter.is_alphabetic()) {
            return Vec::new();
        }
        let with = |from: usize, to: usize, between: &[char]| -> String {
            letters[..from].iter().chain(between).chain(&letters[to..]).collect()
        };
        let mut neighbours = Vec::new();
        for at in 0..=letters.len() {
            neighbours.extend(ALPHABET.iter().map(|letter| with(at, at, &[*letter])));
            if at < letters.len() {
                neighbours.push(with(at, at + 1, &[]));
                neighbours.extend(ALPHABET.iter().map(|letter| with(at, at + 1, &[*letter])));
            }
            if at + 1 < letters.len() {
                neighbours.push(with(at, at + 2, &[letters[at + 1], letters[at]]));
            }
        }
        neighbours.retain(|neighbour| neighbour != word);
        neighbours.sort_unstable();
        neighbours.dedup();
        neighbours
    }
}

/// Below, most words have a neighbour that is another word.
const CORRECTED_LENGTH_MIN: usize = 4;
/// Longer than any word of a language; its neighbours would be too many.
const CORRECTED_LENGTH_MAX: usize = 24;
/// The letters that may have been left out or mistaken for others.
const ALPHABET: [char; 26] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w',
    'x', 'y', 'z',
];

fn has(words: &str, lexeme: &str) -> bool {
    words.split(' ').any(|word| word == lexeme)
}

fn joined(queries: impl Iterator<Item = String>, operator: &str) -> Option<String> {
    let words: Vec<String> = queries.map(|query| format!("({query})")).collect();
    (!words.is_empty()).then(|| words.join(operator))
}

fn together(lexemes: &[String], suffix: &str) -> String {
    let quoted: Vec<String> = lexemes.iter().map(|lexeme| quoted(lexeme) + suffix).collect();
    quoted.join(" & ")
}

/// A lexeme as the text form of `tsquery` takes it, whatever characters it has.
fn quoted(lexeme: &str) -> String {
    let mut quoted = String::with_capacity(lexeme.len() + 2);
    quoted.push('\'');
    for letter in lexeme.chars() {
        if matches!(letter, '\'' | '\\') {
            quoted.push(letter);
        }
        quoted.write_char(letter).expect("a String takes everything");
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(word: &str) -> Term {
        let lexemes = vec![word.to_owned()];
        Term { exact: lexemes.clone(), stem: lexemes, is_beginning: false, usage: Usage::Rare }
    }

    #[test]
    fn a_word_is_found_as_it_stands_by_its_stem_as_a_beginning_and_corrected() {
        let lamps = Term { stem: vec!["lamp".to_owned()], is_beginning: true, ..term("lamps") };
        assert_eq!(lamps.query(), "('lamps') | ('lamp') | ('lamps':*)");
        let mistyped = Term { usage: Usage::Unknown { instead: Some("lamp".to_owned()) }, ..term("lmap") };
        assert_eq!(mistyped.query(), "'lmap' | 'lamp'");
        let compound = Term { exact: vec!["1.5".to_owned(), "m".to_owned()], ..term("m") };
        assert_eq!(compound.whole(), "('1.5' & 'm') | ('m')");
        assert_eq!(Terms(vec![term("a"), term("b")]).query(Reach::All), "('a') & ('b')");
        let the = Term { stem: Vec::new(), ..term("the") };
        let terms = Terms(vec![the, term("lamp")]);
        assert_eq!((terms.nearest(), terms.query(Reach::Verbatim)), (Reach::Verbatim, "('the') & ('lamp')".to_owned()));
        assert_eq!(terms.query(Reach::Whole), "('lamp')");
    }

    #[test]
    fn with_some_of_the_words_means_with_a_rare_one_unless_all_are_common() {
        let used = |word, usage| Term { usage, ..term(word) };
        let some = |terms: &[Term]| Terms(terms.to_vec()).query(Reach::Some);
        let (usb, fan) = (used("usb", Usage::Common), used("fan", Usage::Rare));
        let (unknown, both) = (used("xyz", Usage::Unknown { instead: None }), [usb.clone(), used("tv", Usage::Common)]);
        assert_eq!(some(&[usb.clone(), fan, unknown.clone()]), "('fan')");
        assert_eq!(some(&both), "('usb') | ('tv')");
        assert_eq!(some(&[usb, unknown.clone()]), "('usb')");
        assert_eq!(some(&[unknown]), "");
    }

    #[test]
    fn no_character_of_a_lexeme_is_an_operator() {
        assert_eq!(quoted(r"a'b\c:*&|!"), r"'a''b\\c:*&|!'");
    }

    #[test]
    fn neighbours_are_one_letter_away() {
        let neighbours = term("lamp").neighbours();
        for neighbour in ["lmap", "lam", "lamps", "clamp", "lump"] {
            assert!(neighbours.iter().any(|it| it == neighbour), "{neighbour}");
        }
        assert!(neighbours.iter().all(|it| it != "lamp"));
        assert_eq!(term("lam").neighbours(), Vec::<String>::new(), "too short");
        assert_eq!(term("xm4000").neighbours(), Vec::<String>::new(), "a model's number");
        let compound = Term { exact: vec!["desk".to_owned(), "lamp".to_owned()], ..term("desk") };
        assert_eq!(compound.neighbours(), Vec::<String>::new());
        assert!(term(&"x".repeat(CORRECTED_LENGTH_MAX)).neighbours().len() < 1_400);
    }
}

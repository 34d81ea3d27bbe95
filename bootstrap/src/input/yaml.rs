//! YAML that people wrote. What is wrong with it is one sentence: where, what, and what is allowed.

use serde::de::DeserializeOwned;

/// What the reader says to programmers, and what people are told instead.
const WORDS: [(&str, &str); 3] = [
    ("; use from_str_multiple or from_str_multiple_with_options", "; only one is allowed"),
    (", set DuplicateKeyPolicy in Options if acceptable", "; each key is allowed once"),
    (
        "alias references unknown anchor",
        "an alias (*NAME) without its anchor (&NAME), which must come before it",
    ),
];

/// The one document in a text.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| format!("no valid YAML: {}", problem(&error)))
}

/// What is wrong with a text, be it no YAML or not what was to be read.
pub fn problem(error: &serde_saphyr::Error) -> String {
    // Under its message, the reader draws the place.
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    WORDS.iter().fold(line.to_owned(), |line, (theirs, ours)| line.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_is_wrong_is_one_sentence_with_its_place() {
        for (text, sentence) in [
            ("a: 1\n b: 2\n", "line 2 column 3: mapping values are not allowed in this context"),
            ("a: [1, 2", "line 1 column 4: unclosed bracket '['"),
            ("a: 1\na: 2\n", "line 2 column 1: duplicate mapping key: a; each key is allowed once"),
            (
                "---\na: 1\n---\nb: 2\n",
                "line 4 column 1: multiple YAML documents detected; only one is allowed",
            ),
            (
                "a: *x\n",
                "line 1 column 4: an alias (*NAME) without its anchor (&NAME), which must come before it",
            ),
        ] {
            let error = parse::<Value>(text).unwrap_err();
            assert_eq!(error, format!("no valid YAML: {sentence}"));
        }
    }
}

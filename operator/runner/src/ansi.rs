//! Terminal control sequences, which tracebacks are full of and a status message must not hold.

/// `text` without colours, cursor movements, titles and other control characters; line ends and tabs stay.
pub fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // Control sequence: parameters, then one final character.
                Some('[') => {
                    while characters.next().is_some_and(|next| !('\u{40}'..='\u{7e}').contains(&next)) {}
                }
                // Operating system command: up to a bell or ESC \.
                Some(']') => {
                    while let Some(next) = characters.next() {
                        if next == '\u{7}' || (next == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                // Character set: one more character.
                Some('(' | ')' | '#') => {
                    characters.next();
                }
                _ => {}
            },
            '\n' | '\t' => plain.push(character),
            control if control.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// `text` as one line: without control sequences, each run of white space one space.
pub fn one_line(text: &str) -> String {
    strip(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_go_and_text_stays() {
        for (text, plain) in [
            ("\u{1b}[0;31mValueError\u{1b}[0m: x", "ValueError: x"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bplain\r", "plain"),
            ("größe\t✓\n", "größe\t✓\n"),
            ("cut\u{1b}[", "cut"),
        ] {
            assert_eq!(strip(text), plain, "{text:?}");
        }
    }

    #[test]
    fn lines_become_one() {
        assert_eq!(one_line("  a\n\u{1b}[1mb\u{1b}[0m\n\n c"), "a b c");
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in "[\\x00-\\x7f]{0,80}") {
            prop_assert!(strip(&text).chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }
}

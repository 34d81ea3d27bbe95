//! Text of a cluster as plain text: no escape sequences, no control characters.

/// The text without terminal escapes and without characters that XML or a terminal cannot take; lines are kept.
pub(crate) fn lines(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    strip_ansi_escapes::strip_str(lines).chars().filter(|c| is_printable(*c)).collect()
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> String {
    lines(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What XML 1.0 allows, without the control characters of C1 and those that turn the direction of what follows.
fn is_printable(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_gone() {
        assert_eq!(
            lines("\u{1b}[31mred\u{1b}[0m\r\nnext\rlast\u{0}\u{9b}\u{ffff}\u{202e}"),
            "red\nnext\nlast"
        );
        assert_eq!(one_line(" a\n\tb  c "), "a b c");
    }
}

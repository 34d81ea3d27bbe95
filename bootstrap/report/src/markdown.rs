//! Markdown from texts that nobody trusts.

use crate::plain;

/// Longest text of a table cell, in characters.
const LONGEST_CELL: usize = 300;

/// A text as it reads, on one line and without any meaning to Markdown or HTML.
pub(crate) fn inline(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain::one_line(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // By number, because table cells and text do not agree on what a backslash before a bar means.
            '\\' => escaped.push_str("&#92;"),
            '@' => escaped.push_str("&#64;"),
            '`' | '*' | '_' | '[' | ']' | '~' | '|' | '!' | '#' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table row of cells that are Markdown already.
fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// A table; texts are escaped and cut, short rows are filled.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = row(&head.iter().map(|cell| inline(cell)).collect::<Vec<_>>());
    table.push_str(&row(&vec!["---".to_owned(); head.len()]));
    for cells in rows {
        let cells: Vec<String> = (0..head.len())
            .map(|index| cells.get(index).map_or_else(String::new, |cell| inline(&cut(cell))))
            .collect();
        table.push_str(&row(&cells));
    }
    table
}

/// The begin of a long text.
fn cut(text: &str) -> String {
    let text = plain::one_line(text);
    match text.char_indices().nth(LONGEST_CELL) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A block of literal text, between fences that are longer than any in it.
pub(crate) fn block(text: &str) -> String {
    let text = plain::lines(text);
    let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// The longest run of a character.
fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A link to a file of the output folder.
pub(crate) fn link(file: &str) -> String {
    let file = plain::one_line(file);
    let encoded = file.bytes().map(|byte| match byte {
        b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    let target = encoded.collect::<Vec<_>>().concat();
    format!("[{}]({target})", inline(&file))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The cells of a row as GitHub counts them: a bar is a border unless a backslash stands before it.
    pub(crate) fn columns(row: &str) -> usize {
        let (mut bars, mut escaped) = (0, false);
        for c in row.chars() {
            bars += usize::from(c == '|' && !escaped);
            escaped = c == '\\' && !escaped;
        }
        bars - 1
    }

    #[test]
    fn nothing_of_a_text_means_anything() {
        assert_eq!(
            inline("a|b `c` *d* [e](f) <img src=x> &lt; \\| # @team $x$\n- g"),
            "a\\|b \\`c\\` \\*d\\* \\[e\\](f) &lt;img src=x&gt; &amp;lt; &#92;\\| \\# &#64;team \\$x\\$ - g"
        );
    }

    #[test]
    fn a_table_is_a_table() {
        assert_eq!(
            table(&["test", "result"], &[vec!["a|b".into(), "ok".into()], vec!["short".into()]]),
            "| test | result |\n| --- | --- |\n| a\\|b | ok |\n| short |  |\n"
        );
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(block("a\n````\nb\n"), "`````text\na\n````\nb\n`````\n");
        assert_eq!(block("\u{1b}[1mbold\u{1b}[0m"), "```text\nbold\n```\n");
    }

    #[test]
    fn a_link_leads_nowhere_else() {
        assert_eq!(link("logs/a b.log"), "[logs/a b.log](logs/a%20b.log)");
        assert_eq!(
            link("x](javascript:alert(1))"),
            "[x\\](javascript:alert(1))](x%5D%28javascript%3Aalert%281%29%29)"
        );
    }

    proptest! {
        #[test]
        fn a_table_keeps_its_columns(cells in prop::collection::vec("\\PC{0,40}|[|\\\\\\n\\r`<&]{0,40}", 0..6)) {
            let table = table(&["a", "b", "c"], &[cells]);
            prop_assert_eq!(table.lines().count(), 3);
            for line in table.lines() {
                prop_assert_eq!(columns(line), 3, "{}", line);
            }
        }

        #[test]
        fn no_text_ends_its_block(text in "(\\PC|[`~\\n\\r]){0,80}") {
            let block = block(&text);
            let fence = block.lines().next().unwrap().trim_end_matches("text").to_owned();
            prop_assert_eq!(block.matches(&fence).count(), 2);
        }

        #[test]
        fn inline_text_opens_no_tag(text in "\\PC{0,80}|[<>&\\\\`*_\\[\\]!|]{0,40}") {
            let escaped = inline(&text);
            prop_assert!(!escaped.contains(['<', '>', '\n']));
        }
    }
}

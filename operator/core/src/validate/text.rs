//! Forms of names and amounts: the same as the patterns in the CRD.

/// Whether `text` is a DNS label.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && is_dns(text, &['-'])
}

/// Whether `text` is a name of an object such as a ConfigMap.
pub(super) fn is_object_name(text: &str) -> bool {
    (1..=253).contains(&text.len()) && is_dns(text, &['-', '.'])
}

/// Whether `text` begins and ends with a small letter or digit, with nothing else but `inner` between.
fn is_dns(text: &str, inner: &[char]) -> bool {
    let outer = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    text.starts_with(outer)
        && text.ends_with(outer)
        && text.chars().all(|character| outer(character) || inner.contains(&character))
}

/// Whether `text` is a key in a ConfigMap.
pub(super) fn is_config_map_key(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.chars().all(is_word)
}

/// Whether `text` is a kind of objects.
pub(super) fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|character: char| character.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric())
}

/// Whether `text` is a name of a variable in a container.
pub(super) fn is_variable(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(|character: char| character.is_ascii_digit())
        && text.chars().all(is_word)
}

/// Whether `text` is a name of a variable in a program.
pub(super) fn is_identifier(text: &str) -> bool {
    let inner = |character: char| character.is_ascii_alphanumeric() || character == '_';
    (1..=63).contains(&text.len())
        && !text.starts_with(|character: char| character.is_ascii_digit())
        && text.chars().all(inner)
}

/// Whether `text` is a name of an image: one word.
pub(super) fn is_image(text: &str) -> bool {
    // Only these count as blank for the API server's patterns.
    let blank = |character: char| matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    (1..=1024).contains(&text.chars().count()) && !text.contains(blank)
}

/// Whether `text` is what pip takes as a requirement, and no option.
pub(super) fn is_requirement(text: &str) -> bool {
    text.chars().count() <= 256 && text.starts_with(|character: char| character.is_ascii_alphanumeric())
}

/// Whether `text` is a key of a label.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns(prefix, &['-', '.']) && is_label_word(name),
        None => is_label_word(text),
    }
}

/// Whether `text` is a value of a label.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_word(text)
}

/// Letters and digits, with `-`, `_` and `.` between.
fn is_label_word(text: &str) -> bool {
    let outer = |character: char| character.is_ascii_alphanumeric();
    text.len() <= 63 && text.starts_with(outer) && text.ends_with(outer) && text.chars().all(is_word)
}

/// Letters, digits, `-`, `_` and `.`.
const fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
}

/// Whether `text` is an amount: a number with an SI or binary suffix, or an exponent.
pub(super) fn is_amount(text: &str) -> bool {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = number.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (digits, suffix) = number.split_at(end.unwrap_or(number.len()));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    text.len() <= 32
        && !fraction.contains('.')
        && !(whole.is_empty() && fraction.is_empty())
        && (is_suffix(suffix) || is_exponent(suffix))
}

/// Whether `text` is a suffix of an amount.
fn is_suffix(text: &str) -> bool {
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&text)
}

/// Whether `text` is an exponent.
fn is_exponent(text: &str) -> bool {
    text.strip_prefix(['e', 'E']).is_some_and(|digits| {
        let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_those_of_the_crd() {
        for text in ["1", "500m", "1Gi", "1.5", ".5", "2.", "2e9", "1E3", "1E", "-1", "+1k"] {
            assert!(is_amount(text), "{text}");
        }
        for text in ["", ".", "-", "1 Gi", "1gi", "1.5.5", "abc", "1e", "1eE", "Gi"] {
            assert!(!is_amount(text), "{text}");
        }
    }

    #[test]
    fn names_have_the_forms_of_kubernetes() {
        assert!(is_label_key("kubernetes.io/arch") && is_label_key("pool") && is_label_value(""));
        assert!(
            !is_label_key("/a") && !is_label_key("a/") && !is_label_key("a/b/c") && !is_label_value("-a")
        );
        assert!(is_variable("_A.b-1") && !is_variable("1A") && !is_variable("A=B"));
        assert!(is_identifier("_x1") && !is_identifier("1x") && !is_identifier("a-b"));
        assert!(is_object_name("a.b") && !is_label("a.b") && !is_label(&"a".repeat(64)));
    }
}
